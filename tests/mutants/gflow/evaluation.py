"""Mutants of `gflow/evaluation`."""

ORACLE = "tests/objectives/test_exact_oracle.py"
ZERO = f"{ORACLE}::test_every_residual_is_zero_at_the_exact_flow"
LOOKING = "tests/objectives/test_forward_looking.py"
PRESERVING = "tests/objectives/ordered/test_order_preserving.py"
ANNEALED = "tests/envs/diffusion/test_annealed.py"
PATHWISE = "tests/objectives/test_pathwise_kl.py"
DIFFUSION = "tests/envs/diffusion/test_diffusion.py"
CHANCE = "tests/gflow/sampling/test_chance.py"
CHILDREN = "tests/gflow/evaluation/test_children.py"

MUTANTS = (
    (
        "parts-as-wholes", "gflow/evaluation/parts.py",
        "if trajectories.from_source is None or policy.reads_segments:",
        "if True:",
        "tests/gflow/policies/test_sequence_policy.py"
        "::test_one_pass_gives_the_terms_of_all_prefixes[VariableLength]",
    ),
    (
        "pairs-after", "gflow/evaluation/densities.py",
        "self._before, self._after = index[:, :-1][moves], index[:, 1:][moves]",
        "self._before, self._after = index[:, :-1][moves], index[:, :-1][moves]",
        f"{DIFFUSION}::test_resumed_and_cut_trajectories_weigh_as_whole_ones",
    ),
    (
        "annealed-score-of-the-parent", "gflow/evaluation/densities.py",
        "return None if learned is None else self.after(learned)",
        "return None if learned is None else self.before(learned)",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    (
        "kl-reward-detached", "gflow/evaluation/retrace.py",
        "return trajectories.log_reward + (value - value.detach())",
        "return trajectories.log_reward + 0 * value",
        f"{PATHWISE}::test_on_its_own_trajectories_balance_descends_the_divergence",
    ),
    (
        "kl-times-mixed", "gflow/evaluation/retrace.py",
        "log_pb=log_pb.view(env.horizon, count).T",
        "log_pb=log_pb.view(count, env.horizon)",
        f"{PATHWISE}::test_a_retraced_walk_is_the_walk",
    ),
    (
        "kl-no-gradient", "gflow/evaluation/retrace.py",
        "if moves and not value.requires_grad:",
        "if False and not value.requires_grad:",
        f"{PATHWISE}::test_a_reward_without_gradient_is_refused_with_a_way_out",
    ),
    (
        "op-divergence-mask", "gflow/evaluation/numbered.py",
        "return -law.table().masked_fill(~parents, 0.0).sum(-1) / count - count.log()",
        "return -law.table().masked_fill(~parents, -1e3).sum(-1) / count - count.log()",
        f"{PRESERVING}::test_the_backward_regulariser_is_zero_for_uniform_policies_only[stop]",
    ),
    (
        "evaluation-anchor", "gflow/evaluation/anchored.py",
        "end = times(trajectories.state_index) == trajectories.length[:, None]",
        "end = times(trajectories.state_index) == trajectories.length[:, None] - 1",
        "tests/gflow/evaluation/test_evaluation.py::test_the_end_is_anchored_at_the_reward_and_only_there",
    ),
    (
        "evaluation-parent", "gflow/evaluation/numbered.py",
        "entered = trajectories.state_index[:, 1:]",
        "entered = trajectories.state_index[:, :-1]",
        ZERO,
    ),
    (
        "fl-energy-sign", "gflow/evaluation/anchored.py",
        "learned = learned - energy.to(learned.dtype)",
        "learned = learned + energy.to(learned.dtype)",
        f"{LOOKING}::test_fl2_it_is_the_base_with_the_energy_taken_from_the_flow",
    ),
    (
        "fl-no-anchor", "gflow/evaluation/anchored.py",
        "log_flow = anchor(learned, trajectories)",
        "log_flow = learned",
        f"{LOOKING}::test_fl3_the_flow_head_is_not_read_at_the_end",
    ),
    (
        "terms-mover-after", "gflow/evaluation/anchored.py",
        "return found[trajectories.state_index[:, :-1]].where(trajectories.mask, AGENT)",
        "return found[trajectories.state_index[:, 1:]].where(trajectories.mask, AGENT)",
        f"{CHANCE}::test_terms_hold_the_log_probabilities_of_chance_and_send_no_gradient_there",
    ),
    (
        "children-of-the-entered", "gflow/evaluation/children.py",
        "here = index[:, :-1]",
        "here = index[:, 1:]",
        f"{CHILDREN}::test_children_of_a_table[all]",
    ),
    (
        "children-everywhere", "gflow/evaluation/children.py",
        'if needs.children == "chance":',
        "if False:",
        f"{CHILDREN}::test_children_of_a_table[chance]",
    ),
    (
        "children-not-anchored", "gflow/evaluation/children.py",
        "done = env.is_terminal(states)",
        "done = env.is_terminal(states) & False",
        f"{CHILDREN}::test_children_of_a_table[all]",
    ),
    (
        "children-in-another-order", "gflow/evaluation/children.py",
        "return value if group is None else value[group]",
        "return value if group is None else value[group.flip(0)]",
        f"{CHILDREN}::test_children_of_a_table[all]",
    ),
    (
        "children-stop-unpaid", "gflow/evaluation/children.py",
        "flow = flow.index_put((ends, torch.full_like(ends, stop)), ended.to(flow.dtype))",
        "flow = flow.index_put((ends, torch.full_like(ends, stop)), 0 * ended.to(flow.dtype))",
        f"{CHILDREN}::test_children_where_objects_end_by_stopping",
    ),
    (
        "players-share-a-reward", "gflow/environment/base.py",
        "torch.stack([first, -first], 1)",
        "torch.stack([first, first], 1)",
        f"{CHILDREN}::test_two_players_have_opposite_rewards",
    ),
    (
        "players-without-anchor", "gflow/evaluation/anchored.py",
        "value = learned.index_put((rows, end.squeeze(1)[rows]), reward)",
        "value = learned",
        f"{CHILDREN}::test_children_of_players_have_a_flow_for_each",
    ),
    (
        "branching-all-actions", "gflow/evaluation/numbered.py",
        "count = law.distinct.sum(-1)",
        "count = law.mask.sum(-1)",
        f"{CHILDREN}::test_branching_counts_moves_that_differ",
    ),
    (
        "children-look-back", "gflow/evaluation/children.py",
        "learned = learned + env.partial_log_reward(",
        "learned = learned - env.partial_log_reward(",
        f"{CHILDREN}::test_children_look_forward_as_visited_states_do",
    ),
    (
        "children-stop-under-another-condition", "gflow/evaluation/children.py",
        "None if given is None else given[ends], needs)",
        "None if given is None else given[: len(ends)], needs)",
        f"{CHILDREN}::test_children_have_the_condition_of_their_trajectory",
    ),
)  # fmt: skip
