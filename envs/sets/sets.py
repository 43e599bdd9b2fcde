"""Sets: subsets of a fixed size, grown one item at a time in any order."""

from abc import abstractmethod
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.constants import constant
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.base import LogReward

KEYED_ITEMS = 62
"""Sets of so many items have a key of 64 bits; with more items there are no keys."""


class SetReward(LogReward[Tensor]):
    """A reward on (B, n) membership bits that is defined on sets of every size.

    Attributes:
        num_items: n.
    """

    has_partial = True
    num_items: int

    @abstractmethod
    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, n) sets."""

    def log_partition(self, size: int) -> float | None:
        """Log of the sum of R over the sets with `size` items, if known in closed form."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_items} items)"


class AdditiveEnergy(SetReward):
    r"""log R(x) = -sum of e_i over the items i of x.

    Everything about its distribution is known: Z is the elementary symmetric polynomial of the
    weights exp(-e_i).

    Args:
        energies: (n,) float energies e_i.

    Reference:
        Pan et al., Better Training of GFlowNets with Local Credit and Incomplete Trajectories,
        2023, https://arxiv.org/abs/2302.01687
    """

    def __init__(self, energies: Tensor) -> None:
        check_shapes("AdditiveEnergy", energies=(energies, "n"))
        self.energies = energies.double()
        self.num_items = len(energies)

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, n) sets."""
        dtype = torch.get_default_dtype()
        return states.to(dtype) @ self._weights(states.device, dtype)

    def log_partition(self, size: int, beta: float = 1.0) -> float:
        """Log of the sum of R^beta over the sets with `size` items."""
        total = torch.full((size + 1,), -torch.inf, dtype=torch.float64)
        total[0] = 0
        for weight in -beta * self.energies:  # entry k: over sets of k of the items so far
            total = torch.cat([total[:1], torch.logaddexp(total[1:], total[:-1] + weight)])
        return float(total[size])

    def log_mean_reward(self, size: int) -> float:
        """Log of the mean reward of sets that are sampled in proportion to it."""
        return self.log_partition(size, 2.0) - self.log_partition(size)

    def best_log_rewards(self, size: int, count: int = 100) -> Tensor:
        """(count,) float64 highest log R of the sets with `size` items, highest first.

        Different sets of equal reward count apart; -inf fills up if there are fewer sets.
        """
        best = torch.full((size + 1, count), -torch.inf, dtype=torch.float64)
        best[0, 0] = 0
        for weight in -self.energies:  # row k: the best sets of k of the items so far
            grown = torch.cat([best[1:], best[:-1] + weight], 1)
            best = torch.cat([best[:1], grown.topk(count, dim=1).values])
        return best[size]

    @cache
    def _weights(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        return -constant(self.energies, device, dtype)


class PairwiseEnergy(SetReward):
    r"""log R(x) = -sum_i e_i - sum_{i < j} J_ij over the items of x: items attract or repel.

    Args:
        energies: (n,) float energies e_i.
        interactions: (n, n) float J, symmetric; its diagonal is not read.

    Raises:
        ConfigError: If J is not symmetric.
    """

    def __init__(self, energies: Tensor, interactions: Tensor) -> None:
        check_shapes("PairwiseEnergy", energies=(energies, "n"), interactions=(interactions, "n n"))
        if not torch.equal(interactions, interactions.T):
            raise ConfigError("PairwiseEnergy: interactions must be symmetric; pass (J + J.T) / 2.")
        self.num_items = len(energies)
        # Members are 0 or 1, so that x_i = x_i^2 and the energies fit on the diagonal.
        self.matrix = interactions.double().triu(1) + energies.double().diag()

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, n) sets."""
        dtype = torch.get_default_dtype()
        members = states.to(dtype)
        return -((members @ self._weights(states.device, dtype)) * members).sum(-1)

    @cache
    def _weights(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        return constant(self.matrix, device, dtype)


class FixedSizeSets(DiscreteEnvironment[Tensor]):
    r"""Subsets of `size` out of `num_items` items.

    **What is built.** A set of `size` different items. **State.** (B, n) bool membership.

    **Forward actions.** i adds item i. A set with `size` items is finished.

    **Backward actions.** i removes item i. All |s|! trajectories to s are equally likely under the
    uniform backward policy, which is thus the maximum-entropy one.

    **Reward.** Any `LogReward` of membership bits: `AdditiveEnergy`, `PairwiseEnergy`.

    **Size.** C(n, size) objects, sum of C(n, k) over k <= size states. Keys up to 62 items.

    Args:
        num_items: n.
        size: Items of a finished set, 1 <= size <= n.
        reward: By default all sets are equally good.

    Example:
        >>> env = FixedSizeSets(3, size=2)
        >>> sets = env.step(env.initial(1), torch.tensor([2]))
        >>> env.show(sets), env.forward_mask(sets).int().tolist()
        (['{2}'], [[1, 1, 0]])

    Reference:
        Pan et al., Better Training of GFlowNets with Local Credit and Incomplete Trajectories,
        2023, https://arxiv.org/abs/2302.01687
    """

    def __init__(self, num_items: int, size: int, reward: LogReward[Tensor] | None = None) -> None:
        if not 1 <= size <= num_items:
            raise ConfigError(
                f"FixedSizeSets: size must lie between 1 and the number of items, got size={size} "
                f"of {num_items}."
            )
        self.num_items, self.size = num_items, size
        self.reward = AdditiveEnergy(torch.zeros(num_items)) if reward is None else reward
        if isinstance(self.reward, SetReward) and self.reward.num_items != num_items:
            raise ConfigError(
                f"FixedSizeSets: the reward {self.reward!r} is for {self.reward.num_items} items, "
                f"the sets are of {num_items}. Build both with the same number."
            )
        self.num_actions = self.num_backward_actions = num_items
        self.horizon = size
        self.feature_sizes = (2,) * num_items
        if num_items <= KEYED_ITEMS:
            self.num_keys = 2**num_items
        else:
            self.has_keys = False  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, n) empty sets."""
        return torch.zeros(batch_size, self.num_items, dtype=torch.bool, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, n) items outside, unless the set is full."""
        return ~(states | self.is_terminal(states)[:, None])

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, n) items inside."""
        return states

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) the set is full."""
        return states.sum(-1) >= self.size

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) all items belong to the object."""
        return (~states | objects).all(-1)

    def encode(self, states: Tensor) -> Tensor:
        """(B, n) int64 membership."""
        return states.long()

    def key(self, states: Tensor) -> Tensor:
        """(B,) the members as bits of a number."""
        return (states * self._bits(states.device)).sum(-1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """(2^n, n) all subsets; the empty one in place of those that are never built."""
        if self.num_keys is None:
            return None
        keys = torch.arange(self.num_keys, device=device)
        subsets = (keys[:, None] & self._bits(keys.device)) > 0
        return subsets & (subsets.sum(-1, keepdim=True) <= self.size)

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, n) zeros: equally many trajectories reach every parent."""
        return torch.zeros(states.shape, device=states.device)

    def log_partition(self) -> float | None:
        """Log Z of additive energies."""
        return self.reward.log_partition(self.size) if isinstance(self.reward, SetReward) else None

    def show(self, states: Tensor) -> list[str]:
        """Members."""
        return ["{" + ", ".join(map(str, row.nonzero().flatten().tolist())) + "}" for row in states]

    def written(self, states: Tensor) -> list[Any]:
        """Members in order, as tuples of integers."""
        return [tuple(row.nonzero().flatten().tolist()) for row in states]

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], True)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], False)

    @cache
    def _bits(self, device: torch.device) -> Tensor:
        return 1 << torch.arange(self.num_items, device=device)


# The three published tasks: ten distinct energies a ... j, which item has which, and the set size.
_PUBLISHED: dict[str, tuple[int, str, list[float]]] = {
    "small": (
        20,
        "gjcjhhbfaeaigdgedbajhcffibiced",
        [
            -0.4381397850674522, -0.40046449111789073, -0.2745059751263419, 0.013149744911117978,
            0.4110535720923896, 0.6261749162235306, 0.6961474461702144, 0.7442282139370466,
            0.8206350287761408, 0.883494921538938,
        ],
    ),
    "medium": (
        60,
        "cgiadjgjahicbbdahdeccdfihbfagfedcbjdhdfcficbifiggieecgfbdjiejhbahgjafahhgjejaeeb",
        [
            -0.7866830411595669, -0.7837872949891345, -0.5230497555411129, -0.41860806745880197,
            -0.3855205729595568, 0.2961218224370139, 0.5731802451199923, 0.6009291618806774,
            0.6881812517688572, 0.7396350970666805,
        ],
    ),
    "large": (
        80,
        "eeaafdjdbighiajbbfcicafjheebjfjgegddafacfafijhfhdeibbcjhhaidgbigjdcegbebficaecjgdaihdccgghfe"
        "hhcbidgj",
        [
            -0.8596854107736154, -0.5938789622812419, -0.5596177369051512, -0.4589997720511263,
            -0.15382957507887518, 0.13832182722858843, 0.3925029176153736, 0.7231982581431591,
            0.7326989860019331, 0.9244538380742333,
        ],
    ),
}  # fmt: skip


def published_sets(name: str) -> FixedSizeSets:
    """The set generation tasks "small" (30 items), "medium" (80) and "large" (100) of Pan et al.

    Raises:
        UnknownNameError: With the known names.
    """
    if name not in _PUBLISHED:
        raise UnknownNameError("published set task", name, _PUBLISHED)
    size, items, energies = _PUBLISHED[name]
    table = torch.tensor(energies, dtype=torch.float64)
    which = torch.tensor([ord(letter) - ord("a") for letter in items])
    return FixedSizeSets(len(items), size, AdditiveEnergy(table[which]))
