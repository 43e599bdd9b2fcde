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
)  # fmt: skip
