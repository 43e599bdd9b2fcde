"""How likely grids of codes are before any picture is seen."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Natural
from gflow.checks import checked


class CodePrior(nn.Module, ABC):
    """p(z) of codes on a square grid.

    Args:
        side: The grid has side x side cells.
        symbols: K.
    """

    def __init__(self, side: int, symbols: int) -> None:
        super().__init__()
        self.side, self.symbols, self.cells = side, symbols, side * side

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """(B,) log p of (B, L) codes."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, L) codes drawn from p."""


class UniformPrior(CodePrior):
    """All grids are equally likely."""

    def log_prob(self, z: Tensor) -> Tensor:
        """(B,) minus L log K."""
        dtype = torch.get_default_dtype()
        return torch.full(z.shape[:1], -self.cells * math.log(self.symbols), dtype=dtype).to(
            z.device
        )

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, L) uniform codes."""
        device = torch.device("cpu") if generator is None else generator.device
        shape = (count, self.cells)
        return torch.randint(self.symbols, shape, generator=generator, device=device)


class MaskedConv(nn.Conv2d):
    """A convolution that sees the cells before its own in raster order, as far as it reaches.

    Args:
        inputs: Channels.
        outputs: Channels.
        own: Whether it sees its own cell, too.
        reach: How many cells it sees to each side.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, own: bool, reach: int = 1) -> None:
        super().__init__(inputs, outputs, 2 * reach + 1, padding=reach)
        mask = torch.zeros(2 * reach + 1, 2 * reach + 1)
        mask[:reach], mask[reach, :reach], mask[reach, reach] = 1, 1, float(own)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, s, s)."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCNN(CodePrior):
    r"""Each code given those before it in raster order, by masked convolutions.

    .. math:: \log p(z) = \sum_i \log p(z_i \mid z_1, ..., z_{i-1})

    The first convolution sees all cells before its own (of narrow ones a stack stays blind to some
    in the row above); the others see 3 x 3, their own too. It starts as the uniform prior.

    Args:
        side: The grid has side x side cells.
        symbols: K.
        width: Channels.
        blocks: Residual convolutions after the first.

    Reference:
        van den Oord et al., Pixel recurrent neural networks, 2016, https://arxiv.org/abs/1601.06759
    """

    @checked
    def __init__(self, side: Count, symbols: Count, width: Count = 32, blocks: Natural = 2) -> None:
        super().__init__(side, symbols)
        self.first = MaskedConv(symbols, width, own=False, reach=max(1, side - 1))
        self.blocks: Any = nn.ModuleList(MaskedConv(width, width, True) for _ in range(blocks))
        self.last = nn.Conv2d(width, symbols, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def logits(self, z: Tensor) -> Tensor:
        """(B, L, K) of every code given those before it; later codes change nothing."""
        seen = F.one_hot(z, self.symbols).to(self.last.weight.dtype)
        x = self.first(seen.transpose(1, 2).unflatten(2, (self.side, self.side)))
        for block in self.blocks:
            x = x + block(x.relu())
        logits: Tensor = self.last(x.relu()).flatten(2).transpose(1, 2)
        return logits

    def log_prob(self, z: Tensor) -> Tensor:
        """(B,) the sum over cells."""
        each = self.logits(z).log_softmax(-1).gather(2, z[..., None])
        return each.flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, L) codes, cell by cell."""
        z = torch.zeros(count, self.cells, dtype=torch.int64, device=self.last.weight.device)
        for cell in range(self.cells):
            law = self.logits(z)[:, cell].softmax(-1)
            z[:, cell] = torch.multinomial(law, 1, generator=generator).squeeze(1)
        return z


PRIORS: dict[str, type[CodePrior]] = {"uniform": UniformPrior, "pixelcnn": PixelCNN}
"""By name, as on the command line."""
