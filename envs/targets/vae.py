"""The posterior over the latent code of an image: one density for each image."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.envs.targets.digits_vae import LATENT, PIXELS, TRAINING_IMAGES, digits, trained_vae
from gflow.errors import ConfigError, ShapeError
from gflow.mcmc.laplace import student_log_density

CLAMP = 1e-5
DEGREES = 5
CHUNK = 2**16
"""Images times samples evaluated at a time."""


class VAEPosterior(Target):
    r"""Latent codes z of an image x under a decoder p; a target for each condition x.

    .. math::
        \log R(z; x) = \log N(z; 0, I) + \sum_j x_j \log p_j(z) + (1 - x_j) \log(1 - p_j(z))

    with p clamped to [1e-5, 1 - 1e-5]. The network is a small VAE that is trained on scikit-learn's
    digits when first asked for, in a few seconds, from a seed. log Z of an image is the log of its
    marginal likelihood; `log_marginal` estimates it.

    Args:
        seed: Of the network's training.
        epochs: Of the network's training.

    Attributes:
        train_images: (1500, 64) float64 in [0, 1], those that the network has seen.
        test_images: (297, 64) float64, those that it has not.

    Raises:
        MissingExtraError: If scikit-learn is not installed.

    Reference:
        Sendera et al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098 (there with 28 by 28 pixels and 20 latents)
    """

    dim, condition_dim = LATENT, PIXELS

    def __init__(self, seed: int = 0, epochs: int = 100) -> None:
        self.seed, self.epochs = seed, epochs
        self.model = trained_vae(seed, epochs)
        images = digits().double()
        self.train_images, self.test_images = images[:TRAINING_IMAGES], images[TRAINING_IMAGES:]
        first: Any = self.model.decoder[0]
        last: Any = self.model.decoder[2]
        self.weight_in: Tensor = first.weight.double()
        self.bias_in: Tensor = first.bias.double()
        self.weight_out: Tensor = last.weight.double()
        self.bias_out: Tensor = last.bias.double()

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log R.

        Args:
            x: (..., 8) latent codes.
            condition: (..., 64) images.

        Raises:
            ConfigError: Without images.
        """
        x = self.checked(x)
        image = self._image(condition, x)
        hidden = (x @ self.constant("weight_in", x).mT + self.constant("bias_in", x)).relu()
        logits = hidden @ self.constant("weight_out", x).mT + self.constant("bias_out", x)
        # log p and log(1 - p) from the logit, clamped where clamping p would clamp it
        edge = math.log((1 - CLAMP) / CLAMP)
        logits = logits.clamp(-edge, edge)
        fit = image * logits - torch.nn.functional.softplus(logits)
        return fit.sum(-1) - (x.square().sum(-1) + self.dim * math.log(2 * math.pi)) / 2

    def conditions(
        self, count: int, generator: torch.Generator | None = None, test: bool = False
    ) -> Tensor:
        """(count, 64) images drawn with replacement from the training set, or the test set.

        In torch's default precision, on the device of the generator.
        """
        images = self.test_images if test else self.train_images
        home = torch.device("cpu") if generator is None else generator.device
        rows = torch.randint(len(images), (count,), generator=generator, device=home).cpu()
        return images[rows].to(dtype=torch.get_default_dtype(), device=home)

    def log_marginal(
        self, images: Tensor, draws: int = 1000, generator: torch.Generator | None = None
    ) -> Tensor:
        r"""(B,) estimate of log Z of each of (B, 64) images.

        Importance sampling from a Student t with the encoder's mean and one and a half times its
        standard deviation. Each image has its own average, so the mean over images is a mean of
        lower bounds of log Z (papers have averaged weights over images, which is not).
        """
        mean, log_variance = (v.to(images) for v in self.model.encode(images.cpu()))
        std = 1.5 * (log_variance / 2).exp()
        size: dict[str, Any] = {
            "generator": generator,
            "dtype": images.dtype,
            "device": images.device,
        }
        parts = []
        for rows in torch.arange(draws).split(max(1, CHUNK // max(1, len(images)))):
            noise = torch.randn(len(rows), *mean.shape, **size)
            chi = torch.randn(len(rows), len(mean), DEGREES, **size).square().sum(-1, keepdim=True)
            noise = noise / (chi / DEGREES).sqrt()
            log_q = student_log_density(noise, DEGREES) - std.log().sum(-1)
            log_r = self.log_density(mean + std * noise, images)
            parts.append((log_r - log_q).logsumexp(0))
        return torch.stack(parts).logsumexp(0) - math.log(draws)

    def _image(self, condition: Tensor | None, x: Tensor) -> Tensor:
        if condition is None:
            raise ConfigError(
                f"{self!r}: the posterior is of an image. Give images (..., 64) as `condition`, "
                f"for instance from `conditions`."
            )
        if condition.shape[-1] != PIXELS:
            raise ShapeError(
                f"{self!r}: the condition must have shape (..., {PIXELS}), got "
                f"{tuple(condition.shape)}."
            )
        return condition.to(x.dtype)

    def __repr__(self) -> str:
        return f"VAEPosterior(seed={self.seed}, epochs={self.epochs})"
