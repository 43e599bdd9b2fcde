"""Texts from three sources: who is asked how often, at which temperature, and what is learned."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import Sampler, TabularPolicy, TrainConfig, Trainer, enumerate_states, evaluate
from gflow.behaviours.base import Sampling
from gflow.behaviours.sources import Sources, Tempered
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.language import PrefixReward, Prompts, TokenEnvironment
from gflow.objectives import (
    LogPartitionVariance,
    ModifiedSubTrajectoryBalance,
    PathwiseDivergence,
    TrajectoryBalance,
)
from gflow.policies.base import Policy, PolicyOutput
from gflow.tasks.parts import BEHAVIOURS, Part
from gflow.testing import all_trajectories

LOGITS = torch.tensor([0.0, 1.0, 2.0, 0.5])


class Plain(PrefixReward):
    """Sums of numbers that tokens have."""

    worth = torch.tensor([0.3, -1.0, 0.4, 0.0])

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        return nn.functional.pad(self.worth[tokens].cumsum(1), (1, 0))


class Fixed(Policy):
    """Says the same everywhere, with a session or without."""

    backward = "uniform"

    def __init__(self, session: bool = False) -> None:
        super().__init__()
        self.logits, self.session = nn.Parameter(LOGITS.double()), session

    def forward(self, env: Any, states: Any, condition: Any = None) -> PolicyOutput:
        told = states.prompt[:, None] if condition is None else condition
        return PolicyOutput(self.logits + told)

    def begin(self, env: Any, count: int, condition: Any = None) -> Any:
        if not self.session:
            return None
        return lambda states, rows: self(env, states, condition[rows]).forward_logits


def writer(prompts: int = 4, length: int = 3, **settings: Any) -> TokenEnvironment:
    rows = Prompts([[i] for i in range(prompts)])
    return TokenEnvironment(4, 3, Plain(4), length, prompts=rows, **settings)


def sampling(env: TokenEnvironment, policy: Policy, repeat: int = 2, seed: int = 0) -> Sampling:
    condition = env.prompts.sampler(repeat) if env.condition_dim else None
    g = torch.Generator().manual_seed(seed)
    return Sampling(policy, Sampler(env), condition=condition, generator=g)


@pytest.mark.parametrize("session", [False, True])
def test_each_row_is_divided_by_its_own_temperature(session: bool) -> None:
    env, policy = writer(), Fixed(session)
    heat = torch.tensor([1.0, 0.5, 2.0, 4.0])
    told = torch.tensor([[0.0], [3.0], [1.0], [2.0]])
    ask = Tempered(policy, heat).begin(env, 4, told)
    assert ask is not None
    rows = torch.tensor([1, 3])
    states = env.start(2, condition=told[rows])
    said = ask(states, rows).detach()
    torch.testing.assert_close(said, (LOGITS + told[rows]) / heat[rows, None])


def test_sources_are_chosen_by_shares_for_whole_prompts() -> None:
    """Half of the prompts have a text in memory, which nobody else would write."""
    env, policy = writer(prompts=40), Fixed()
    with torch.no_grad():
        policy.logits[1] = -40.0
    sources = Sources(own=1, tempered=2, remembered=1, low=2.0, high=3.0)
    sources.check(env, LogPartitionVariance())
    assert sources.memory is not None
    sources.memory.seed([[1, 1, 1]] * 20, list(range(20)))
    sources.memory.add = lambda batch: None  # type: ignore[method-assign]
    with_memory = old = held = tempered = 0
    for seed in range(20):
        batch = sources.collect(sampling(env, policy, repeat=3, seed=seed), 120)
        assert len(batch) == 120
        mine = (batch.final_states.tokens[:, :3] == 1).all(1)
        assert batch.condition is not None
        prompt = batch.condition[:, 0]
        assert bool((prompt == batch.final_states.prompt).all())
        for number in prompt[mine].unique():  # all texts of a draw of a prompt are from one source
            assert int(mine[prompt == number].sum()) % 3 == 0
        held += int((prompt < 20).sum())
        old, with_memory = old + int(mine.sum()), with_memory + int(mine[prompt >= 20].sum())
        tempered += round(sources.metrics["tempered"] * 120)
        assert sources.metrics["from_memory"] * 120 == pytest.approx(int(mine.sum()))
        assert sources.metrics["remembered"] == 20
    assert with_memory == 0
    assert old / held == pytest.approx(1 / 4, abs=0.05)
    # Half of the prompts choose among three sources, the others among two.
    assert tempered / 2400 == pytest.approx((1 / 2 + 2 / 3) / 2, abs=0.05)


def test_what_is_sampled_is_sampled_at_the_temperature_and_remembered() -> None:
    env, policy = writer(prompts=1, length=1, min_length=1), Fixed()
    for low, high in ((1.0, 1.0), (0.4, 0.4), (3.0, 3.0)):
        sources = Sources(0, 1, 1e-9, low, high, tolerance=0.0)
        sources.check(env, LogPartitionVariance())
        batch = sources.collect(sampling(env, policy), 4000)
        found = torch.bincount(batch.actions[:, 0], minlength=3)[:3] / 4000
        wanted = (LOGITS[:3] / low).softmax(0)
        torch.testing.assert_close(found, wanted.to(found), atol=0.03, rtol=0)
        assert sources.memory is not None
        assert {t[0] for t, _ in sources.memory.best(0)} == {0, 1, 2}
        alone = Sources(0, 1, 0, low, high)
        alone.collect(sampling(env, policy), 8)
        assert alone.metrics["remembered"] == 0, "nobody would ask for them"
    nothing = Sources(0, 0, 1)
    nothing.check(env, LogPartitionVariance())
    batch = nothing.collect(sampling(env, policy), 3000)  # nothing is there: the policy itself
    found = torch.bincount(batch.actions[:, 0], minlength=3)[:3] / 3000
    torch.testing.assert_close(found, LOGITS[:3].softmax(0).to(found), atol=0.03, rtol=0)
    assert nothing.metrics["from_memory"] == 0
    nothing.collect(sampling(env, policy), 8)
    assert nothing.metrics["from_memory"] == 1


@pytest.mark.slow
def test_texts_are_learned_from_all_three() -> None:
    env = writer(prompts=1, length=2, min_length=1)
    policy = TabularPolicy(enumerate_states(env), "uniform")
    with torch.no_grad():
        policy.forward_table[:, 2] -= 3  # the best token is seldom written
    sources = Sources(each="text", tolerance=0.0, capacity=5)
    config = TrainConfig(steps=200, batch_size=24, lr=0.1, lr_half_life=70)
    record = Trainer(env, policy, ModifiedSubTrajectoryBalance(), config, behaviour=sources).train()
    assert {"from_memory", "tempered", "remembered"} <= set(record)
    assert record["remembered"] == 5
    batch = all_trajectories(env)
    with torch.no_grad():
        found = evaluate(env, policy, batch).log_pf.sum(1).exp()
    assert float((found - batch.log_reward.softmax(0)).abs().sum() / 2) < 0.02


def trained(steps: int, state: dict[str, Any] | None = None) -> tuple[Trainer, Tensor]:
    env = writer(prompts=3)
    policy = Fixed(session=True)
    config = TrainConfig(batch_size=12, lr=0.05)
    trainer = Trainer(
        env, policy, LogPartitionVariance(), config,
        condition=env.prompts.sampler(4), behaviour=Sources(draw="reward", capacity=6),
    )  # fmt: skip
    if state is not None:
        trainer.load_state_dict(state)
    trainer.train(steps)
    return trainer, policy.logits.detach().clone()


def test_runs_resume_to_the_same_numbers() -> None:
    whole, wanted = trained(8)
    half, _ = trained(4)
    assert len(half.state_dict()["behaviour"]["memory"]["length"]) > 4
    again, found = trained(4, half.state_dict())
    assert torch.equal(found, wanted)
    mine, other = (t.state_dict()["behaviour"]["memory"] for t in (whole, again))
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_flags_and_refusals() -> None:
    assert "sources" in BEHAVIOURS
    built = Part.of("behaviour", "sources", {"low": 0.9, "capacity": 7}).build()
    assert (built.low, built.capacity, built.memory) == (0.9, 7, None)
    with pytest.raises(IncompatibleError, match=r"Sources cannot serve .* on HyperGrid: .*replay"):
        Sources().check(HyperGrid(2, 3), TrajectoryBalance())
    with pytest.raises(IncompatibleError, match="its own policy's trajectories only"):
        Sources().check(writer(), PathwiseDivergence())
    with pytest.raises(ConfigError, match="one of own"):
        Sources(0, 0, 0)
    with pytest.raises(ConfigError, match="low must not be above high"):
        Sources(low=3.0)
