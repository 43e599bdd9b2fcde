"""Mutants of `envs/grids`."""

MUTANTS = (
    (
        "grid-log-sum-sign", "envs/grids/rewards.py",
        "low = [(1.0, 0.0)] if self.side == 3 else [(1.0, dim * math.log(2)), (-1.0, 0.0)]",
        "low = [(1.0, 0.0)] if self.side == 3 else [(1.0, dim * math.log(2)), (1.0, 0.0)]",
        "tests/envs/grids/test_hypergrid.py::test_rewards_and_partition_functions_by_brute_force",
    ),
    (
        "grid-independent-marginals", "envs/grids/rewards.py",
        "return self._table.softmax(-1)",
        "return self._table.softmax(0)",
        "tests/envs/grids/test_hypergrid.py::test_independent_coordinates_by_brute_force",
    ),
    (
        "grid-step", "envs/grids/hypergrid.py",
        "return states.scatter_add(1, actions[:, None], torch.ones_like(actions)[:, None])",
        "return states.scatter_add(1, actions[:, None], 2 * torch.ones_like(actions)[:, None])",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    (
        "grid-backstep", "envs/grids/hypergrid.py",
        "torch.full_like(actions, -1)[:, None])",
        "torch.full_like(actions, 1)[:, None])",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    (
        "grid-forward-mask", "envs/grids/hypergrid.py",
        "room = states < self.side - 1",
        "room = states < self.side - 2",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    (
        "grid-backward-mask", "envs/grids/hypergrid.py",
        "return above & (edge | ~edge.any(-1, keepdim=True))",
        "return above",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    (
        "grid-key", "envs/grids/hypergrid.py",
        "self._radix = side ** torch.arange(dim)",
        "self._radix = (side - 1) ** torch.arange(dim)",
        "tests/envs/grids/test_hypergrid.py::test_keys_number_the_cells",
    ),
    (
        "grid-band", "envs/grids/rewards.py",
        "return (a > low + TIE) & (a < high - TIE)",
        "return (a >= low - TIE) & (a < high - TIE)",
        "tests/envs/grids/test_hypergrid.py::test_bands_at_their_thresholds",
    ),
)  # fmt: skip
