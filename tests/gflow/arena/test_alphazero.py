"""AlphaZero: what it learns from, that it learns, and that it is kept."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gflow.arena import alphazero
from gflow.arena.alphazero import AlphaZero, AlphaZeroOptions
from gflow.arena.folder import AlphaZeroFolder, build
from gflow.arena.matches import both_sides, openings, play
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.players import PolicyPlayer, UniformPlayer
from gflow.arena.positions import Positions
from gflow.arena.search import SearchOptions, TreeSearch
from gflow.arena.self_play import Lessons, self_play
from gflow.envs.games import Pig, TicTacToe
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import CheckpointError, ConfigError, IncompatibleError
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.bare import task_of_object
from gflow.tasks.registry import task_class

GAME = TicTacToe()


SMALL = """
from gflow.envs.games import Connect4

class Small(Connect4):
    def __init__(self, rows: int = 4):
        super().__init__(rows, 4, 3)
"""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def policy(env: Any, width: int = 32, seed: int = 0) -> MLPPolicy:
    torch.manual_seed(seed)
    return MLPPolicy(env, width, 1, "uniform", log_flow=True)


def even(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(len(states), 9), torch.zeros(len(states))


def test_lessons_are_what_was_played() -> None:
    """Shares of legal moves that sum to one; each game's outcome at each of its positions."""
    search = TreeSearch(GAME, even, SearchOptions(12))
    lessons = self_play(GAME, search, 30, 4, seeded(), lambda: False)
    assert lessons is not None
    assert torch.allclose(lessons.share.sum(1), torch.ones(len(lessons)))
    assert (lessons.share[~GAME.forward_mask(lessons.states)] == 0).all()
    stones = lessons.states[:, -2]
    ends = Positions.start(GAME, 30)
    assert int((stones == 0).sum()) == 30
    assert torch.equal(lessons.states[:30], ends.states)
    # The last position of a game that a player won in one move has that outcome.
    for outcome in (1, -1):
        rows = (lessons.outcome == outcome).nonzero().squeeze(1)
        assert len(rows) > 5
        last = rows[stones[rows] == stones[rows].max()]
        assert (GAME.mover(lessons.states[last]) == outcome).all()
    assert len(lessons.latest(7)) == 7
    assert torch.equal(lessons.latest(7).outcome, lessons.outcome[-7:])


def test_self_play_of_a_game_with_chance() -> None:
    """Moves of chance are no lessons."""
    pig = Pig(target=4, sides=3, turns=2)

    def nothing(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(states), pig.num_actions), torch.zeros(len(states))

    lessons = self_play(
        pig, TreeSearch(pig, nothing, SearchOptions(8)), 20, 100, seeded(), lambda: False
    )
    assert lessons is not None
    assert (pig.mover(lessons.states).abs() == 1).all()
    assert lessons.outcome.abs().max() == 1


@pytest.mark.slow
def test_losses_are_cross_entropy_and_squared_error() -> None:
    made = AlphaZero(GAME, policy(GAME))
    places = Positions.after(GAME, torch.tensor([[4, 0], [1, 2]]))
    share = torch.zeros(2, 9)
    share[0, 1], share[0, 8], share[1, 5] = 0.25, 0.75, 1.0
    lessons = Lessons(places.states, share, torch.tensor([1.0, -1.0]))
    output = made.policy(GAME, places.states)
    assert output.log_flow is not None
    log_prob = output.forward_logits.masked_fill(
        ~GAME.forward_mask(places.states), -torch.inf
    ).log_softmax(1)
    moves = -(0.25 * log_prob[0, 1] + 0.75 * log_prob[0, 8] + log_prob[1, 5]) / 2
    value = ((output.log_flow.tanh() - lessons.outcome) ** 2).mean()
    assert torch.allclose(made.losses(lessons), torch.stack([moves, value]))
    made.losses(lessons).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.policy.parameters())


@pytest.mark.slow
def test_lessons_are_learned_by_heart() -> None:
    """The value and the moves of a few positions, after some steps on them."""
    made = AlphaZero(
        GAME, policy(GAME), AlphaZeroOptions(batch_size=32, passes=400, learning_rate=3e-3)
    )
    lessons = self_play(
        GAME, TreeSearch(GAME, even, SearchOptions(40)), 3, 9, seeded(), lambda: False
    )
    assert lessons is not None
    made.lessons = lessons
    numbers = made._learn(len(lessons), lambda: False)
    value = made.evaluate(lessons.states[3:])[1]  # the start alone has several outcomes
    assert made.updates > 100
    assert numbers["value_loss"] < 0.6
    assert ((value - lessons.outcome[3:]).abs() < 0.6).double().mean() > 0.8


@pytest.mark.slow
def test_it_learns_to_beat_uniform() -> None:
    """Tic-tac-toe: its moves without any search win, and its values go with those of minimax."""
    made = AlphaZero(
        GAME,
        policy(GAME, 64),
        AlphaZeroOptions(batch_size=128, passes=16, opening_plies=5, learning_rate=3e-3),
        SearchOptions(40),
    )
    perfect = MinimaxPlayer(GAME)
    rows = ~GAME.is_terminal(perfect.graph.states)

    def score() -> float:
        players = [PolicyPlayer(made.policy, temperature=0), UniformPlayer()]
        seats, begun = both_sides([(0, 1)], openings(GAME, 200, 1, seeded(5)))
        return float(play(GAME, players, seats, begun, seeded(5)).score_of(0).double().mean())

    def insight() -> float:
        values = made.evaluate(perfect.graph.states[rows])[1]
        values = torch.stack([values, perfect.values[rows]])
        return float(torch.corrcoef(values)[0, 1])

    assert abs(score()) < 0.25
    before = insight()
    assert abs(before) < 0.3
    made.train(rounds=9)
    assert score() > 0.5
    assert insight() > max(0.22, before + 0.12), (before, insight())


def test_trees_that_do_not_fit_grow_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    player = AlphaZero(GAME, policy(GAME)).player(20)
    places = Positions.after(GAME, openings(GAME, 30, 3, seeded()))
    together = player.moves(GAME, places, seeded())
    monkeypatch.setattr(alphazero, "NODES", 70)
    assert torch.equal(player.moves(GAME, places, seeded()), together)


def test_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = AlphaZero(GAME, policy(GAME), AlphaZeroOptions(games=4), SearchOptions(4))
    clock = iter(range(10**6))  # each look at it takes a second
    monkeypatch.setattr(alphazero, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    made.train(seconds=30)
    assert made.rounds > 0
    assert 30 <= made.seconds < 35
    rounds = made.rounds
    made.train(rounds=2)
    assert made.rounds == rounds + 2
    made.train(rounds=5, stop=lambda: True)
    assert made.rounds == rounds + 2


def test_the_folder_gives_back_what_was_learned(tmp_path: Path) -> None:
    """Same weights, same moves; training goes on from there."""
    folder = AlphaZeroFolder(tmp_path / "az")
    (tmp_path / "small.py").write_text(SMALL)
    task = task_class(f"{tmp_path / 'small.py'}:Small")()
    options = AlphaZeroOptions(games=4, batch_size=16)
    made = folder.create(task, options, SearchOptions(6), 3)
    made.train(rounds=1)
    folder.save(made, {"round": 1.0})
    _, again = folder.load()
    assert again.options == options
    assert (again.rounds, again.games, again.updates) == (made.rounds, made.games, made.updates)
    places = Positions.after(made.env, torch.tensor([[0, 1], [2, 2]]))
    for ours, theirs in zip(
        made.evaluate(places.states), again.evaluate(places.states), strict=True
    ):
        assert torch.equal(ours, theirs)
    with pytest.raises(ConfigError, match="holds a run already"):
        folder.create(task, options, SearchOptions(6), 3)
    (folder.path / "alphazero.pt").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="damaged"):
        folder.load()
    (folder.path / "alphazero.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        folder.load()


@pytest.mark.slow
def test_the_seed_decides() -> None:
    def trained(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        task = task_of_object(GAME)
        made = build(task, AlphaZeroOptions(games=4, batch_size=16), SearchOptions(4), seed)
        made.train(rounds=2)
        return [p.detach() for p in made.policy.parameters()]

    one, two, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_refusals() -> None:
    with pytest.raises(IncompatibleError, match="HyperGrid has 1"):
        AlphaZero(HyperGrid(2, 4), policy(GAME))
    torch.manual_seed(0)
    with pytest.raises(IncompatibleError, match="no log-flow head"):
        AlphaZero(GAME, MLPPolicy(GAME, 8, 1, "uniform"))
    two = AlphaZero(GAME, MLPPolicy(GAME, 8, 1, "uniform", log_flow=2))
    with pytest.raises(IncompatibleError, match="reads one value"):
        two.evaluate(GAME.initial(1))
    with pytest.raises(ConfigError, match="games"):
        AlphaZeroOptions(games=0)
