"""Mutants of `envs/molecules`."""

MOLECULES = "tests/envs/molecules/test_molecules_objectives.py"

MUTANTS = (
    (
        "molecules-symmetry", "envs/molecules/env.py",
        "return self.canonical(states).log_overcount()",
        "return -self.canonical(states).log_overcount()",
        f"{MOLECULES}::test_sampled_molecules_have_the_exact_law",
    ),
    (
        "docking-maps-of-all", "envs/molecules/docking.py",
        "@lru_cache(maxsize=4)",
        "@lru_cache(maxsize=None)",
        "tests/envs/molecules/test_docking.py::test_maps_of_many_receptors_are_not_kept",
    ),
    (
        "docking-box", "envs/molecules/docking.py",
        "max(abs(x - c) - s / 2, 0.0)",
        "max(abs(x - c) - s, 0.0)",
        "tests/envs/molecules/test_docking.py::test_bad_receptors",
    ),
    (
        "molecules-detach", "envs/molecules/env.py",
        "kept = (index + (index >= gone)).clamp(max=n - 1)",
        "kept = (index + (index > gone)).clamp(max=n - 1)",
        f"{MOLECULES}::test_objectives_vanish_on_the_exact_flows",
    ),
    (
        "goal-weight-zero", "envs/molecules/goal.py",
        "all(0 < weight < math.inf for",
        "all(0 <= weight < math.inf for",
        "tests/envs/molecules/test_molecules_rewards.py::test_combinations",
    ),
)  # fmt: skip
