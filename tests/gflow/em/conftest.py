"""A small latent-variable model of which everything is known: tables of probabilities."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import enumerate_states
from gflow.em import JointReward, LatentModel
from gflow.environment.base import Environment
from gflow.envs.sequences.env import AnyOrder
from gflow.exact.graph import StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.policies.base import Policy, PolicyOutput
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

SYMBOLS, LENGTH, WORDS = 3, 2, 4


class Tables(LatentModel):
    """p(z) and p(x | z) from tables of logits: z two symbols of three, x one word of four."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.prior = nn.Parameter(torch.randn(SYMBOLS**LENGTH, generator=g))
        self.words = nn.Parameter(1.5 * torch.randn(SYMBOLS**LENGTH, WORDS, generator=g))

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        place = z[:, 0] * SYMBOLS + z[:, 1]
        prior = self.prior.log_softmax(0)[place]
        return prior + self.words.log_softmax(1)[place].gather(1, x).squeeze(1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            place = torch.multinomial(self.prior.softmax(0), count, True, generator=generator)
            words = self.words.softmax(1)[place]
            x = torch.multinomial(words, 1, generator=generator)
        return x, torch.stack([place // SYMBOLS, place % SYMBOLS], 1)

    def table(self) -> Tensor:
        """(WORDS, Z) log p(x, z), written another way."""
        joint = self.prior.log_softmax(0)[:, None] + self.words.log_softmax(1)
        return joint.detach().T


class RowTables(Policy):
    """Free logits for each row and state, forward and, if wanted, backward."""

    def __init__(self, graph: StateGraph[Any], rows: int, seed: int, learned: bool) -> None:
        super().__init__()
        self.graph, self.backward = graph, "learned" if learned else "uniform"
        g, size, env = torch.Generator().manual_seed(seed), len(graph), graph.env
        self.ahead = nn.Parameter(torch.randn(rows, size, env.num_actions, generator=g))
        self.back = nn.Parameter(torch.randn(rows, size, env.num_backward_actions, generator=g))

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        assert condition is not None
        place = condition[:, 0].long(), self.graph.rows(states)
        back = self.back[place] if self.backward == "learned" else None
        return PolicyOutput(self.ahead[place], back)

    def solve(self) -> None:
        """Write the exact flows of every row, for uniform moves back, into the tables."""
        with torch.no_grad():
            for row in range(len(self.ahead)):
                flows = self.graph.exact_flows(condition=torch.tensor([[float(row)]]))
                solved = TabularPolicy.solved(self.graph, flows)
                self.ahead[row] = solved.forward_table


def every_trajectory(env: AnyOrder, rows: int) -> Trajectories[Any]:
    """All 18 trajectories to all latents, for each of the first rows, row by row."""
    pairs = [(a, b) for a in range(6) for b in range(6) if a // SYMBOLS != b // SYMBOLS]
    actions = torch.tensor(pairs * rows)
    condition = torch.arange(rows).double().repeat_interleave(len(pairs))[:, None]
    length = torch.full((len(actions),), LENGTH)
    return Sampler(env).along(actions, length, condition=condition)


@pytest.fixture
def words() -> Tensor:
    """(7, 1) observed words: all four, the last more than once."""
    return torch.tensor([[0], [1], [2], [3], [3], [3], [3]])


@pytest.fixture
def model() -> Tables:
    return Tables()


@pytest.fixture
def reward(model: Tables, words: Tensor) -> JointReward:
    return JointReward(model, words)


@pytest.fixture
def env(reward: JointReward) -> AnyOrder:
    """Two symbols, written in any order, so that there are two ways back from each latent."""
    env = AnyOrder("abc", LENGTH, reward)
    env.condition_dim = 1
    return env


@pytest.fixture
def tables(env: AnyOrder, words: Tensor) -> Callable[..., RowTables]:
    """Random tables by their seed."""

    def build(seed: int = 0, learned: bool = True) -> RowTables:
        return RowTables(enumerate_states(env), len(words), seed, learned)

    return build


@pytest.fixture
def all_trajectories(env: AnyOrder, words: Tensor) -> Trajectories[Any]:
    return every_trajectory(env, len(words))
