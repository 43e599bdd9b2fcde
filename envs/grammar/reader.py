"""What networks read: of a forest a vector for each tree, of a sentence one for log Z."""

import torch
from torch import Tensor, nn

from gflow.envs.grammar.forest import Forest, children, roots


class TreeReader(nn.Module):
    """Vectors of words, and of nodes from their label and the vectors of their children.

    h = e_label + f([e_label, h_left, h_right]), with a perceptron f. Nodes are read from the
    smallest to the largest, the k-th smallest of all forests at once.

    Args:
        vocabulary: V.
        nonterminals: N.
        width: Size of the vectors.
    """

    def __init__(self, vocabulary: int, nonterminals: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary + 1, width)  # the last is none
        self.label = nn.Embedding(nonterminals + 1, width)
        self.join = nn.Sequential(
            nn.Linear(3 * width, width),
            nn.ELU(),
            nn.Linear(width, width),
            nn.ELU(),
            nn.Linear(width, width),
        )

    def words(self, words: Tensor) -> Tensor:
        """(B, L, width) vectors of words."""
        read: Tensor = self.word(words.where(words >= 0, self.word.num_embeddings - 1))
        return read

    def node(self, label: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """(..., width) vectors of nodes, from labels and the vectors of their children."""
        own = self.label(label)
        read: Tensor = own + self.join(torch.cat([own, left, right], -1))
        return read

    def nodes(self, forest: Forest) -> Tensor:
        """(B, G, width) vectors of the nodes; zero where there is none."""
        leaf = self.words(forest.words)
        batch, gaps = forest.label.shape
        row = torch.arange(batch, device=leaf.device)
        first, second = children(forest)
        size = (forest.right - forest.left).where(forest.joined, gaps + 2)
        order = size.argsort(dim=-1, stable=True)
        # Vectors of words and, after them, of nodes, each written once: the k-th smallest node of
        # every forest is joined from what stands at its children by then.
        slots = list(leaf.unbind(1))
        place = torch.full((batch, gaps), -1, device=leaf.device)
        deepest = int(forest.joined.sum(-1).max()) if batch and gaps else 0
        for k in range(deepest):
            gap = order[:, k]
            vectors = torch.stack(slots, 1)
            one, two = first[row, gap], second[row, gap]
            left = place[row, one.clamp(min=0)].where(one >= 0, gap)
            right = place[row, two.clamp(min=0)].where(two >= 0, gap + 1)
            slots.append(self.node(forest.label[row, gap], vectors[row, left], vectors[row, right]))
            place[row, gap] = len(slots) - 1
        vectors = torch.stack(slots, 1)
        found = vectors.gather(1, place.clamp(min=0)[..., None].expand(-1, -1, vectors.shape[-1]))
        return found.where(forest.joined[..., None], 0.0)


def tops(forest: Forest, leaf: Tensor, node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The trees of forests from left to right.

    Args:
        forest: B forests.
        leaf: (B, L, D) vectors of words.
        node: (B, G, D) vectors of nodes.

    Returns:
        (B, L, D) vectors of the trees, (B,) how many there are, and (B, L) the gap behind each.
    """
    size = leaf.shape[1]
    top = roots(forest)
    # A tree is put at its first word; the last column takes what is no root.
    begin = forest.left.where(top, size)[..., None].expand(-1, -1, leaf.shape[-1])
    vector = torch.nn.functional.pad(leaf, (0, 0, 0, 1)).scatter(1, begin, node)[:, :size]
    free = torch.nn.functional.pad(~forest.joined, (1, 0), value=True)
    opens = free & (forest.words >= 0)
    order = (~opens).long().argsort(dim=-1, stable=True)  # first words of trees, in their order
    vector = vector.gather(1, order[..., None].expand(-1, -1, vector.shape[-1]))
    count = opens.sum(-1)
    behind = torch.nn.functional.pad(order[:, 1:] - 1, (0, 1), value=size - 2)
    return vector, count, behind


class SentenceEncoder(nn.Module):
    """Sums over words: of their embeddings, and of one for each place.

    log p of a sentence is about a sum over its words, which this makes easy to learn.

    Args:
        vocabulary: V.
        out_features: Numbers given.
    """

    def __init__(self, vocabulary: int, out_features: int) -> None:
        super().__init__()
        self.out_features = out_features
        self.word = nn.Embedding(vocabulary, out_features)
        self.after = nn.Bilinear(out_features, out_features, out_features)

    def forward(self, words: Tensor) -> Tensor:
        """(N, out_features) of sentences (N, L)."""
        there = (words >= 0)[..., None]
        read = self.word(words.clamp(min=0)).where(there, 0.0)
        pairs = torch.tanh(self.after(read[:, :-1], read[:, 1:])).where(there[:, 1:], 0.0)
        total: Tensor = read.sum(1) + pairs.sum(1)
        return total
