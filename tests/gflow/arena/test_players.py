"""Policies as players: drawn, tempered, greedy."""

import pytest
import torch

from gflow.arena.players import PolicyPlayer, UniformPlayer
from gflow.arena.positions import Positions
from gflow.envs.games import TicTacToe
from gflow.errors import ConfigError, IllegalActionError
from gflow.policies.mlp import MLPPolicy

GAME = TicTacToe()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def policy() -> MLPPolicy:
    torch.manual_seed(3)
    made = MLPPolicy(GAME, 16, 1, "uniform")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made


def many(history: list[int], count: int) -> Positions:
    return Positions.after(GAME, torch.tensor([history]).repeat(count, 1))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_moves_are_drawn_from_the_tempered_policy(temperature: float) -> None:
    net, places = policy(), many([4, 0], 20_000)
    player = PolicyPlayer(net, temperature=temperature)
    with torch.no_grad():
        logits = net.forward_logits(GAME, places.states[:1])[0]
    legal = GAME.forward_mask(places.states[:1])[0]
    law = (logits / temperature).masked_fill(~legal, -torch.inf).softmax(0)
    moves = player.moves(GAME, places, seeded())
    share = torch.bincount(moves, minlength=9) / len(places)
    assert (share - law).abs().max() < 0.012
    assert law.max() > 0.2


def test_greedy_takes_the_likeliest_and_breaks_ties_at_random() -> None:
    net, places = policy(), many([4, 0], 50)
    player = PolicyPlayer(net, temperature=0)
    best = player.log_prob(GAME, places.states[:1]).argmax(1)
    assert (player.moves(GAME, places, seeded()) == best).all()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    moves = PolicyPlayer(net, temperature=0).moves(GAME, many([4, 0], 3500), seeded())
    count = torch.bincount(moves, minlength=9)
    assert count[[4, 0]].sum() == 0
    assert count[[1, 2, 3, 5, 6, 7, 8]].min() > 400


def test_uniform_draws_evenly_among_legal_moves() -> None:
    count = torch.bincount(UniformPlayer().moves(GAME, many([4], 4000), seeded()), minlength=9)
    assert count[4] == 0
    assert count[[0, 1, 2, 3, 5, 6, 7, 8]].min() > 400


def test_positions_remember_their_moves() -> None:
    found = Positions.after(GAME, torch.tensor([[4, 0, 8], [2, -1, -1]]))
    assert [found.moves_of(0), found.moves_of(1)] == [[4, 0, 8], [2]]
    assert GAME.show(found.states) == ["O../.X./..X", "..X/.../..."]
    went_on = found.stepped(GAME, torch.tensor([1]), torch.tensor([5]))
    assert went_on.moves_of(1) == [2, 5]
    assert went_on.moves_of(0) == [4, 0, 8]
    with pytest.raises(IllegalActionError):
        Positions.after(GAME, torch.tensor([[4, 4]]))


def test_temperatures_that_are_none() -> None:
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="temperature must be 0"):
            PolicyPlayer(policy(), temperature=wrong)
