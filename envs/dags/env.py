"""Directed acyclic graphs over labelled variables, grown one edge at a time."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.constants import constant
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward, LogReward

MOST_VARIABLES = 50
"""More would have more paths between two variables than 64 bits can count."""

EXACT_KEYS = 8
"""Up to this many variables the d (d - 1) possible edges are the bits of the key."""

DENSE_KEYS = 5
"""Up to this many variables the keys are few enough for tables."""


@dataclass(frozen=True)
class DagState:
    """B graphs over d variables.

    Attributes:
        adjacency: (B, d, d) bool, entry i, j for the edge i -> j.
        paths: (B, d, d) signed integers: the number of directed paths from i to j, the trivial
            path from i to i included. Its support is the reflexive transitive closure.
    """

    adjacency: Tensor
    paths: Tensor


class Dags(DiscreteEnvironment[DagState]):
    r"""All directed acyclic graphs over `variables` labelled variables.

    **What is built.** A graph, from the empty one. **State.** `DagState`.

    **Forward actions.** i d + j adds the edge i -> j where there is none and no path leads from j
    to i; d^2 stops, in every state.

    **Backward actions.** i d + j removes the edge i -> j; any edge of an acyclic graph may go.

    **Reward.** Any `LogReward` of `DagState`; see `gflow.envs.dags.scores`. By default all graphs
    are equally likely.

    **Size.** 1, 3, 25, 543, 29 281, 3 781 503 graphs for d = 1, ... 6.

    Not the closure is kept but the number of paths, because adding and removing both update it. A
    path passes an edge i -> j at most once, and neither the paths to i nor those from j pass it, so

    .. math:: W' = W \pm W_{\cdot i} \, W_{j \cdot}

    adds the edge or removes it; the closure alone would forget how many paths there were.

    Keys are exact up to 8 variables. Beyond, they are sums of random 64-bit numbers, one for each
    edge: two different graphs share one with probability 2^-64.

    Args:
        variables: d, from 1 to 50.
        reward: Scores finished graphs.
        max_parents: Largest number of parents of a variable; None for no limit.

    Example:
        >>> env = Dags(3)
        >>> chain = env.step(env.step(env.initial(1), torch.tensor([1])), torch.tensor([5]))
        >>> env.show(chain), chain.paths[0, 0].tolist()
        (['0->1 1->2'], [1, 1, 1])

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
        if not 1 <= variables <= MOST_VARIABLES:
            raise ConfigError(
                f"Dags: variables must lie in 1 ... {MOST_VARIABLES} (paths are counted in 64 "
                f"bits), got {variables}."
            )
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
        # The complete graph has 2^(d - 2) paths from its first variable to its last.
        self._counts = next(
            kind
            for kind, most in ((torch.int16, 16), (torch.int32, 32), (torch.int64, MOST_VARIABLES))
            if variables <= most
        )
        places = variables * (variables - 1)
        self.num_keys = 2**places if variables <= DENSE_KEYS else None
        if variables <= EXACT_KEYS:
            bits = 2 ** torch.arange(places)
        else:
            source = torch.Generator().manual_seed(0)
            bits = torch.randint(-(2**63), 2**63 - 1, (places,), generator=source)
        weight = torch.zeros(variables, variables, dtype=torch.int64)
        weight[~torch.eye(variables, dtype=torch.bool)] = bits
        self._weight = weight.flatten()

    # ------------------------------------------------------------------ the environment

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> DagState:
        """B empty graphs."""
        d = self.variables
        none = torch.zeros(batch_size, d, d, dtype=torch.bool, device=device)
        return DagState(
            none, torch.eye(d, dtype=self._counts, device=device).repeat(len(none), 1, 1)
        )

    def forward_mask(self, states: DagState) -> Tensor:
        """(B, d^2 + 1) edges that are not there and close no cycle, and the stop."""
        free = states.paths.mT + states.adjacency == 0
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
        weight = constant(self._weight, states.adjacency.device)
        return (states.adjacency.flatten(1) * weight).sum(-1)

    def graphs(self, keys: Tensor) -> Tensor:
        """(B, d, d) bool: the graphs with given keys, where these are exact."""
        if self.variables > EXACT_KEYS:
            raise ConfigError(
                f"Dags: keys of {self.variables} variables are hashes and cannot be read back; up "
                f"to {EXACT_KEYS} variables they can."
            )
        weight = constant(self._weight, keys.device).view(self.variables, self.variables)
        return (keys[:, None, None] & weight) != 0

    def max_entropy_logits(self, states: DagState) -> Tensor:
        """(B, d^2) zeros: E edges come in E! orders, as many for each parent."""
        return torch.zeros(states.adjacency.flatten(1).shape, device=states.adjacency.device)

    def show(self, states: DagState) -> list[str]:
        """Edges, or "empty"."""
        return [
            " ".join(f"{i}->{j}" for i, j in graph.nonzero().tolist()) or "empty"
            for graph in states.adjacency
        ]

    def _step(self, states: DagState, actions: Tensor) -> DagState:
        return self._change(states, actions, True)

    def _backstep(self, states: DagState, actions: Tensor) -> DagState:
        return self._change(states, actions, False)

    def _change(self, states: DagState, actions: Tensor, present: bool) -> DagState:
        adjacency = states.adjacency.flatten(1).scatter(1, actions[:, None], present)
        d = self.variables
        actions = actions[:, None, None]
        source, target = actions // d, actions % d
        into = states.paths.gather(2, source.expand(-1, d, 1))
        out = states.paths.gather(1, target.expand(-1, 1, d))
        paths = states.paths.addcmul(into, out, value=1 if present else -1)
        return DagState(adjacency.view_as(states.adjacency), paths)

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
        return DagState(edges, count_paths(edges).to(self._counts))


def count_paths(adjacency: Tensor) -> Tensor:
    r"""(B, d, d) float64 number of directed paths, trivial ones included, counted from scratch.

    .. math:: I + A + A^2 + \dots = (I + A)(I + A^2)(I + A^4) \cdots

    Exact for d <= 50: numbers stay below 2^53.

    Args:
        adjacency: (B, d, d) bool.

    Raises:
        ConfigError: If a graph has a cycle.
    """
    d = adjacency.shape[-1]
    power = adjacency.double()
    total = torch.eye(d, dtype=power.dtype, device=power.device) + power
    for _ in range((d - 1).bit_length()):
        power = power @ power
        total = total + total @ power
    cyclic = (power != 0).flatten(1).any(-1)  # overflow to NaN counts as well
    if bool(cyclic.any()):
        row = int(cyclic.nonzero()[0])
        raise ConfigError(
            f"count_paths: graph {row} ({int(cyclic.sum())} of {len(cyclic)}) has a cycle: "
            f"{adjacency[row].nonzero().tolist()} are its edges. Only acyclic graphs are allowed."
        )
    return total


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
    env = Dags(variables)
    rows, columns = torch.triu_indices(variables, variables, 1)
    codes = torch.arange(2 ** len(rows))
    ordered = torch.zeros(len(codes), variables, variables, dtype=torch.bool)
    ordered[:, rows, columns] = (codes[:, None] >> torch.arange(len(rows)) & 1).bool()
    keys = []
    for order in itertools.permutations(range(variables)):
        graphs = ordered[:, order][:, :, order]
        keys.append(env.key(DagState(graphs, graphs)))
    return env.graphs(torch.cat(keys).unique())


def _indifferent(states: DagState) -> Tensor:
    return torch.zeros(states.adjacency.shape[0], device=states.adjacency.device)
