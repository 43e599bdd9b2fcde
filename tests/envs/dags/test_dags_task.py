import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.dags.data import erdos_renyi_network, read_table
from gflow.envs.dags.guide import DeltaGuide
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.task import DagsTask, _score_of
from gflow.errors import ConfigError
from gflow.rewards.wrappers import Tempered
from gflow.tasks.pictures import pyplot
from gflow.terms import Needs

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = ["--width=32", "--batch-size=32", "--eval-every=100", "--eval-samples=300", "--quiet=True"]


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "dags", f"--out={folder}", *SMALL, *flags]) == 0
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
def test_learns_marginals_of_three_variables(tmp_path: Path) -> None:
    flags = (
        "--variables=3",
        "--edges=2",
        "--rows=20",
        "--steps=200",
        "--lr=5e-3",
        "--eval-samples=5000",
    )
    summary = train(tmp_path / "run", *flags)
    assert summary["objective"] == "mdb"
    metrics, untrained = summary["metrics"], summary["untrained"]
    assert metrics["tv"] < 0.1 < untrained["tv"]
    for name in ("edge", "path", "blanket"):
        assert metrics[f"{name}_correlation"] > 0.95
    assert 0 <= metrics["expected_shd"] <= 3
    for name in ("learned", "exact", "true_graph"):
        rows = (tmp_path / "run" / f"edges_{name}.csv").read_text().splitlines()
        assert rows[0] == "x0,x1,x2"
        assert len(rows) == 4
    assert (tmp_path / "run" / "edges.png").stat().st_size > 5000


@pytest.mark.slow
def test_reads_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    close = pyplot().close

    def kept(figure: Any) -> None:
        drawn.append(figure)
        close(figure)

    monkeypatch.setattr(pyplot(), "close", kept)
    generator = torch.Generator().manual_seed(0)
    network = erdos_renyi_network(6, 6, generator=generator)
    data, edges = tmp_path / "data.csv", tmp_path / "edges.csv"
    names = ["raf", "mek", "plc, g", "erk", "akt", "pka"]
    quoted = [f'"{name}"' for name in names]
    rows = [",".join(map(str, row)) for row in network.sample(50, generator).exp().tolist()]
    data.write_text("\n".join([",".join(quoted), *rows]) + "\n")
    pairs = [f"{quoted[i]},{quoted[j]}" for i, j in network.adjacency.nonzero().tolist()]
    edges.write_text("\n".join(["Cause,Effect", *pairs]) + "\n")
    flags = (f"--data={data}", f"--true-edges={edges}", "--log=True", "--max-parents=2")
    summary = train(tmp_path / "run", *flags, "--steps=5", "--prior=fair", "--objective=tb")
    assert "edge_correlation" not in summary["metrics"]  # too many graphs to list
    assert 0 <= summary["metrics"]["auroc"] <= 1
    learned, marginals = read_table(tmp_path / "run" / "edges_learned.csv")
    assert learned == names
    assert bool(((marginals >= 0) & (marginals <= 1)).all())
    assert bool((marginals.diagonal() == 0).all())
    axis = drawn[0].axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("cause", "effect")
    assert [text.get_text() for text in axis.get_yticklabels()] == names
    assert main(["resume", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["train", "dags", "--data=missing.csv", f"--out={tmp_path / 'no'}"]) == 2
    assert "cyto_full_data.csv" in capsys.readouterr().err


@pytest.mark.parametrize("score", ["bge", "bic", "linear_gaussian"])
@pytest.mark.parametrize("prior", ["uniform", "erdos_renyi", "fair"])
def test_scores_and_priors(score: str, prior: str) -> None:
    task = DagsTask(score=score, prior=prior, variables=4, edges=3)  # type: ignore[arg-type]
    chosen = task.modular_score()
    assert type(chosen).__name__.lower() == score.replace("_", "")
    plain = DagsTask(score=score, variables=4, edges=3).modular_score()  # type: ignore[arg-type]
    assert (chosen.empty == plain.empty) == (prior == "uniform" or prior == "fair")


def test_temperature_reaches_reward_and_guide() -> None:
    task = DagsTask(variables=3, edges=2, beta=0.25, guide="delta")
    env = task.environment()
    assert isinstance(env.reward, Tempered)
    policy = task.policy(env, Needs())
    assert isinstance(policy, DagPolicy)
    assert isinstance(policy.guide, DeltaGuide)
    empty = env.initial(1)
    gain = env.log_reward(env.step(empty, torch.tensor([1]))) - env.log_reward(empty)
    torch.testing.assert_close(policy.guide(empty)[0, 1], gain[0])
    torch.testing.assert_close(_score_of(env)(env.step(empty, torch.tensor([1]))), gain / 0.25)
    assert task.log_z(env) == pytest.approx(
        float(env.log_reward(env.states(torch.ones(1, 3, 3).triu(1)))), rel=1e-5
    )
    assert DagsTask(guide="none").policy(DagsTask().environment(), Needs()).guide is None


def test_complaints() -> None:
    with pytest.raises(ConfigError, match="pass --data as well"):
        DagsTask(true_edges="edges.csv").environment()
    with pytest.raises(ConfigError, match="rows must be at least 1, got 0"):
        DagsTask(rows=0).environment()
    with pytest.raises(
        ConfigError, match="score must be one of bge, bic, linear_gaussian, got 'bde'"
    ):
        DagsTask(score="bde").environment()  # type: ignore[arg-type]
