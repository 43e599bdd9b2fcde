"""Mutants of `envs/dags`, and of the numbers of keys that it remembers by."""

TEST = "tests/envs/dags/test_families.py"
STATES = "tests/envs/dags/test_dags.py::test_ancestors_and_codes_are_updated_both_ways"
INDEX = "tests/gflow/memory/test_numbered_keys.py"

MUTANTS = (
    (
        "dags-edge-parts-all", "envs/dags/env.py",
        "return ancestors & (~doubtful | joined)",
        "return ancestors & ~doubtful",
        STATES,
    ),
    (
        "dags-edges-that-stay-inside", "envs/dags/env.py",
        "leaving = (adjacency.mT & above & ~above.mT).float()",
        "leaving = (adjacency & above & ~above.mT).float()",
        STATES,
    ),
    (
        "dags-codes-only-grow", "envs/dags/env.py",
        "code if present else -code",
        "code",
        STATES,
    ),
    (
        "families-cross-sign", "envs/dags/families.py",
        "(own[:, None] - cross.square() / left).log()",
        "(own[:, None] + cross.square() / left).log()",
        f"{TEST}::test_scores_and_gains_are_those_of_one_decomposition_each",
    ),
    (
        "families-without-marks", "envs/dags/families.py",
        "keys = (codes + constant(self._mark, codes.device)).flatten()",
        "keys = codes.flatten()",
        f"{TEST}::test_families_of_different_variables_are_told_apart",
    ),
    (
        "families-children-for-parents", "envs/dags/families.py",
        "parents = adjacency[row, :, node]",
        "parents = adjacency[row, node]",
        f"{TEST}::test_scores_and_gains_are_those_of_one_decomposition_each",
    ),
    (
        "families-gain-of-present", "envs/dags/families.py",
        "there = parents.scatter(1, nodes[:, None], True)",
        "there = parents",
        f"{TEST}::test_scores_and_gains_are_those_of_one_decomposition_each",
    ),
    (
        "families-prior-of-fewer", "envs/dags/families.py",
        "further = (count + 1).clamp(max=parents.shape[1] - 1)[:, None]",
        "further = count.clamp(max=parents.shape[1] - 1)[:, None]",
        f"{TEST}::test_scores_and_gains_are_those_of_one_decomposition_each",
    ),
    (
        "numbered-keys-loser-writes", "gflow/memory/numbered_keys.py",
        "self._keys[place[lies]] = keys[lies]",
        "self._keys[place] = keys",
        f"{INDEX}::test_keys_that_are_hashed_to_one_place_lie_behind_each_other",
    ),
)  # fmt: skip
