"""Points of the plane as bits: two whole numbers in Gray code."""

from typing import Annotated

import torch
from torch import Tensor

from gflow.bounds import Bounds, Positive
from gflow.checks import check_shapes, checked


class GrayCode:
    r"""Each coordinate in [-L, L) is one of 2^b cells, whose number is written in Gray code.

    .. math:: n = \lfloor 2^b (c + L) / 2 L \rfloor, \qquad g = n \oplus \lfloor n / 2 \rfloor

    Bits stand as values 1 and 2 of `EnergyModel`, the highest first, those of the first coordinate
    before those of the second. Points beyond the square go to its border.

    Args:
        reach: L.
        bits: b, of each coordinate.

    Attributes:
        sites: 2 b.

    Reference:
        Dai et al., Learning Discrete Energy-based Models via Auxiliary-variable Local Exploration,
        2020, https://arxiv.org/abs/2011.05363
    """

    @checked
    def __init__(self, reach: Positive, bits: Annotated[int, Bounds(1, 30)] = 16) -> None:
        self.reach, self.bits, self.sites = reach, bits, 2 * bits

    def encode(self, points: Tensor) -> Tensor:
        """(B, 2 b) int64 values 1 and 2 of (B, 2) points."""
        check_shapes("GrayCode", points=(points, "B 2"))
        cells = 2**self.bits
        number = ((points.double() + self.reach) * (cells / (2 * self.reach))).floor().long()
        number = number.clamp(0, cells - 1)
        gray = number ^ (number >> 1)
        found: Tensor = 1 + (gray[:, :, None] >> self._places(points.device) & 1).flatten(1)
        return found

    def decode(self, values: Tensor) -> Tensor:
        """(B, 2) the middles of the cells of (B, 2 b) values, in torch's default precision."""
        check_shapes("GrayCode", values=(values, f"B {self.sites}"))
        gray = values.view(-1, 2, self.bits) - 1
        binary = gray.cumsum(2) % 2  # a bit is the sum of the Gray bits from the highest to it
        number = (binary << self._places(values.device)).sum(2)
        middle = (number.double() + 0.5) * (2 * self.reach / 2**self.bits) - self.reach
        found: Tensor = middle.to(torch.get_default_dtype())
        return found

    def _places(self, device: torch.device) -> Tensor:
        return torch.arange(self.bits - 1, -1, -1, device=device)
