"""Pictures of play: boards with the probabilities of the next move."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.games.board import RowGame
from gflow.policies.base import Policy
from gflow.tasks.pictures import pyplot
from gflow.tasks.task import Context

PLIES = 4
"""Positions of a game that are shown."""


@torch.no_grad()
def move_probabilities(env: DiscreteEnvironment[Any], policy: Policy, states: Any) -> Tensor:
    """(B, A) float64 probabilities of the next move, 0 for illegal ones."""
    table = env.law(states, policy.forward_logits(env, states)).table()
    return table.double().exp().where(env.forward_mask(states), 0.0)


def cells_of_moves(env: RowGame, states: Tensor) -> Tensor:
    """(B, A) int64 the cell, row by row, that each move fills; -1 for illegal ones."""
    rows, actions = env.forward_mask(states).nonzero(as_tuple=True)
    before, after = states[rows], env._step(states[rows], actions)
    filled = (env.encode(before) != env.encode(after)).long().argmax(1)
    cells = torch.full((len(states), env.num_actions), -1)
    return cells.index_put((rows.cpu(), actions.cpu()), filled.cpu())


def line_of_play(context: Context, path: Path) -> None:
    """The first positions of a game of likeliest moves, and how likely each move is there.

    Above as learned, below at the exact solution, where the game is solved.

    Args:
        context: A run on a board.
        path: Where to save.
    """
    plt = pyplot()
    env: RowGame = context.env
    policy, solved = context.policy, context.solution
    assert policy is not None
    state = env.initial(1, context.trainer.device)
    shown: list[tuple[Tensor, list[Tensor]]] = []
    while len(shown) < PLIES and not bool(env.is_terminal(state)):
        learned = move_probabilities(env, policy, state)[0].cpu()
        exact = [] if solved is None else [solved.move_probabilities(state.cpu())[0]]
        shown.append((state.cpu(), [learned, *exact]))
        state = env._step(state, learned.argmax()[None].to(state.device))
    rows = 1 if solved is None else 2
    size = (2.0 * env.columns**0.5 * len(shown), 2.0 * env.rows**0.5 * rows)
    figure, axes = plt.subplots(rows, len(shown), figsize=size, squeeze=False)
    for column, (position, laws) in enumerate(shown):
        for row, law in enumerate(laws):
            axis = axes[row][column]
            _draw(axis, env, position, law)
            mover = env.player_names[0 if int(env.mover(position)) == 1 else 1]
            axis.set_title(f"{('learned', 'exact')[row]}, {mover} to move", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw(axis: Any, env: RowGame, position: Tensor, law: Tensor) -> None:
    """One board: stones as letters, free cells shaded by the probability of the move there."""
    chance = torch.zeros(env.cells, dtype=torch.float64)
    cells = cells_of_moves(env, position)[0]
    chance[cells[cells >= 0]] = law[cells >= 0]
    grid = chance.view(env.rows, env.columns)
    axis.imshow(grid.numpy(), cmap="Blues", vmin=0, vmax=1, origin=env.row_zero)
    axis.set_xticks([])
    axis.set_yticks([])
    free = set(cells[cells >= 0].tolist())
    for cell, mark in enumerate(env.encode(position)[0].tolist()):
        row, column = divmod(cell, env.columns)
        text = ("", *env.player_names)[mark]
        weight = "bold"
        if not mark and cell in free:
            text, weight = f"{float(chance[cell]):.2f}", "normal"
        dark = float(chance[cell]) > 0.6
        axis.text(
            column, row, text,
            ha="center", va="center", fontsize=8, weight=weight, color="white" if dark else "black",
        )  # fmt: skip
