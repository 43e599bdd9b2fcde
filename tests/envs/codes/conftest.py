from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow.em.reward import JointReward
from gflow.envs.codes.env import codes
from gflow.envs.codes.model import CodeModel, Decoder
from gflow.envs.codes.prior import CodePrior, PixelCNN, UniformPrior
from gflow.envs.sequences.env import Autoregressive
from gflow.policies.base import Policy, PolicyOutput


def small_model(
    side: int = 2, symbols: int = 2, pixels: int = 3, learned: bool = True
) -> CodeModel:
    """Weights large enough for posteriors that are neither flat nor certain."""
    torch.manual_seed(7)
    decoder = Decoder(side * side, symbols, pixels, width=8, embedding=2)
    prior: CodePrior = UniformPrior(side, symbols)
    if learned:
        prior = PixelCNN(side, symbols, width=4, blocks=1)
        nn.init.normal_(prior.last.weight)
    with torch.no_grad():
        for parameter in decoder.layers.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter, std=0.5)
        for part, factor in ((decoder, 0.7), (prior, 2.0)):
            for parameter in part.parameters():
                parameter.mul_(factor)
    return CodeModel(decoder, prior).requires_grad_(False)


def pictures(pixels: int = 3) -> Tensor:
    """(2^P, P) every picture, the first pixel counting least."""
    return (torch.arange(2**pixels)[:, None] // 2 ** torch.arange(pixels) % 2).double()


def small_env(model: CodeModel, images: Tensor) -> Autoregressive:
    return codes(model.prior.cells, model.prior.symbols, JointReward(model, images))


class ExactPosterior(Policy):
    """The policy whose law of codes is p(z | x), from sums over all codes."""

    backward = "uniform"

    def __init__(self, reward: JointReward) -> None:
        super().__init__()
        self.reward = reward
        self.anchor = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def forward(self, env: Any, states: Tensor, condition: Tensor | None = None) -> PolicyOutput:
        model: Any = self.reward.model
        joint = model.log_joint(self.reward.data.rows(condition))
        every = model.every_code()
        rows = []
        for state, weights in zip(states.tolist(), joint, strict=True):
            filled = [code for code in state if code != env.blank]
            fits = (every[:, : len(filled)] == torch.tensor(filled)).all(1)
            place = min(len(filled), env.length - 1)
            each = [weights[fits & (every[:, place] == k)].logsumexp(0) for k in range(env.blank)]
            rows.append(torch.stack(each))
        logits = torch.stack(rows)
        return PolicyOutput(logits.where(logits > -torch.inf, 0.0))


@pytest.fixture
def make() -> Callable[..., CodeModel]:
    return small_model


@pytest.fixture
def every_picture() -> Callable[..., Tensor]:
    return pictures


@pytest.fixture
def env_of() -> Callable[..., Autoregressive]:
    return small_env


@pytest.fixture
def exact_posterior() -> type[ExactPosterior]:
    return ExactPosterior
