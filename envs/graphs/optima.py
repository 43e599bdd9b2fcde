"""Exact optima of node-by-node problems by integer programming, and greedy ones to compare with."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.envs.graphs.independent_set import NodeSelection
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.node_subsets import NodeState
from gflow.errors import ConfigError, MissingExtraError

Problem = Literal["independent_set", "clique", "dominating_set", "cut"]


@dataclass(frozen=True)
class Optimum:
    """The best solution found.

    Attributes:
        value: Nodes of the set, or edges of the cut.
        nodes: The set, sorted.
        proven: Whether nothing is better; False where time ran out.
    """

    value: int
    nodes: tuple[int, ...]
    proven: bool


def optimum(
    graphs: GraphBatch, graph: int, problem: Problem = "independent_set", seconds: float = 60.0
) -> Optimum:
    """The largest independent set, clique or cut, or the smallest dominating set, of a graph.

    Solved by HiGHS through `scipy.optimize.milp`. Independent sets get one constraint per clique of
    a greedy cover of the edges, which is much tighter than one per edge.

    Args:
        graphs: A collection.
        graph: Number of the graph in it.
        problem: What to optimise.
        seconds: Time limit.

    Raises:
        MissingExtraError: Without scipy.
        ConfigError: Unknown problem, or no solution in time.
    """
    try:
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError as error:
        raise MissingExtraError("scipy", "eval", "The exact optimum of a graph problem") from error

    size = int(graphs.sizes[graph])
    joined = graphs.adjacency[graph, :size, :size].cpu()
    pairs = graphs.edges(graph).cpu()
    gain: Any = np.ones(size)
    low: Any = -np.inf
    high: Any = np.inf
    match problem:
        case "independent_set" | "clique":
            if problem == "clique":
                joined = ~joined & ~torch.eye(size, dtype=torch.bool)
            rows, high = clique_cover(joined).numpy(), 1.0
        case "dominating_set":
            rows, low, gain = (joined | torch.eye(size, dtype=torch.bool)).numpy(), 1.0, -gain
        case "cut":  # one more variable per edge, at most x_u + x_v and at most 2 - x_u - x_v
            ends = torch.zeros(len(pairs), size).scatter(1, pairs, 1.0).numpy()
            edge = np.eye(len(pairs))
            rows = np.block([[-ends, edge], [ends, edge]])
            gain = np.concatenate([np.zeros(size), np.ones(len(pairs))])
            high = np.concatenate([np.zeros(len(pairs)), np.full(len(pairs), 2.0)])
        case _:
            raise ConfigError(
                f"There is no problem {problem!r}; known: independent_set, clique, dominating_set, "
                f"cut."
            )
    constraint: list[Any] = []
    if len(rows):
        constraint = [LinearConstraint(csr_array(rows.astype(float)), low, high)]
    found = milp(
        -gain,
        constraints=constraint,
        integrality=np.ones(len(gain)),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds},
    )
    if found.x is None:
        raise ConfigError(f"HiGHS found no {problem} in {seconds:g} s: {found.message}.")
    nodes = tuple(np.flatnonzero(found.x[:size] > 0.5).tolist())
    value = round(abs(float(gain @ found.x.round())))
    return Optimum(value, nodes, bool(found.status == 0))


def clique_cover(adjacency: Tensor) -> Tensor:
    """(Q, N) bool cliques that cover all edges of a graph (N, N), grown greedily.

    Each starts with an edge that is not covered yet and takes in, one after the other, common
    neighbours with the most edges not covered yet.
    """
    left = adjacency.clone()
    cliques = []
    while bool(left.any()):
        start = int(left.sum(-1).argmax())
        clique = torch.zeros(len(left), dtype=torch.bool)
        clique[start] = True
        room, wanted = adjacency[start].clone(), left[start].long()
        while bool(room.any()):
            # Uncovered edges into the clique first; ties by the room that is left afterwards.
            worth = wanted * len(left) + (adjacency & room).sum(-1)
            best = int(worth.masked_fill(~room, -1).argmax())
            if not int(wanted[best]):
                break
            clique[best] = True
            room, wanted = room & adjacency[best], wanted + left[best].long()
        left &= ~(clique[:, None] & clique)
        cliques.append(clique)
    return torch.stack(cliques) if cliques else adjacency[:0]


def degree_greedy(env: NodeSelection, graphs: Tensor) -> NodeState:
    """Finished states of the classical greedy rule, for graphs with numbers `graphs` (B,).

    Always select the undecided node with the fewest undecided rivals; ties go to the first.
    """
    states = env.initial_for(graphs)
    rivals = env.rivals().to(graphs.device)[graphs]
    for _ in range(env.num_actions):
        undecided = env.forward_mask(states)
        if not bool(undecided.any()):
            break
        degree = (rivals & undecided[:, None]).sum(-1).masked_fill(~undecided, env.num_actions + 1)
        after = env._step(states, degree.argmin(-1))
        going = undecided.any(-1)
        states = NodeState(
            graphs,
            after.label.where(going[:, None], states.label),
            after.count.where(going[:, None], states.count),
        )
    return states
