"""Mutants of `envs/diffusion`."""

ANNEALED = "tests/envs/diffusion/test_annealed.py"
PATHWISE = "tests/objectives/test_pathwise_kl.py"
ADJOINT = "tests/objectives/test_adjoint.py"
DIFFUSION = "tests/envs/diffusion/test_diffusion.py"
DIFFUSION_STEPS = "tests/envs/diffusion/test_process_steps.py"
RECORDING = "tests/envs/diffusion/test_recording.py"
PROCESS = "tests/envs/diffusion/test_process.py"

MUTANTS = (
    (
        "bridge-variance", "envs/diffusion/process.py",
        "self.sigma2 * t * (u - t) / u",
        "self.sigma2 * t * (u - t)",
        f"{DIFFUSION}::test_residuals_vanish_at_the_time_reversal_of_a_gaussian",
    ),
    (
        "noising-turned", "envs/diffusion/process.py",
        "return t * self.beta_0 + (1 - t) * self.beta_1",
        "return t * self.beta_1 + (1 - t) * self.beta_0",
        f"{DIFFUSION_STEPS}::test_the_rate_is_that_of_noising_time",
    ),
    (
        "noising-variance", "envs/diffusion/process.py",
        "return (-total).exp(), -(self.nu**2) * torch.expm1(-2 * total)",
        "return (-total).exp(), -(self.nu**2) * torch.expm1(-total)",
        f"{DIFFUSION_STEPS}::test_noising_steps_compose",
    ),
    (
        "diffusion-noise", "envs/diffusion/steps.py",
        "return torch.addcmul(mean, variance.sqrt(), self.rows(z)).view(x.shape)",
        "return torch.addcmul(mean, variance, self.rows(z)).view(x.shape)",
        f"{DIFFUSION}::test_noise_changes_what_is_drawn_and_not_what_it_weighs",
    ),
    (
        "diffusion-forced", "envs/diffusion/steps.py",
        "value = value.masked_fill(forced[:, None], 0.0)",
        "value = value + 0",
        f"{DIFFUSION}::test_residuals_vanish_on_any_time_grid",
    ),
    (
        "diffusion-grid", "envs/diffusion/gaussian_steps.py",
        "return self._table(like)[1][grid * self.horizon + (step - 1).clamp(min=0)]",
        "return self._table(like)[1][(step - 1).clamp(min=0)]",
        f"{DIFFUSION}::test_residuals_vanish_on_any_time_grid",
    ),
    (
        "diffusion-forward-looking", "envs/diffusion/env.py",
        "value = (1 - time) * base + time * self.reward(states, condition)",
        "value = time * base + (1 - time) * self.reward(states, condition)",
        f"{DIFFUSION}::test_flows_look_forward_from_the_process_to_the_target",
    ),
    (
        "diffusion-session", "envs/diffusion/policy.py",
        "read = self._read(inputs, condition, times[k : k + 1])",
        "read = self._read(inputs, condition, times[:1])",
        f"{DIFFUSION}::test_rollouts_with_a_memory_follow_the_same_law",
    ),
    (
        "annealed-drift-both-ways", "envs/diffusion/annealed.py",
        "return c * self.rows(self.states.x) + pull * score - push * drift, v",
        "return c * self.rows(self.states.x) + pull * score + push * drift, v",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    (
        "annealed-drift-both-ways-carries", "envs/diffusion/annealed.py",
        "return c * self.rows(self.states.x) + pull * score - push * drift, v",
        "return c * self.rows(self.states.x) + pull * score + push * drift, v",
        f"{ANNEALED}::test_the_right_constant_drift_carries_the_path_along",
    ),
    (
        "annealed-backward-climbs-down", "envs/diffusion/annealed.py",
        "return c * self.rows(self.states.x) + pull * score - push * drift, v",
        "return c * self.rows(self.states.x) - pull * score - push * drift, v",
        f"{ANNEALED}::test_on_a_path_that_stands_still_the_weight_is_constant_up_to_the_step",
    ),
    (
        "annealed-scale-of-the-parent", "envs/diffusion/annealed.py",
        "h * self.rate_at(u).sqrt(), 2 * pull], -1)",
        "h * self.rate_at(t).sqrt(), 2 * pull], -1)",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    (
        "annealed-half-the-noise", "envs/diffusion/annealed.py",
        "ahead = torch.stack([pull, h * rate.sqrt(), 2 * pull], -1)",
        "ahead = torch.stack([pull, h * rate.sqrt(), pull], -1)",
        f"{ANNEALED}::test_on_a_path_that_stands_still_the_weight_is_constant_up_to_the_step",
    ),
    (
        "annealed-unforced", "envs/diffusion/annealed.py",
        "return c * self.rows(self.states.x) + pull * score - push * drift, v",
        "return self.rows(self.states.x) + pull * score - push * drift, v",
        f"{ANNEALED}::test_backward_walks_reach_the_source_by_force",
    ),
    (
        "annealed-backwards", "envs/diffusion/annealing_path.py",
        "return beta * target_score - (1 - beta) / self.variance * x",
        "return (1 - beta) * target_score - beta / self.variance * x",
        f"{ANNEALED}::test_the_path_leads_from_the_gaussian_to_the_target",
    ),
    (
        "annealed-no-condition", "envs/diffusion/policy.py",
        "return inputs.score(condition) if reads else None",
        "return inputs.score(None if condition is None else condition.roll(1, 0))",
        f"{ANNEALED}::test_targets_may_read_a_condition",
    ),
    (
        "kl-noise-free", "envs/diffusion/steps.py",
        "noise = ((self.rows(states.x) - mean) / std).detach()",
        "noise = ((self.rows(states.x) - mean) / std)",
        f"{PATHWISE}::test_gradients_go_through_the_samples",
    ),
    (
        "kl-score-attached", "envs/diffusion/gaussian_steps.py",
        "x = self.x.detach()  # also",
        "x = self.x  # also",
        f"{PATHWISE}::test_no_gradient_goes_through_the_score",
    ),
    (
        "brownian-wide", "envs/diffusion/process.py",
        "return torch.ones_like(t), u - t, self.sigma2 * (u - t)",
        "return torch.ones_like(t), u - t, self.sigma2 * (u - t) * 1.001",
        f"{PATHWISE}::test_the_optimal_constant_drift_leaves_no_variance",
    ),
    (
        "brownian-bridge-wide", "envs/diffusion/process.py",
        "return t / u, self.sigma2 * t * (u - t) / u",
        "return t / u, self.sigma2 * t * (u - t)",
        f"{PATHWISE}::test_girsanov_holds_in_discrete_time",
    ),
    (
        "dds-half-drift", "envs/diffusion/process.py",
        "-2 * self.nu**2 * torch.expm1(-total),",
        "-1 * self.nu**2 * torch.expm1(-total),",
        f"{PATHWISE}::test_girsanov_holds_for_the_exponential_scheme",
    ),
    (
        "diffusion-deaf-to-noise", "envs/diffusion/steps.py",
        "variance = torch.where(variance > 0, variance + noise**2, variance)",
        "variance = variance + 0 * noise",
        f"{PATHWISE}::test_log_pf_knows_nothing_of_exploration",
    ),
    (
        "adjoint-sigma", "envs/diffusion/bridge.py",
        "return self.sigma2 * score + objects.x",
        "return self.sigma * score + objects.x",
        f"{ADJOINT}::test_to_one_gaussian_every_end_asks_for_the_same_drift",
    ),
    (
        "adjoint-no-reference", "envs/diffusion/bridge.py",
        "return self.sigma2 * score + objects.x",
        "return self.sigma2 * score",
        f"{ADJOINT}::test_the_mean_pull_given_a_point_on_the_way_is_the_optimal_drift",
    ),
    (
        "adjoint-bridge-open", "envs/diffusion/bridge.py",
        "(self.sigma2 * t * (1 - t)).sqrt()",
        "(self.sigma2 * t).sqrt()",
        f"{ADJOINT}::test_bridges_have_the_law_of_the_process_given_its_end",
    ),
    (
        "adjoint-clips-each", "envs/diffusion/bridge.py",
        "score = score * (clip / norm.clamp(min=clip))",
        "score = score.clamp(-clip, clip)",
        f"{ADJOINT}::test_the_clip_is_of_the_norm_of_the_gradient",
    ),
    (
        "euler-gain", "envs/diffusion/process.py",
        "gain = self.nu * (2 * self.rate(t)).sqrt() * (u - t)",
        "gain = self.nu * self.rate(t).sqrt() * (u - t)",
        f"{PROCESS}::test_euler_steps_by_hand",
    ),
    (
        "euler-forward-shrinks", "envs/diffusion/process.py",
        "return 1 + step, gain, 2 * self.nu**2 * step",
        "return 1 - step, gain, 2 * self.nu**2 * step",
        f"{PROCESS}::test_both_schemes_are_one_process_in_short_steps[0.4]",
    ),
    (
        "euler-variance", "envs/diffusion/process.py",
        "return 1 + step, gain, 2 * self.nu**2 * step",
        "return 1 + step, gain, self.nu**2 * step",
        f"{PROCESS}::test_euler_steps_by_hand",
    ),
    (
        "euler-backward-grows", "envs/diffusion/process.py",
        "return 1 - step, 2 * self.nu**2 * step",
        "return 1 + step, 2 * self.nu**2 * step",
        f"{PROCESS}::test_euler_steps_by_hand",
    ),
    (
        "euler-backward-variance", "envs/diffusion/process.py",
        "return 1 - step, 2 * self.nu**2 * step",
        "return 1 - step, 2 * self.nu * step",
        f"{PROCESS}::test_euler_steps_by_hand",
    ),
    (
        "told-a-step-late", "envs/diffusion/steps.py",
        "timed_coefficients(False, self.first - 1,",
        "timed_coefficients(False, self.first,",
        f"{RECORDING}::test_laws_told_their_times_are_the_same_laws[bridge]",
    ),
    (
        "told-the-first-time", "envs/diffusion/gaussian_steps.py",
        "[0 if ahead else 1][first : first + times]",
        "[0 if ahead else 1][:times]",
        f"{RECORDING}::test_laws_told_their_times_are_the_same_laws[uneven]",
    ),
    (
        "recording-of-the-past", "gflow/policies/recorded.py",
        "p is q and p._version == version and (values is None or torch.equal(p, values))",
        "p is q",
        f"{RECORDING}::test_nothing_is_kept_of_a_policy_as_it_was",
    ),
    (
        "recording-last-time", "envs/diffusion/recording.py",
        "torch.addmm(self.times[k], states.x, self._point, out=before[0])",
        "torch.addmm(self.times[-1], states.x, self._point, out=before[0])",
        f"{RECORDING}::test_losses_and_gradients_are_those_of_a_second_pass[bridge-False]",
    ),
    (
        "recording-slope-after", "envs/diffusion/recording.py",
        "part = torch.ops.aten.gelu_backward(part @ weights[place], held)",
        "part = torch.ops.aten.gelu_backward(part @ weights[place], F.gelu(held))",
        f"{RECORDING}::test_losses_and_gradients_are_those_of_a_second_pass[bridge-False]",
    ),
    (
        "recording-one-block", "envs/diffusion/recording.py",
        "found[place].addmm_(part.T, F.gelu(held))",
        "found[place] = part.T @ F.gelu(held)",
        f"{RECORDING}::test_losses_and_gradients_are_those_of_a_second_pass[bridge-False]",
    ),
    (
        "recording-untold", "envs/diffusion/recording.py",
        "told += runs.sum(0)",
        "told += runs.mean(0)",
        f"{RECORDING}::test_losses_and_gradients_are_those_of_a_second_pass[told-False]",
    ),
    (
        "recording-survives-a-cut", "gflow/trajectories.py",
        "            complete=whole,\n            recorded=None,",
        "            complete=whole,",
        f"{RECORDING}::test_what_changes_trajectories_drops_what_was_kept",
    ),
    (
        "spare-lent-twice", "gflow/policies/spare.py",
        "found = self.free.pop() if self.free else ()",
        "found = self.free[-1] if self.free else ()",
        f"{RECORDING}::test_buffers_are_used_again_and_never_by_two",
    ),
    (
        "recording-past-a-fused-step", "gflow/policies/recorded.py",
        " and (values is None or torch.equal(p, values))",
        "",
        f"{RECORDING}::test_nothing_is_kept_past_a_step_of_an_optimiser[True]",
    ),
    (
        "recording-step-not-counted", "gflow/training/trainer.py",
        "        increment_version(self._parameters)",
        "        increment_version([])",
        f"{RECORDING}::test_a_step_of_the_trainer_is_counted",
    ),
)  # fmt: skip
