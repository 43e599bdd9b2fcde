"""Kernels: what is executed when something is intended."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError


class Kernel(ABC):
    """``kernel(env, states, intended)`` is (B, A) log-probabilities of what is executed.

    Attributes:
        everywhere: True promises that whatever was intended, every legal action but the stop is
            executed with a probability above zero. It spares asking.
    """

    everywhere: bool = False

    @abstractmethod
    def __call__(self, env: DiscreteEnvironment[Any], states: Any, intended: Tensor) -> Tensor:
        """(B, A) log-probabilities of the action that is executed, up to a constant for each row.

        -inf says that an action is never executed. What it says of illegal actions and of the stop
        is thrown away, and the rest shared out in proportion; so is all that it says of rows
        whose intended action is illegal, which it must bear.

        Args:
            env: The environment without noise.
            states: B states of it.
            intended: (B,) int64 actions, none of them a stop.
        """


class TokenNoise(Kernel):
    """With probability alpha what is intended is replaced by a uniform one of the legal actions.

    The one intended is among these, the stop is not. In a sequence each appended symbol is so
    replaced by a uniform one.

    Args:
        alpha: Probability of replacement.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465;
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = _probability("TokenNoise", "alpha", alpha)
        self.everywhere = self.alpha > 0

    def __call__(self, env: DiscreteEnvironment[Any], states: Any, intended: Tensor) -> Tensor:
        """(B, A) log of 1 - alpha where it is intended, and of an even share of alpha."""
        legal = _moves(env, states)
        share = self.alpha / legal.sum(-1, keepdim=True).clamp(min=1)
        return (share + (1 - self.alpha) * _one_hot(intended, legal)).log()

    def __repr__(self) -> str:
        return f"TokenNoise(alpha={self.alpha:g})"


class StickyMoves(Kernel):
    """`TokenNoise` where every action is legal; elsewhere all is executed as intended.

    On a grid: with probability p a uniform movement replaces the intended one, unless a coordinate
    has reached the edge.

    Args:
        p: Probability of replacement.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """

    def __init__(self, p: float) -> None:
        self.p = _probability("StickyMoves", "p", p)

    def __call__(self, env: DiscreteEnvironment[Any], states: Any, intended: Tensor) -> Tensor:
        """(B, A) log-probabilities."""
        legal = _moves(env, states)
        size = legal.shape[1] - (env.stop_action is not None)
        noise = torch.where(legal[:, :size].all(-1, keepdim=True), self.p, 0.0)
        return (noise / size + (1 - noise) * _one_hot(intended, legal)).log()

    def __repr__(self) -> str:
        return f"StickyMoves(p={self.p:g})"


class TableKernel(Kernel):
    """One row of probabilities for each action that can be intended, in whatever state.

    Args:
        probability: (M, M) of the M actions beside the stop: row i is what is executed where i is
            intended. Of actions that are illegal in a state nothing is executed.
    """

    def __init__(self, probability: Tensor) -> None:
        size = probability.shape[-1]
        given = probability.double()
        fine = tuple(given.shape) == (size, size) and bool((given >= 0).all())
        if not fine or not bool(torch.isclose(given.sum(-1), given.new_ones(())).all()):
            raise ConfigError(
                f"TableKernel: need a square table of probabilities, each row with the sum 1; got "
                f"shape {tuple(probability.shape)} and row sums "
                f"{[round(x, 4) for x in given.sum(-1).flatten().tolist()][:8]}."
            )
        self.log_probability = given.log().to(torch.get_default_dtype())
        self.everywhere = bool((given > 0).all())

    def __call__(self, env: DiscreteEnvironment[Any], states: Any, intended: Tensor) -> Tensor:
        """(B, A) the rows of what is intended, nothing for the stop."""
        moves = env.num_actions - (env.stop_action is not None)
        if len(self.log_probability) != moves:
            raise ConfigError(
                f"TableKernel: {env.name} has {moves} actions beside the stop, and the table is "
                f"for {len(self.log_probability)}."
            )
        rows = constant(self.log_probability, intended.device)[intended]
        return torch.nn.functional.pad(rows, (0, env.num_actions - moves), value=-torch.inf)


class FunctionKernel(Kernel):
    """A plain function ``(env, states, intended) -> (B, A) log-probabilities`` as a `Kernel`.

    Args:
        function: The function; see `Kernel.__call__`.
        everywhere: What `Kernel.everywhere` promises.
    """

    def __init__(
        self,
        function: Callable[[DiscreteEnvironment[Any], Any, Tensor], Tensor],
        everywhere: bool = False,
    ) -> None:
        self.function, self.everywhere = function, everywhere

    def __call__(self, env: DiscreteEnvironment[Any], states: Any, intended: Tensor) -> Tensor:
        """(B, A) log-probabilities."""
        return self.function(env, states, intended)

    def __repr__(self) -> str:
        return f"FunctionKernel({getattr(self.function, '__name__', repr(self.function))})"


def _moves(env: DiscreteEnvironment[Any], states: Any) -> Tensor:
    """(B, A) bool: legal actions that are no stop."""
    legal = env.forward_mask(states)
    if env.stop_action is None:
        return legal
    return legal & (torch.arange(env.num_actions, device=legal.device) != env.stop_action)


def _one_hot(intended: Tensor, like: Tensor) -> Tensor:
    hot = torch.arange(like.shape[1], device=like.device) == intended[:, None]
    return hot.to(torch.get_default_dtype())


def _probability(who: str, what: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{who}: {what} is a probability, within 0 ... 1, got {value}.")
    return float(value)
