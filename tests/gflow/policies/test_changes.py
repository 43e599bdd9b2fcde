"""Reading changes gives what reading everything gives: outputs, gradients, trajectories, chunks."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, evaluate
from gflow.compiled.runner import CompiledStep
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.dags.env import Dags
from gflow.envs.dags.guide import CompletionGuide
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.errors import IncompatibleError
from gflow.objectives import OBJECTIVES
from gflow.policies.changes import ChangesPolicy
from gflow.policies.chunked import Chunked
from gflow.policies.mlp import MLPPolicy
from gflow.rewards.wrappers import TemperatureConditional
from gflow.stacked import refusal
from gflow.training.trainer import TrainConfig, Trainer


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let changes be read however few features there are."""

    def read() -> None:
        for kind in (MLPPolicy, DagPolicy):
            monkeypatch.setattr(kind, "many", 1)

    return read


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def dags() -> tuple[DiscreteEnvironment[Any], ChangesPolicy]:
    score = BGe(torch.randn(30, 6, generator=seeded(0)) @ torch.randn(6, 6, generator=seeded(1)))
    return Dags(6, score), DagPolicy(Dags(6), 8, 3, guide=CompletionGuide(score), log_flow=True)


def dags3() -> tuple[DiscreteEnvironment[Any], ChangesPolicy]:
    score = BGe(torch.randn(30, 3, generator=seeded(0)))
    return Dags(3, score), DagPolicy(Dags(3), 8, 2, log_flow=True)


def grid() -> tuple[DiscreteEnvironment[Any], ChangesPolicy]:
    env = HyperGrid(5, 4)
    return env, MLPPolicy(env, 8, 2, log_flow=1)


def sets() -> tuple[DiscreteEnvironment[Any], ChangesPolicy]:
    env = FixedSizeSets(9, 4, AdditiveEnergy(torch.linspace(-1, 1, 9)))
    return env, MLPPolicy(env, 8, 2, log_flow=1)


def told() -> tuple[DiscreteEnvironment[Any], ChangesPolicy]:
    env = HyperGrid(3, 4, TemperatureConditional(HyperGrid(3, 4).reward))
    env.condition_dim = 1
    return env, MLPPolicy(env, 8, 2, log_flow=1)


CASES: dict[str, Callable[[], tuple[DiscreteEnvironment[Any], ChangesPolicy]]] = {
    "dags": dags,
    "grid": grid,
    "sets": sets,
    "told": told,
    "dags3": dags3,
}


def conditions(env: DiscreteEnvironment[Any], count: int) -> Tensor | None:
    return torch.linspace(0.5, 2, count)[:, None] if env.condition_dim else None


@pytest.mark.parametrize("case", ["dags", "grid", "sets", "told"])
@pytest.mark.parametrize("chunk", [0, 17])
def test_losses_and_gradients_are_those_of_reading_everything(
    case: str, chunk: int, changes: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    env, policy = CASES[case]()
    objective = OBJECTIVES["subtb"].build(env)
    batch = Sampler(env).forward(policy, 20, condition=conditions(env, 20), generator=seeded(1))
    assert not policy.shares_work

    def loss() -> tuple[Tensor, list[Tensor]]:
        asked = Chunked(policy, chunk) if chunk else policy
        value = objective(evaluate(env, asked, batch, objective.needs))
        return value.detach(), list(torch.autograd.grad(value, list(policy.parameters())))

    whole, wanted = loss()
    changes()
    monkeypatch.setattr("gflow.policies.changes.PART", 40)
    assert policy.shares_work
    value, found = loss()
    torch.testing.assert_close(value, whole)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)
        assert float(theirs.abs().max()) > 0


@pytest.mark.parametrize("case", ["dags", "grid", "sets", "told"])
@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_rollouts_are_the_same_trajectories(
    case: str, plan: Any, changes: Callable[[], None]
) -> None:
    torch.manual_seed(0)
    env, policy = CASES[case]()
    given = conditions(env, 12)

    def sampled() -> Any:
        sampler = Sampler(env, plan, share=False)
        return sampler.forward(policy, 12, condition=given, generator=seeded(2))

    plain = sampled()
    changes()
    remembered = sampled()
    assert torch.equal(plain.actions, remembered.actions)
    assert torch.equal(plain.length, remembered.length)
    torch.testing.assert_close(plain.log_reward, remembered.log_reward)
    assert int(plain.length.max()) > int(plain.length.min()) or not env.every_state_stops


def test_a_memory_follows_its_rows(changes: Callable[[], None]) -> None:
    torch.manual_seed(0)
    env, policy = dags()
    changes()
    session = policy.begin(env, 3)
    assert session is not None
    states, rows = env.initial(3), torch.arange(3)
    torch.testing.assert_close(session(states, rows), policy.forward_logits(env, states))
    states = env.step(states, torch.tensor([1, 2, 9]))
    torch.testing.assert_close(session(states, rows), policy.forward_logits(env, states))
    states = env.step(env.initial(1), torch.tensor([9]))
    states = env.step(states, torch.tensor([1]))
    found = session(states, torch.tensor([2]))
    torch.testing.assert_close(found, policy.forward_logits(env, states))


def test_few_features_are_read_as_ever() -> None:
    assert dags()[1].begin(Dags(6), 3) is None
    assert MLPPolicy(HyperGrid(192, 2), width=2).shares_work
    assert not MLPPolicy(HyperGrid(191, 2), width=2).shares_work
    assert DagPolicy(Dags(29), 2, 1).shares_work
    assert not DagPolicy(Dags(28), 2, 1).shares_work


def trainer_of(case: str) -> Trainer:
    torch.manual_seed(0)
    env, policy = CASES[case]()
    objective = OBJECTIVES["subtb"].build(env)
    return Trainer(env, policy, objective, TrainConfig(batch_size=3, lr=0.02))


class AsGraph(CompiledStep):
    """The graph of the step, called as it is."""

    def _built(self, module: Any, given: list[Tensor]) -> Callable[[], list[Tensor]]:
        return lambda: list(module(*given) or ())


@pytest.mark.parametrize("case", ["dags3", "sets"])
def test_graphs_of_a_step_read_everything(
    case: str, changes: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes has no fixed size; trained on the same batches, weights are the same."""
    changes()
    monkeypatch.setattr("gflow.compiled.runner.listing", lambda *_: None)
    one, two = trainer_of(case), trainer_of(case)
    batches: list[Any] = []
    one.callbacks = (lambda _, batch, __: batches.append(batch),)
    one.compiled = AsGraph(one)
    one.train(3)
    assert two.policy.shares_work
    two.objective.begin(batches[0])
    for batch in batches:
        two.descend(batch)
    for mine, theirs in zip(one.policy.parameters(), two.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-8)
    monkeypatch.setattr("gflow.compiled.step.everything_read", nullcontext)
    three = trainer_of(case)
    three.compiled = AsGraph(three)
    with pytest.raises(IncompatibleError, match=r"changes.py:\d+"):
        three.train(1)


def test_runs_with_many_features_can_be_stacked(changes: Callable[[], None]) -> None:
    changes()
    assert refusal(trainer_of("grid")) is None
