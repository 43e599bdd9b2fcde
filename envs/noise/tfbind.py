"""DNA 8-mers written letter by letter, with letters that come out wrong."""

from torch import Tensor

from gflow.envs.noise.env import WithNoise
from gflow.envs.noise.kernels import TokenNoise
from gflow.envs.sequences.tfbind import tf_binding


def noisy_tf_binding(
    values: Tensor, alpha: float = 0.1, beta: float = 3.0, floor: float = 1e-3
) -> WithNoise:
    r"""8-mers from left to right, :math:`R = \max(y, floor)^\beta`, with `TokenNoise`.

    The largest y must be 1, as it is for `load_e_scores` and for `motif_scores`.

    Args:
        values: (65536,) y of all 8-mers.
        alpha: Probability that a letter is replaced by a uniform one.
        beta: Exponent.
        floor: Smallest value before exponentiation.
    """
    return WithNoise(tf_binding(values, "left_to_right", beta, 1.0, floor), TokenNoise(alpha))
