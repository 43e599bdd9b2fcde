"""Mutants of `gflow/exact`."""

MUTANTS = (
    (
        "exact-flow", "gflow/exact/graph.py",
        "log_pf = flow[self.child] + log_pb - flow[self.parent]",
        "log_pf = flow[self.child] - log_pb - flow[self.parent]",
        "tests/gflow/exact/test_exact.py::test_flows_and_laws_are_sums_over_trajectories",
    ),
    (
        "exact-entropy", "gflow/exact/graph.py",
        "return count[self.parent] - count[self.child]",
        "return count[self.child] - count[self.parent]",
        "tests/gflow/exact/test_exact.py::test_backward_policies_are_normalised_over_distinct_parents",
    ),
)  # fmt: skip
