"""All texts of an environment, where they are few: exact laws by one pass."""

import itertools

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.evaluation.evaluate import evaluate
from gflow.language.env import TokenEnvironment
from gflow.language.given import written
from gflow.language.policy import HuggingFacePolicy
from gflow.terms import Needs

ROWS = 512
"""Texts that are read at a time."""


class ListedTexts:
    """The X texts of one prompt of an environment without a tool, in order of length.

    Args:
        env: The environment.
        prompt: Number of the prompt.
        limit: Refuse more texts than that.

    Attributes:
        trajectories: One for each text.

    Raises:
        ConfigError: If there are too many, or a tool writes too.
    """

    @checked
    def __init__(self, env: TokenEnvironment, prompt: int = 0, limit: Count = 20_000) -> None:
        letters = env.legal.nonzero().squeeze(1).tolist()
        sizes = range(env.min_length, env.max_length + 1)
        count = sum(len(letters) ** size for size in sizes)
        if count > limit or env.tool is not None:
            what = "texts of a tool are not listed" if env.tool else f"there are {count:,} texts"
            raise ConfigError(
                f"ListedTexts: {what}. It lists at most {limit:,} texts that the policy writes "
                f"alone: take fewer legal tokens or a smaller max_length."
            )
        self.env = env
        rows = [row for size in sizes for row in itertools.product(letters, repeat=size)]
        self.trajectories = written(env, rows, [prompt] * count)

    def __len__(self) -> int:
        return len(self.trajectories)

    @property
    def texts(self) -> list[str]:
        """The X texts, for people."""
        return self.env.show(self.trajectories.final_states)

    @property
    def log_target(self) -> Tensor:
        """(X,) float64 exact log-probabilities of the target."""
        return self.trajectories.log_reward.double().log_softmax(0)

    @torch.no_grad()
    def log_law(self, policy: HuggingFacePolicy) -> Tensor:
        """(X,) float64 exact log-probabilities of what a policy writes."""
        rows = torch.arange(len(self)).split(ROWS)
        parts = [
            evaluate(self.env, policy, self.trajectories.select(part), Needs(log_pb=False))
            for part in rows
        ]
        return torch.cat([part.log_pf.double().sum(1) for part in parts]).cpu()
