"""Mutants of `envs/architectures`."""

MUTANTS = (
    (
        "mo-architecture-digits", "envs/architectures/data.py",
        "for place in reversed(range(len(EDGES)))]",
        "for place in range(len(EDGES))]",
        "tests/envs/architectures/test_architecture.py::test_cells_are_in_the_order_of_the_table",
    ),
)  # fmt: skip
