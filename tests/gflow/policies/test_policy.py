"""Policies: shapes of heads, sums of embeddings, conditions, seeds."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gflow import MLPPolicy, TabularPolicy, enumerate_states
from gflow.conditions.thermometer import Thermometer
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import check_backward
from gflow.testing import TableEnvironment


class Conditional(HyperGrid):
    condition_dim = 1


@settings(max_examples=15)
@given(
    dim=st.integers(1, 3),
    side=st.integers(2, 5),
    depth=st.integers(1, 3),
    backward=st.sampled_from(["learned", "uniform", "maxent"]),
    log_flow=st.booleans(),
)
def test_heads_and_their_shortcuts_agree(
    dim: int, side: int, depth: int, backward: Any, log_flow: bool
) -> None:
    env = HyperGrid(dim, side)
    policy = MLPPolicy(
        env, 8, depth, backward, log_flow, generator=torch.Generator().manual_seed(dim)
    )
    cells = env.cells(torch.arange(side**dim))
    out = policy(env, cells)
    assert out.forward_logits.shape == (len(cells), dim + 1)
    torch.testing.assert_close(policy.forward_logits(env, cells), out.forward_logits)
    if backward == "learned":
        assert out.backward_logits.shape == (len(cells), dim)
        torch.testing.assert_close(policy.backward_logits(env, cells), out.backward_logits)
    else:
        assert out.backward_logits is None
        assert policy.backward_logits(env, cells) is None
    assert (out.log_flow is not None) == log_flow == policy.has_log_flow
    if log_flow:
        assert out.log_flow.shape == (len(cells),)
        heads = torch.cat([out.forward_logits, out.log_flow[:, None]], 1)
        assert torch.unique(heads, dim=1).shape[1] == dim + 2, "every head has a row of its own"


def test_the_first_layer_is_a_product_with_one_hot_codes() -> None:
    env = HyperGrid(2, 4)
    policy = MLPPolicy(env, 8, 1, generator=torch.Generator().manual_seed(0))
    cells = env.cells(torch.arange(16))
    codes = torch.cat([nn.functional.one_hot(cells[:, i], 4) for i in range(2)], 1).double()
    activations = (codes @ policy.table + policy.bias).relu()
    torch.testing.assert_close(policy.trunk(env, cells), activations)


def test_conditions_are_read() -> None:
    env = Conditional(2, 3)
    policy = MLPPolicy(env, 8, condition_encoder=Thermometer(0.0, 4.0, 5))
    cells = env.cells(torch.arange(9))
    low, high = (policy(env, cells, torch.full((9, 1), c)).forward_logits for c in (0.5, 3.0))
    assert (low - high).abs().max() > 1e-3
    assert policy.told is not None
    assert policy.told.layer.in_features == 5
    with pytest.raises(ConfigError, match="conditional and got no condition"):
        policy(env, cells)
    plain = MLPPolicy(env, 8)
    assert plain.told is not None
    assert plain.told.layer.in_features == 1


@pytest.mark.parametrize("env", [HyperGrid(2, 3), Conditional(2, 3)], ids=["plain", "conditional"])
def test_the_generator_decides_all_initial_weights(env: HyperGrid) -> None:
    """D13: the seed reaches every number, whatever the global generator was."""
    found = []
    for seed, unrelated in ((1, 0), (1, 5), (2, 0)):
        torch.manual_seed(unrelated)
        policy = MLPPolicy(
            env, 8, depth=2, log_flow=True, generator=torch.Generator().manual_seed(seed)
        )
        found.append({name: p.detach().clone() for name, p in policy.named_parameters()})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), f"{name} was drawn from the global generator"
        if name != "bias":
            assert not torch.equal(value, found[2][name]), f"{name} ignores the seed"


def test_a_policy_with_a_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    MLPPolicy(HyperGrid(2, 3), 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


class Featureless(HyperGrid):
    feature_sizes = ()

    def __init__(self) -> None:
        super().__init__()
        self.feature_sizes = ()


class Uncounted(TableEnvironment):
    pass


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"Featureless declares none.*feature_sizes"):
        MLPPolicy(Featureless())
    refused: list[dict[str, Any]] = [{"width": 0}, {"depth": 0}]
    for options in refused:
        with pytest.raises(ConfigError, match="width and depth must be positive"):
            MLPPolicy(HyperGrid(2, 3), **options)
    with pytest.raises(ConfigError, match="must be learned, uniform or maxent, got 'random'"):
        MLPPolicy(HyperGrid(2, 3), backward="random")  # type: ignore[arg-type]


def test_counting_trajectories_needs_an_environment_that_can() -> None:
    from gflow import DiscreteEnvironment

    class Plain(TableEnvironment):
        max_entropy_logits = DiscreteEnvironment.max_entropy_logits  # type: ignore[assignment]

    env = Plain([[1], []], [0.0, 0.0])
    with pytest.raises(IncompatibleError, match=r"Plain cannot count its trajectories.*'uniform'"):
        check_backward(env, "maxent")
    check_backward(env, "uniform")


def test_tables_have_one_row_per_state() -> None:
    env = HyperGrid(2, 3)
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        policy.forward_table.copy_(torch.arange(27.0).view(9, 3))
        policy.flow_table.copy_(torch.arange(9.0))
    cells: Tensor = policy.graph.states[torch.tensor([4, 0, 4])]
    out = policy(env, cells)
    assert out.forward_logits[:, 0].tolist() == [12.0, 0.0, 12.0]
    assert out.log_flow.tolist() == [4.0, 0.0, 4.0]
    assert TabularPolicy(policy.graph, "uniform")(env, cells).backward_logits is None
