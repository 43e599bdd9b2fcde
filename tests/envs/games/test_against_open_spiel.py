"""T2.9: the rules of boards against OpenSpiel's, move by move."""

import random
from typing import Any

import pyspiel
import pytest
import torch

from gflow.envs.games import Connect4, RowGame, TicTacToe

CASES: dict[str, tuple[RowGame, int]] = {
    "tic_tac_toe": (TicTacToe(), 200),
    "connect_four": (Connect4(), 100),
    "connect_four(rows=4,columns=4,x_in_row=3)": (Connect4(4, 4, 3), 200),
    "connect_four(rows=5,columns=8,x_in_row=4)": (Connect4(5, 8, 4), 60),
    "connect_four(rows=9,columns=10,x_in_row=5)": (Connect4(9, 10, 5), 30),
}


@pytest.mark.parametrize("name", CASES)
def test_random_games(name: str) -> None:
    """Legal moves, turns, boards, ends and results of many games, side by side."""
    env, count = CASES[name]
    game = pyspiel.load_game(name)
    choose = random.Random(0)
    theirs = [game.new_initial_state() for _ in range(count)]
    ours, going = env.initial(count), list(range(count))
    planes = (2, 1) if name == "tic_tac_toe" else (0, 1)  # where they have the stones of each
    while going:
        batch = ours[going]
        legal = env.forward_mask(batch)
        assert [theirs[i].legal_actions() for i in going] == [
            row.nonzero().flatten().tolist() for row in legal
        ]
        assert env.mover(batch).tolist() == [1 - 2 * theirs[i].current_player() for i in going]
        assert torch.equal(env.planes(batch)[:, :2], seen(theirs, going, game, planes))
        moves = [choose.choice(theirs[i].legal_actions()) for i in going]
        for i, move in zip(going, moves, strict=True):
            theirs[i].apply_action(move)
        ours[going] = env.step(batch, torch.tensor(moves))
        ended = [theirs[i].is_terminal() for i in going]
        assert env.is_terminal(ours[going]).tolist() == ended
        going = [i for i, over in zip(going, ended, strict=True) if not over]
    assert env.result(ours).tolist() == [state.returns()[0] for state in theirs]
    assert len(set(env.result(ours).tolist())) > 1


def seen(theirs: list[Any], going: list[int], game: Any, planes: tuple[int, int]) -> torch.Tensor:
    """(B, 2, R, C) their stones of the first and the second player."""
    shape = game.observation_tensor_shape()
    boards = torch.tensor([theirs[i].observation_tensor(0) for i in going]).view(-1, *shape)
    return boards[:, list(planes)].to(torch.get_default_dtype())
