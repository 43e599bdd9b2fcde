"""Mutants of `envs/spins`."""

SPINS = "tests/envs/spins/test_spins.py"
GOLDEN = f"{SPINS}::test_golden_tori"
SUMS = f"{SPINS}::test_transfer_matrix_against_all_configurations"

MUTANTS = (
    (
        "ising-rows-met-once",  # MM-5
        "envs/spins/rewards.py",
        "log_matrix = 2 * coupling * rows @ rows.T",
        "log_matrix = coupling * rows @ rows.T",
        GOLDEN,
    ),
    (
        "ising-rows-weighed-twice",  # MM-5
        "envs/spins/rewards.py",
        "+ (weight[:, None] + weight) / 2",
        "+ (weight[:, None] + weight)",
        GOLDEN,
    ),
    (
        "ising-entropy-turned",  # MM-5
        "envs/spins/rewards.py",
        "return self.log_z - self.mean_log_reward",
        "return self.log_z + self.mean_log_reward",
        GOLDEN,
    ),
    (
        "ising-edges-met-once",
        "envs/spins/rewards.py",
        "return 2 * self.coupling * self._bonds(s).sum(-1)",
        "return self.coupling * self._bonds(s).sum(-1)",
        SUMS,
    ),
    (
        "ising-bonds-of-single-edges",
        "envs/spins/rewards.py",
        "neighbour_correlation=bonds / (2 * max(1, count))",
        "neighbour_correlation=bonds / max(1, count)",
        SUMS,
    ),
)
