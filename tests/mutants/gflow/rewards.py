"""Mutants of `gflow/rewards`."""

MUTANTS = (
    (
        "mo-cone-edge", "gflow/rewards/scalarizations.py",
        "self.gamma = math.log(limit) / math.log(cosine)",
        "self.gamma = math.log(cosine) / math.log(limit)",
        "tests/gflow/rewards/test_scalarizations.py::test_the_limit_is_met_at_the_edge",
    ),
    (
        "mo-beta-column", "gflow/rewards/scalarizations.py",
        "return condition[:, :num], condition[:, num] if beta is None else beta",
        "return condition[:, :num], condition[:, 0] if beta is None else beta",
        "tests/gflow/rewards/test_scalarizations.py::test_weighted_sums",
    ),
)  # fmt: skip
