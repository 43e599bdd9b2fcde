"""A causal transformer for sequences written from left to right.

A rollout computes one new position per step and remembers the keys and values of the others. A loss
reads whole trajectories: one causal pass over the finished sequences gives the outputs at all of
their prefixes at once.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import PolicyOutput, Session
from gflow.policies.heads import Heads, TrunkPolicy
from gflow.policies.told import told
from gflow.trajectories import Trajectories


class CausalTransformer(TrunkPolicy):
    """A transformer over the symbols written so far; P_B is 1 on the tree of prefixes.

    It is for environments with `append_only`: states are (B, L) tokens with blanks at the end,
    action i < A appends the symbol i, and the blank is A (`Autoregressive` and `VariableLength` of
    `gflow.envs.sequences.env`).

    Args:
        env: The environment.
        width: Features per position, a multiple of `heads`.
        depth: Number of blocks.
        heads: Attention heads.
        log_flow: Whether to have a log-flow head.
        generator: For the initial weights.
        condition_encoder: As of `MLPPolicy`.

    Raises:
        IncompatibleError: If sequences are not built from left to right.

    Reference:
        Vaswani et al., Attention is all you need, 2017, https://arxiv.org/abs/1706.03762; blocks
        normalise before they mix, Xiong et al., 2020, https://arxiv.org/abs/2002.04745
    """

    backward = "uniform"

    def __init__(
        self,
        env: Environment[Any],
        width: int = 64,
        depth: int = 3,
        heads: int = 8,
        log_flow: bool = False,
        generator: torch.Generator | None = None,
        condition_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not getattr(env, "append_only", False):
            raise IncompatibleError(
                f"CausalTransformer reads sequences written from left to right (`append_only`), "
                f"which {env.name} does not promise. Use MLPPolicy there."
            )
        if depth < 1 or heads < 1 or width < 1 or width % heads:
            raise ConfigError(
                f"CausalTransformer: width must be a multiple of heads and depth positive, got "
                f"width={width}, heads={heads}, depth={depth}."
            )
        env = require_numbered(env, "CausalTransformer", "Use a policy made for it.")
        self.has_log_flow = log_flow
        self.length, self.blank = len(env.feature_sizes), env.feature_sizes[0] - 1
        self.width, self.depth, self.heads = width, depth, heads
        self.symbol = nn.Embedding(self.blank + 1, width)  # the blank opens every sequence
        self.place = nn.Embedding(self.length + 1, width)
        self.told = told(env, width, condition_encoder, "CausalTransformer")
        self.blocks: Any = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = Heads(width, env.num_actions, log_flow=log_flow)
        if generator is not None:
            for module in self.modules():
                if isinstance(module, nn.Embedding | nn.Linear):
                    bound = module.weight.shape[1] ** -0.5
                    nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)

    def trunk(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Tensor:
        """(N, width) features of N prefixes, (N, L) tokens, each read from its beginning."""
        last = (states != self.blank).sum(-1)[:, None, None].expand(-1, 1, self.width)
        read: Tensor = self.norm(self._read(states, condition).gather(1, last).squeeze(1))
        return read

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for all stored states by one pass over the B final sequences."""
        size = min(trajectories.actions.shape[1], self.length)
        read = self._read(trajectories.final_states[:, :size], trajectories.condition)
        row, time = trajectories.first_visits()
        return self.head.all(self.norm(read[row, time.clamp(max=size)]))

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> "Session | None":
        """A rollout that remembers keys and values."""
        return _Rollout(self, count, condition)

    def _read(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """(N, L + 1, width) features after 0, 1, ... L symbols of (N, L) tokens."""
        opened = F.pad(tokens, (1, 0), value=self.blank)
        x: Tensor = self.symbol(opened) + self.place.weight[: opened.shape[1]]
        x = self._conditioned(x, condition)
        for block in self.blocks:
            x = block(x)
        return x

    def _conditioned(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return x if self.told is None else x + self.told(condition)[:, None]


class _Block(nn.Module):
    """Attention to what came before, then a perceptron at each position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, memory: Tensor | None = None, time: int = 0) -> Tensor:
        """(N, T, width) features; with a memory only those of the position `time`, T = 1.

        Args:
            x: (N, T, width).
            memory: (2, N, heads, L + 1, width / heads) keys and values of the positions before
                `time`, to which those of `time` are added; None if `x` holds all positions.
            time: Position of `x` if there is a memory.
        """
        asked = self.ask(self.norm_in(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        if memory is not None:
            memory[0, :, :, time], memory[1, :, :, time] = key[:, :, 0], value[:, :, 0]
            key, value = memory[:, :, :, : time + 1]
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=memory is None)
        x = x + self.mix(mixed.transpose(1, 2).flatten(2))
        thought: Tensor = self.narrow(F.gelu(self.widen(self.norm_out(x))))
        return x + thought


class _Rollout:
    """Keys and values of the live rows of one rollout, which all are at the same position."""

    def __init__(self, policy: CausalTransformer, count: int, condition: Tensor | None) -> None:
        self.policy, self.condition, self.time = policy, condition, 0
        weight = policy.place.weight
        self.memory = weight.new_empty(
            policy.depth,
            2,
            count,
            policy.heads,
            policy.length + 1,
            policy.width // policy.heads,
        )
        self.rows = torch.arange(count, device=weight.device)

    def __call__(self, states: Tensor, rows: Tensor) -> Tensor:
        """(L, A) forward logits of the live rows, in ascending order."""
        if rows.shape[0] < self.rows.shape[0]:
            self.memory = self.memory[:, :, torch.searchsorted(self.rows, rows)]
            self.rows = rows
        policy, time = self.policy, self.time
        blank = torch.full_like(states[:, 0], policy.blank)
        token = states[:, time - 1] if time else blank
        x = (policy.symbol(token) + policy.place.weight[time])[:, None]
        x = policy._conditioned(x, None if self.condition is None else self.condition[rows])
        for block, memory in zip(policy.blocks, self.memory, strict=True):
            x = block(x, memory, time)
        self.time += 1
        return policy.head.ahead(policy.norm(x.squeeze(1)))
