"""Mutants of `envs/sets`."""

MUTANTS = (
    (
        "bags-mean", "envs/sets/bags_task.py",
        "double().exp().mean()) / exact",
        "double().mean().exp()) / exact",
        "tests/gflow/tasks/test_objects_tasks.py::test_bags_know_their_exact_mean",
    ),
)  # fmt: skip
