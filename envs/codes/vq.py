"""The vector-quantised autoencoder, whose code of a picture is the nearest of a book of vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Part, Rate
from gflow.checks import checked
from gflow.envs.codes.model import Decoder, bernoulli
from gflow.envs.codes.policy import PictureNetwork
from gflow.envs.codes.prior import CodePrior


class QuantisedAutoencoder(nn.Module):
    r"""A picture goes to a vector for each cell, that to the nearest code, and codes to a picture.

    With vectors v and their codes' e the loss is

    .. math:: -\tfrac1P \log p(x \mid e) + \beta \operatorname{mean} (v - \operatorname{sg} e)^2

    whose gradient in e is passed on to v as it is. The book follows the vectors by moving averages
    of their number and sum.

    Args:
        decoder: From codes to pictures; its book of vectors is the codebook.
        cells: L, of the grid.
        pixels: P.
        width: Units of the encoder's hidden layer.
        commitment: beta.
        decay: Of the moving averages.

    Reference:
        van den Oord et al., Neural discrete representation learning, 2017,
        https://arxiv.org/abs/1711.00937
    """

    numbers: Tensor
    sums: Tensor

    @checked
    def __init__(
        self,
        decoder: Decoder,
        cells: Count,
        pixels: Count,
        width: Count = 128,
        commitment: Rate = 0.25,
        decay: Part = 0.99,
    ) -> None:
        super().__init__()
        self.decoder, self.cells = decoder, cells
        decoder.book.requires_grad_(False)
        self.encoder = PictureNetwork(pixels, width, cells * decoder.book.shape[1])
        self.commitment, self.decay = commitment, decay
        self.register_buffer("numbers", torch.ones(len(decoder.book)))
        self.register_buffer("sums", decoder.book.detach().clone())

    def vectors(self, x: Tensor) -> Tensor:
        """(B, L, D) what the encoder says of (B, P) pictures."""
        found: Tensor = self.encoder(x)
        return found.view(len(x), self.cells, -1)

    def nearest(self, vectors: Tensor) -> Tensor:
        """(B, L) the codes nearest to (B, L, D) vectors."""
        return torch.cdist(vectors, self.decoder.book).argmin(-1)

    def codes(self, x: Tensor) -> Tensor:
        """(B, L) codes of (B, P) pictures."""
        return self.nearest(self.vectors(x))

    def loss(self, x: Tensor) -> Tensor:
        """() the loss of (B, P) pictures; the book is moved by `follow`."""
        vectors = self.vectors(x)
        chosen = self.decoder.book[self.nearest(vectors)]
        passed = vectors + (chosen - vectors).detach()
        misfit = -bernoulli(x, self.decoder.of_vectors(passed)).mean() / x.shape[1]
        return misfit + self.commitment * F.mse_loss(vectors, chosen)

    @torch.no_grad()
    def follow(self, x: Tensor) -> None:
        """Move the book towards the vectors of (B, P) pictures."""
        vectors = self.vectors(x).flatten(0, 1)
        chosen = F.one_hot(self.nearest(vectors), len(self.numbers)).to(vectors)
        self.numbers.lerp_(chosen.sum(0), 1 - self.decay)
        self.sums.lerp_(chosen.mT @ vectors, 1 - self.decay)
        self.decoder.book.copy_(self.sums / self.numbers.clamp(min=1e-5)[:, None])

    @torch.no_grad()
    def begin(self, x: Tensor, generator: torch.Generator) -> None:
        """Put the book among the vectors of (B, P) pictures, on different ones where there are."""
        vectors, size = self.vectors(x).flatten(0, 1), len(self.numbers)
        distinct = vectors.unique(dim=0)
        order = torch.randperm(len(distinct), generator=generator)
        chosen = distinct[order[torch.arange(size) % len(distinct)]]
        self.numbers.fill_(len(vectors) / size)
        self.sums.copy_(chosen * self.numbers[:, None])
        self.decoder.book.copy_(chosen)


@checked
def fit_quantised(
    autoencoder: QuantisedAutoencoder,
    images: Tensor,
    generator: torch.Generator,
    steps: Count = 1000,
    batch_size: Count = 64,
    lr: Rate = 1e-3,
    optimizer: torch.optim.Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Train on (N, P) pictures, drawn at random.

    Args:
        autoencoder: Trained in place.
        images: The pictures.
        generator: Source of batches and of the first book.
        steps: Steps of Adam.
        batch_size: Pictures of a step.
        lr: Learning rate.
        optimizer: What an earlier call returned, to go on from there; the book stays then, too.

    Returns:
        The optimiser.
    """
    fresh = optimizer is None
    if optimizer is None:
        trained = [p for p in autoencoder.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr)
    for step in range(steps):
        x = images[torch.randint(len(images), (batch_size,), generator=generator)]
        if fresh and not step:
            autoencoder.begin(x, generator)
        loss = autoencoder.loss(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        autoencoder.follow(x)
    return optimizer


@checked
def fit_prior(
    prior: CodePrior,
    z: Tensor,
    generator: torch.Generator,
    steps: Count = 1000,
    batch_size: Count = 64,
    lr: Rate = 1e-3,
) -> None:
    """Fit a prior to (N, L) codes by maximum likelihood; nothing where it has no parameters.

    Args:
        prior: Trained in place.
        z: Codes of pictures.
        generator: Source of batches.
        steps: Steps of Adam.
        batch_size: Rows of a step.
        lr: Learning rate.
    """
    parameters = list(prior.parameters())
    if not parameters:
        return
    optimizer = torch.optim.Adam(parameters, lr)
    for _ in range(steps):
        rows = torch.randint(len(z), (batch_size,), generator=generator)
        loss = -prior.log_prob(z[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
