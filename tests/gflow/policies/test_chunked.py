"""Chunks of states: the same values and gradients, of less that is held."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import DiscreteEnvironment, FunctionReward, MLPPolicy, Sampler
from gflow.envs.games.policy import BoardPolicy
from gflow.envs.games.tictactoe import TicTacToe
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sequences.env import VariableLength
from gflow.errors import ConfigError
from gflow.objective import Objective
from gflow.objectives import (
    OBJECTIVES,
    DetailedBalance,
    ExpectedDetailedBalance,
    FlowMatching,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.policies.base import Policy
from gflow.policies.chunked import Chunked
from gflow.policies.split import SplitPolicy
from gflow.policies.transformer import CausalTransformer
from gflow.testing.slipping import SlippingGrid
from gflow.training.trainer import TrainConfig, Trainer

GRID = HyperGrid(2, 5, Corners(5, 0.05))
COUNT: FunctionReward[Tensor] = FunctionReward(
    lambda s: (s == 0).sum(-1).to(torch.get_default_dtype())
)
WORDS = VariableLength("ab", 4, COUNT)


class Scaled(FunctionReward[Tensor]):
    def __init__(self) -> None:
        super().__init__(lambda s: s.sum(-1).double())

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return states.sum(-1) * condition.squeeze(-1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def conditional() -> HyperGrid:
    env = HyperGrid(2, 5)
    env.reward, env.condition_dim = Scaled(), 1
    return env


def mlp(env: Any, **options: Any) -> MLPPolicy:
    return MLPPolicy(env, 8, log_flow=True, generator=seeded(), **options)


CASES: dict[str, tuple[Any, Any]] = {
    "grid": (GRID, mlp),
    "condition": (conditional(), mlp),
    "words": (WORDS, lambda env: CausalTransformer(env, 8, 2, 2, True, generator=seeded())),
    "split": (GRID, lambda env: SplitPolicy(mlp(env, backward="uniform"), mlp(env))),
}


def gradients(policy: nn.Module, loss: Tensor) -> list[Tensor]:
    parameters = list(policy.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "objective",
    [TrajectoryBalance(), DetailedBalance(), SubTrajectoryBalance(), FlowMatching()],
    ids=lambda o: o.name,
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_losses_and_gradients_are_those_of_one_pass(
    case: str, objective: Objective, size: int
) -> None:
    """T2.8, and that it is so for every objective: to 1e-12 in float64."""
    env, make = CASES[case]
    policy: Policy = make(env)
    draw = torch.rand(40, 1, generator=seeded(3)) if env.condition_dim else None
    if draw is not None and isinstance(objective, TrajectoryBalance):
        objective = TrajectoryBalance(condition_dim=1)
    batch = Sampler(env).forward(policy, 40, condition=draw, generator=seeded(1))
    found, wanted = (
        objective(objective.evaluate(env, p, batch)) for p in (Chunked(policy, size), policy)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    one, two = gradients(policy, found), gradients(policy, wanted)
    assert any(bool((g != 0).any()) for g in two)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["atb", "adb", "asubtb", "aedb"])
@pytest.mark.parametrize("symmetric", [False, True], ids=["plain", "symmetric"])
def test_so_it_is_for_games(name: str, symmetric: bool) -> None:
    """T2.8: a board network by chunks of 13 positions, its flows of all children included.

    And the form of two passes: residuals first, then the gradient of 2 d sigma log P, d fixed.
    """
    game = TicTacToe(scale=2.0)
    objective = OBJECTIVES[name]()
    torch.manual_seed(0)
    flows = objective.needs.flows(game)
    policy = BoardPolicy(game, 4, 1, 2, log_flow=flows, symmetric=symmetric)
    batch = Sampler(game).forward(policy, 20, generator=seeded(1))
    found, wanted = (
        objective(objective.evaluate(game, p, batch)) for p in (Chunked(policy, 13), policy)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    one, two = gradients(policy, found), gradients(policy, wanted)
    assert any(bool((g != 0).any()) for g in two)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    if name == "atb":
        with torch.no_grad():
            residual = objective.residual(objective.evaluate(game, policy, batch))
        terms = objective.evaluate(game, Chunked(policy, 13), batch)
        assert terms.mover is not None
        second = 2 * residual[:, None] * terms.mover * terms.log_pf / len(batch)
        torch.testing.assert_close(gradients(policy, second.sum()), two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("target", ["live", "ema"])
def test_so_it_is_where_all_that_chance_may_do_is_looked_at(target: Any) -> None:
    ice = SlippingGrid(2, 4)
    policy = mlp(ice)
    batch = Sampler(ice).forward(policy, 30, generator=seeded(1))
    losses = []
    for asked in (Chunked(policy, 9), policy):
        objective = ExpectedDetailedBalance(target=target)
        losses.append(objective(objective.evaluate(ice, asked, batch)))
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
    one, two = (gradients(policy, loss) for loss in losses)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)

    def trained(steps: int, state: Any = None) -> Trainer:
        config = TrainConfig(batch_size=16, chunk=7)
        objective = ExpectedDetailedBalance(target=target)
        made = Trainer(ice, mlp(ice), objective, config)
        if state is not None:
            made.load_state_dict(state)
        made.train(steps)
        return made

    whole, part = trained(6), trained(3)
    again = trained(3, part.state_dict())
    assert again.train_step()["loss"] == whole.train_step()["loss"]


class Counted(MLPPolicy):
    """Notes of how many states it is asked at a time."""

    most = 0

    def trunk(self, env: Any, states: Any, condition: Tensor | None = None) -> Tensor:
        self.most = max(self.most, len(states))
        return super().trunk(env, states, condition)


def held(env: DiscreteEnvironment[Any], policy: Policy, batch: Any) -> int:
    """Numbers that the graph of a loss holds for its gradient, parameters left out."""
    own = {p.data_ptr() for p in policy.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.numel()
        return tensor

    objective = TrajectoryBalance()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = objective(objective.evaluate(env, policy, batch))
    held_by_it = sum(seen.values())
    loss.backward()
    return held_by_it


def test_what_lies_between_is_not_held() -> None:
    """Activations of 128 units in three layers are held for a chunk, not for all states."""
    policy = Counted(GRID, 128, 3, generator=seeded())
    batch = Sampler(GRID, share=False).forward(policy, 200, generator=seeded(1))
    states = batch.num_states
    assert states > 500
    whole = held(GRID, policy, batch)
    assert policy.most == states
    policy.most = 0
    little = held(GRID, Chunked(policy, 50), batch)
    assert 45 < policy.most <= 50, "in the pass and when it is repeated"
    assert whole - little > 0.8 * 3 * 128 * states
    last = 3 * 128 * 50
    assert little < last + 30 * states, "the last chunk, laws and tables of numbers"


def test_the_last_chunk_is_kept_and_the_others_come_back_in_turn() -> None:
    """The gradient comes to the last first, so that no two chunks are held at once."""
    policy = MLPPolicy(GRID, 8, generator=seeded())
    asked: list[float] = []
    plain = policy.trunk

    def spy(env: Any, states: Any, condition: Tensor | None = None) -> Tensor:
        asked.append(float(states[0, 0]) + len(states) / 1000)
        return plain(env, states, condition)

    policy.trunk = spy  # type: ignore[method-assign]
    batch = Sampler(GRID).forward(policy, 100, generator=seeded(1))
    objective = TrajectoryBalance()
    asked.clear()
    loss = objective(objective.evaluate(GRID, Chunked(policy, batch.num_states // 4), batch))
    ahead = list(asked)
    assert len(ahead) == 5
    loss.backward()
    assert asked[5:] == ahead[-2::-1]


def test_sequence_models_are_asked_about_some_trajectories_at_a_time() -> None:
    policy = CausalTransformer(WORDS, 8, 1, 2, True, generator=seeded())
    asked: list[int] = []
    plain = policy._read

    def spy(tokens: Tensor, condition: Tensor | None) -> Tensor:
        asked.append(len(tokens))
        return plain(tokens, condition)

    policy._read = spy  # type: ignore[method-assign]
    batch = Sampler(WORDS).forward(policy, 40, generator=seeded(1))
    asked.clear()
    width = batch.state_index.shape[1]
    with torch.no_grad():
        DetailedBalance().evaluate(WORDS, Chunked(policy, 3 * width + 1), batch)
    assert asked == [3] * 12 + [2] * 2
    assert policy.shares_work
    assert SplitPolicy(policy, mlp(WORDS)).shares_work
    assert not CASES["split"][1](GRID).shares_work


def trainer(**settings: Any) -> Trainer:
    policy = MLPPolicy(GRID, 16, generator=seeded())
    config = TrainConfig(batch_size=16, **settings)
    return Trainer(GRID, policy, TrajectoryBalance(), config)


def test_trainers_take_the_size_from_their_settings_and_resume() -> None:
    whole, parts = trainer(), trainer(chunk=10)
    one, two = ([t.train_step()["loss"] for _ in range(12)] for t in (whole, parts))
    assert one == pytest.approx(two, rel=1e-9)
    first, other = trainer(chunk=10), trainer(chunk=10)
    first.train(6)
    other.load_state_dict(first.state_dict())
    assert [other.train_step()["loss"] for _ in range(6)] == two[6:]


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="Chunked: size must be at least 1, got 0"):
        Chunked(mlp(GRID), 0)
    with pytest.raises(ConfigError, match="chunk must be at least 0, got -1"):
        TrainConfig(chunk=-1)
