"""Mutants of `envs/marginals`."""

MOLECULES = "tests/envs/marginals/test_marginal_molecules.py"
PROBLEMS = "tests/envs/marginals/test_marginal_problems.py"

MUTANTS = (
    (
        "problem-parts-share-objects",
        "envs/marginals/problem.py",
        "objects[held : 2 * held], objects[:held])",
        "objects[held - 1 : 2 * held], objects[:held])",
        f"{PROBLEMS}::test_parts_are_all_objects_once_each",
    ),
    (
        "problem-parts-in-their-order",
        "envs/marginals/problem.py",
        "objects = objects[torch.randperm(len(objects), generator=generator)]",
        "torch.randperm(len(objects), generator=generator)",
        f"{PROBLEMS}::test_parts_are_all_objects_once_each",
    ),
    (
        "problem-digits-tests-of-the-same-writers",
        "envs/marginals/digits.py",
        "first, test = split(binary_digits().long())",
        "test, first = binary_digits().long().split([297, 1500])",
        f"{PROBLEMS}::test_digits_are_those_of_scikit_learn",
    ),
    (
        "problem-text-paragraphs-twice",
        "envs/marginals/text.py",
        '" ".join(dict.fromkeys(block for block in cleaned if block))',
        '" ".join(block for block in cleaned if block)',
        f"{PROBLEMS}::test_no_paragraph_comes_twice",
    ),
    (
        "problem-text-with-many-spaces",
        "envs/marginals/text.py",
        're.sub("[^a-z]+", " ", block.lower())',
        're.sub("[^a-z]", " ", block.lower())',
        f"{PROBLEMS}::test_text_is_words_of_help",
    ),
    (
        "problem-molecules-all-rare",
        "envs/marginals/molecules.py",
        "all(met[symbol] >= rare for symbol in row)",
        "all(met[symbol] > rare for symbol in row)",
        f"{MOLECULES}::test_rare_symbols_leave_with_their_molecules",
    ),
    (
        "problem-molecules-counted-by-letters",
        "envs/marginals/molecules.py",
        "for row in rows for symbol in set(row))\n    return",
        "for row in rows for symbol in row)\n    return",
        f"{MOLECULES}::test_rare_symbols_leave_with_their_molecules",
    ),
    (
        "problem-molecules-nothing-is-one",
        "envs/marginals/molecules.py",
        "return str(chem.MolToSmiles(molecule)) or None if",
        "return str(chem.MolToSmiles(molecule)) if",
        f"{MOLECULES}::test_texts_that_are_no_molecules",
    ),
    (
        "problem-molecules-unique-of-all",
        "envs/marginals/molecules.py",
        '"unique": len(different) / max(1, len(valid))',
        '"unique": len(different) / max(1, len(smiles))',
        f"{MOLECULES}::test_texts_that_are_no_molecules",
    ),
    (
        "problem-logp-not-squared",
        "envs/marginals/selfies.py",
        "return [-(gap**2) / self.tau for gap in gaps]",
        "return [-abs(gap) / self.tau for gap in gaps]",
        f"{MOLECULES}::test_log_p_is_crippens",
    ),
    (
        "problem-logp-times-tau",
        "envs/marginals/selfies.py",
        "return [-(gap**2) / self.tau for gap in gaps]",
        "return [-(gap**2) * self.tau for gap in gaps]",
        f"{MOLECULES}::test_log_p_is_crippens",
    ),
    (
        "problem-logp-padding-counts",
        "envs/marginals/selfies.py",
        'row.replace(NOTHING, "").replace(" ", "") for row',
        'row.replace(" ", "") for row',
        f"{MOLECULES}::test_log_p_is_crippens",
    ),
    (
        "problem-smiles-ends-kept",
        "envs/marginals/smiles.py",
        "[text.rstrip(END) for text in super().show(symbols)]",
        "[text.replace(END, '') for text in super().show(symbols)]",
        f"{MOLECULES}::test_a_sample_of_smiles_is_measured",
    ),
    (
        "problem-pictures-on-their-side",
        "envs/marginals/pictures.py",
        "lines.append(framed.transpose(0, 1).flatten(1))",
        "lines.append(framed.flatten(0, 1))",
        f"{PROBLEMS}::test_pictures_stand_side_by_side",
    ),
    (
        "divergence-along-other-orders",
        "envs/marginals/task.py",
        "said = policy.along(policy.sites.read(drawn), order)",
        "said = policy.along(policy.sites.read(drawn), order.flip(1))",
        "tests/envs/marginals/test_marginals_task.py::"
        "test_the_divergence_of_a_sampler_is_along_the_orders_it_draws_in",
    ),
)
