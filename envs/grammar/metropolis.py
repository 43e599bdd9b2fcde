"""Markov chains of trees: rotations and changes of labels, as Monte-Carlo EM uses them."""

from dataclasses import replace

import torch
from torch import Tensor

from gflow.envs.grammar.forest import NO_WORD, Forest, parents
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import expansions, log_joint
from gflow.state import where


def rotated(forest: Forest, gap: Tensor) -> Forest:
    """B finished trees, in each of which the node at `gap` (B,) takes the place of its parent.

    The parent becomes its child, and keeps what the node does not hold; labels stay at their gaps.
    The same node is undone by rotating the former parent. Where the node is the topmost, or there
    is none, nothing changes.
    """
    at = gap[:, None]
    above = parents(forest).gather(1, at)
    safe = above.clamp(min=0)
    begin, end = forest.left.gather(1, safe), forest.right.gather(1, safe)
    split = at + 1
    left = forest.left.scatter(1, at, begin).scatter(1, safe, torch.where(at < safe, split, begin))
    right = forest.right.scatter(1, at, end).scatter(1, safe, torch.where(at < safe, end, split))
    return where(above.squeeze(1) >= 0, replace(forest, left=left, right=right), forest)


def relabelled(forest: Forest, gap: Tensor, label: Tensor) -> Forest:
    """B trees with another label (B,) at the gap (B,)."""
    return replace(forest, label=forest.label.scatter(1, gap[:, None], label[:, None]))


def random_trees(
    words: Tensor, nonterminals: int, generator: torch.Generator | None = None
) -> Forest:
    """A tree for each of B sentences (B, L): gaps are joined in random order, labels are random."""
    batch, size = words.shape[0], words.shape[1] - 1
    device = words.device
    there = words[:, 1:] != NO_WORD
    # Gaps that are joined later hold those that are joined before.
    coin = torch.rand(batch, size, generator=generator, device=device, dtype=torch.float64)
    wall = torch.where(there, coin, 2.0)
    place = torch.arange(size, device=device)
    higher = wall[:, None, :] > wall[:, :, None]  # (B, gap, other)
    before = higher & (place < place[:, None])
    after = higher & (place > place[:, None])
    left = torch.where(before, place + 1, 0).amax(-1)
    length = (words != NO_WORD).sum(-1)[:, None, None]
    right = torch.where(after, place + 1, length).amin(-1)
    label = torch.randint(nonterminals, (batch, size), generator=generator, device=device)
    return Forest(
        words,
        label.where(there, nonterminals),
        left.where(there, 0),
        right.where(there, 0),
    )


class TreeChains:
    """Metropolis chains over the trees of sentences, one for each, alternating two moves.

    A node that is not the topmost, drawn evenly, is rotated; then a node, drawn evenly, gets a
    label drawn evenly. Both are as likely as what undoes them, so a candidate is accepted with the
    ratio of the probabilities alone, and p(tree | words) is left as it is.

    Args:
        rules: The grammar.
        forest: B finished trees: where the chains start.
        generator: Source of all randomness.
    """

    def __init__(
        self, rules: Rules, forest: Forest, generator: torch.Generator | None = None
    ) -> None:
        self.rules, self.forest, self.generator = rules.detached(), forest, generator
        self.table = expansions(self.rules)
        self.log_p = log_joint(self.rules, forest, self.table)

    def run(self, steps: int) -> Forest:
        """Where the chains are after so many candidates."""
        for step in range(steps):
            self._judge(self._rotation() if step % 2 == 0 else self._label())
        return self.forest

    def _rotation(self) -> Forest:
        return rotated(self.forest, self._drawn(parents(self.forest) >= 0))

    def _label(self) -> Forest:
        label = torch.randint(
            self.rules.nonterminals,
            (len(self.log_p),),
            generator=self.generator,
            device=self.log_p.device,
        )
        return relabelled(self.forest, self._drawn(self.forest.joined), label)

    def _drawn(self, among: Tensor) -> Tensor:
        """(B,) one of the gaps that are true in (B, G), each as likely; any where none is."""
        coin = torch.rand(among.shape, generator=self.generator, device=among.device)
        return coin.where(among, -1.0).argmax(-1)

    def _judge(self, candidate: Forest) -> None:
        log_p = log_joint(self.rules, candidate, self.table)
        coin = torch.rand(
            log_p.shape, generator=self.generator, device=log_p.device, dtype=log_p.dtype
        )
        accepted = coin.log() < log_p - self.log_p
        self.forest = where(accepted, candidate, self.forest)
        self.log_p = torch.where(accepted, log_p, self.log_p)
