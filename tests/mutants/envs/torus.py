"""Mutants of `envs/torus`."""

TORUS = "tests/envs/torus/test_torus.py"
CIRCLE = "tests/envs/torus/test_von_mises.py"
TORUS_TARGETS = "tests/envs/torus/test_torus_targets.py"

MUTANTS = (
    (
        "torus-way-back", "envs/torus/env.py",
        "self.forced = states.step == 1 if sign < 0 else None",
        "self.forced = states.step == 2 if sign < 0 else None",
        f"{TORUS}::test_the_way_back_from_step_one_is_forced",
    ),
    (
        "torus-forced-density", "envs/torus/env.py",
        "return value if self.forced is None else value.masked_fill(self.forced, 0.0)",
        "return value",
        f"{TORUS}::test_the_way_back_from_step_one_is_forced",
    ),
    (
        "torus-forced-angles", "envs/torus/env.py",
        "angles = angles.masked_fill(self.forced[:, None], 0.0)",
        "angles = angles + 0.0",
        f"{TORUS}::test_backward_trajectories_lead_to_the_source",
    ),
    (
        "torus-backward-sign", "envs/torus/env.py",
        "self.increment.log_prob(self.sign * (states.angles - self.states.angles))",
        "self.increment.log_prob(states.angles - self.states.angles)",
        f"{TORUS}::test_backward_takes_away_what_forward_adds",
    ),
    (
        "torus-backward-draw", "envs/torus/env.py",
        "wrap(self.states.angles + self.sign * drawn)",
        "wrap(self.states.angles + drawn)",
        f"{TORUS}::test_draws_of_a_kernel_have_its_density[False]",
    ),
    (
        "torus-no-wrap", "envs/torus/env.py",
        "wrap(self.states.angles + self.sign * drawn)",
        "self.states.angles + self.sign * drawn",
        f"{TORUS}::test_every_trajectory_makes_all_moves_within_the_circle",
    ),
    (
        "torus-least-concentration", "envs/torus/env.py",
        "torch.atan2(sine, cosine), self.min_concentration + excess",
        "torch.atan2(sine, cosine), excess",
        f"{TORUS}::test_the_least_concentration_is_kept_and_the_largest_finite",
    ),
    (
        "torus-steps-unread", "envs/torus/policy.py",
        "self.first(waves) + self.moves[step]",
        "self.first(waves) + self.moves[step * 0]",
        f"{TORUS}::test_policies_read_angles_that_wrap_and_the_number_of_moves",
    ),
    (
        "torus-angles-unwrapped", "envs/torus/policy.py",
        "(angles.unsqueeze(-1) * orders).flatten(1)",
        "(angles.unsqueeze(-1) * orders.sqrt()).flatten(1)",
        f"{TORUS}::test_policies_read_angles_that_wrap_and_the_number_of_moves",
    ),
    (
        "circle-norm", "envs/torus/von_mises.py",
        "torch.special.i0e(concentration)).log()",
        "torch.special.i1e(concentration + 1)).log()",
        f"{CIRCLE}::test_the_density_integrates_to_one[4.0]",
    ),
    (
        "circle-all-kept", "envs/torus/von_mises.py",
        "< c * (1 - c).exp()",
        "< c * 0 + 1",
        f"{CIRCLE}::test_draws_follow_the_density[300.0]",
    ),
    (
        "circle-envelope", "envs/torus/von_mises.py",
        "< c * (1 - c).exp()",
        "< (1 - c).exp()",
        f"{CIRCLE}::test_draws_follow_the_density[4.0]",
    ),
    (
        "circle-full-turn", "envs/torus/von_mises.py",
        "return turned.where(turned < 2 * math.pi, 0.0)",
        "return turned",
        f"{CIRCLE}::test_wrapping_ends_below_a_full_turn_in_both_precisions",
    ),
    (
        "circle-component", "envs/torus/von_mises.py",
        "(place.unsqueeze(-1) > ends[..., :-1])",
        "(place.unsqueeze(-1) < ends[..., :-1])",
        f"{CIRCLE}::test_draws_of_a_mixture_have_its_first_harmonics",
    ),
    (
        "circle-uniform-density", "envs/torus/von_mises.py",
        "value = -self.like.shape[-1] * math.log(2 * math.pi)",
        "value = -math.log(2 * math.pi)",
        f"{TORUS}::test_kernels_integrate_to_one[uniform]",
    ),
    (
        "waves-shift", "envs/torus/targets.py",
        "torch.sin(1.5 * first + math.pi / 4)",
        "torch.sin(1.5 * first - math.pi / 4)",
        f"{TORUS_TARGETS}::test_the_sum_of_waves_is_the_formula_and_finite_at_its_zeros",
    ),
    (
        "torus-table-slope", "envs/torus/targets.py",
        "-t / 2 + two - three / 2,",
        "-t / 3 + two - three / 2,",
        f"{TORUS_TARGETS}::test_a_table_passes_through_its_values_and_bends_smoothly",
    ),
    (
        "torus-cells-turned", "envs/torus/metrics.py",
        "return place[:, 0] * cells + place[:, 1]",
        "return place[:, 1] * cells + place[:, 0]",
        f"{TORUS_TARGETS}::test_exact_samples_fill_cells_as_they_should[TorusMixture(dim=2)]",
    ),
    (
        "torus-bandwidth", "envs/torus/metrics.py",
        "concentration = angles.new_tensor(bandwidth**-2)",
        "concentration = angles.new_tensor(bandwidth**-1)",
        f"{TORUS_TARGETS}::test_one_law_smoothed_is_the_convolution_of_two",
    ),
)  # fmt: skip
