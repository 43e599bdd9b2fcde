"""Mutants of `gflow/environment`."""

DIFFUSION = "tests/envs/diffusion/test_diffusion.py"
LAWS = "tests/gflow/environment/test_laws.py"
CHANCE = "tests/gflow/sampling/test_chance.py"
REWARDED = "tests/gflow/environment/test_rewarded.py"
TRAJECTORIES = "tests/gflow/test_trajectories.py"
BESIDE = "tests/gflow/training/test_beside.py"
PLAIN = "tests/gflow/environment/test_plain.py"

MUTANTS = (
    (
        "parts-scored-as-wholes", "gflow/environment/scored.py",
        "shared = trajectories.from_source is None and not own",
        "shared = not own",
        "tests/gflow/rewards/test_prefix_rewards.py"
        "::test_one_pass_says_what_each_prefix_by_itself_does[False-False]",
    ),
    (
        "gaussian-norm", "gflow/environment/density.py",
        "norm = -0.5 * x.shape[-1] *",
        "norm = -0.5 *",
        f"{DIFFUSION}::test_residuals_vanish_at_the_time_reversal_of_a_gaussian",
    ),
    (
        "mo-scores-unshared", "gflow/environment/scored.py",
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
        "tests/gflow/environment/test_environment_keys.py::test_keys_that_do_not_fit_are_refused_with_what_to_do",
    ),
    (
        "law-chance-turned", "gflow/environment/base.py",
        "law.where(mover != CHANCE, self.chance_law(states))",
        "law.where(mover == CHANCE, self.chance_law(states))",
        f"{CHANCE}::test_the_exact_distribution_mixes_the_moves_of_chance_in",
    ),
    (
        "law-classes-of-the-other", "gflow/environment/categorical.py",
        "rows, each if mine is None else mine, each if theirs is None else theirs",
        "rows, each if theirs is None else theirs, each if mine is None else mine",
        f"{LAWS}::test_laws_of_some_states_are_taken_and_joined",
    ),
    (
        "law-table-illegal", "gflow/environment/categorical.py",
        "legal = self._table.masked_fill(~self.mask, -torch.inf)",
        "legal = self._table.masked_fill(self.mask, -torch.inf)",
        f"{LAWS}::test_tables_and_single_actions_agree_with_what_is_asked_one_by_one[classes]",
    ),
    (
        "either-noise", "gflow/environment/density.py",
        "two, others = self.second.sample(generator)",
        "two, others = self.second.sample(generator, noise)",
        f"{LAWS}::test_either_of_two_densities_row_by_row",
    ),
    (
        "either-score", "gflow/environment/density.py",
        "_choose(self.condition, self.first.log_prob(states), self.second.log_prob(states))",
        "_choose(~self.condition, self.first.log_prob(states), self.second.log_prob(states))",
        f"{CHANCE}::test_densities_of_chance_are_drawn_and_scored",
    ),
    (
        "rewarded-forgets", "gflow/environment/rewarded.py",
        "(_Rewarded, cls), {",
        "(cls,), {",
        f"{REWARDED}::test_closed_forms_of_the_old_reward_are_gone_and_the_rest_is_there",
    ),
    (
        "anchor-source", "gflow/evaluation/anchored.py",
        "start = times(trajectories.state_index) == 0",
        "start = times(trajectories.state_index) == 1",
        f"{REWARDED}::test_flows_are_anchored_at_the_source_where_log_z_is_known",
    ),
    (
        "anchor-elsewhere", "gflow/evaluation/anchored.py",
        "start = start & trajectories.from_source[:, None]",
        "start = start | trajectories.from_source[:, None]",
        f"{REWARDED}::test_flows_are_anchored_at_the_source_where_log_z_is_known",
    ),
    (
        "known-log-z", "gflow/objective.py",
        "if terms.known_log_z is not None:",
        "if terms.known_log_z is None:",
        f"{REWARDED}::test_flows_are_anchored_at_the_source_where_log_z_is_known",
    ),
    (
        "told-owner", "gflow/trajectories.py",
        "owner=owner.repeat_interleave(moves + 1),",
        "owner=owner.repeat_interleave(moves + 1).flip(0),",
        f"{TRAJECTORIES}::test_told_other_conditions_they_are_the_same",
    ),
    (
        "told-end", "gflow/trajectories.py",
        "state_index=first[:, None] + torch.minimum(time, moves[:, None]),",
        "state_index=first[:, None] + torch.minimum(time, moves[:, None] - 1).clamp(min=0),",
        f"{TRAJECTORIES}::test_told_other_conditions_they_are_the_same",
    ),
    (
        "further-objective", "gflow/training/trainer.py",
        "self.descend(further, self.behaviour.further_objective)",
        "self.descend(further)",
        f"{BESIDE}::test_further_batches_are_trained_by_their_own_objective",
    ),
    (
        "learner-observes", "gflow/training/trainer.py",
        "learner.observe(value)",
        "learner.observe(value * 0)",
        f"{BESIDE}::test_learners_see_the_loss_of_each_batch_after_its_step",
    ),
    (
        "plain-later-action", "gflow/plain/vectorised.py",
        "classes[number, action] = first.setdefault(child, action)",
        "classes[number, action] = action",
        f"{PLAIN}::test_two_actions_with_one_child_are_one_move",
    ),
    (
        "plain-parents-twice", "gflow/plain/moves.py",
        "                    self.merges = True\n                    continue\n",
        "                    self.merges = True\n",
        f"{PLAIN}::test_two_actions_with_one_child_are_one_move",
    ),
    (
        "plain-rank-forgotten", "gflow/plain/vectorised.py",
        "slot += self.num_actions",
        "slot += 1",
        f"{PLAIN}::test_parents_by_one_action_have_ranks",
    ),
    (
        "plain-undone-by-place", "gflow/plain/vectorised.py",
        "return backward_actions % self.num_actions",
        "return backward_actions // self.num_actions",
        f"{PLAIN}::test_parents_by_one_action_have_ranks",
    ),
    (
        "plain-digits-turned", "gflow/plain/vectorised.py",
        "math.prod(self.feature_sizes[k + 1 :])",
        "math.prod(self.feature_sizes[:k])",
        f"{PLAIN}::test_without_a_list_keys_are_digits_or_hashes",
    ),
    (
        "plain-one-state-more", "gflow/plain/moves.py",
        "if count >= limit:",
        "if count > limit:",
        f"{PLAIN}::test_too_many_states_to_list_are_refused_with_the_way_out",
    ),
)  # fmt: skip
