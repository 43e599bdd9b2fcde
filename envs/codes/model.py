"""Pictures that are drawn from grids of codes: p(x, z) = p(z) p(x | z)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.model import LatentModel
from gflow.envs.codes.prior import CodePrior
from gflow.errors import IncompatibleError

LISTED = 2**16
"""So many grids of codes are listed at most."""


class Decoder(nn.Module):
    """Codes to the logits of pixels: a vector for each code, and a perceptron that reads them all.

    Initial weights are large enough for codes to matter from the start: a decoder that hardly reads
    them teaches the sampler to ignore the picture, and that the decoder to ignore the codes.

    Args:
        cells: L, of the grid.
        symbols: K, how many codes there are.
        pixels: P, of a picture.
        width: Units of the two hidden layers.
        embedding: D, of the vector of a code.
    """

    @checked
    def __init__(
        self,
        cells: Count,
        symbols: Count,
        pixels: Count,
        width: Count = 128,
        embedding: Count = 1,
    ) -> None:
        super().__init__()
        self.book = nn.Parameter(torch.randn(symbols, embedding))
        self.layers: Any = nn.Sequential(
            nn.Linear(cells * embedding, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, pixels),
        )
        for parameter in self.layers.parameters():
            if parameter.dim() == 2:
                nn.init.kaiming_normal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """(B, P) logits of (B, L) codes."""
        return self.of_vectors(self.book[z])

    def of_vectors(self, vectors: Tensor) -> Tensor:
        """(B, P) logits of (B, L, D) vectors in place of codes."""
        logits: Tensor = self.layers(vectors.flatten(1))
        return logits


class CodeModel(LatentModel):
    r"""A prior of codes, and black and white pictures drawn from them pixel by pixel.

    .. math:: \log p(x, z) = \log p(z) + \sum_j x_j \log \sigma(d_j(z))
              + (1 - x_j) \log(1 - \sigma(d_j(z)))

    Args:
        decoder: d, codes to logits of pixels.
        prior: p(z).
    """

    def __init__(self, decoder: Decoder, prior: CodePrior) -> None:
        super().__init__()
        self.decoder, self.prior = decoder, prior

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """(B,) log p(x, z) of (B, P) pictures and (B, L) codes."""
        return self.prior.log_prob(z) + self.log_likelihood(x, z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """(B,) log p(x | z)."""
        return bernoulli(x, self.decoder(z))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """`count` pictures and the codes that they were drawn from."""
        z = self.prior.sample(count, generator)
        x = torch.bernoulli(self.decoder(z).sigmoid(), generator=generator)
        return x, z

    # ------------------------------------------------------------------ exactly, over all codes

    @property
    def listable(self) -> bool:
        """Whether all grids of codes can be listed."""
        return bool(self.prior.symbols**self.prior.cells <= LISTED)

    def every_code(self) -> Tensor:
        """(K^L, L) all grids of codes.

        Raises:
            IncompatibleError: If there are too many.
        """
        k, cells = self.prior.symbols, self.prior.cells
        if not self.listable:
            raise IncompatibleError(
                f"CodeModel: {k}^{cells} grids of codes are too many to list. Estimate with "
                f"samples of a policy (`test_nll`), or use fewer cells or codes."
            )
        device = self.decoder.book.device
        radix = k ** torch.arange(cells, device=device)
        return torch.arange(k**cells, device=device)[:, None] // radix % k

    def log_joint(self, x: Tensor) -> Tensor:
        """(B, K^L) log p(x, z) of (B, P) pictures with all codes, in the order of `every_code`."""
        z = self.every_code()
        logits = self.decoder(z)
        drawn = torch.addmm(-F.softplus(logits).sum(-1), x, logits.mT)
        return drawn + self.prior.log_prob(z)

    def log_marginal(self, x: Tensor) -> Tensor:
        """(B,) exact log p(x)."""
        return self.log_joint(x).logsumexp(-1)


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """(B,) log-probability of (B, P) zeros and ones."""
    return (x * logits - F.softplus(logits)).sum(-1)
