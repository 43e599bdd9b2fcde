"""Mutants of `envs/graphs`."""

MUTANTS = (
    (
        "futures-of-other-graphs", "envs/graphs/policy.py",
        " + GRAPH_MARK * (states.graph + 1)",
        "",
        "tests/envs/graphs/test_graph_policy.py::test_states_with_equal_futures_are_looked_at_once",
    ),
)  # fmt: skip
