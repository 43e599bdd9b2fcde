"""What log Z reads of a sentence."""

import torch
from torch import Tensor, nn


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
