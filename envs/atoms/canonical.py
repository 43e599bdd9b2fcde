"""Canonical numbers of the atoms of small molecules, and their symmetries, for whole batches.

Atoms carry colours, 64-bit numbers that are refined by those of their neighbours. While atoms of
equal colour are left, each atom in turn is singled out, and how the molecule then looks tells which
atoms are equivalent; one of the least colour that is shared is singled out for good.

Which of them does not matter if they are equivalent under the symmetries that keep those singled
out before; then the result is canonical, and the product of the numbers of choices is the number of
symmetries. This was verified for all 14,598 connected graphs of up to nine nodes with degrees up to
four, by their number and, with random colours and bonds, by renumbering them; larger molecules
are not covered by that.
"""

import torch
from torch import Tensor

from gflow.envs.molecules.symmetry import FAR, MARK, mix

OWN = 0x2545F4914F6CDD1D
DEEP = 2
"""How often equivalent atoms are found by singling out each; once was enough for nine nodes."""
ORDERS = (0, 0x5851F42D4C957F2D, 0x14057B7EF767814F, 0x27BB2EE687B0B0FD)
"""Factors of bonds by order in the sums over neighbours."""


def canonical_order(
    kind: Tensor, bond: Tensor, compact: bool | None = None
) -> tuple[Tensor, Tensor]:
    """How to arrange the atoms of B connected molecules so that isomorphic ones become equal.

    Args:
        kind: (B, N) int64, 0 for no atom.
        bond: (B, N, N) int64 orders 0 ... 3, symmetric.
        compact: Leave out molecules whose atoms are told apart, which takes reads by the host; by
            default on CPUs. The results are the same.

    Returns:
        (B, N) int64 atom that gets each new number, places without atom last, and (B,) float64 log
        of the number of automorphisms.
    """
    compact = kind.is_cpu if compact is None else compact
    exists = kind > 0
    factor = torch.tensor(ORDERS, device=kind.device)[bond][..., None]  # (B, N, N, 1)
    colour = _refined(mix(kind + 1)[..., None], factor)  # (B, N, 1)
    log_symmetries = torch.zeros(len(kind), dtype=torch.float64, device=kind.device)
    for step in range(kind.shape[1] - 1):
        rows: slice | Tensor = slice(None)
        if compact:
            rows = _shared(colour, exists)[0].any(1).nonzero().squeeze(1)
            if not len(rows):
                break
        part = _single_out(colour[rows], factor[rows], exists[rows], deep=step < DEEP)
        colour[rows] = part[0]
        log_symmetries[rows] += part[1]
    order = torch.where(exists, colour[..., 0], FAR).argsort(dim=1, stable=True)
    return order, log_symmetries


def _refined(colour: Tensor, factor: Tensor) -> Tensor:
    """(B, N, V) colours after N rounds with the neighbours, for V colourings of each molecule."""
    for _ in range(colour.shape[1]):
        colour = mix(colour * OWN + (factor * colour[:, None]).sum(2))
    return colour


def _shared(colour: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N) whether another atom has the same colour, and how many have it."""
    count = ((colour == colour.mT) & exists[:, None]).sum(2)
    return (count > 1) & exists, count


def _single_out(
    colour: Tensor, factor: Tensor, exists: Tensor, deep: bool
) -> tuple[Tensor, Tensor]:
    """New colours with one atom of the least shared colour singled out, and the log of choices.

    Molecules without shared colours stay as they are.

    Args:
        colour: (B, N, 1) int64 colours.
        factor: (B, N, N, 1) int64 bonds.
        exists: (B, N) bool.
        deep: Tell atoms of one colour apart by what singling them out does, first.
    """
    divided = _shared(colour, exists)[0].any(1)[:, None, None]
    new = colour
    if deep:
        single = torch.eye(colour.shape[1], dtype=torch.int64, device=colour.device) * MARK
        views = _refined(mix(colour + single), factor)  # (B, N, atom singled out)
        new = mix(views.diagonal(dim1=1, dim2=2) * OWN + mix(views).sum(1))[..., None]
    shared, count = _shared(new, exists)
    # Where none is shared any more, the atom of least colour is singled out, to no effect.
    candidates = exists & (shared | ~shared.any(1, keepdim=True))
    chosen = torch.where(candidates, new[..., 0], FAR).argmin(1, keepdim=True)
    choices = torch.where(divided[..., 0], count.gather(1, chosen).clamp(min=1), 1)
    at = chosen[..., None]
    new = _refined(new.scatter(1, at, mix(new.gather(1, at) + MARK)), factor)
    return torch.where(divided, new, colour), choices.squeeze(1).to(torch.float64).log()


def arranged(kind: Tensor, bond: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """The same molecules with atom ``order[b, i]`` at place i."""
    rows = order[..., None].expand_as(bond)
    return kind.gather(1, order), bond.gather(1, rows).gather(2, rows.mT)


def resistance(bond: Tensor) -> Tensor:
    """(B, N, N) float64 resistance between bonded or connected atoms, each bond one ohm.

    It is 1 across a bridge, and at most 1 - 1/N across a bond in a ring.

    Reference: Klein and Randić, Resistance distance, Journal of Mathematical Chemistry 12, 1993,
    https://doi.org/10.1007/BF01164627
    """
    joined = (bond > 0).to(torch.float64)
    degree = joined.sum(2)
    # Added ones make the Laplacian of a connected graph invertible and leave differences alone.
    live = torch.where((degree > 0)[..., None], (degree > 0)[:, None].to(torch.float64), 0.0)
    lonely = (degree == 0).to(torch.float64)
    inverse, _ = torch.linalg.inv_ex(torch.diag_embed(degree + lonely) - joined + live)
    own = inverse.diagonal(dim1=1, dim2=2)
    found: Tensor = own[:, :, None] + own[:, None] - inverse - inverse.mT
    return found
