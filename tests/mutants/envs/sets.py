"""Mutants of `envs/sets`."""

LISTED = "tests/envs/test_listed_states.py::test_listed_states_are_those_that_can_be_reached"

MUTANTS = (
    (
        "bags-mean", "envs/sets/bags_task.py",
        "double().exp().mean()) / exact",
        "double().mean().exp()) / exact",
        "tests/gflow/tasks/test_objects_tasks.py::test_bags_know_their_exact_mean",
    ),
    (
        "sets-list-too-large", "envs/sets/sets.py",
        "(subsets.sum(-1, keepdim=True) <= self.size)",
        "(subsets.sum(-1, keepdim=True) <= self.size + 1)",
        f"{LISTED}[sets]",
    ),
    (
        "sets-list-too-small", "envs/sets/sets.py",
        "(subsets.sum(-1, keepdim=True) <= self.size)",
        "(subsets.sum(-1, keepdim=True) < self.size)",
        f"{LISTED}[sets]",
    ),
    (
        "bags-list-shifted", "envs/sets/bags.py",
        "return self._ranks.unrank(torch.arange(self.num_keys, device=device))",
        "return self._ranks.unrank(torch.arange(self.num_keys, device=device).flip(0))",
        f"{LISTED}[bags]",
    ),
)  # fmt: skip
