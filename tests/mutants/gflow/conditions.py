"""Mutants of `gflow/conditions`, and of what hears them."""

TESTS = "tests/gflow/conditions"
EXACT = f"{TESTS}/test_exact_conditions.py"
HEARS = "tests/gflow/policies/test_every_policy_hears.py"
RUNS = "tests/gflow/tasks/test_conditional_runs.py"
RANGES = f"{TESTS}/test_ranges.py"

MUTANTS = (
    (
        "mo-focus-table", "gflow/conditions/preferences.py",
        "vain = self.tried & ~self.reached",
        "vain = ~self.reached",
        "tests/gflow/conditions/test_preferences.py::test_the_table_learns_what_is_tried_in_vain",
    ),
    (  # T5.1
        "condition-thermometer-overflows", "gflow/conditions/thermometer.py",
        "return ((condition - self.low) / self.gap - steps).clamp(0, 1)",
        "return ((condition - self.low) / self.gap - steps).clamp(min=0)",
        f"{EXACT}::test_thermometers_rise_have_their_length_and_saturate",
    ),
    (  # T5.1
        "condition-thermometer-falls", "gflow/conditions/thermometer.py",
        "return ((condition - self.low) / self.gap - steps).clamp(0, 1)",
        "return (1 - (condition - self.low) / self.gap + steps).clamp(0, 1)",
        f"{EXACT}::test_thermometers_rise_have_their_length_and_saturate",
    ),
    (  # T5.1
        "condition-temperature-squared", "gflow/rewards/wrappers.py",
        "return condition[:, -1].to(value.dtype) * value",
        "return condition[:, -1].to(value.dtype).square() * value",
        f"{EXACT}::test_log_z_rises_with_beta_by_the_mean_log_reward",
    ),
    (  # T5.1
        "condition-preferences-of-logs", "gflow/rewards/scalarizations.py",
        "return (beta * _log((scores * weights).sum(-1))).clamp(min=self.low)",
        "return (beta * (_log(scores) * weights).sum(-1)).clamp(min=self.low)",
        f"{EXACT}::test_preferences_mix_rewards_linearly",
    ),
    (
        "condition-temperature-of-scores", "gflow/rewards/scalarizations.py",
        "return condition[:, -1].to(scores.dtype) * self.rule(scores, inner)",
        "return condition[:, 0].to(scores.dtype) * self.rule(scores, inner)",
        f"{EXACT}::test_scores_keep_their_temperature",
    ),
    (
        "condition-family-mixed-up", "gflow/exact/family.py",
        "place = torch.cat(rows).argsort()",
        "place = torch.cat(rows)",
        f"{EXACT}::test_tables_answer_for_their_own_conditions_alone",
    ),
    (
        "condition-energies-of-nobody", "gflow/exact/tabular.py",
        "graph.env.partial_log_reward(graph.states, given)",
        "graph.env.partial_log_reward(graph.states, 2 * given)",
        f"{EXACT}::test_objectives_vanish_at_the_solution_of_each_condition_alone",
    ),
    (
        "condition-own-apart", "gflow/conditions/temperatures.py",
        "return torch.cat([first.to(other.dtype), other[start[group]]], -1)",
        "return torch.cat([first.to(other.dtype), other], -1)",
        f"{TESTS}/test_temperature.py::test_a_temperature_beside_what_is_told_already",
    ),
    (
        "condition-gamma-scale", "gflow/conditions/temperatures.py",
        "return self.scale * high",
        "return high",
        f"{EXACT}::test_gamma_quantiles",
    ),
    (
        "condition-score-as-it-was", "gflow/envs/targets/tempered.py",
        "return beta.to(x.dtype) * self.base.score(x, inner)",
        "return self.base.score(x, inner)",
        f"{TESTS}/test_temperature.py::test_densities_are_tempered_with_their_scores",
    ),
    (
        "condition-mlp-deaf", "gflow/policies/mlp.py",
        "x = x + self.told(condition)",
        "x = x + 0 * self.told(condition)",
        f"{HEARS}::test_policies_notice_shuffled_conditions",
    ),
    (
        "condition-graph-of-another-state", "gflow/envs/graphs/policy.py",
        "x = x + self.told(condition)[inputs.row]",
        "x = x + self.told(condition)[0]",
        f"{HEARS}::test_policies_notice_shuffled_conditions",
    ),
    (
        "condition-graph-shared", "gflow/envs/graphs/policy.py",
        "if self.every_node or self.trunk.told is not None:",
        "if self.every_node:",
        f"{HEARS}::test_policies_notice_shuffled_conditions",
    ),
    (
        "condition-board-shared", "gflow/envs/games/policy.py",
        "if keys is not None and self.told is None:",
        "if keys is not None:",
        f"{HEARS}::test_policies_notice_shuffled_conditions",
    ),
    (
        "condition-box-source-deaf", "gflow/envs/cubes/policy.py",
        "return self.source + shift[:, :count], flow",
        "return self.source.expand(len(shift), -1), flow",
        f"{HEARS}::test_policies_notice_shuffled_conditions",
    ),
    (
        "condition-logits-unscaled", "gflow/policies/logit_scaled.py",
        "return (scale * logits).clamp(-self.clip, self.clip)",
        "return (logits + 0 * scale).clamp(-self.clip, self.clip)",
        f"{RUNS}::test_scaled_logits_solve_a_choice_at_every_temperature",
    ),
    (
        "condition-levels-of-one", "gflow/tasks/levels.py",
        "tuple(graph.told(row) for row in conditions)",
        "tuple(graph.told(conditions[0]) for row in conditions)",
        f"{RUNS}::test_a_run_measures_each_of_its_conditions_exactly",
    ),
    (
        "condition-log-z-of-all", "gflow/tasks/measure.py",
        ".view(-1, each).mean(1)",
        ".mean().expand(len(levels))",
        f"{RUNS}::test_a_run_measures_each_of_its_conditions_exactly",
    ),
    (
        "condition-best-by-temperature", "gflow/conditions/temperature.py",
        "return log_reward / condition[:, -1].to(log_reward.dtype)",
        "return log_reward",
        f"{RUNS}::test_rewards_and_pictures_are_those_without_temperature",
    ),
    (
        "condition-deaf-policies-pass", "gflow/tasks/conditional.py",
        "if torch.equal(told.forward_logits, misheard.forward_logits):",
        "if told is misheard:",
        f"{RUNS}::test_a_policy_that_does_not_hear_is_refused",
    ),
    (
        "ranges-inside-falls-too", "gflow/conditions/ranges.py",
        "return torch.maximum(low - value, value - high).clamp(min=0)",
        "return torch.maximum(low - value, value - high).abs()",
        f"{RANGES}::test_the_law_of_each_range_is_exact",
    ),
    (
        "ranges-without-widths", "gflow/conditions/ranges.py",
        "steep = (away / away.new_tensor(self.widths)).sum(-1)",
        "steep = away.sum(-1)",
        f"{RANGES}::test_the_law_of_each_range_is_exact",
    ),
    (
        "ranges-without-beta", "gflow/conditions/ranges.py",
        "return -self.beta * steep.clamp(",
        "return -steep.clamp(",
        f"{RANGES}::test_the_law_of_each_range_is_exact",
    ),
    (
        "ranges-of-counts-not-whole", "gflow/conditions/range_draws.py",
        "torch.where(whole, high.round(), high)",
        "high",
        f"{RANGES}::test_draws_are_ranges_of_their_lengths",
    ),
    (
        "ranges-open-both-or-none", "gflow/conditions/range_draws.py",
        "high = torch.where(free | (unit[4] < self.open_end), OPEN, high)",
        "high = torch.where(free | (unit[3] < self.open_end), OPEN, high)",
        f"{RANGES}::test_ends_are_left_open_as_often_as_is_said",
    ),
    (
        "ranges-read-the-wrong-ends", "gflow/conditions/range_draws.py",
        "(first - over * length).repeat(2)",
        "(first - over * length).repeat_interleave(2)",
        f"{RANGES}::test_ends_are_read_by_marks_over_where_they_are_drawn",
    ),
    (
        "ranges-asked-in-another-order", "gflow/conditions/ranges.py",
        "return torch.tensor(ends[0] + ends[1])",
        "return torch.tensor(ends[1] + ends[0])",
        f"{RANGES}::test_conditions_say_the_ends_of_what_is_asked",
    ),
)  # fmt: skip
