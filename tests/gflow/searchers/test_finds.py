"""What searchers found: which of it is drawn, at which reward, and that it comes back as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.language import PrefixReward, Prompts, TokenEnvironment
from gflow.policies.base import Policy, PolicyOutput
from gflow.rewards.base import LogReward
from gflow.sampling.exploration import Exploration
from gflow.searchers import Finds, Search, news, publish
from gflow.searchers.search import packed


class Marks(LogReward[Any]):
    """By a table of cells, which may change."""

    def __init__(self) -> None:
        self.table = torch.linspace(-2, 2, 16)

    def __call__(self, states: Any, condition: Any = None) -> Tensor:
        return self.table[4 * states[:, 0] + states[:, 1]]


class Length(PrefixReward):
    """Half a point a token."""

    asked = 0

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        self.asked += len(tokens)
        return 0.5 * torch.arange(tokens.shape[1] + 1).expand(len(tokens), -1) - prompt[:, None]


class Even(Policy):
    """Everything is equally likely; one parameter, which says nothing."""

    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(()))

    def forward(self, env: Any, states: Any, condition: Any = None) -> PolicyOutput:
        tokens = getattr(states, "tokens", states)
        return PolicyOutput(self.scale * torch.ones(len(tokens), env.num_actions))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid(draw: Any = "reward", batches: int = 3, size: int = 40) -> Finds:
    """A memory of some batches, whose weights were of batch 0, 1, 2."""
    env = HyperGrid(2, 4)
    env.reward = Marks()
    finds = Finds(env, 1000, draw)
    for made in range(batches):
        batch = Sampler(env).forward(Even(), size, generator=seeded(made))
        finds.add(packed(env, batch, made))
    return finds


def test_recent_ones_are_the_newest_and_each_is_drawn_once() -> None:
    finds = grid()
    made = finds.column("made")
    rows = finds.rows(50, 1, 0.6, seeded())
    assert made[rows[:30]].tolist() == [2] * 30
    assert len(rows[:30].unique()) == 30
    assert len(rows[30:].unique()) == 20
    more = finds.rows(100, 1, 1.0, seeded())  # more than the newest batch holds
    assert sorted(made[more].tolist()) == [0] * 20 + [1] * 40 + [2] * 40
    again = finds.rows(250, 1, 1.0, seeded())  # more than there is
    assert torch.bincount(again, minlength=120).unique().tolist() == [2, 3]


@pytest.mark.parametrize("draw", ["reward", "uniform"])
def test_the_rest_is_drawn_by_reward_whatever_its_age(draw: Any) -> None:
    finds = grid(draw)
    weight = finds.log_reward().softmax(0)
    if draw == "uniform":
        weight = torch.full_like(weight, 1 / len(finds))
    drawn = torch.cat([finds.rows(1, 1, 0.0, seeded(s)) for s in range(1500)])
    share = torch.bincount(drawn, minlength=len(finds)) / 1500
    torch.testing.assert_close(share, weight.to(share), atol=0.016, rtol=0)
    fair = finds.column("made")[drawn].double().mean()
    mean = (weight * finds.column("made")).sum()
    assert float(fair) == pytest.approx(float(mean), abs=0.06)


def test_the_oldest_go() -> None:
    finds = grid()
    small = Finds(finds.env, 50, "uniform")
    for made in range(3):
        batch = Sampler(finds.env).forward(Even(), 20, generator=seeded(made))
        small.add(packed(finds.env, batch, made))
    assert sorted(small.column("made").tolist()) == [0] * 10 + [1] * 20 + [2] * 20
    small.add(packed(finds.env, Sampler(finds.env).forward(Even(), 70, generator=seeded(9)), 7))
    assert small.column("made").tolist() == [7] * 50


def test_rewards_are_those_of_now() -> None:
    finds = grid()
    env: Any = finds.env
    rows = torch.arange(0, 120, 5)
    batch = finds.sample(rows, Sampler(env))
    torch.testing.assert_close(batch.log_reward, env.reward(batch.final_states))
    env.reward.table = env.reward.table.flip(0)
    env.reward.version += 1
    later = finds.sample(rows, Sampler(env))
    assert later.actions.tolist() == batch.actions.tolist()
    torch.testing.assert_close(later.log_reward, env.reward(batch.final_states))
    assert (finds.column("version") == env.reward.version).sum() == len(rows)


def texts(prompts: int = 3) -> tuple[TokenEnvironment, Any]:
    rows = Prompts([[i] for i in range(prompts)])
    reward = Length(4, temperature=2.0)
    return TokenEnvironment(4, 3, reward, 3, prompts=rows), reward


def found_texts(env: TokenEnvironment, made: int, size: int = 24) -> Any:
    told = env.prompts.sampler(4)(size, seeded(made))
    return Sampler(env).forward(Even(), size, condition=told, generator=seeded(made + 50))


def test_texts_come_with_the_scores_of_their_prefixes() -> None:
    """So that nothing is scored here: not when temperatures change, nor when prefixes are read."""
    env, reward = texts()
    parts = [packed(env, found_texts(env, made), made) for made in range(3)]
    env, reward = texts()  # those of another process, where nothing is remembered
    finds = Finds(env, 500, "reward")
    for part in parts:
        finds.add(part)
    for temperature in (2.0, 0.5):
        reward.temperature = temperature
        rows = finds.rows(12, 4, 0.5, seeded())
        batch = finds.sample(rows, Sampler(env))
        size = env.size(batch.final_states)
        wanted = (0.5 * size - batch.final_states.prompt) / temperature
        torch.testing.assert_close(batch.log_reward, wanted.to(batch.log_reward))
        env.target_of_trajectories(batch)
        assert reward.asked == 0
    reward.forget()
    finds.log_reward()
    assert reward.asked > 0


def test_conditions_are_drawn_in_turns() -> None:
    env, _ = texts(prompts=8)
    finds = Finds(env, 500, "reward")
    for made in range(4):
        finds.add(packed(env, found_texts(env, made, 32), made))
    prompt, made = finds.column("condition")[:, 0], finds.column("made")
    newest = set(prompt[made == 3].tolist())
    assert len(newest) < 8
    seen = set()
    for seed in range(40):
        rows = finds.rows(16, 4, 0.5, seeded(seed))
        turns = prompt[rows].view(4, 4)
        assert bool((turns == turns[:, :1]).all())
        assert set(turns[:2, 0].tolist()) <= newest
        assert made[rows[:8]].tolist() == [3] * 8
        assert all(len(rows[i : i + 4].unique()) == 4 for i in range(0, 16, 4))
        seen |= set(turns[2:, 0].tolist())
    assert seen == set(prompt.tolist())


def test_searchers_take_the_newest_weights_they_see(tmp_path: Any) -> None:
    env, torch_dtype = HyperGrid(2, 4), torch.get_default_dtype()
    policy, other = MLPPolicy(env, 8), MLPPolicy(env, 8)
    weights = tmp_path / "weights.pt"
    search = Search(env, policy, None, Exploration(0.5), (1.0, 1.0), 16, 3, 0, weights, "cpu",
                    torch_dtype)  # fmt: skip
    (first,) = search([0])
    assert first["made"].tolist() == [0] * 16
    assert search.exploration == Exploration(0.5)
    publish(weights, news(7, other, Exploration(0.25, stop_bias=1.0)))
    second, third = search([0, 0])
    assert second["made"].tolist() == third["made"].tolist() == [7] * 16
    assert search.exploration == Exploration(0.25, stop_bias=1.0)
    state = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in policy.state_dict().items())
    assert second["actions"].tolist() != third["actions"].tolist()


def test_it_is_saved_and_taken_back() -> None:
    finds = grid()
    other = Finds(finds.env, 1000, "reward")
    other.load_state_dict(finds.state_dict())
    for memory in (finds, other):
        batch = Sampler(finds.env).forward(Even(), 990, generator=seeded(8))
        memory.add(packed(finds.env, batch, 5))
    assert torch.equal(finds.column("made"), other.column("made"))
    mine, theirs = (m.rows(30, 1, 0.5, seeded(1)) for m in (finds, other))
    assert torch.equal(mine, theirs)
    one, two = (m.sample(mine, Sampler(finds.env)) for m in (finds, other))
    assert torch.equal(one.log_reward, two.log_reward)
    assert torch.equal(one.actions, two.actions)
