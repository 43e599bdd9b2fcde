"""Mutants of objectives for environments with moves of chance."""

NOISE = "tests/objectives/chance/test_noise_baselines.py"
SOLVABLE = f"{NOISE}::test_it_is_solvable_where_every_child_has_its_share"
EDB = "tests/objectives/chance/test_edb.py"
DEFINED = f"{EDB}::test_residuals_are_those_of_the_definition"
ICE = f"{EDB}::test_residuals_vanish_on_ice"
TREES = f"{EDB}::test_residuals_vanish_on_trees"

MUTANTS = (
    (
        "edb-geometric-mean", "objectives/chance/successors.py",
        "mean = (table + prob.to(table.dtype).masked_fill(~legal, -torch.inf)).logsumexp(-1)",
        "mean = (table.where(legal, 0) * prob.exp().where(legal, 0)).sum(-1)",
        f"{EDB}::test_the_target_is_the_mean_and_not_the_geometric_one",
    ),
    (
        "edb-without-p-env", "objectives/chance/successors.py",
        "mean = (table + prob.to(table.dtype).masked_fill(~legal, -torch.inf)).logsumexp(-1)",
        "mean = table.logsumexp(-1)",
        f"{TREES}[one_step-tree-live]",
    ),
    (
        "edb-without-p-b", "objectives/chance/successors.py",
        "        value = value + _log_pb(env, backward, children, given, rows, take(states, rows))",
        "        value = value + 0.0",
        f"{ICE}[2-one_step-dag-live]",
    ),
    (
        "edb-p-b-of-one-choice", "gflow/backward/origins.py",
        "ours = equal_rows(origins(env, parents), take(origin, rows))",
        "ours = equal_rows(parents, take(origin, rows)) | (undo == legal.long().argmax(-1)[rows])",
        f"{ICE}[2-one_step-dag-live]",
    ),
    (
        "edb-flow-sign", "objectives/chance/edb.py",
        "delta = flow[:, :-1] + terms.log_pf - aim[:, 1:] - terms.log_pb",
        "delta = flow[:, :-1] + terms.log_pf + aim[:, 1:] - terms.log_pb",
        f"{TREES}[one_step-tree-live]",
    ),
    (
        "edb-p-b-sign", "objectives/chance/edb.py",
        "delta = flow[:, :-1] + terms.log_pf - aim[:, 1:] - terms.log_pb",
        "delta = flow[:, :-1] + terms.log_pf - aim[:, 1:] + terms.log_pb",
        f"{EDB}::test_it_keeps_the_contract_of_objectives[one_step-dag-live]",
    ),
    (
        "edb-chance-first-forgotten", "objectives/chance/edb.py",
        "own = turn & torch.nn.functional.pad(turn[:, :-1], (1, 0), value=True)",
        "own = turn & torch.nn.functional.pad(turn[:, :-1], (1, 0), value=False)",
        DEFINED,
    ),
    (
        "edb-chance-sign", "objectives/chance/edb.py",
        "return torch.where(chance, flow[:, :-1] - terms.mean_log_flow[:, :-1], delta)",
        "return torch.where(chance, flow[:, :-1] + terms.mean_log_flow[:, :-1], delta)",
        DEFINED,
    ),
    (
        "edb-two-steps-in-one", "objectives/chance/edb.py",
        'if self.form == "one_step":\n                    aim',
        'if self.form != "none":\n                    aim',
        DEFINED,
    ),
    (
        "edb-target-stays-live", "objectives/chance/edb.py",
        'aim = terms.log_flow if self.target == "live" else terms.log_flow.detach()',
        "aim = terms.log_flow",
        f"{EDB}::test_only_a_live_target_sends_gradient_to_successors",
    ),
    (
        "edb-mean-stays-live", "objectives/chance/edb.py",
        'with torch.set_grad_enabled(torch.is_grad_enabled() and self.target == "live"):',
        "with torch.set_grad_enabled(torch.is_grad_enabled()):",
        f"{EDB}::test_a_target_of_chance_is_still_too",
    ),
    (
        "edb-regression-of-logarithms", "objectives/chance/edb.py",
        "loss = ahead.exp() - (above.detach() - self.head_room).exp() * (1 - above)",
        "loss = above.square()",
        f"{EDB}::test_the_regression_is_unbiased_at_the_exact_flows_and_looks_at_one_successor",
    ),
    (
        "edb-scale-knows-what-followed", "objectives/chance/edb.py",
        "self.head_room.copy_(torch.where(held.isnan(), typical, held))",
        "self.head_room.copy_(typical)",
        f"{EDB}::test_the_scale_of_the_regression_comes_from_earlier_batches",
    ),
    (
        "edb-histories-count-without-chance", "objectives/chance/edb.py",
        'graph = "dag" if env.has_backward and not env.has_chance else "tree"',
        'graph = "tree"',
        f"{EDB}::test_without_chance_it_is_built_as_detailed_balance",
    ),
    (
        "edb-conditions-turned", "objectives/chance/successors.py",
        "value = flows_of(env, judge, children, None if given is None else given[rows])",
        "value = flows_of(env, judge, children, None if given is None else given[rows].flip(0))",
        "tests/objectives/chance/test_chance_on_graphs.py"
        "::test_successors_are_judged_under_the_condition_of_their_trajectory",
    ),
    (
        "edb-model-unread", "objectives/chance/successors.py",
        "    if model is None:\n        law = env.chance_law(states)",
        "    if model is None or True:\n        law = env.chance_law(states)",
        f"{EDB}::test_a_learned_model_has_the_solution_of_what_it_has_counted",
    ),
    (
        "environment-model-turned", "objectives/chance/environment_model.py",
        "return -law.log_prob(batch.actions[moved], rows).mean()",
        "return -law.log_prob(batch.actions[moved].flip(0), rows).mean()",
        f"{EDB}::test_a_learned_model_has_the_solution_of_what_it_has_counted",
    ),
    (
        "target-network-still", "objectives/chance/target_network.py",
        "average_into(self.of(policy), policy, self.rate)",
        "average_into(self.of(policy), policy, 0.0)",
        f"{EDB}::test_the_target_network_is_an_average_of_the_policy",
    ),
    (
        "target-network-not-resumed", "objectives/chance/target_network.py",
        "                made.load_state_dict(self._saved)",
        "                pass",
        f"{EDB}::test_resuming_gives_the_same_bits[ema-0.3]",
    ),
    (
        "sgfn-without-chance", "objectives/chance/sgfn.py",
        "return across(terms, terms.log_pf)",
        "return across(terms, terms.log_pf.masked_fill(terms.chance[:, :-1], 0.0))",
        f"{SOLVABLE}[0.2-0.1-2-3]",
    ),
    (
        "sgfn-model-unread", "objectives/chance/base.py",
        "return replace(terms, log_pf=terms.log_pf.masked_scatter(moved, value))",
        "return terms",
        f"{NOISE}::test_the_model_stands_for_chance_in_the_residual",
    ),
    (
        "across-sign", "objectives/chance/across.py",
        "return (flow[:, :-1] - sums[:, :-1] + reached).where(begins, 0.0)",
        "return (flow[:, :-1] + sums[:, :-1] + reached).where(begins, 0.0)",
        f"{SOLVABLE}[0.2-0.1-2-3]",
    ),
    (
        "across-one-move-on", "objectives/chance/across.py",
        "return time.flip(1).cummin(1).values.flip(1)[:, 1:]",
        "return time.flip(1).cummin(1).values.flip(1)[:, :-1]",
        f"{SOLVABLE}[0.2-0.1-2-3]",
    ),
    (
        "across-half-a-move", "objectives/chance/across.py",
        "begins = (begins | source) & mask & (after < mask.shape[1] + 1)",
        "begins = (begins | source) & mask",
        f"{NOISE}::test_moves_whose_outcome_is_not_there_teach_nothing",
    ),
    (
        "intended-with-chance", "objectives/chance/naive_intended.py",
        "intended = intended.masked_fill(terms.chance[:, :-1], 0.0)",
        "intended = intended + 0.0",
        f"{NOISE}::test_intended_finds_a_geometric_mean",
    ),
    (
        "realised-is-intended", "objectives/chance/naive_realised.py",
        "done[:, :-1] = done[:, 1:].where(next_is, done[:, :-1])",
        "done[:, :-1] = done[:, :-1].where(next_is, done[:, :-1])",
        f"{NOISE}::test_realised_is_the_noise_free_one_carried_out_with_noise",
    ),
    (
        "realised-p-b-of-one-choice", "objectives/chance/naive_realised.py",
        "return replace(terms, log_pf=log_pf, log_pb=log_pb.to(log_pf.dtype))",
        "return replace(terms, log_pf=log_pf)",
        f"{NOISE}::test_realised_on_ice_is_the_ordinary_grid",
    ),
    (
        "model-learns-after-the-end", "objectives/chance/environment_model.py",
        "moved = (mover == CHANCE)[index] & batch.mask",
        "moved = (mover == CHANCE)[index]",
        f"{EDB}::test_a_model_learns_nothing_where_a_part_ends_before_chance_moved",
    ),
    (
        "average-of-chunks", "objectives/chance/target_network.py",
        "policy = policy.policy if isinstance(policy, Chunked) else policy",
        "policy = policy",
        f"{EDB}::test_the_average_of_a_policy_by_chunks_is_that_of_the_policy",
    ),
    (
        "average-shares-its-state", "objectives/chance/target_network.py",
        'self._saved = copy.deepcopy(state["module"])',
        'self._saved = state["module"]',
        f"{EDB}::test_the_average_of_a_policy_by_chunks_is_that_of_the_policy",
    ),
)  # fmt: skip
