"""The search in many trees at once: against a plain one, exact on endgames, with chance."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.arena.alphazero import AlphaZeroPlayer
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.positions import Positions
from gflow.arena.search import SearchOptions, TreeSearch
from gflow.arena.shares import every_position
from gflow.environment.movers import CHANCE
from gflow.envs.games import Connect4, Pig, TicTacToe
from gflow.errors import ConfigError

GAME = TicTacToe()


def network(env: Any, sharp: float = 1.0) -> Any:
    """Fixed random logits and values for every state, by its key."""

    def evaluate(states: Tensor) -> tuple[Tensor, Tensor]:
        key = env.key(states)[:, None].double()
        moves = torch.arange(env.num_actions)
        logits = sharp * torch.sin(key * (1.7 + moves) + moves)
        return logits, torch.cos(3.1 * key[:, 0])

    return evaluate


def nothing(env: Any) -> Any:
    """Even moves, and no opinion."""

    def evaluate(states: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(states), env.num_actions), torch.zeros(len(states))

    return evaluate


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Plain:
    """The same search for one position, node by node, in words of Python."""

    def __init__(self, env: Any, evaluate: Any, c: float) -> None:
        self.env, self.evaluate, self.c = env, evaluate, c
        self.nodes: dict[tuple[int, ...], dict[str, Any]] = {}

    def node(self, path: tuple[int, ...], state: Tensor) -> float:
        over = bool(self.env.is_terminal(state))
        if over:
            value = float(self.env.result(state))
            self.nodes[path] = {"over": True, "value": value}
            return value
        logits, values = self.evaluate(state)
        legal = self.env.forward_mask(state)[0]
        prior = logits[0].masked_fill(~legal, -torch.inf).softmax(0).tolist()
        self.nodes[path] = {
            "over": False, "value": float(values[0]), "state": state, "prior": prior,
            "legal": legal.nonzero().flatten().tolist(), "side": int(self.env.mover(state)),
            "n": [0] * self.env.num_actions, "w": [0.0] * self.env.num_actions,
        }  # fmt: skip
        return float(values[0])

    def simulate(self, path: tuple[int, ...]) -> float:
        node = self.nodes[path]
        if node["over"]:
            return float(node["value"])
        tried = sum(node["n"])
        mean = (node["value"] + sum(node["w"])) / (1 + tried)

        def score(a: int) -> float:
            n = node["n"][a]
            q = node["side"] * (node["w"][a] / n if n else mean)
            return float(q + self.c * node["prior"][a] * math.sqrt(1 + tried) / (1 + n))

        move = max(node["legal"], key=score)
        below = (*path, move)
        if below in self.nodes:
            value = self.simulate(below)
        else:
            value = self.node(below, self.env.step(node["state"], torch.tensor([move])))
        node["n"][move] += 1
        node["w"][move] += value
        return value


def test_visits_are_those_of_a_plain_search() -> None:
    """Six positions at once, 120 simulations: move by move the visits of six searches."""
    histories = torch.tensor(
        [[-1, -1, -1], [4, -1, -1], [0, 4, -1], [1, 0, 5], [8, 2, 3], [0, 8, 4]]
    )
    places = Positions.after(GAME, histories)
    evaluate = network(GAME)
    search = TreeSearch(GAME, evaluate, SearchOptions(120, 1.3))
    visits, value = search(places.states, seeded())
    for row in range(len(places)):
        plain = Plain(GAME, evaluate, 1.3)
        plain.node((), places.states[row : row + 1])
        for _ in range(120):
            plain.simulate(())
        root = plain.nodes[()]
        assert visits[row].tolist() == root["n"], row
        assert float(value[row]) == pytest.approx(sum(root["w"]) / 120, abs=1e-12)


def test_endgames_are_played_perfectly() -> None:
    """All states of tic-tac-toe with six stones or more, the network knowing nothing."""
    perfect = MinimaxPlayer(GAME)
    places, optimal = every_position(GAME, perfect)
    late = (places.history >= 0).sum(1) >= 6
    places, optimal = places.take(late), optimal[late]
    player = AlphaZeroPlayer(TreeSearch(GAME, nothing(GAME), SearchOptions(100)))
    moves = player.moves(GAME, places, seeded())
    assert len(places) > 1000
    assert optimal.gather(1, moves[:, None]).double().mean() == 1


def test_a_win_in_one_is_found_on_a_larger_board() -> None:
    board = Connect4()
    places = Positions.after(board, torch.tensor([[3, 0, 3, 0, 3, 1], [3, 0, 3, 0, 6, 0]]))
    player = AlphaZeroPlayer(TreeSearch(board, nothing(board), SearchOptions(60)))
    assert player.moves(board, places, seeded()).tolist() == [3, 0], "wins, and stops a win"


@pytest.mark.slow
def test_chance_is_neither_player() -> None:
    """The value of a position of Pig is its expectation under perfect play, by minimax."""
    pig = Pig(target=3, sides=3, turns=1)
    perfect = MinimaxPlayer(pig)
    rows = (perfect.graph.movers != CHANCE) & ~pig.is_terminal(perfect.graph.states)
    states = perfect.graph.states[rows]
    search = TreeSearch(pig, nothing(pig), SearchOptions(1000, 0.7))
    value = search(states, seeded())[1]
    assert (value - perfect.values[rows]).abs().max() < 0.08


def test_noise_blurs_the_root_alone() -> None:
    start = GAME.initial(64)
    search = TreeSearch(GAME, network(GAME), SearchOptions(30, noise_share=0.5))
    plain, blurred = search(start, seeded())[0], search(start, seeded(), noise=True)[0]
    assert (plain == plain[0]).all()
    assert not (blurred == blurred[0]).all()
    assert (blurred.sum(1) == 30).all()
    none = TreeSearch(GAME, network(GAME), SearchOptions(30, noise_share=0))
    assert torch.equal(none(start, seeded(), noise=True)[0], plain)


def test_illegal_moves_are_never_tried() -> None:
    places = Positions.after(GAME, torch.tensor([[0, 1, 2, 4], [8, 7, 6, 4]]))
    for noise in (False, True):
        visits = TreeSearch(GAME, network(GAME), SearchOptions(50))(places.states, seeded(), noise)
        assert (visits[0][~GAME.forward_mask(places.states)] == 0).all()


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="simulations"):
        SearchOptions(0)
