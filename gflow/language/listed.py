"""All texts of an environment, where they are few: exact laws by one pass."""

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.language.env import Text, TokenEnvironment
from gflow.language.given import written
from gflow.policies.base import Policy
from gflow.state import take, to_device

ROWS = 512
"""Beginnings that are read at a time, at most, and"""
CELLS = 2**24
"""about how many logits there are at a time."""


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
        assert env.stop_action is not None
        self._columns = torch.tensor([*letters, env.stop_action])
        prefixes = [
            row for size in range(env.max_length) for row in itertools.product(letters, repeat=size)
        ]
        place = {prefix: number for number, prefix in enumerate(prefixes)}
        column = {token: number for number, token in enumerate([*letters, env.stop_action])}
        self._prefixes = self._beginnings(prefixes, prompt)
        # Of each text the beginnings it goes through and what comes next; the forced stop is left
        # out, and a move that is none is the first column of a last row of zeros.
        self._place = torch.full((count, env.max_length), len(prefixes))
        self._next = torch.zeros(count, env.max_length, dtype=torch.int64)
        for number, row in enumerate(rows):
            for time, token in enumerate((*row, env.stop_action)[: env.max_length]):
                self._place[number, time] = place[row[:time]]
                self._next[number, time] = column[token]

    def _beginnings(self, prefixes: list[tuple[int, ...]], prompt: int) -> Text:
        """The states of texts that are not at their greatest length."""
        env = self.env
        condition = None
        if env.condition_dim:
            condition = env.prompts.conditions[[prompt]].expand(len(prefixes), -1)
        empty = env.start(len(prefixes), condition=condition)
        tokens = empty.tokens.clone()
        for row, prefix in zip(tokens, prefixes, strict=True):
            row[: len(prefix)] = torch.tensor(prefix, dtype=torch.int64)
        return replace(empty, tokens=tokens)

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
    def log_law(self, policy: Policy) -> Tensor:
        """(X,) float64 exact log-probabilities of what a policy writes.

        Each beginning is read once, whatever the number of texts that go on from it.
        """
        device = next(policy.parameters()).device
        count, size = len(self._prefixes.prompt), max(1, CELLS // self.env.num_actions)
        parts = []
        for rows in torch.arange(count).split(min(ROWS, size)):
            states = to_device(take(self._prefixes, rows), device)
            law = self.env.law(states, policy(self.env, states).forward_logits)
            parts.append(law.table()[:, self._columns.to(device)].double().cpu())
        table = torch.cat([*parts, torch.zeros(1, len(self._columns), dtype=torch.float64)])
        return table[self._place, self._next].sum(1)
