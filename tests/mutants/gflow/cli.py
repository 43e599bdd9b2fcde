"""Mutants of `gflow/cli`."""

FILE = "tests/gflow/cli/test_sweep_file.py"

MUTANTS = (
    (
        "sweep-inverse", "gflow/cli/sweep/distributions.py",
        "return math.exp(-dice.uniform(",
        "return math.exp(dice.uniform(",
        f"{FILE}::test_distributions_have_the_right_median_and_spread",
    ),
    (
        "sweep-steps", "gflow/cli/sweep/distributions.py",
        'round(draw(dice, s) / s["q"]) * s["q"]',
        'round(draw(dice, s)) * s["q"]',
        f"{FILE}::test_distributions_have_the_right_median_and_spread",
    ),
    (
        "sweep-goal", "gflow/cli/sweep/table.py",
        "sign = -1 if maximize else 1",
        "sign = 1",
        "tests/gflow/cli/test_sweep.py::test_seeds_are_put_together",
    ),
    (
        "sweep-cap", "gflow/cli/sweep/points.py",
        "itertools.islice(itertools.product(*axes), cap)",
        "itertools.islice(itertools.product(*axes), None)",
        f"{FILE}::test_a_grid_in_order",
    ),
)  # fmt: skip
