r"""Sums of one local score per variable and its set of parents, from determinants.

.. math:: \log R(G) = \sum_j s(j, \mathrm{Pa}_j) + \log p(|\mathrm{Pa}_j|)

For linear Gaussian models s reads the data only through log-determinants of principal submatrices
of one d by d matrix R: log|R_Pa| and log|R_(Pa + j)|. There are 2^d of them. Where these are few
they are found together by one elimination, and from them the table of all d 2^d local scores; else
those that are met are remembered (`gflow.envs.dags.families`). An added edge changes one term.

All scores are given relative to the graph without edges, whose score is the attribute `empty`. This
changes no posterior, and keeps single precision honest where the data's log-density is in the
thousands.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.envs.dags.env import DagState
from gflow.envs.dags.families import Families
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

TABLE_VARIABLES = 16
"""Up to this many variables all local scores are computed at once: 16 take 8 MB."""

SINGULAR = 1e-12
"""Eigenvalues of a correlation matrix below this are rounding errors."""


class DeterminantScore(LogReward[DagState]):
    """A score that is a function of log|R_Pa|, log|R_(Pa + j)| and the number of parents.

    Args:
        matrix: (d, d) R, symmetric and positive definite.
        log_prior: (d,) log-prior of a variable with 0 ... d - 1 parents; None for a uniform one.
        table: Compute all local scores now; None does so up to 16 variables.

    Attributes:
        variables: d.
        empty: Score of the graph without edges, which is subtracted.
    """

    def __init__(self, matrix: Tensor, log_prior: Tensor | None, table: bool | None) -> None:
        d = matrix.shape[0]
        if log_prior is None:
            log_prior = torch.zeros(d, dtype=torch.float64)
        if tuple(log_prior.shape) != (d,) or not bool(log_prior.isfinite().all()):
            raise ConfigError(
                f"{self!r}: log_prior must be ({d},) finite numbers, one for each possible number "
                f"of parents, got {log_prior.tolist()}."
            )
        self.variables, self._matrix, self._log_prior = d, matrix.double(), log_prior.double()
        spread = self._matrix.diagonal().sqrt()
        scaled = (self._matrix / torch.outer(spread, spread)).nan_to_num()  # 0/0: constant
        if not bool((torch.linalg.eigvalsh(scaled) > SINGULAR).all()):
            raise ConfigError(
                f"{self!r}: some variables are constant or linear functions of others, so the "
                f"score of some graphs is infinite. Leave those columns out."
            )
        nodes = torch.arange(d)
        self._alone = self.local(nodes, torch.zeros(d, d, dtype=torch.bool))  # without parents
        self.empty = float(self._alone.sum())
        self._families: dict[tuple[torch.device, bool], Families] = {}
        self._tables: dict[torch.device, Tensor] = {}
        if d <= TABLE_VARIABLES if table is None else table:
            self._bits = 2**nodes
            self._first = nodes << d  # of the rows of the table
            self._added = self._bits[:, None].where(nodes[:, None] != nodes, 0)  # (d, d)
            self._tables[torch.device("cpu")] = self.table()

    @abstractmethod
    def _score(self, count: Tensor, parents: Tensor, family: Tensor) -> Tensor:
        """Local scores, without prior.

        Args:
            count: Number of parents, int64.
            parents: log|R_Pa|, 0 for no parents.
            family: log|R_(Pa + j)|, of the same shape.
        """

    # ------------------------------------------------------------------ one family at a time

    def local(self, nodes: Tensor, parents: Tensor) -> Tensor:
        """(N,) float64 local scores, not relative to anything, prior included.

        Args:
            nodes: (N,) int64 variables.
            parents: (N, d) bool their parents.
        """
        family = parents.scatter(1, nodes[:, None], True)
        both = self._log_det(torch.cat([parents, family])).view(2, -1)
        return self._with_prior(parents.sum(-1), both[0], both[1])

    def _with_prior(self, count: Tensor, parents: Tensor, family: Tensor) -> Tensor:
        """Local scores of families with `count` parents."""
        return self._score(count, parents, family) + constant(self._log_prior, count.device)[count]

    def _log_det(self, members: Tensor) -> Tensor:
        """(N,) log|R_S| of the sets that (N, d) bool `members` describe."""
        matrix = constant(self._matrix, members.device)
        parts = []
        for part in members.split(8192):
            pairs = part[:, :, None] & part[:, None, :]
            rest = torch.diag_embed((~part).double())
            factor = torch.linalg.cholesky(matrix * pairs + rest)
            parts.append(2 * factor.diagonal(dim1=1, dim2=2).log().sum(-1))
        return torch.cat(parts)

    def table(self) -> Tensor:
        """(d, 2^d) float64 local scores relative to no parents; 0 where j is its own parent."""
        known = self._tables.get(torch.device("cpu"))
        if known is not None:
            return known
        masks, bits = torch.arange(2**self.variables), 2 ** torch.arange(self.variables)
        log_det = subset_log_det(self._matrix)
        count = ((masks[:, None] & bits) != 0).sum(-1).clamp(max=self.variables - 1)
        rows = []
        for bit in bits.tolist():
            value = self._with_prior(count, log_det, log_det[masks | bit])
            rows.append((value - value[0]).masked_fill((masks & bit) != 0, 0.0))
        return torch.stack(rows)

    # ------------------------------------------------------------------ whole graphs

    def __call__(self, states: DagState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R, relative to the graph without edges."""
        device = states.adjacency.device
        if self._tables:
            own = self._looked_up(self._parents(states))
        else:
            own, _ = self._remembered(states, (device, True) in self._families)
        return own.sum(-1).to(torch.get_default_dtype())

    def delta(self, states: DagState) -> Tensor:
        """(B, d, d) log R of the graph with i -> j added less log R; 0 for edges that are there.

        Additions that are illegal because they close a cycle have a number too: mask them.
        """
        return self.value_and_delta(states)[1]

    def value_and_delta(self, states: DagState) -> tuple[Tensor, Tensor]:
        """(B,) log R and (B, d, d) `delta`."""
        kind = torch.get_default_dtype()
        if not self._tables:
            own, gains = self._remembered(states, gains=True)
            assert gains is not None
            return own.sum(-1).to(kind), gains.mT.to(kind)
        parents = self._parents(states)[:, None, :]
        now = self._looked_up(parents)  # (B, 1, d)
        change = self._looked_up(parents | constant(self._added, parents.device)) - now
        return now.sum((1, 2)).to(kind), change.to(kind)

    def _parents(self, states: DagState) -> Tensor:
        """(B, d) int64 bit mask of the parents of each variable."""
        # As a product of floating-point numbers, which hold the sums of bits exactly and are fast.
        kind = torch.float32 if self.variables <= 24 else torch.float64
        bits = constant(self._bits, states.adjacency.device, kind)
        return (bits @ states.adjacency.to(kind)).long()

    def _looked_up(self, parents: Tensor) -> Tensor:
        """(..., d) float64 local scores of the d variables with (..., d) parents, less `_alone`."""
        device = parents.device
        if device not in self._tables:
            self._tables[device] = self._tables[torch.device("cpu")].to(device)
        return self._tables[device].view(-1)[parents + constant(self._first, device)]

    def _remembered(self, states: DagState, gains: bool) -> tuple[Tensor, Tensor | None]:
        """(B, d) local scores less `_alone`, and (B, d, d) what each further parent brings."""
        device = states.adjacency.device
        if (device, gains) not in self._families:
            matrix = constant(self._matrix, device)
            self._families[device, gains] = Families(matrix, self._with_prior, gains)
        own, change = self._families[device, gains](states.codes, states.adjacency)
        return own - constant(self._alone, device), change

    def __repr__(self) -> str:
        return type(self).__name__


def subset_log_det(matrix: Tensor) -> Tensor:
    """(2^d,) float64 log-determinants of all principal submatrices, by one elimination.

    Variable after variable is left out or eliminated, which doubles the number of matrices and
    makes them smaller: the work is O(2^d), not O(2^d d^3).

    Args:
        matrix: (d, d) symmetric and positive definite.

    Returns:
        Entry m for the variables whose bits are set in m.
    """
    rest = matrix.double()[None]  # (2^k, d - k, d - k) Schur complements
    log_det = rest.new_zeros(1)
    for _ in range(matrix.shape[0]):
        pivot, column = rest[:, 0, 0], rest[:, 1:, 0]
        without = rest[:, 1:, 1:]
        complement = without - column[:, :, None] * (column / pivot[:, None])[:, None, :]
        rest = torch.cat([without, complement])
        log_det = torch.cat([log_det, log_det + pivot.log()])
    return log_det
