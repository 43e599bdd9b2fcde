"""Directed acyclic graphs over labelled variables, grown one edge at a time."""

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.constants import constant
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward, LogReward

EXACT_KEYS = 8
"""Up to this many variables the d (d - 1) possible edges are the bits of the key."""

DENSE_KEYS = 5
"""Up to this many variables the keys are few enough for tables."""


@dataclass(frozen=True)
class DagState:
    """B graphs over d variables.

    Attributes:
        adjacency: (B, d, d) bool, entry i, j for the edge i -> j.
        ancestors: (B, d, d) bool, entry i, j for a directed path from j to i, the trivial path from
            i to i included: where an edge i -> j would close a cycle.
        codes: (B, d) int64 names of the sets of parents: the sum of a number for each edge, see
            `edge_codes`.
    """

    adjacency: Tensor
    ancestors: Tensor
    codes: Tensor


class Dags(DiscreteEnvironment[DagState]):
    r"""All directed acyclic graphs over `variables` labelled variables.

    **What is built.** A graph, from the empty one. **State.** `DagState`.

    **Forward actions.** i d + j adds the edge i -> j where there is none and no path leads from j
    to i; d^2 stops, in every state.

    **Backward actions.** i d + j removes the edge i -> j; any edge of an acyclic graph may go.

    **Reward.** Any `LogReward` of `DagState`; see `gflow.envs.dags.scores`. By default all graphs
    are equally likely.

    **Size.** 1, 3, 25, 543, 29 281, 3 781 503 graphs for d = 1, ... 6.

    An edge i -> j joins the ancestors of i to the descendants of j, and nobody else. Taking it away
    can part only these; of them, those stay joined that another edge joins which leaves the
    ancestors of i, as every path between them does exactly once (`_parted`). Both are exact for any
    number of variables.

    Keys are exact up to 8 variables. Beyond, they are sums of random 64-bit numbers, one for each
    edge: two different graphs share one with probability 2^-64.

    Args:
        variables: d, at least 1.
        reward: Scores finished graphs.
        max_parents: Largest number of parents of a variable; None for no limit.

    Example:
        >>> env = Dags(3)
        >>> chain = env.step(env.step(env.initial(1), torch.tensor([1])), torch.tensor([5]))
        >>> env.show(chain), chain.ancestors[0, 2].tolist()
        (['0->1 1->2'], [True, True, True])

    Reference:
        Deleu et al., Bayesian Structure Learning with Generative Flow Networks, 2022,
        https://arxiv.org/abs/2202.13903
    """

    has_forced_terminals = False
    every_state_stops = True

    def __init__(
        self,
        variables: int,
        reward: LogReward[DagState] | None = None,
        max_parents: int | None = None,
    ) -> None:
        if variables < 1:
            raise ConfigError(f"Dags: variables must be at least 1, got {variables}.")
        if max_parents is not None and max_parents < 1:
            raise ConfigError(f"Dags: max_parents must be at least 1 or None, got {max_parents}.")
        size = getattr(reward, "variables", variables)
        if size != variables:
            raise ConfigError(
                f"Dags: the reward {reward!r} is for {size} variables, the environment has "
                f"{variables}. Build both with the same number."
            )
        self.variables, self.max_parents = variables, max_parents
        self.reward = FunctionReward(_indifferent) if reward is None else reward
        pairs = variables * variables
        self.num_actions, self.num_backward_actions = pairs + 1, pairs
        self.stop_action = pairs
        self.feature_sizes = (2,) * pairs
        # In a topological order a variable has at most those before it as parents.
        self.horizon = 1 + sum(min(k, max_parents or k) for k in range(variables))
        places = variables * (variables - 1)
        self.num_keys = 2**places if variables <= DENSE_KEYS else None

    # ------------------------------------------------------------------ the environment

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> DagState:
        """B empty graphs."""
        d = self.variables
        none = torch.zeros(batch_size, d, d, dtype=torch.bool, device=device)
        selves = torch.eye(d, dtype=torch.bool, device=device).repeat(batch_size, 1, 1)
        codes = torch.zeros(batch_size, d, dtype=torch.int64, device=device)
        return DagState(none, selves, codes)

    def forward_mask(self, states: DagState) -> Tensor:
        """(B, d^2 + 1) edges that are not there and close no cycle, and the stop."""
        free = ~(states.adjacency | states.ancestors)
        if self.max_parents is not None:
            free &= states.adjacency.sum(1, keepdim=True) < self.max_parents
        stop = free.new_ones(free.shape[0], 1)
        return torch.cat([free.flatten(1), stop], 1)

    def backward_mask(self, states: DagState) -> Tensor:
        """(B, d^2) the edges."""
        return states.adjacency.flatten(1)

    def is_terminal(self, states: DagState) -> Tensor:
        """(B,) False: every graph may stop, none must."""
        return states.adjacency.new_zeros(states.adjacency.shape[0])

    def is_initial(self, states: DagState) -> Tensor:
        """(B,) no edges."""
        return ~states.adjacency.flatten(1).any(-1)

    def reaches(self, states: DagState, objects: DagState) -> Tensor:
        """(B,) all edges belong to the object."""
        return (~states.adjacency | objects.adjacency).flatten(1).all(-1)

    def encode(self, states: DagState) -> Tensor:
        """(B, d^2) int64: the adjacency as 0 and 1."""
        return states.adjacency.flatten(1).long()

    def key(self, states: DagState) -> Tensor:
        """(B,) the edges as bits, or hashed (see above)."""
        return states.codes.sum(-1)

    def graphs(self, keys: Tensor) -> Tensor:
        """(B, d, d) bool: the graphs with given keys, where these are exact."""
        if self.variables > EXACT_KEYS:
            raise ConfigError(
                f"Dags: keys of {self.variables} variables are hashes and cannot be read back; up "
                f"to {EXACT_KEYS} variables they can."
            )
        return (keys[:, None, None] & constant(edge_codes(self.variables), keys.device)) != 0

    def max_entropy_logits(self, states: DagState) -> Tensor:
        """(B, d^2) zeros: E edges come in E! orders, as many for each parent."""
        return torch.zeros(states.adjacency.flatten(1).shape, device=states.adjacency.device)

    def show(self, states: DagState) -> list[str]:
        """Edges, or "empty"."""
        return [
            " ".join(f"{i}->{j}" for i, j in graph.nonzero().tolist()) or "empty"
            for graph in states.adjacency
        ]

    def written(self, states: DagState) -> list[Any]:
        """Edges, as tuples of pairs (cause, effect)."""
        return [tuple(map(tuple, graph.nonzero().tolist())) for graph in states.adjacency]

    def _step(self, states: DagState, actions: Tensor) -> DagState:
        above, below = self._around(states, actions)
        adjacency, codes = self._changed(states, actions, True)
        return DagState(adjacency, states.ancestors | (below & above), codes)

    def _backstep(self, states: DagState, actions: Tensor) -> DagState:
        above, below = self._around(states, actions)
        adjacency, codes = self._changed(states, actions, False)
        return DagState(adjacency, _parted(states.ancestors, adjacency, above, below), codes)

    def _around(self, states: DagState, actions: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, d) ancestors of the cause of an edge, and (B, d, 1) descendants of its effect."""
        d, actions = self.variables, actions[:, None, None]
        above = states.ancestors.gather(1, (actions // d).expand(-1, 1, d))
        below = states.ancestors.gather(2, (actions % d).expand(-1, d, 1))
        return above, below

    def _changed(self, states: DagState, actions: Tensor, present: bool) -> tuple[Tensor, Tensor]:
        """Adjacency and codes with an edge more or less."""
        edge = actions[:, None]
        adjacency = states.adjacency.flatten(1).scatter(1, edge, present)
        code = constant(edge_codes(self.variables), edge.device).flatten()[edge]
        codes = states.codes.scatter_add(1, edge % self.variables, code if present else -code)
        return adjacency.view_as(states.adjacency), codes

    # ------------------------------------------------------------------ from outside

    def states(self, adjacency: Tensor) -> DagState:
        """The states of given graphs.

        Args:
            adjacency: (B, d, d) bool, or 0 and 1.

        Raises:
            ShapeError: If the graphs have another number of variables.
            ConfigError: If a graph has a cycle, or a variable too many parents.
        """
        check_shapes("Dags.states", adjacency=(adjacency, f"B {self.variables} {self.variables}"))
        edges = adjacency.bool()
        if self.max_parents is not None and bool((edges.sum(1) > self.max_parents).any()):
            row = int((edges.sum(1) > self.max_parents).any(-1).nonzero()[0])
            raise ConfigError(
                f"Dags: in graph {row} a variable has more than max_parents = {self.max_parents} "
                f"parents. Build the environment with a larger limit."
            )
        return dag_states(edges)


def _parted(ancestors: Tensor, adjacency: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """(B, d, d) bool ancestors after an edge i -> j was taken away.

    Let U be the ancestors of i, i included. A path from U to a descendant of j leaves U once and
    for all, by an edge u -> v; the parts before and after it never passed i -> j.

    Args:
        ancestors: (B, d, d) bool before.
        adjacency: (B, d, d) bool without the edge.
        above: (B, 1, d) bool U.
        below: (B, d, 1) bool descendants of j, j included.
    """
    doubtful = below & above
    leaving = (adjacency.mT & above & ~above.mT).float()  # entry v, u for u -> v
    joined = ancestors.float() @ leaving @ ancestors.float() > 0.5
    return ancestors & (~doubtful | joined)


@lru_cache(maxsize=16)
def edge_codes(variables: int) -> Tensor:
    """(d, d) int64 numbers of the edges, 0 on the diagonal: different bits for few variables.

    Sums of them name sets of edges; where there are too many edges for bits they are random.
    """
    places = variables * (variables - 1)
    if variables <= EXACT_KEYS:
        bits = 2 ** torch.arange(places)
    else:
        source = torch.Generator().manual_seed(0)
        bits = torch.randint(-(2**63), 2**63 - 1, (places,), generator=source)
    codes = torch.zeros(variables, variables, dtype=torch.int64)
    codes[~torch.eye(variables, dtype=torch.bool)] = bits
    return codes


def dag_states(adjacency: Tensor) -> DagState:
    """The states of (B, d, d) bool acyclic graphs.

    Raises:
        ConfigError: If a graph has a cycle.
    """
    codes = constant(edge_codes(adjacency.shape[-1]), adjacency.device)
    return DagState(adjacency, reachable(adjacency).mT.contiguous(), (adjacency * codes).sum(1))


def reachable(adjacency: Tensor) -> Tensor:
    """(B, d, d) bool, entry i, j for a directed path from i to j, trivial paths included.

    Args:
        adjacency: (B, d, d) bool.

    Raises:
        ConfigError: If a graph has a cycle.
    """
    d = adjacency.shape[-1]
    joined = adjacency | torch.eye(d, dtype=torch.bool, device=adjacency.device)
    for _ in range((d - 1).bit_length()):  # paths of twice as many edges each time
        joined = joined.float() @ joined.float() > 0.5
    cyclic = (joined & adjacency.mT).flatten(1).any(-1)
    if bool(cyclic.any()):
        row = int(cyclic.nonzero()[0])
        raise ConfigError(
            f"reachable: graph {row} ({int(cyclic.sum())} of {len(cyclic)}) has a cycle: "
            f"{adjacency[row].nonzero().tolist()} are its edges. Only acyclic graphs are allowed."
        )
    return joined


def all_dags(variables: int) -> Tensor:
    """(G, d, d) bool: every acyclic graph, in the order of the keys of `Dags`.

    Args:
        variables: d, at most 5: there are 29 281 graphs of five variables.

    Raises:
        ConfigError: For more variables.
    """
    if not 1 <= variables <= DENSE_KEYS:
        raise ConfigError(
            f"all_dags: variables must lie in 1 ... {DENSE_KEYS}, got {variables}. "
            f"Use `enumerate_states(Dags({variables}))` if there is time for more."
        )
    number = edge_codes(variables)
    rows, columns = torch.triu_indices(variables, variables, 1)
    codes = torch.arange(2 ** len(rows))
    ordered = torch.zeros(len(codes), variables, variables, dtype=torch.bool)
    ordered[:, rows, columns] = (codes[:, None] >> torch.arange(len(rows)) & 1).bool()
    keys = []
    for order in itertools.permutations(range(variables)):
        graphs = ordered[:, order][:, :, order]
        keys.append((graphs * number).sum((1, 2)))
    return Dags(variables).graphs(torch.cat(keys).unique())


def _indifferent(states: DagState) -> Tensor:
    return torch.zeros(states.adjacency.shape[0], device=states.adjacency.device)
