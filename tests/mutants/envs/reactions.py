"""Mutants of `envs/reactions`."""

ENV = "tests/envs/reactions/test_reactions.py"
FILES = "tests/envs/reactions/test_templates.py"

MUTANTS = (
    (
        "reactions-multiplicity",
        "envs/reactions/laboratory.py",
        "lengths = [max(len(self.chemist.lengths(text)), 1) for text in smiles]",
        "lengths = [1 for text in smiles]",
        f"{ENV}::test_exact_law_over_products",
    ),
    (
        "reactions-lengths",
        "envs/reactions/chemist.py",
        "for d in range(1, self.max_steps + 1) if self.reached(molecule, d))",
        "for d in range(1, self.max_steps) if self.reached(molecule, d))",
        f"{ENV}::test_all_that_rdkit_makes_is_found_with_all_its_routes",
    ),
    (
        "reactions-one-order",
        "envs/reactions/chemist.py",
        "return self.products[t, (other, molecule) if s else (molecule, other)]",
        "return self.products[t, (molecule, other)]",
        f"{ENV}::test_all_that_rdkit_makes_is_found_with_all_its_routes",
    ),
    (
        "reactions-one-block",
        "envs/reactions/chemist.py",
        "if sum(blocks) < 1 + last:",
        "if sum(blocks) < 2:",
        f"{ENV}::test_all_that_rdkit_makes_is_found_with_all_its_routes",
    ),
    (
        "reactions-unreached-parents",
        "envs/reactions/chemist.py",
        "and self.reached(before, steps - 1)",
        "and (steps > 1 or self.reached(before, 0))",
        f"{ENV}::test_all_that_rdkit_makes_is_found_with_all_its_routes",
    ),
    (
        "reactions-counts",
        "envs/reactions/chemist.py",
        "return sum(self.counts[step.before, steps - 1] for step in self.ways[key])",
        "return len(self.ways[key])",
        f"{ENV}::test_all_routes_alike_under_maximum_entropy",
    ),
    (
        "reactions-backward-action",
        "envs/reactions/env.py",
        "found.append(same.index(step) if step in same else 0)",
        "found.append(0)",
        f"{ENV}::test_contract",
    ),
    (
        "reactions-stop-at-blocks",
        "envs/reactions/env.py",
        "*[stop] * (node.steps > 0)",
        "*[stop] * (node.steps >= 0)",
        f"{ENV}::test_all_that_rdkit_makes_is_found_with_all_its_routes",
    ),
    (
        "reactions-too-long",
        "envs/reactions/laboratory.py",
        "if steps < chemist.max_steps else ()",
        "if steps <= chemist.max_steps else ()",
        f"{ENV}::test_contract",
    ),
    (
        "reactions-lost-elements",
        "envs/reactions/templates.py",
        'for option in _core(atom).split(","):',
        'for option in _core(atom).split(",")[:1]:',
        f"{FILES}::test_leaving_groups_that_may_differ_are_all_put_back",
    ),
    (
        "reactions-charge",
        "envs/reactions/templates.py",
        'charge = _charge(core) or ("+0" if _charge(_core(product)) else "")',
        "charge = _charge(core)",
        f"{FILES}::test_charges_that_a_reaction_makes_are_taken_back",
    ),
    (
        "reactions-rerun",
        "envs/reactions/routes.py",
        "if made.product not in found:",
        "if not found:",
        f"{ENV}::test_routes_run_again_give_the_product",
    ),
)
