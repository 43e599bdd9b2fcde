"""`--reward file.py:function`: exact where that can be checked, and refused in words."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.cli.main import main
from gflow.errors import ConfigError, GFlowError, IncompatibleError, RewardError
from gflow.exact.graph import enumerate_states
from gflow.rewards.pool import WorkerPool
from gflow.tasks.registry import TASKS
from gflow.tasks.scored import Scorer

SCORES = '''
"""Rewards of one's own."""
SEEN = []

def cell(xy):
    return 1.0 + xy[0] + 2 * xy[1]

def letters(texts: list[str]) -> list[float]:
    SEEN.append(texts)
    return [text.count("A") for text in texts]

def carbon(smiles: str) -> float:
    return smiles.lower().count("c") / len(smiles)

def energy(pair) -> float:
    return -0.5 * sum(pair)

def two(a, b): return 1.0
def words(x): return "high"
def fails(x): return 1 / 0
def short(xs: list) -> list: return [1.0]
NUMBER = 3
'''


@pytest.fixture
def scores(tmp_path: Path) -> str:
    file = tmp_path / "scores_of_mine.py"
    file.write_text(SCORES)
    return str(file)


def test_objects_are_sampled_in_proportion_to_it(scores: str) -> None:
    trained = gflow.fit("hypergrid", reward=f"{scores}:cell", side=3, beta=2.0, steps=2, width=8)
    graph = enumerate_states(trained.env)
    cells = graph.states[graph.objects]
    wanted = 2 * (1.0 + cells[:, 0] + 2 * cells[:, 1]).double().log()
    torch.testing.assert_close(graph.log_reward()[graph.objects], wanted)
    rows = trained.table(20)
    for row in rows:
        x, y = json.loads(row["object"].replace("(", "[").replace(")", "]"))
        assert row["reward"] == pytest.approx(1.0 + x + 2 * y)
    assert "tv" in trained.metrics
    env = trained.env
    logs = env.log_reward(torch.tensor([[2, 1]]))
    energy = gflow.fit(
        "hypergrid", reward=f"{scores}:energy", reward_gives="energy", side=3, steps=1, width=8
    )
    assert float(energy.env.log_reward(torch.tensor([[2, 1]]))) == pytest.approx(1.5)
    assert float(logs) == pytest.approx(2 * math.log(5.0))


def test_a_run_of_the_command_line_and_what_comes_after(
    scores: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(scores).parent)
    name = Path(scores).name
    flags = "--steps 2 --batch-size 4 --width 8 --quiet --eval-samples 8 --out run".split()
    flags += ["--reward-floor", "0.1", "--task", "own"]
    words = ["train", "bags", "--reward", f"{name}:letters", *flags]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "best objects" in said
    monkeypatch.chdir(tmp_path.parent)
    folder = str(Path(scores).parent / "run")
    assert main(["resume", folder, "--steps", "3"]) == 0
    capsys.readouterr()
    assert main(["sample", folder, "-n", "5"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in rows:
        assert row["reward"] == pytest.approx(max(0.1, row["object"].count("A")), rel=1e-5)
    command = json.loads((Path(folder) / "about.json").read_text())["command"]
    assert f"train bags --reward {scores}:letters --reward-floor 0.1" in command


def share(smiles: str) -> float:
    return smiles.lower().count("c") / len(smiles)


def test_molecules_are_scored_by_their_smiles(scores: str) -> None:
    pytest.importorskip("rdkit")
    trained = gflow.fit(
        "atoms", reward=f"{scores}:carbon", steps=1, batch_size=2, workers=0, eval_samples=8,
        max_atoms=4, beta=1.0, width=8, reward_floor=0.01,
    )  # fmt: skip
    for row in trained.table(3):
        assert row["reward"] == pytest.approx(max(0.01, share(row["object"])))
        assert "QED" in row
    assert trained.metrics["mean_QED"] == pytest.approx(
        sum(r["QED"] for r in trained.table(8)) / 8, abs=0.5
    )


def test_names_of_rewards_that_a_task_has_stay_names(scores: str) -> None:
    assert gflow.fit("hypergrid", reward="cosine", steps=1, width=8).config.task.origin == ""
    with pytest.raises(ConfigError, match="takes a function of your own here, .* got 'cosine'"):
        gflow.fit("tfbind", reward="cosine", steps=1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "has no function 'missing'. It holds cell, letters, carbon"),
        ("NUMBER", "NUMBER in .* is a int; a function is wanted"),
        ("two", r"two takes a, b. A reward takes one object, as in def two\(text"),
        ("words", "words gave 'high' for .*: give a number"),
        ("fails", r"fails failed on .*: ZeroDivisionError: division by zero \(line \d+\)"),
        ("short", "gave 1 values for .* objects"),
        ("letters", "gave 0 for .*, and a reward is above 0.*--reward-floor 1e-3"),
    ],
)
def test_wrong_functions_are_refused_in_words(name: str, said: str, scores: str) -> None:
    with pytest.raises((ConfigError, RewardError), match=said):
        gflow.fit("bags", reward=f"{scores}:{name}", steps=1, batch_size=64, width=8, task="own")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("tictactoe", "in a game the reward is who wins"),
        ("ebgfn", "is learned from data"),
        ("diffusion", "density with scores"),
    ],
)
def test_where_the_reward_cannot_be_replaced_the_reason_is_said(
    task: str, said: str, scores: str
) -> None:
    with pytest.raises(IncompatibleError, match=f"gflow train {task} takes no --reward: .*{said}"):
        gflow.fit(task, reward=f"{scores}:cell", steps=1)


@pytest.mark.slow
def test_workers_compute_it(scores: str) -> None:
    plain = gflow.fit("hypergrid", reward=f"{scores}:cell", side=3, steps=1, width=8)
    pooled = gflow.fit(
        "hypergrid", reward=f"{scores}:cell", side=3, steps=1, width=8, reward_workers=1
    )
    try:
        assert isinstance(pooled.env.reward.pool, WorkerPool)  # type: ignore[attr-defined]
        assert pooled.table(4) == plain.table(4)
    finally:
        pooled.close()


def test_a_scorer_says_what_functions_mean() -> None:
    assert Scorer(lambda x: x, "f", beta=3.0)([2.0]) == [3 * math.log(2.0)]
    assert Scorer(lambda x: x, "f", "log", beta=3.0)([2.0]) == [6.0]
    assert Scorer(lambda x: x, "f", "energy")([torch.tensor([2.0])]) == [-2.0]
    assert Scorer(lambda x: x, "f", floor=0.5)([-1.0, 0.25, 1.0]) == [
        math.log(0.5), math.log(0.5), 0.0,
    ]  # fmt: skip
    with pytest.raises(RewardError, match="give a number"):
        Scorer(lambda x: True, "f")([1])
    with pytest.raises(ConfigError, match="A reward takes one object"):
        Scorer(lambda: 1.0, "f")


WRITTEN: dict[str, Any] = {
    "hypergrid": (tuple, int),
    "sets": (tuple, int),
    "spins": (tuple, int),
    "box": (tuple, float),
    "stochastic-grid": (tuple, int),
    "tfbind": (str, str),
    "bags": (str, str),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_objects_are_written_as_people_write_them(name: str) -> None:
    cls = TASKS[name]
    task, env = cls(), cls.cheap()
    from gflow.sampling.sampler import Sampler
    from gflow.terms import Needs

    generator = torch.Generator().manual_seed(0)
    objects = Sampler(env).forward(task.policy(env, Needs()), 3, generator=generator).final_states
    found = task.object_written(env, objects)
    kind, inner = WRITTEN[name]
    assert len({hash(thing) for thing in found}) >= 1
    assert all(isinstance(thing, kind) for thing in found)
    assert all(isinstance(part, inner) for thing in found for part in thing)
    if name == "spins":
        assert {part for thing in found for part in thing} == {-1, 1}
    task.close(env)


def test_errors_are_those_of_gflow(scores: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", "bags", "--task", "own", "--reward", f"{scores}:fails", "--steps", "1"]) == 2
    )
    assert "scores_of_mine.py:fails failed on" in capsys.readouterr().err
    assert issubclass(RewardError, GFlowError)


@pytest.mark.usefixtures("sketches")
def test_a_pretrained_sampler_is_turned_to_it(
    scores: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--steps 2 --batch-size 4 --width 8 --quiet --eval-samples 8"
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    assert main(["pretrain", "hypergrid", *f"{small} --side 3".split(), "--out", before]) == 0
    words = ["finetune", before, "--how", "converted", "--reward", f"{scores}:cell"]
    assert main([*words, "--quiet", "--eval-samples", "8", "--out", after]) == 0
    capsys.readouterr()
    env = gflow.load(after).env
    assert float(env.log_reward(torch.tensor([[2, 1]]))) == pytest.approx(math.log(5.0))
