"""`gflow arena` and `gflow alphazero`: the table, what is kept, and what is refused."""

import io
import json
from pathlib import Path

import pytest
import torch

from gflow.arena import lineup
from gflow.arena.folder import AlphaZeroFolder
from gflow.arena.labelled import Labelled
from gflow.cli.main import main

GAMES = """
from gflow.envs.games import Connect4, TicTacToe

class Three(TicTacToe):
    def __init__(self, scale: float = 10.0):
        super().__init__(scale=scale)

class Small(Connect4):
    def __init__(self, rows: int = 4):
        super().__init__(rows, 4, 3)
"""


@pytest.fixture
def games(tmp_path: Path) -> Path:
    (tmp_path / "games.py").write_text(GAMES)
    return tmp_path


def learned(games: Path, name: str, game: str = "Three", *flags: str) -> str:
    """The folder of an AlphaZero that hardly learned."""
    words = ["alphazero", f"{games / 'games.py'}:{game}", "--rounds=1", "--games=4", "--width=8"]
    words += ["--simulations=4", "--batch-size=8", "--depth=1", f"--out={games / name}", "--quiet"]
    assert main([*words, *flags]) == 0
    return str(games / name)


@pytest.mark.slow
def test_a_table_a_picture_and_json(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = learned(games, "one"), learned(games, "two", "Three", "--seed=5", "--scale=2")
    out = games / "out"
    capsys.readouterr()
    words = ["arena", one, two, "--simulations=4", "--games=6", f"--out={out}"]
    assert main([*words, "--players", "uniform", "mcts:10", "minimax"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0].split()[:2] == ["player", "Elo"]
    assert sorted(line.split()[0] for line in lines[1:6]) == [
        "mcts:10", "minimax", "one", "two", "uniform",
    ]  # fmt: skip
    assert "6 games of each pair, 2 random plies at first" in said
    kept = json.loads((out / "arena.json").read_text())
    assert set(kept["players"]) == {"one", "two", "uniform", "mcts:10", "minimax"}
    results = torch.tensor(kept["results"])
    assert (results.sum(2) == 3 * (1 - torch.eye(5, dtype=torch.int64))).all()
    row = next(row for row in kept["table"] if row["player"] == "uniform")
    assert row["elo"] == row["error"] == 0
    shares = kept["shares"]
    assert shares["minimax"] == {"value_exact": 1.0}
    assert 0.5 < shares["uniform"]["value_exact"] < 0.66 < shares["mcts:10"]["value_exact"]
    assert "value-exact  optimal moves" in said
    assert (out / "arena.png").read_bytes().startswith(b"\x89PNG")


def test_the_seed_decides(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def table(seed: int) -> list[list[str]]:
        words = ["arena", "--env", f"{games / 'games.py'}:Three", "--games=20", f"--seed={seed}"]
        assert main([*words, "--players", "uniform", "mcts:5"]) == 0
        rows = capsys.readouterr().out.splitlines()[1:3]
        return [row.split()[:-1] for row in rows]  # speeds differ

    assert table(1) == table(1)
    assert table(1) != table(2)


def test_shares_of_labelled_positions(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = games / "labels.jsonl"
    Labelled.of([[0], [1, 1]], [dict.fromkeys(range(4), 0.0)] * 2, 4).save(path)
    words = ["arena", "--env", f"{games / 'games.py'}:Small", "--games=2", "--positions", str(path)]
    assert main([*words, "--players", "uniform", "mcts:5"]) == 0
    said = capsys.readouterr().out
    assert "score-exact    sign-exact  optimal moves" in said
    assert "100.0 %       100.0 %" in said


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    return capsys.readouterr().err


def test_refusals(
    games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three, small = learned(games, "three"), learned(games, "small", "Small")
    said = refused(capsys, "arena", three, small)
    assert "must be of one game" in said
    assert "tic_tac_toe" in said
    assert "connect_four(rows=4,columns=4,x_in_row=3)" in said
    said = refused(capsys, "arena", three, "--players", "mcts")
    assert "as in mcts:100" in said
    said = refused(capsys, "arena", three, "--players", "unifrom")
    assert "Did you mean 'uniform'?" in said
    said = refused(capsys, "arena", "--players", "uniform", three)
    assert "folders of runs come first" in said
    assert "needs a RUN, or --env" in refused(capsys, "arena")
    assert "holds no run" in refused(capsys, "arena", str(games))
    assert "even" in refused(capsys, "arena", three, "--games=3")
    assert "--reference must be one of" in refused(capsys, "arena", three, "--reference=me")
    assert "HyperGrid has 1" in refused(capsys, "arena", "--env=hypergrid")
    assert "alone" in refused(capsys, "arena", three, "--players", "perfect")
    monkeypatch.setattr(lineup, "MINIMAX_LIMIT", 1000)
    said = refused(capsys, "arena", small, "--players", "minimax")
    assert "minimax lists all states of a game, and at most 1,000" in said


def test_the_same_folder_twice_plays_itself(
    games: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = learned(games, "one")
    assert main(["arena", one, one, "--games=2", "--simulations=2", "--players", "uniform"]) == 0
    names = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {one, f"{one} #2"} <= {name.strip() for name in names}


def test_alphazero_keeps_its_settings(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = learned(games, "one", "Small", "--rows=5", "--exploration=2")
    _, made = AlphaZeroFolder(Path(folder)).load()
    assert made.env.rows == 5  # type: ignore[attr-defined]
    assert made.search.exploration == 2
    assert made.options.games == 4
    assert made.rounds == 1
    lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1]
    flags = ["--rounds=1", f"--out={folder}"]
    said = refused(capsys, "alphazero", f"{games / 'games.py'}:Small", *flags)
    assert "holds a run already" in said
    assert "Did you mean '--rounds'?" in refused(
        capsys, "alphazero", f"{games / 'games.py'}:Small", "--round=3"
    )
    assert "has 1" in refused(capsys, "alphazero", "hypergrid", f"--out={games / 'no'}")
    assert not (games / "no").exists()


def test_alphazero_out_of_time(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["alphazero", f"{games / 'games.py'}:Three", f"--out={games / 'none'}"]
    assert main([*words, "--minutes=0.0001"]) == 0
    assert "Not one round was finished" in capsys.readouterr().out
    assert not (games / "none").exists()


@pytest.mark.slow
def test_runs_of_gflow_train(
    games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of different temperature and an AlphaZero of one game; greedy ones differ from drawn."""
    runs = []
    for name, scale in (("hot", 1), ("cold", 10)):
        words = ["train", "tictactoe", "--steps=2", "--batch-size=8", "--width=4", "--blocks=0"]
        words += ["--eval-samples=4", f"--scale={scale}", f"--out={games / name}", "--quiet"]
        assert main(words) == 0
        runs.append(str(games / name))
    words = ["alphazero", "tictactoe", "--rounds=1", "--games=4", "--width=4", "--blocks=0"]
    words += ["--simulations=4", "--batch-size=8", f"--out={games / 'az'}", "--quiet"]
    assert main(words) == 0
    runs.append(str(games / "az"))

    def table(*flags: str) -> dict[str, str]:
        capsys.readouterr()
        assert main(["arena", *runs, "--games=20", "--simulations=2", *flags]) == 0
        lines = capsys.readouterr().out.splitlines()[1:5]
        return {line.split()[0]: line.rsplit(maxsplit=1)[0] for line in lines}

    drawn = table()
    assert set(drawn) == {"hot", "cold", "az", "uniform"}
    assert drawn == table("--temperature=1")
    assert drawn != table("--greedy")
    monkeypatch.setattr("sys.stdin", io.StringIO("5\n"))
    assert main(["play", "--greedy", runs[0]]) == 0
    assert "hot: " in capsys.readouterr().out
