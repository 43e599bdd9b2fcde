"""A small variational autoencoder of handwritten digits, trained on the spot."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from gflow.envs.targets.logistic import sklearn_datasets

PIXELS, HIDDEN, LATENT = 64, 64, 8
TRAINING_IMAGES = 1500
"""The first so many of 1797 train the network."""


class DigitsVAE(nn.Module):
    r"""Encoder 64-64-(8, 8) and decoder 8-64-64 with ReLU, for 8 by 8 pixels in [0, 1].

    Always float32, so that a seed means the same network whatever torch's default.

    Args:
        generator: Source of the initial weights.

    Reference:
        Kingma and Welling, Auto-encoding variational Bayes, 2013, https://arxiv.org/abs/1312.6114
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()

        def linear(inputs: int, outputs: int) -> nn.Linear:
            layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float32)
            bound = 1 / math.sqrt(inputs)
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)
            return layer

        self.encoder = nn.Sequential(linear(PIXELS, HIDDEN), nn.ReLU(), linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(linear(LATENT, HIDDEN), nn.ReLU(), linear(HIDDEN, PIXELS))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 8) mean and (B, 8) log-variance of the approximate posterior of (B, 64) images."""
        mean, log_variance = self.encoder(images.float()).chunk(2, -1)
        return mean, log_variance

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """() minus the evidence bound, mean over (B, 64) images."""
        mean, log_variance = self.encode(images)
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float32)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        misfit = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return (misfit + kl) / len(images)


@cache
def digits() -> Tensor:
    """(1797, 64) float32 scikit-learn's handwritten digits, in [0, 1].

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    images = sklearn_datasets("The handwritten digits").load_digits().data
    return torch.as_tensor(images, dtype=torch.float32) / 16


@cache
def trained_vae(seed: int = 0, epochs: int = 100) -> DigitsVAE:
    """The network after so many epochs of Adam (1e-3, batches of 128); kept in memory.

    It seeds nothing but its own generator.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    generator = torch.Generator().manual_seed(seed)
    model, images = DigitsVAE(generator), digits()[:TRAINING_IMAGES]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator)
            for rows in order.split(128):
                optimizer.zero_grad()
                model.loss(images[rows], generator).backward()
                optimizer.step()
    return model.requires_grad_(False).eval()
