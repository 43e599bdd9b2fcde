"""`save_pretrained`, `from_pretrained`, `log_prob`: equal numbers, from a folder that moved."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import gflow
from gflow.conditions.draws import UniformCondition
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import CheckpointError, ConfigError, IncompatibleError
from gflow.rewards.wrappers import TemperatureConditional
from gflow.runs.packed import pack, unpack
from gflow.runs.trained import Trained
from gflow.state import tensors

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL: dict[str, Any] = {"steps": 3, "batch_size": 8, "width": 8}

OWN = '''
"""A task of one's own, which reads a file."""
from dataclasses import dataclass
from pathlib import Path

from gflow.envs import HyperGrid
from gflow.rewards import FunctionReward
from gflow.tasks.task import Task


@dataclass(frozen=True)
class Mine(Task[HyperGrid]):
    """A grid with weights from a file."""

    weights: str = ""

    def environment(self) -> HyperGrid:
        weight = float(Path(self.weights).read_text())
        return HyperGrid(2, 3, FunctionReward(lambda s: weight * s.sum(-1).double()))
'''


def equal_states(one: Any, two: Any) -> bool:
    return all(map(torch.equal, tensors(one), tensors(two)))


def equal(one: Trained, two: Trained, condition: torch.Tensor | None = None) -> None:
    if condition is None and one.trainer.condition is not None:
        condition = one.trainer.condition(1, torch.Generator().manual_seed(0))
    objects = one.sample(5, seed=1, condition=condition)
    again = two.sample(5, seed=1, condition=condition)
    assert equal_states(objects, again)
    assert torch.equal(one.log_prob(objects, condition), two.log_prob(again, condition))
    assert one.table(3, condition=condition) == two.table(3, condition=condition)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("hypergrid", {"side": 4, "objective": "subtb", "ema": 0.9}),
        ("hypergrid", {"side": 3, "condition": "temperature"}),
        ("ebgfn", {"rows": 2, "columns": 2, "samples": 50}),  # its reward is learned too
        ("torus", {}),
    ],
)
def test_saved_loaded_and_saved_again_it_gives_equal_numbers(
    task: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    trained = gflow.fit(task, **(SMALL | settings))
    told = torch.tensor([2.0]) if "condition" in settings else None
    trained.save_pretrained(tmp_path / "first", samples=0)
    (tmp_path / "first").rename(tmp_path / "moved")
    loaded = gflow.from_pretrained(tmp_path / "moved")
    equal(trained, loaded, told)
    assert loaded.step == 3
    assert loaded.trainer.env.reward.version == trained.trainer.env.reward.version
    modules = [[learner.module for learner in t.trainer.learners] for t in (trained, loaded)]
    assert bool(modules[0]) == (task == "ebgfn")
    for one, two in zip(*modules, strict=True):
        assert all(map(torch.equal, one.parameters(), two.parameters()))
    loaded.save_pretrained(tmp_path / "second", samples=0)
    equal(trained, gflow.load(tmp_path / "second"), told)
    assert loaded.train(1).step == 4, "it can be trained on"


def test_files_and_code_of_ones_own_come_along(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "grid_of_mine.py").write_text(OWN)
    (home / "weights.txt").write_text("0.5")
    weights = str(home / "weights.txt")
    trained = gflow.fit(f"{home / 'grid_of_mine.py'}:Mine", weights=weights, steps=2)
    folder = trained.save_pretrained(tmp_path / "saved", samples=0)
    home.rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"would run: files/grid_of_mine.py. Read it.*trust_code"):
        gflow.from_pretrained(folder)
    equal(trained, gflow.from_pretrained(folder, trust_code=True))


def test_a_finetuned_sampler_takes_the_pretrained_one_along(tmp_path: Path) -> None:
    from gflow.cli.main import main

    before = tmp_path / "before"
    flags = "--side 3 --steps 2 --batch-size 4 --width 8 --quiet --eval-samples 8".split()
    assert main(["pretrain", "hypergrid", *flags, "--out", str(before)]) == 0
    trained = gflow.fit("converted hypergrid", side=3, pretrained=str(before))
    folder = trained.save_pretrained(tmp_path / "saved", samples=0)
    before.rename(tmp_path / "gone")
    equal(trained, gflow.from_pretrained(folder))


class Told(HyperGrid):
    condition_dim = 1


def test_what_was_made_in_python_is_passed_again(tmp_path: Path) -> None:
    def made() -> dict[str, Any]:
        env = Told(2, 3, TemperatureConditional(Corners(3)))
        return {
            "environment": env,
            "policy": gflow.MLPPolicy(env, 12, backward="uniform"),
            "condition": UniformCondition(1.0, 4.0),
        }

    parts = made()
    trained = gflow.fit(
        parts["environment"], policy=parts["policy"], condition=parts["condition"], steps=2
    )
    folder = trained.save_pretrained(tmp_path / "saved", samples=0)
    card = (folder / "README.md").read_text()
    assert 'from_pretrained("saved", environment=..., policy=..., condition=...)' in card
    with pytest.raises(ConfigError, match=r"an environment .*test_pretrained.Told, which no fold"):
        gflow.from_pretrained(folder)
    with pytest.raises(ConfigError, match="a policy that was made"):
        gflow.from_pretrained(folder, environment=parts["environment"])
    loaded = gflow.from_pretrained(folder, **made())
    equal(trained, loaded, torch.tensor([2.0]))
    with pytest.raises(ConfigError, match="made in Python"):
        gflow.from_pretrained(loaded.save_pretrained(tmp_path / "again", samples=0))
    other = made() | {"policy": gflow.MLPPolicy(parts["environment"], 5, backward="uniform")}
    with pytest.raises(CheckpointError, match="do not fit what its settings describe: .*size mism"):
        gflow.from_pretrained(folder, **other)


def test_the_card_is_what_hubs_read(tmp_path: Path) -> None:
    trained = gflow.fit("hypergrid", side=3, **SMALL)
    folder = trained.save_pretrained(tmp_path / "grid", samples=20)
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["library_name"] == "gflow"
    assert {"gflownet", "hypergrid", "tb"} <= set(facts["tags"])
    (model,) = facts["model-index"]
    values = {m["type"]: m["value"] for m in model["results"][0]["metrics"]}
    assert values["tv"] == pytest.approx(trained.metrics["tv"])
    assert 'gflow.from_pretrained("grid")' in body
    assert "gflow train hypergrid --side 3" in body
    assert "| (" in body


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    trained = gflow.fit("hypergrid", side=3, **SMALL)
    folder = trained.save_pretrained(tmp_path / "grid", samples=0)
    with pytest.raises(ConfigError, match=r"holds no saved sampler: there is no config.json"):
        gflow.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="says which environment it has: leave environment= out"):
        gflow.from_pretrained(folder, environment=HyperGrid(2, 3))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("environment: hypergrid\n")
    with pytest.raises(ConfigError, match="is the folder of a run"):
        trained.save_pretrained(tmp_path / "run")
    torch.set_default_dtype(torch.float32)
    with pytest.raises(CheckpointError, match=r"set_default_dtype\(torch.float64\)"):
        gflow.from_pretrained(folder)
    torch.set_default_dtype(torch.float64)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read"):
        gflow.from_pretrained(folder)
    document = json.loads((folder / "config.json").read_text())
    document["settings"]["environment"] = "/elsewhere/bad.py:Bad"
    (folder / "config.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"would run: /elsewhere/bad.py:Bad"):
        gflow.from_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="of another library"):
        gflow.from_pretrained(folder)


def test_states_of_all_kinds_are_packed() -> None:
    tensor = torch.arange(6).view(2, 3)
    state = {
        "rows": [tensor.T, (1, None, "x")],
        "odd": {3: 0.5, "tensor": True},
        "only": {"tensor": 4},
        "far": float("-inf"),
    }
    held: dict[str, torch.Tensor] = {}
    found = unpack(json.loads(json.dumps(pack(state, held), allow_nan=False)), held)
    assert torch.equal(found["rows"][0], tensor.T)
    assert found["rows"][1] == (1, None, "x")
    assert {k: found[k] for k in ("odd", "only", "far")} == {
        k: state[k] for k in ("odd", "only", "far")
    }
    with pytest.raises(CheckpointError, match=r"state.bad is a set"):
        pack({"bad": {1}}, {})


def test_log_probabilities_are_exact_where_states_are_listed() -> None:
    trained = gflow.fit("hypergrid", side=4, **SMALL)
    cells = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    exact = trained.log_prob(cells)
    assert float(exact.exp().sum()) == pytest.approx(1.0)
    object.__setattr__(trained.context, "graph", None)
    estimated = trained.log_prob(cells, trajectories=2000)
    assert float((exact - estimated).abs().max()) < 0.2
    assert float((exact - estimated).abs().max()) > 0, "it was estimated"


def test_log_probabilities_are_refused_where_they_cannot_be_had() -> None:
    trained = gflow.fit("hypergrid", side=3, condition="temperature", **SMALL)
    with pytest.raises(IncompatibleError, match="depend on them. Pass condition="):
        trained.log_prob(trained.sample(2))
    game = gflow.fit("tictactoe", steps=1, batch_size=2)
    with pytest.raises(IncompatibleError, match="has no moves back"):
        game.log_prob(game.sample(2))
