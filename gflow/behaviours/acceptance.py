"""Which candidates of a local search become the states of its chains."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogRatio:
    r"""The parts of log r, the ratio of Metropolis and Hastings between whole trajectories.

    With a trajectory t of n transitions, of which c are kept, and a candidate t' of n',

        r = [R(x') P_B(q' | x') / (R(x) P_B(q | x))] [P_F(q | s_c) / P_F(q' | s_c)]
            [q(c | n') / q(c | n)],

    q and q' being what follows the kept part. The chain is then distributed as R(x) P_B(t | x) / Z,
    and objects as R(x) / Z, whatever the policy.

    Attributes:
        reward: (B,) log R(x') - log R(x), as objectives are trained on.
        backward: (B,) log P_B(q' | x') - log P_B(q | x).
        forward: (B,) log P_F(q | s_c) - log P_F(q' | s_c).
        keep: (B,) log q(c | n') - log q(c | n).
    """

    reward: Tensor
    backward: Tensor
    forward: Tensor
    keep: Tensor

    @property
    def total(self) -> Tensor:
        """(B,) log r."""
        return self.reward + self.backward + self.forward + self.keep


Gain = Callable[[], Tensor]
Ratio = Callable[[], LogRatio]


class Filter(ABC):
    """Accepts candidates with a probability.

    Attributes:
        name: As on the command line.
        exact: Whether objects distributed as R(x) / Z stay so.
        judges: Whether it reads what candidates are worth, or how likely they are.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = False
    judges: ClassVar[bool] = True

    @abstractmethod
    def probability(self, gain: Gain, ratio: Ratio) -> Tensor:
        """(B,) probabilities with which candidates are accepted.

        Args:
            gain: Gives (B,) log R(x') - log R(x) of the objects.
            ratio: Gives the log-ratio, which costs a pass of the network.
        """

    def accept(self, gain: Gain, ratio: Ratio, generator: torch.Generator | None = None) -> Tensor:
        """(B,) bool: which candidates are accepted."""
        p = self.probability(gain, ratio)
        u = torch.rand(p.shape, dtype=p.dtype, device=p.device, generator=generator)
        return u < p


class Greedy(Filter):
    """Accepts what is better, strictly. It climbs; it does not sample."""

    name = "greedy"

    def probability(self, gain: Gain, ratio: Ratio) -> Tensor:
        """(B,) 1 where the reward rises, else 0."""
        return (gain() > 0).double()


class Metropolis(Filter):
    """Accepts with probability min(1, r)."""

    name = "metropolis"
    exact = True

    def probability(self, gain: Gain, ratio: Ratio) -> Tensor:
        """(B,) min(1, r)."""
        return ratio().total.clamp(max=0).exp()


class Barker(Filter):
    """Accepts with probability r / (1 + r): at least half as often as `Metropolis`.

    The code released with the paper calls this one "Metropolis-Hastings".
    """

    name = "barker"
    exact = True

    def probability(self, gain: Gain, ratio: Ratio) -> Tensor:
        """(B,) r / (1 + r)."""
        return ratio().total.sigmoid()


class Everything(Filter):
    """Accepts every candidate."""

    name = "none"
    judges = False

    def probability(self, gain: Gain, ratio: Ratio) -> Tensor:
        """(B,) ones."""
        return torch.ones_like(gain(), dtype=torch.float64)


FILTERS: dict[str, type[Filter]] = {
    cls.name: cls for cls in (Greedy, Metropolis, Barker, Everything)
}
