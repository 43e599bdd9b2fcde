"""Mutants of `gflow/conditions`."""

MUTANTS = (
    (
        "mo-focus-table", "gflow/conditions/preferences.py",
        "vain = self.tried & ~self.reached",
        "vain = ~self.reached",
        "tests/gflow/conditions/test_preferences.py::test_the_table_learns_what_is_tried_in_vain",
    ),
)  # fmt: skip
