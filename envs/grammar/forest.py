"""States of the parser: ordered forests of labelled binary trees over the words of a sentence."""

from dataclasses import dataclass

import torch
from torch import Tensor

NO_WORD = -1
"""What stands behind the last word of a sentence."""


@dataclass(frozen=True)
class Forest:
    """Sentences of up to L words, and trees over neighbouring words.

    Each inner node of a tree splits its words at one of the G = L - 1 gaps between neighbours, and
    no other node splits there, so nodes are numbered by their gaps: gap g lies behind word g. The
    words of a tree are those between two gaps without a node.

    Attributes:
        words: (B, L) int64, `NO_WORD` at the end of shorter sentences.
        label: (B, G) int64 nonterminal of the node at each gap, N where there is none.
        left: (B, G) int64 first word under the node; 0 where there is none.
        right: (B, G) int64 first word after it; 0 where there is none.
    """

    words: Tensor
    label: Tensor
    left: Tensor
    right: Tensor

    @property
    def length(self) -> Tensor:
        """(B,) words of each sentence."""
        return (self.words != NO_WORD).sum(-1)

    @property
    def joined(self) -> Tensor:
        """(B, G) bool: there is a node at the gap."""
        return self.right > 0

    @property
    def gaps(self) -> Tensor:
        """(B, G) bool: the gap lies between two words."""
        return self.words[:, 1:] != NO_WORD

    @property
    def complete(self) -> Tensor:
        """(B,) bool: one tree holds all words."""
        return (self.joined | ~self.gaps).all(-1)


def extents(forest: Forest) -> tuple[Tensor, Tensor]:
    """(B, G) first word, and first word after, of what a node at each gap holds if it is on top."""
    place = torch.arange(forest.label.shape[1], device=forest.label.device)
    free = ~forest.joined
    # The last free gap before each gap, and the first one after it.
    before = torch.where(free, place + 1, 0).cummax(-1).values
    start = torch.nn.functional.pad(before[:, :-1], (1, 0))
    after = torch.where(free, place + 1, place.shape[0] + 1).flip(-1).cummin(-1).values.flip(-1)
    end = torch.nn.functional.pad(after[:, 1:], (0, 1), value=place.shape[0] + 1)
    return start, torch.minimum(end, forest.length[:, None])


def roots(forest: Forest) -> Tensor:
    """(B, G) bool: the node at the gap is the root of its tree."""
    start, end = extents(forest)
    return forest.joined & (forest.left == start) & (forest.right == end)


def children(forest: Forest) -> tuple[Tensor, Tensor]:
    """(B, G) gaps of the left and right child of each node; -1 for a word, or without a node."""
    left, right, joined = forest.left, forest.right, forest.joined
    split = torch.arange(left.shape[1], device=left.device)[:, None] + 1  # of the parent
    above, below = joined[:, :, None], joined[:, None, :]
    same_left, same_right = left[:, :, None] == left[:, None], right[:, :, None] == right[:, None]
    first = above & below & same_left & (right[:, None] == split)  # (B, parent, child)
    second = above & below & same_right & (left[:, None] == split)
    return _place(first), _place(second)


def parents(forest: Forest) -> Tensor:
    """(B, G) gap of the parent of each node; -1 for roots, or without a node."""
    one, two = children(forest)
    gaps = torch.arange(one.shape[1], device=one.device)
    found = (one[:, :, None] == gaps) | (two[:, :, None] == gaps)  # (B, parent, child)
    return _place(found.transpose(1, 2))


def _place(found: Tensor) -> Tensor:
    """(..., ) index of what is true along the last dimension, or -1."""
    return torch.where(found.any(-1), found.long().argmax(-1), -1)


def spans(forest: Forest) -> Tensor:
    """(B, L, L + 1) bool: nodes by their first word and the first word after them."""
    batch, size = forest.words.shape
    rows, gaps = forest.joined.nonzero(as_tuple=True)
    table = torch.zeros(batch, size, size + 1, dtype=torch.bool, device=forest.words.device)
    table[rows, forest.left[rows, gaps], forest.right[rows, gaps]] = True
    return table
