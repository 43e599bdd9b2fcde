"""A small latent-variable model of which everything is known: tables of probabilities."""

import pytest
import torch
from torch import Tensor, nn

from gflow.em import JointReward, LatentModel
from gflow.envs.sequences.env import AnyOrder

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


@pytest.fixture
def words() -> Tensor:
    """(7, 1) observed words: all four, some more than once."""
    return torch.tensor([[0], [1], [2], [3], [1], [2], [1]])


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
