"""Mutants of `envs/marginals`."""

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
)
