"""Mutants of `envs/targets`."""

TARGETS = "tests/envs/targets/test_targets.py"
TARGET_ORACLE = "tests/envs/targets/test_targets_oracle.py"

MUTANTS = (
    (
        "target-well-tilt", "envs/targets/double_well.py",
        "(12 - 4 * across.square()) + 0.5",
        "(12 - 4 * across.square()) - 0.5",
        f"{TARGETS}::test_score_is_the_gradient",
    ),
    (
        "target-volume", "envs/targets/rescaled.py",
        "base.log_z - self.dim",
        "base.log_z + self.dim",
        f"{TARGETS}::test_rescaling_is_a_change_of_variables",
    ),
    (
        "target-cell", "envs/targets/inverse_cdf.py",
        "rest * (left + right) / (left + root)",
        "rest",
        f"{TARGETS}::test_inverse_cdf_inverts_the_integral_of_its_own_polygon",
    ),
    (
        "oracle-within", "envs/targets/oracle.py",
        "within = variances * sigma2 * (1 - time) / spread",
        "within = variances * sigma2 / spread",
        f"{TARGET_ORACLE}::test_mixture_moments_agree_with_quadrature",
    ),
    (
        "oracle-rest", "envs/targets/oracle.py",
        "(later - now) * (1 - later) / (1 - now)",
        "(later - now)",
        f"{TARGET_ORACLE}::test_reverse_kernel_of_a_gaussian_is_the_conditional_gaussian",
    ),
    (
        "oracle-bridge", "envs/targets/oracle.py",
        "- time[..., None] * nodes.square() / 2",
        "- nodes.square() / 2",
        f"{TARGET_ORACLE}::test_double_well_moments_agree_with_quadrature",
    ),
)  # fmt: skip
