"""Mutants of `gflow/policies`."""

BACKWARD = "tests/gflow/backward/test_backward_policies.py"

MUTANTS = (
    (
        "split-gradient", "gflow/policies/split.py",
        "torch.is_grad_enabled() and not self.detached",
        "torch.is_grad_enabled()",
        f"{BACKWARD}::test_objectives_send_gradients_where_they_may",
    ),
)  # fmt: skip
