"""Phylogenetic trees: forests of rooted trees, joined two by two, scored by parsimony."""

import re
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.phylogeny.alignments import Alignment
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.state import batch_size, take

LARGEST_KEY = 2**62
CHUNK_BYTES = 2**28
"""Parsimony of large batches is computed in parts with at most so much memory for their sets."""


@dataclass(frozen=True)
class Forest:
    """Rooted binary trees over N leaves, each tree in the slot of its lowest leaf.

    When the trees in slots i < j are joined, j is taken into i. Each slot is taken in once at
    most, and the sizes of the clades that this made tell in which order a slot took in others, so
    that the same forest is written alike, however it was built.

    Attributes:
        into: (B, N) int64 slot that took in slot j; N if none has.
        made: (B, N) int64 leaves of the clade that this made; 0 if none has.
        leaves: (B, N) int64 leaves in the slot, or when it was taken in.
    """

    into: Tensor
    made: Tensor
    leaves: Tensor


class Parsimony(LogReward[Forest]):
    r"""log R = (C - mutations) / scale, with the fewest mutations that explain the alignment.

    By Fitch's algorithm on sets of nucleotides, for all columns and trees of a batch at once.
    Unfinished forests count the mutations within their trees and their share of C.

    Args:
        alignment: Sequences at the leaves.
        baseline: C, about the mutations of a good tree, so that rewards are of order one.
        scale: Mutations per unit of log R.

    Reference:
        Fitch, Toward Defining the Course of Evolution, 1971; Zhou et al., PhyloGFN, 2024,
        https://arxiv.org/abs/2310.08774
    """

    has_partial = True

    def __init__(self, alignment: Alignment, baseline: float = 0.0, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ConfigError(f"Parsimony: scale must be positive, got {scale}.")
        self.alignment, self.baseline, self.scale = alignment, baseline, scale

    def mutations(self, states: Forest) -> Tensor:
        """(B,) mutations within the trees of each forest."""
        per_row = max(1, self.alignment.patterns.numel())
        size = max(1, CHUNK_BYTES // per_row)
        rows = torch.arange(batch_size(states), device=states.into.device)
        return torch.cat([self._fitch(take(states, part)) for part in rows.split(size)])

    def __call__(self, states: Forest, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        joins = (states.made > 0).sum(-1)
        share = self.baseline * joins / (len(self.alignment.names) - 1)
        return (share - self.mutations(states)) / self.scale

    def _fitch(self, states: Forest) -> Tensor:
        patterns, weights = self._tables(states.into.device, torch.get_default_dtype())
        count, slots = states.into.shape
        rows = torch.arange(count, device=patterns.device)
        # A clade is larger than those it contains: small ones first is bottom up.
        never = states.made == 0
        order = states.made.masked_fill(never, 2 * slots).argsort(-1)
        sets = patterns.expand(count, -1, -1).clone()  # (B, N, P)
        total = weights.new_zeros(count)
        for j in order.T[: slots - 1]:
            real = ~never[rows, j]
            i = states.into[rows, j].clamp(max=slots - 1)
            one, two = sets[rows, i], sets[rows, j]
            both = one & two
            mutated = (both == 0) & real[:, None]
            total = total + mutated.to(weights.dtype) @ weights
            joined = torch.where(mutated, one | two, both)
            sets[rows, i] = torch.where(real[:, None], joined, one)
        return total

    @cache
    def _tables(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return self.alignment.patterns.to(device), self.alignment.weights.to(device, dtype)

    def __repr__(self) -> str:
        return (
            f"Parsimony({len(self.alignment.names)} taxa, {self.alignment.num_sites} sites, "
            f"baseline={self.baseline:g}, scale={self.scale:g})"
        )


class Phylogeny(DiscreteEnvironment[Forest]):
    r"""Rooted binary trees over named leaves.

    **What is built.** A rooted tree. **State.** `Forest`; at first every leaf is a tree.

    **Forward actions.** One for each pair i < j of slots, in the order of `torch.triu_indices`:
    join the trees there under a new root. With one tree left the object is finished.

    **Backward actions.** j - 1 takes the slot j out again, if the root of a tree was made by
    taking it in: one for each tree with more than one leaf. A tree with k joins is built in
    k! / prod (joins within each clade) orders; hence the maximum-entropy backward policy.

    **Reward.** `Parsimony`, or any `LogReward` of forests.

    **Size.** (2N - 3)!! trees. Keys up to 11 leaves.

    Args:
        reward: How good a tree is.
        leaves: N, at least 2; read from the alignment if the reward is `Parsimony`.

    Example:
        >>> env = Phylogeny(Parsimony(Alignment.from_sequences({"a": "AC", "b": "AG", "c": "TG"})))
        >>> forest = env.step(env.initial(1), torch.tensor([2]))
        >>> env.show(forest), env.forward_mask(forest).int().tolist()
        (['a; (b,c);'], [[1, 0, 0]])

    Reference:
        Zhou et al., PhyloGFN: Phylogenetic inference with generative flow networks, 2024,
        https://arxiv.org/abs/2310.08774
    """

    def __init__(self, reward: LogReward[Forest], leaves: int | None = None) -> None:
        names: tuple[str, ...] | None = None
        if isinstance(reward, Parsimony):
            names = reward.alignment.names
            leaves = len(names) if leaves is None else leaves
            if leaves != len(names):
                raise ConfigError(
                    f"Phylogeny: the reward {reward!r} has {len(names)} taxa, got leaves={leaves}."
                )
        if leaves is None or leaves < 2:
            raise ConfigError(f"Phylogeny: need at least 2 leaves, got {leaves}.")
        self.reward, self.leaves = reward, leaves
        self.names = names or tuple(str(i) for i in range(leaves))
        self.num_actions = leaves * (leaves - 1) // 2
        self.num_backward_actions = self.horizon = leaves - 1
        self.feature_sizes = (leaves + 1,) * (2 * leaves - 2)
        # Slot j was taken in by one of j slots, making one of leaves - 1 sizes, or was not.
        self._radix = [1]
        for j in range(1, leaves):
            self._radix.append(self._radix[-1] * (1 + j * (leaves - 1)))
        if self._radix[-1] <= LARGEST_KEY:
            self.num_keys = self._radix.pop()
        else:
            self.has_keys = False  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Forest:
        """B forests of single leaves."""
        alone = torch.full((batch_size, self.leaves), self.leaves, device=device)
        return Forest(alone, torch.zeros_like(alone), torch.ones_like(alone))

    def forward_mask(self, states: Forest) -> Tensor:
        """(B, A) pairs of slots that both hold a tree."""
        i, j = self._pairs(states.into.device)
        roots = states.into == self.leaves
        return roots[:, i] & roots[:, j]

    def backward_mask(self, states: Forest) -> Tensor:
        """(B, N - 1) slots whose taking in made a root."""
        into = states.into[:, 1:]
        host = into.clamp(max=self.leaves - 1)
        top = (states.into == self.leaves).gather(1, host) & (into < self.leaves)
        return top & (states.made[:, 1:] == states.leaves.gather(1, host))

    def is_terminal(self, states: Forest) -> Tensor:
        """(B,) one tree holds all leaves."""
        return states.leaves[:, 0] == self.leaves

    def is_initial(self, states: Forest) -> Tensor:
        """(B,) nothing is joined."""
        return (states.made == 0).all(-1)

    def backward_action(self, states: Forest, actions: Tensor) -> Tensor:
        """(B,) the slot taken in, less one."""
        return self._pairs(actions.device)[1][actions] - 1

    def forward_action(self, states: Forest, backward_actions: Tensor) -> Tensor:
        """(B,) the pair of the slot taken out and the one that had taken it in."""
        j = backward_actions + 1
        i = states.into.gather(1, j[:, None]).squeeze(1).clamp(max=self.leaves - 1)
        return self._number(j.device)[i, j]

    def reaches(self, states: Forest, objects: Forest) -> Tensor:
        """(B,) the tree was made by these joins, among others."""
        same = (states.into == objects.into) & (states.made == objects.made)
        return (same | (states.made == 0)).all(-1)

    def encode(self, states: Forest) -> Tensor:
        """(B, 2 N - 2) who took in each slot but the first, and the size this made."""
        return torch.cat([states.into[:, 1:], states.made[:, 1:]], 1)

    def key(self, states: Forest) -> Tensor:
        """(B,) who took in whom, and the sizes, in mixed radix."""
        into, made = states.into[:, 1:], states.made[:, 1:]
        digit = (1 + into * (self.leaves - 1) + made - 2).where(made > 0, 0)
        return (digit * self._places(digit.device)).sum(-1)

    def max_entropy_logits(self, states: Forest) -> Tensor:
        """(B, N - 1) log of the joins in the tree whose root is taken back."""
        return (states.made[:, 1:] - 1).clamp(min=1).to(torch.get_default_dtype()).log()

    def show(self, states: Forest) -> list[str]:
        """Newick, one tree after the other."""
        rows = zip(states.into.tolist(), states.made.tolist(), strict=True)
        return [self._newick(into, made) for into, made in rows]

    def _newick(self, into: list[int], made: list[int]) -> str:
        trees = [_newick_label(name) for name in self.names]
        for j in sorted(range(self.leaves), key=made.__getitem__):
            if made[j]:
                trees[into[j]] = f"({trees[into[j]]},{trees[j]})"
        return " ".join(f"{trees[j]};" for j in range(self.leaves) if not made[j])

    def _step(self, states: Forest, actions: Tensor) -> Forest:
        pairs = self._pairs(actions.device)
        i, j = pairs[0][actions][:, None], pairs[1][actions][:, None]
        size = states.leaves.gather(1, i) + states.leaves.gather(1, j)
        return Forest(
            states.into.scatter(1, j, i),
            states.made.scatter(1, j, size),
            states.leaves.scatter(1, i, size),
        )

    def _backstep(self, states: Forest, actions: Tensor) -> Forest:
        j = actions[:, None] + 1
        i = states.into.gather(1, j).clamp(max=self.leaves - 1)
        rest = states.made.gather(1, j) - states.leaves.gather(1, j)
        return Forest(
            states.into.scatter(1, j, self.leaves),
            states.made.scatter(1, j, 0),
            states.leaves.scatter(1, i, rest),
        )

    @cache
    def _places(self, device: torch.device) -> Tensor:
        return torch.tensor(self._radix, device=device)

    @cache
    def _pairs(self, device: torch.device) -> Tensor:
        """(2, A) slots of each action."""
        return torch.triu_indices(self.leaves, self.leaves, 1, device=device)

    @cache
    def _number(self, device: torch.device) -> Tensor:
        """(N, N) action of each pair of slots."""
        table = torch.zeros(self.leaves, self.leaves, dtype=torch.int64, device=device)
        i, j = self._pairs(device)
        table[i, j] = torch.arange(self.num_actions, device=device)
        return table


def _newick_label(name: str) -> str:
    """A name in quotation marks if it holds a sign that Newick gives a meaning."""
    if re.search(r"[\s()\[\]',:;]", name):
        return "'" + name.replace("'", "''") + "'"
    return name
