"""Games as tasks: what is measured while they train, the picture, and the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import enumerate_states
from gflow.cli.main import main
from gflow.envs.games import Connect4, Nim, TicTacToe
from gflow.envs.games.pictures import cells_of_moves, move_probabilities
from gflow.envs.games.policy import BoardPolicy
from gflow.exact.games import adversarial_flows, player_flows
from gflow.exact.graph import StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.objectives import AdversarialTrajectoryBalance
from gflow.tasks.games import SolvedGame, against_uniform
from gflow.training.trainer import TrainConfig, Trainer

pytestmark = pytest.mark.usefixtures("sketches")

QUICK = ["--quiet=True", "--width=4", "--blocks=1", "--head-width=2", "--batch-size=8"]


def solve(graph: StateGraph[Tensor]) -> SolvedGame:
    return SolvedGame.of(graph, adversarial_flows(graph))


def solved_policy(game: SolvedGame) -> TabularPolicy:
    return TabularPolicy.solved(game.graph, game.flows)


@pytest.fixture(scope="module")
def tictactoe() -> StateGraph[Tensor]:
    return enumerate_states(TicTacToe())


# ---------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("scale", "log_z", "share"), [(0.5, 0.136165, 0.98274), (10.0, 2.140596, 1.0)]
)
def test_the_exact_policy_has_the_known_share(scale: float, log_z: float, share: float) -> None:
    """The table of 2.3 through the metrics of a run; nothing is missing at the solution."""
    game = solve(enumerate_states(TicTacToe(scale=scale)))
    assert len(game.rows) == 4520
    assert game.flows.log_z == pytest.approx(log_z, abs=1e-6)
    numbers = game.numbers(solved_policy(game), log_z=0.0)
    assert numbers["optimal"] == pytest.approx(share, abs=5e-6)
    assert numbers["log_z_error"] == pytest.approx(log_z, abs=1e-6)
    assert numbers["tv"] < 1e-9
    kept = game.optimal.sum(1) / game.graph.env.forward_mask(game.graph.states[game.rows]).sum(1)
    assert float(kept.mean()) == pytest.approx(0.579650, abs=1e-6)  # of a uniform mover


def test_a_flow_for_each_player_has_a_solution_of_its_own(tictactoe: StateGraph[Tensor]) -> None:
    game = SolvedGame.of(tictactoe, player_flows(tictactoe))
    assert game.flows.log_z == pytest.approx(8.7355, abs=1e-4)
    numbers = game.numbers(solved_policy(game), log_z=8.0)
    assert numbers["optimal"] == 1
    assert numbers["log_z_error"] == pytest.approx(0.7355, abs=1e-4)


def test_images_have_equal_flows(tictactoe: StateGraph[Tensor]) -> None:
    """T2.5: the eight symmetries at the solution."""
    game = solve(tictactoe)
    env: Any = tictactoe.env
    flow = game.flows.log_flow
    for which in range(1, 8):
        rows = tictactoe.rows(env.image(tictactoe.states, which))
        assert not torch.equal(rows, torch.arange(len(rows)))
        torch.testing.assert_close(flow[rows], flow)


def test_matches_against_uniform_players(tictactoe: StateGraph[Tensor]) -> None:
    """The solution never loses; uniform play wins what it is known to."""
    game = solve(tictactoe)
    found = against_uniform(
        tictactoe.env, solved_policy(game), 400, torch.Generator().manual_seed(0)
    )
    assert found["first_losses"] == found["second_losses"] == 0
    assert found["first_wins"] > 0.95
    assert 0.7 < found["second_wins"] < 0.97
    for side in ("first", "second"):
        assert sum(found[f"{side}_{end}"] for end in ("wins", "draws", "losses")) == 1
    even = TabularPolicy(tictactoe)
    found = against_uniform(tictactoe.env, even, 2000, torch.Generator().manual_seed(0))
    value = found["first_wins"] - found["first_losses"]
    assert value == pytest.approx(0.2968, abs=0.08)
    assert found["second_losses"] - found["second_wins"] == pytest.approx(0.2968, abs=0.08)


def test_nim_is_measured_too() -> None:
    """Perfect play by exclusive or is the value that the solver finds, on every position."""
    env = Nim((1, 2, 3))
    graph = enumerate_states(env)
    game = solve(graph)
    assert torch.equal(game.optimal, env.best_moves(graph.states[game.rows]))
    assert game.numbers(solved_policy(game), 0.0)["optimal"] == 1


@pytest.mark.slow
def test_training_finds_the_best_moves() -> None:
    """Three in a row on three by three with falling stones."""
    torch.manual_seed(0)
    env = Connect4(3, 3, 3, scale=4.0)
    game = solve(enumerate_states(env))
    policy, objective = BoardPolicy(env, 16, 1, 8), AdversarialTrajectoryBalance()
    before = game.numbers(policy, 0.0)
    config = TrainConfig(batch_size=64, lr=3e-3, log_z_lr=0.1, temperature=2.0, epsilon=0.3)
    record = Trainer(env, policy, objective, config).train(250)
    after = game.numbers(policy, record["log_z"])
    assert before["optimal"] < 0.85
    assert after["optimal"] > 0.93
    assert after["tv"] < 0.35 < before["tv"]
    assert after["log_z_error"] < 0.4


# ---------------------------------------------------------------------- pictures


def test_cells_of_moves_are_those_that_are_filled() -> None:
    drop = Connect4(3, 3, 3)
    assert cells_of_moves(drop, drop.play([[0, 0], [0, 1, 0, 1, 2, 0]])).tolist() == [
        [6, 1, 2], [-1, 7, 5],
    ]  # fmt: skip
    mark = TicTacToe()
    assert cells_of_moves(mark, mark.play([[4, 2]])).tolist() == [[0, 1, -1, 3, -1, 5, 6, 7, 8]]


def test_probabilities_of_moves(tictactoe: StateGraph[Tensor]) -> None:
    game = solve(tictactoe)
    env: Any = tictactoe.env
    states = env.play([[], [4], [0, 4]])
    exact = game.move_probabilities(states)
    learned = move_probabilities(env, solved_policy(game), states)
    torch.testing.assert_close(exact, learned)
    corner, edge, centre = 0.12498, 0.06263, 0.24956
    known = [corner, edge, corner, edge, centre, edge, corner, edge, corner]
    torch.testing.assert_close(exact[0], torch.tensor(known), atol=1e-5, rtol=0)
    assert exact[1, 4] == exact[2, 0] == exact[2, 4] == 0


# ---------------------------------------------------------------------- runs


@pytest.fixture
def _single_precision() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, task: str, *flags: str) -> dict[str, Any]:
    assert main(["train", task, *QUICK, f"--out={folder}", *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
@pytest.mark.usefixtures("_single_precision")
@pytest.mark.parametrize("objective", ["atb", "adb", "asubtb", "aedb"])
def test_train_tictactoe(
    tmp_path: Path, objective: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--steps=2", "--eval-samples=10", "--threads=0", f"--objective={objective}"]
    found = train(run, "tictactoe", *flags)
    assert 0.3 < found["optimal"] < 0.9
    exact = 8.7355 if objective == "aedb" else 2.140596
    assert found["log_z_error"] == pytest.approx(abs(found["log_z"] - exact), abs=1e-3)
    assert "elbo" not in found
    assert "mean_reward" not in found
    assert (run / "line_of_play.png").stat().st_size > 5000
    assert "first moves: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("_single_precision")
def test_train_connect4_with_labelled_positions(tmp_path: Path) -> None:
    """On a position with one best move; its score is exact or of the right sign only."""
    file = tmp_path / "positions.jsonl"
    scores = {"0": 2, "1": 1, "2": -1, "3": -1, "4": -1}
    file.write_text(json.dumps({"moves": [2, 2], "scores": scores}) + "\n")
    size = ["--rows=4", "--columns=5", "--line=3", "--steps=2", "--eval-samples=5", "--threads=0"]
    found = train(tmp_path / "run", "connect4", *size, f"--positions={file}")
    assert found["score_exact"] in (0, 1)
    assert found["sign_exact"] >= found["score_exact"]
    assert "optimal" not in found  # too many positions to list
    assert found["first_wins"] + found["first_draws"] + found["first_losses"] == 1


@pytest.mark.usefixtures("_single_precision")
def test_what_games_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tictactoe", "--objective=tb", f"--out={tmp_path / 'run'}"]) == 2
    assert "atb" in capsys.readouterr().err
    missing = str(tmp_path / "none.jsonl")
    assert main(["train", "connect4", f"--positions={missing}", f"--out={tmp_path / 'a'}"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()  # before a run left a folder
