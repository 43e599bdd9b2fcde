"""Mutants of `gflow/mcmc`."""

CHAINS = "tests/gflow/mcmc/test_chains.py"
ANNEALING = "tests/gflow/mcmc/test_annealing.py"

MUTANTS = (
    (
        "chain-back", "gflow/mcmc/langevin.py",
        "(forth - back)",
        "(back - forth)",
        f"{CHAINS}::test_langevin_moves_balance_in_detail",
    ),
    (
        "chain-noise", "gflow/mcmc/langevin.py",
        "(2 * step).sqrt()",
        "step.sqrt()",
        f"{CHAINS}::test_exact_draws_stay_exact",
    ),
    (
        "chain-kinetic", "gflow/mcmc/hamiltonian.py",
        "(momentum.square() - after.square())",
        "(after.square() - momentum.square())",
        f"{CHAINS}::test_one_leapfrog_step_is_the_langevin_move",
    ),
    (
        "chain-half-step", "gflow/mcmc/hamiltonian.py",
        "x = x + step * momentum",
        "x = x + step / 2 * momentum",
        f"{CHAINS}::test_one_leapfrog_step_is_the_langevin_move",
    ),
    (
        "chain-nan", "gflow/mcmc/chains.py",
        "return uniform.log() < log_ratio",
        "return ~(uniform.log() >= log_ratio)",
        f"{CHAINS}::test_what_is_not_a_number_is_rejected",
    ),
    (
        "chain-heat", "gflow/mcmc/chains.py",
        "heights[accepts] / inverse_temperature",
        "heights[accepts]",
        f"{CHAINS}::test_accepted_proposals_come_apart_from_the_chains",
    ),
    (
        "anneal-rise", "gflow/mcmc/annealing.py",
        "log_weight + rise * gain",
        "log_weight + beta * gain",
        f"{ANNEALING}::test_z_of_a_gaussian_is_unbiased",
    ),
    (
        "anneal-forgets", "gflow/mcmc/annealing.py",
        "torch.where(few, log_z + mean, log_z)",
        "torch.where(few, log_z, log_z)",
        f"{ANNEALING}::test_z_of_25_components_is_unbiased",
    ),
    (
        "anneal-keeps", "gflow/mcmc/annealing.py",
        "torch.where(few, 0.0, log_weight)",
        "log_weight",
        f"{ANNEALING}::test_z_of_25_components_is_unbiased",
    ),
    (
        "resample-shift", "gflow/mcmc/resampling.py",
        "+ shift) / count",
        "+ 0.5) / count",
        f"{ANNEALING}::test_systematic_counts_are_right_on_average",
    ),
)  # fmt: skip
