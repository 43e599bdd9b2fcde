"""The stochastic grid of the first paper on GFlowNets in stochastic environments."""

from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.noise.env import WithNoise
from gflow.envs.noise.kernels import StickyMoves


class StochasticGrid(WithNoise):
    r"""A `HyperGrid` on which the agent is moved elsewhere than it means to go.

    **What is built.** A cell. **State, actions.** See `WithNoise`.

    **Reward.** `Corners` with R0, R1, R2 = 0.001, 0.5, 2: with coordinates x in [-1, 1] it is
    :math:`0.001 + 0.5 \prod [|x_i| > 0.5] + 2 \prod [0.6 < |x_i| < 0.8]`.

    **Size.** side^dim cells, and at most dim times as many states on chance's turn.

    Args:
        dim: Number of coordinates.
        side: Values per coordinate.
        stick: Probability that a uniform movement replaces the intended one, see `StickyMoves`.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """

    def __init__(self, dim: int = 2, side: int = 8, stick: float = 0.25) -> None:
        self.dim, self.side, self.stick = dim, side, stick
        super().__init__(HyperGrid(dim, side, Corners(side, r0=1e-3)), StickyMoves(stick))

    @property
    def name(self) -> str:
        """Name of the environment for messages."""
        return type(self).__name__
