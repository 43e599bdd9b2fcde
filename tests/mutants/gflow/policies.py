"""Mutants of `gflow/policies`."""

BACKWARD = "tests/gflow/backward/test_backward_policies.py"

HEADS = "tests/envs/test_policy_heads.py"

CHUNKED = "tests/gflow/policies/test_chunked.py"

MUTANTS = (
    (
        "changes-first-alone", "gflow/policies/changes.py",
        "total.view(count, longest, -1)], 1).cumsum(1)",
        "total.view(count, longest, -1)], 1)",
        "tests/gflow/policies/test_changes.py::test_losses_and_gradients_are_those_of_reading_everything",
    ),
    (
        "changes-unguided", "gflow/policies/changes.py",
        "return self._said(self.rest(table[row, time], condition), states, condition)",
        "return self.head.all(self.rest(table[row, time], condition))",
        "tests/gflow/policies/test_changes.py::test_losses_and_gradients_are_those_of_reading_everything",
    ),
    (
        "changes-rows-of-others", "gflow/policies/changes.py",
        "old, x = old[kept], x[kept]",
        "old, x = old[kept], x[: len(kept)]",
        "tests/gflow/policies/test_changes.py::test_a_memory_follows_its_rows",
    ),
    (
        "changes-stacked-never", "gflow/stacked/alike.py",
        "with everything_read():  # stacked policies are shown states, not changes",
        "if True:",
        "tests/gflow/policies/test_changes.py::test_runs_with_many_features_can_be_stacked",
    ),
    (
        "changes-in-graphs", "gflow/compiled/step.py",
        "        with everything_read():\n            batch",
        "        if True:\n            batch",
        "tests/gflow/policies/test_changes.py::test_graphs_of_a_step_read_everything",
    ),
    (
        "changes-sign", "gflow/policies/mlp.py",
        "F.embedding(after, self.table) - F.embedding(before, self.table)",
        "F.embedding(before, self.table) - F.embedding(after, self.table)",
        "tests/gflow/policies/test_changes.py::test_losses_and_gradients_are_those_of_reading_everything",
    ),
    (
        "chunks-held", "gflow/policies/chunked.py",
        "if not torch.is_grad_enabled():",
        "if parts:",
        f"{CHUNKED}::test_what_lies_between_is_not_held",
    ),
    (
        "chunks-of-others", "gflow/policies/chunked.py",
        "mine = visited & (owner >= first)",
        "mine = visited & (owner > first)",
        f"{CHUNKED}::test_losses_and_gradients_are_those_of_one_pass[7-db-words]",
    ),
    (
        "chunks-conditions", "gflow/policies/chunked.py",
        "given = None if condition is None else condition[rows]",
        "given = None if condition is None else condition[: len(rows)]",
        f"{CHUNKED}::test_losses_and_gradients_are_those_of_one_pass[7-tb-condition]",
    ),
    (
        "heads-backward-rows", "gflow/policies/heads.py",
        "return slice(self.num_forward, self.num_forward + self.num_backward)",
        "return slice(self.num_forward - 1, self.num_forward + self.num_backward - 1)",
        f"{HEADS}::test_one_head_alone_says_what_it_says_among_all[grid]",
    ),
    (
        "atoms-backward-layers", "envs/atoms/policy.py",
        "return [(last, slice(None)), (self.pair, self.pair.backward_rows)]",
        "return [(last, slice(None))]",
        f"{HEADS}::test_a_zeroed_backward_head_is_uniform_over_actions[atoms]",
    ),
    (
        "split-gradient", "gflow/policies/split.py",
        "torch.is_grad_enabled() and not self.detached",
        "torch.is_grad_enabled()",
        f"{BACKWARD}::test_objectives_send_gradients_where_they_may",
    ),
)  # fmt: skip
