r"""Local scores of families, remembered: a variable, its parents, and what each further one brings.

The Schur complement M of a set S of parents in R holds what the determinants of all larger sets
need: with one more parent i of j

.. math:: |R_{S+i}| = |R_S| M_{ii}, \quad |R_{S+i+j}| = |R_S| (M_{ii} M_{jj} - M_{ij}^2)

so one Cholesky decomposition of R_S gives the scores of d families. An added edge makes one new
family, and the graph keeps its d - 1 others.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.memory.numbered_keys import NumberedKeys

PART = 1 << 22
"""Numbers in the largest table that the work on families makes at a time."""

LOOK_UP = 1 << 28
"""Bytes of local scores that are remembered; then it begins again."""

Formula = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Number of parents, log|R_Pa| and log|R_(Pa + j)|, (N, ...) each, to local scores."""


def family_rows(
    matrix: Tensor, formula: Formula, nodes: Tensor, parents: Tensor, gains: bool
) -> tuple[Tensor, Tensor | None]:
    """Local scores of N families and of those with one parent more.

    A family's numbers do not depend on which others are asked for with it.

    Args:
        matrix: (d, d) R.
        formula: The score, prior included.
        nodes: (N,) int64 variables.
        parents: (N, d) bool their parents.
        gains: Whether to look at further parents.

    Returns:
        (N,) float64 local scores, and (N, d) by how much they change with one more parent, 0 for
        those that are there and the variable itself; or None.
    """
    count, d = parents.sum(-1), parents.shape[1]
    own = matrix.new_empty(len(nodes))
    more = matrix.new_empty(len(nodes), d) if gains else None
    # Families are padded to 0, 1, 2, 4, 8, ... parents: to sizes of their own, whatever the others.
    size = torch.tensor([0, *(2**k for k in range(d.bit_length() + 1))], device=count.device)
    kind = torch.searchsorted(size, count)
    for which in kind.unique().tolist():
        width = min(int(size[which]), d)
        rows = (kind == which).nonzero().squeeze(1)
        for part in rows.split(max(1, PART // (d * max(width, 1)))):
            value, change = _padded(matrix, formula, nodes[part], parents[part], width, gains)
            own[part] = value
            if more is not None and change is not None:
                more[part] = change
    return own, more


def _padded(
    matrix: Tensor, formula: Formula, nodes: Tensor, parents: Tensor, width: int, gains: bool
) -> tuple[Tensor, Tensor | None]:
    """The same for families of at most `width` parents."""
    count = parents.sum(-1)
    member = parents.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, :width]
    real = torch.arange(width, device=nodes.device) < count[:, None]  # (n, s)
    among = matrix[member[:, :, None], member[:, None, :]] * (real[:, :, None] & real[:, None, :])
    factor = torch.linalg.cholesky(among + torch.diag_embed((~real).to(among.dtype)))
    log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(-1)  # |R_S|

    def halved(columns: Tensor) -> Tensor:
        """(n, s, .) the inverse of the factor times rows of R."""
        columns = columns * real[:, :, None]
        found: Tensor = torch.linalg.solve_triangular(factor, columns, upper=False)
        return found

    mine = halved(matrix[member, nodes[:, None]][:, :, None])  # (n, s, 1)
    own = matrix[nodes, nodes] - mine.squeeze(2).square().sum(1)  # M_jj
    now = formula(count, log_det, log_det + own.log())
    if not gains:
        return now, None
    half = halved(matrix[member])
    left = matrix.diagonal() - half.square().sum(1)  # (n, d) M_ii
    cross = matrix[nodes] - (half * mine).sum(1)  # (n, d) M_ij
    there = parents.scatter(1, nodes[:, None], True)
    left, cross = left.masked_fill(there, 1.0), cross.masked_fill(there, 0.0)
    with_it = log_det[:, None] + left.log()  # |R_{S+i}|
    further = (count + 1).clamp(max=parents.shape[1] - 1)[:, None]  # a full family has no more
    then = formula(further, with_it, with_it + (own[:, None] - cross.square() / left).log())
    return now, (then - now[:, None]).masked_fill(there, 0.0)


class Families:
    """Memory of `family_rows`, by names of sets of parents.

    Args:
        matrix: (d, d) R, on the device where it is asked.
        formula: See `family_rows`.
        gains: Whether to remember what further parents bring.
    """

    def __init__(self, matrix: Tensor, formula: Formula, gains: bool) -> None:
        self.matrix, self.formula, self.gains = matrix, formula, gains
        d = len(matrix)
        source = torch.Generator().manual_seed(1)
        self._mark = torch.randint(-(2**63), 2**63 - 1, (d,), generator=source)
        self._most = max(1, LOOK_UP // ((d + 1 if gains else 1) * 8))
        self._clear()

    def _clear(self) -> None:
        self._index = NumberedKeys(self.matrix.device)
        self._own = self.matrix.new_zeros(0)
        self._gains: Tensor | None = None
        if self.gains:
            self._gains = torch.zeros(0, len(self.matrix), device=self._own.device)

    def __call__(self, codes: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, d) float64 local scores, and (B, d, d) what further parents bring, entry j, i.

        The second is None where it is not remembered.

        Args:
            codes: (B, d) int64 names of the sets of parents.
            adjacency: (B, d, d) bool.
        """
        keys = (codes + constant(self._mark, codes.device)).flatten()
        number, fresh = self._index(keys)
        if len(self._index) > self._most:  # begin again with what is needed now
            self._clear()
            number, fresh = self._index(keys)
        if len(fresh):
            row, node = fresh // codes.shape[1], fresh % codes.shape[1]
            parents = adjacency[row, :, node]
            own, gains = family_rows(self.matrix, self.formula, node, parents, self.gains)
            start = len(self._index) - len(fresh)
            self._own = _appended(self._own, start, own)
            if self._gains is not None and gains is not None:
                self._gains = _appended(self._gains, start, gains)
        found = None if self._gains is None else self._gains[number].view(*codes.shape, -1)
        return self._own[number].view_as(codes), found


def _appended(table: Tensor, start: int, rows: Tensor) -> Tensor:
    """A table with `rows` from `start` on; with as much room again where it was too small."""
    end = start + len(rows)
    if end > len(table):
        wider = rows.new_empty(2 * end, *table.shape[1:], dtype=table.dtype)
        wider[:start] = table[:start]
        table = wider
    table[start:end] = rows
    return table
