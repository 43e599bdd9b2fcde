"""Mutants of `gflow/exact`."""

MUTANTS = (
    (
        "exact-flow", "gflow/exact/graph.py",
        "log_pf = flow[self.child] + log_pb - flow[self.parent]",
        "log_pf = flow[self.child] - log_pb - flow[self.parent]",
        "tests/gflow/exact/test_exact.py::test_flows_and_distributions_are_sums_over_trajectories",
    ),
    (
        "exact-entropy", "gflow/exact/graph.py",
        "return count[self.parent] - count[self.child]",
        "return count[self.child] - count[self.parent]",
        "tests/gflow/exact/test_exact.py::test_backward_policies_are_normalised_over_distinct_parents",
    ),
    (
        "exact-source-of-condition", "gflow/exact/graph.py",
        "frontier = env.start(1, condition=condition)",
        "frontier = env.initial(1)",
        "tests/gflow/exact/test_conditional_sources.py::test_laws_are_those_of_strings_that_agree_with_the_clues",
    ),
    (
        "exact-condition-of-list", "gflow/exact/graph.py",
        "            return self.condition\n        if self.env",
        "            return condition\n        if self.env",
        "tests/gflow/exact/test_conditional_sources.py::test_laws_are_those_of_strings_that_agree_with_the_clues",
    ),
    (
        "exact-zero-reward-flow", "gflow/exact/graph.py",
        "log_pf = log_pf.where(flow[self.child] > -torch.inf, -torch.inf)",
        "log_pf = log_pf + 0.0",
        "tests/gflow/exact/test_zero_rewards.py::test_forbidden_objects_have_no_mass",
    ),
    (
        "expected-without-p-env", "gflow/exact/expected.py",
        'weight = log_chance + log_origin(graph, log_pb) if form == "dag" else log_chance',
        'weight = log_origin(graph, log_pb) if form == "dag" else 0 * log_chance',
        "tests/gflow/exact/test_expected.py::test_the_example_of_the_paper",
    ),
    (
        "expected-without-p-b", "gflow/exact/expected.py",
        'weight = log_chance + log_origin(graph, log_pb) if form == "dag" else log_chance',
        "weight = log_chance",
        "tests/gflow/exact/test_expected.py::test_without_chance_the_form_of_graphs_is_the_ordinary_one",
    ),
    (
        "expected-p-b-of-one-choice", "gflow/exact/expected.py",
        "pair = origins(graph)[graph.parent] * len(graph) + graph.child",
        "pair = graph.parent * len(graph) + graph.child",
        "tests/gflow/exact/test_expected.py::test_the_origin_of_a_move_of_chance_is_what_the_agent_left",
    ),
    (
        "expected-policy-of-chance", "gflow/exact/expected.py",
        "log_pf = torch.where(chance[graph.parent], log_chance, log_pf)",
        "log_pf = log_pf + 0.0",
        "tests/gflow/exact/test_expected.py::test_the_example_of_the_paper",
    ),
    (
        "expected-massless-objects-never-end", "gflow/exact/expected.py",
        "log_stop = log_stop.masked_fill(graph.env.is_terminal(graph.states), 0.0)",
        "log_stop = log_stop + 0.0",
        "tests/gflow/exact/test_expected.py::test_zero_rewards_have_no_mass",
    ),
    (
        "realised-flows-of-intentions", "gflow/exact/noisy.py",
        "to = torch.where(into, graph.child[place.where(into, 0)], graph.child)",
        "to = torch.where(into, graph.child[place.where(into, 0)], graph.child).flip(0)",
        "tests/objectives/chance/test_noise_baselines.py::test_realised_is_the_noise_free_one_carried_out_with_noise",
    ),
    (
        "stochastic-flows-negative", "gflow/exact/noisy.py",
        "bad = ((p.amin(1) < -SHORT) | (missing > SHORT)).nonzero().squeeze(1)",
        "bad = (missing > SHORT).nonzero().squeeze(1)",
        "tests/objectives/chance/test_noise_baselines.py::test_it_is_solvable_where_every_child_has_its_share",
    ),
    (
        "stochastic-flows-turned", "gflow/exact/noisy.py",
        "torch.linalg.lstsq(kernel.mT, wanted",
        "torch.linalg.lstsq(kernel, wanted",
        "tests/objectives/chance/test_noise_baselines.py::test_a_lopsided_kernel_is_undone",
    ),
)  # fmt: skip
