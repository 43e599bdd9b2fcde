"""Mutants of `gflow/environment`."""

DIFFUSION = "tests/envs/diffusion/test_diffusion.py"

MUTANTS = (
    (
        "gaussian-norm", "gflow/environment/density.py",
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
    (
        "hash-places", "gflow/environment/keys.py",
        "return _mix(_mix(flat + place).sum(1))",
        "return _mix(_mix(flat).sum(1))",
        "tests/gflow/environment/test_environment_keys.py::test_hashes_are_equal_exactly_for_equal_rows",
    ),
    (
        "largest-key", "gflow/environment/keys.py",
        "count > LARGEST_KEY:",
        "count > 2 * LARGEST_KEY:",
        "tests/gflow/environment/test_environment_keys.py::test_keys_that_do_not_fit_are_refused_with_the_way_out",
    ),
)  # fmt: skip
