"""Small environments on which objectives are judged, by the solution that they name."""

from typing import Any

import torch

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.objective import Solution
from gflow.testing.table import TableEnvironment

THREE = [
    [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0.5, -0.3, 1.0],
    [-0.2, 0.9, 0.1], [0, 0, 0], [1.2, 0.0, -0.8], [-0.6, 0.7, 0.2], [0.4, -1.1, 0.3],
]  # fmt: skip
"""Log-rewards of three players at the ten states of a game of theirs."""


def samples_for(solution: Any) -> list[DiscreteEnvironment[Any]]:
    """Environments on which an objective with that solution has something to show."""
    if solution is Solution.ADVERSARIAL:
        return list(sample_games())
    if solution is Solution.EXPECTED:
        return [*sample_environments(), *sample_chances()]
    if solution is Solution.EQUILIBRIUM:
        return [*sample_games(), *sample_games_of_chance()]
    return list(sample_environments())


def sample_environments() -> list[TableEnvironment]:
    """Small graphs of every kind: a tree, a lattice, a non-graded one, stops, equal actions."""
    return [
        # a tree: every object has one trajectory
        TableEnvironment([[1, 2], [3, 4], [5], [], [], []], [0, 0, 0, 1.0, -0.5, 0.3]),
        # a lattice with trajectories of one length: P_B matters
        TableEnvironment(
            [[1, 2, 3], [4, 5], [4, 6], [5, 6], [7], [7], [7, 8], [], []],
            [0, 0, 0, 0, 0, 0, 0, 0.7, -1.1],
        ),
        # trajectories of different lengths, ends by force and by stopping
        TableEnvironment(
            [[1, 2, 3], [2, 3], [3, 4], [4, 5], [5], []],
            [0, 0.4, 0, 0, -0.8, 1.2],
            stops=[False, True, False, False, True, False],
        ),
        # every state may stop
        TableEnvironment(
            [[1, 2], [3], [3, 4], [4], []], [0.2, -0.7, 0.9, 0.1, -0.3], stops=[True] * 5
        ),
        # several actions with one child, and with one parent
        TableEnvironment(
            [[1, 1, 2], [3, 2], [3, 3], []],
            [0, 0, -0.6, 1.1],
            [False, False, True, False],
            merge_parents=False,
        ),
    ]


def sample_chances() -> list[TableEnvironment]:
    """One agent and chance: a tree, a lattice, chance first and twice in a row, stops."""
    return [
        # a tree: chance after each of the agent's two moves
        TableEnvironment(
            [[1, 2], [3, 4], [5, 6], [7, 8], [], [], [], [], []],
            [0, 0, 0, 0, -0.5, 0.3, 1.4, 0.8, -1.0],
            movers=[0, CHANCE, CHANCE, 0, 0, 0, 0, 0, 0],
            chance=[[], [0.3, 0.7], [0.9, 0.1], [], [], [], [], [], []],
        ),
        # a lattice: what the agent chose can still become either state of the next level
        TableEnvironment(
            [[1, 2], [3, 4], [3, 4], [5, 6], [7], [8, 9], [8, 9], [9], [], []],
            [0, 0, 0, 0, 0, 0, 0, 0, 0.7, -1.1],
            movers=[0, CHANCE, CHANCE, 0, 0, CHANCE, CHANCE, CHANCE, 0, 0],
            chance=[[], [0.8, 0.2], [0.25, 0.75], [], [], [0.6, 0.4], [0.1, 0.9], [1.0], [], []],
        ),
        # chance begins and moves twice in a row; objects end by force and by stopping
        TableEnvironment(
            [[1, 2], [3], [4, 5], [6, 7], [], [], [], []],
            [0, 0.9, 0, 0, -0.4, 0.6, 1.0, -0.2],
            stops=[False, True, False, False, False, False, False, False],
            movers=[CHANCE, 0, CHANCE, CHANCE, 0, 0, 0, 0],
            chance=[[0.5, 0.5], [], [0.3, 0.7], [0.45, 0.55], [], [], [], []],
        ),
    ]


def sample_games() -> list[TableEnvironment]:
    """Games of two: even and uneven trees, a lattice, forced single moves, stops, equal actions."""
    return [
        # an even tree, players by turns
        TableEnvironment(
            [[1, 2], [3, 4], [5, 6], [], [], [], []],
            [0, 0, 0, 1.4, -0.2, 0.7, 0.6],
            movers=[1, -1, -1, 1, 1, 1, 1],
        ),
        # an uneven one: three moves, one, an end at once, the same player twice
        TableEnvironment(
            [[1, 2, 3], [4, 5, 6], [7], [], [8, 9], [], [], [], [], []],
            [0, 0, 0, 0.3, 0, -1.0, 0.5, 1.2, 0.4, -0.9],
            movers=[-1, 1, -1, 1, 1, 1, 1, 1, 1, 1],
        ),
        # one position reached in several ways, after lines of different length
        TableEnvironment(
            [[1, 2, 3], [4, 5], [4, 6], [5, 6], [7], [7], [7, 8], [], []],
            [0, 0, 0, 0, 0, 0, 0, 0.7, -1.1],
            movers=[1, -1, -1, -1, 1, 1, -1, 1, 1],
        ),
        # a move beside a stop, for either player, and two actions with one result
        TableEnvironment(
            [[1, 1, 2], [3, 2], [3, 3], []],
            [0.4, -0.8, -0.6, 1.1],
            stops=[False, True, True, False],
            movers=[-1, 1, -1, 1],
        ),
    ]


def sample_games_of_chance() -> list[TableEnvironment]:
    """Games with moves of chance, of two and of three players, whose rewards are not opposite."""
    return [
        TableEnvironment(
            [[1, 2], [3, 4], [4, 5], [6, 7], [], [8, 9], [], [], [], []],
            [0, 0, 0, 0, 0.5, 0, 1.3, -0.7, -1.2, 0.8],
            movers=[1, CHANCE, -1, -1, 1, CHANCE, 1, 1, 1, 1],
            chance=[[], [0.3, 0.7], [], [], [], [0.9, 0.1], [], [], [], []],
        ),
        TableEnvironment(
            [[1, 2], [3, 4], [5, 6], [7, 8], [], [], [8, 9], [], [], []],
            torch.tensor(THREE, dtype=torch.float64),
            movers=[1, 2, 3, CHANCE, 1, 1, 2, 1, 1, 1],
            chance=[[], [], [], [0.25, 0.75], [], [], [], [], [], []],
        ),
    ]
