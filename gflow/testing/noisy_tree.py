"""A tree of strings whose tokens chance replaces: the simplest noise, with known exact answers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError
from gflow.testing.table import TableEnvironment


def noisy_tree(
    tokens: int, length: int, alpha: float, log_reward: Sequence[float] | Tensor
) -> TableEnvironment:
    """Strings written from left to right; with probability alpha a token becomes a uniform one.

    Its states are prefixes, the agent's, and prefixes with the token that it meant, chance's. Move
    b of either is about token b.

    Args:
        tokens: V, number of tokens.
        length: Of finished strings.
        alpha: Probability of a replacement.
        log_reward: V^length log-rewards of the strings in their order as numbers of base V.

    Raises:
        ConfigError: If there are not as many log-rewards as strings.
    """
    value = torch.as_tensor(log_reward, dtype=torch.float64).tolist()
    if len(value) != tokens**length:
        raise ConfigError(
            f"noisy_tree: {tokens} tokens and length {length} need {tokens**length} log-rewards, "
            f"got {len(value)}."
        )
    children: list[list[int]] = [[]]
    movers, rewards, chance = [AGENT], [0.0], [[0.0] * tokens]
    level = [0]
    for depth in range(length):
        after: list[int] = []
        for prefix in level:
            meant = len(children)
            ends = [meant + tokens + b for b in range(tokens)]
            children[prefix] = [meant + a for a in range(tokens)]
            children += [list(ends) for _ in range(tokens)] + [[] for _ in range(tokens)]
            movers += [CHANCE] * tokens + [AGENT] * tokens
            for a in range(tokens):
                share = [alpha / tokens] * tokens
                share[a] += 1 - alpha
                chance.append(share)
            chance += [[0.0] * tokens for _ in range(tokens)]
            last = depth == length - 1
            start = len(after) if last else 0
            rewards += [0.0] * tokens + (value[start : start + tokens] if last else [0.0] * tokens)
            after += ends
        level = after
    return TableEnvironment(children, rewards, movers=movers, chance=chance)
