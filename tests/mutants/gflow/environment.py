"""Mutants of `gflow/environment`."""

DIFFUSION = "tests/envs/diffusion/test_diffusion.py"

MUTANTS = (
    (
        "gaussian-norm", "gflow/environment/kernel.py",
        "norm = -0.5 * x.shape[-1] *",
        "norm = -0.5 *",
        f"{DIFFUSION}::test_residuals_vanish_at_the_time_reversal_of_a_gaussian",
    ),
    (
        "mo-scores-unshared", "gflow/environment/base.py",
        "        value = _less(value, self.log_multiplicity(states))\n",
        "",
        "tests/envs/molecules/test_molecule_scores.py::test_molecules_come_in_proportion_to_what_is_preferred",
    ),
)  # fmt: skip
