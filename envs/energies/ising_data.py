"""Samples of Ising lattices: exact ones row by row, and Gibbs chains where lattices are wide."""

import torch
from torch import Tensor

from gflow.bounds import Count, Natural
from gflow.checks import check_shapes, checked
from gflow.envs.spins.rewards import WIDEST_STRIP, IsingReward, lattice_edges
from gflow.errors import ConfigError


@checked
def ising_samples(
    reward: IsingReward, count: Count, generator: torch.Generator | None = None, sweeps: Count = 200
) -> Tensor:
    r"""(count, N) int64 values 1 and 2 of independent spins on a lattice.

    Exact where one side is at most `WIDEST_STRIP`. The first row has the probability of the sum
    over all others, and each next row r that of

    .. math:: V(r_k, r)\, (V^{H - k - 2} c)(r),

    V being the transfer matrix with the weights of rows and c what closes the lattice: nothing, or
    on a torus the bond with the first row. Wider lattices come from `gibbs_samples`.

    Args:
        reward: The lattice.
        count: How many.
        generator: Source of randomness.
        sweeps: Of Gibbs chains.
    """
    if min(reward.height, reward.width) > WIDEST_STRIP:
        states = gibbs_samples(ising_couplings(reward), count, sweeps, reward.field, generator)
        return states
    height, width = max(reward.height, reward.width), min(reward.height, reward.width)
    bits = torch.arange(2**width)[:, None] >> torch.arange(width) & 1
    rows = _rows(reward, height, width, bits, count, generator)
    values = 1 + bits[rows]  # (count, height, width), the longer side first
    return (values if reward.height >= reward.width else values.transpose(1, 2)).flatten(1)


def _rows(
    reward: IsingReward,
    height: int,
    width: int,
    bits: Tensor,
    count: int,
    generator: torch.Generator | None,
) -> Tensor:
    """(count, height) int64 numbers of rows."""
    spins = 2 * bits.double() - 1
    one, two = lattice_edges(1, width, reward.periodic).unbind(1)
    weight = 2 * reward.coupling * (spins[:, one] * spins[:, two]).sum(1)
    weight = weight + reward.field * spins.sum(1)
    bond = 2 * reward.coupling * spins @ spins.T
    step = (bond + weight / 2 + weight[:, None] / 2 - weight.max()).exp()
    step = step / step.max()
    around = reward.periodic and height > 2  # around two rows there is one edge
    close = torch.eye(len(step), dtype=step.dtype)
    if not around:
        end = (weight / 2 - weight.max() / 2).exp()
        close = end[:, None]
    powers = [close]  # (step^k close), scaled
    for _ in range(height if around else height - 1):
        following = step @ powers[-1]
        powers.append(following / following.max())
    if around:  # of height bonds the last leads back to the first row
        first = powers[height].diagonal()
    else:
        first = powers[height - 1].squeeze(1) * close.squeeze(1)
    drawn = torch.multinomial(first, count, replacement=True, generator=generator)
    rows = [drawn]
    for done in range(1, height):
        left = height - done if around else height - done - 1
        ahead = powers[left][:, drawn].T if around else powers[left].T
        law = step[rows[-1]] * ahead
        rows.append(torch.multinomial(law, 1, generator=generator).squeeze(1))
    return torch.stack(rows, 1)


def ising_couplings(reward: IsingReward) -> Tensor:
    """(N, N) float64 J = sigma A, A being the 0/1 adjacency of neighbours."""
    matrix = torch.zeros(reward.sites, reward.sites, dtype=torch.float64)
    one, two = reward.edges.unbind(1)
    matrix[one, two] = matrix[two, one] = reward.coupling
    return matrix


@checked
def gibbs_samples(
    couplings: Tensor,
    count: Count,
    sweeps: Natural = 200,
    field: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""(count, N) int64 values 1 and 2 at the ends of independent Gibbs chains.

    Each sweep draws every spin in turn given the others, p(s_i = +1) = sigmoid(4 sum_j J_ij s_j +
    2 b), in all chains at once.

    Args:
        couplings: (N, N) symmetric J of log p(s) = s^T J s + b sum s, its diagonal not read.
        count: Chains.
        sweeps: Draws of each spin.
        field: b.
        generator: Source of randomness.

    Raises:
        ConfigError: If J is not symmetric.
    """
    sites = check_shapes("gibbs_samples", couplings=(couplings, "N N"))["N"]
    if not torch.equal(couplings, couplings.T):
        raise ConfigError("gibbs_samples: `couplings` must be symmetric: pass J + J^T over 2.")
    matrix = 4 * couplings.double()
    matrix = matrix - matrix.diagonal().diag()
    spins = torch.randint(2, (sites, count), generator=generator).double() * 2 - 1
    for _ in range(sweeps):
        chance = torch.rand((sites, count), generator=generator, dtype=torch.float64)
        for site in range(sites):
            up = (matrix[site] @ spins + 2 * field).sigmoid()
            spins[site] = (chance[site] < up).double() * 2 - 1
    return ((spins.T + 3) / 2).long()
