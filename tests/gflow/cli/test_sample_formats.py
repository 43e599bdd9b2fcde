"""`gflow sample` to other formats, and a diverse choice."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.cli.main import main
from gflow.errors import ConfigError, IncompatibleError
from gflow.runs.export import drawn, format_of, text_of

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        trained = gflow.fit("hypergrid", side=4, steps=2, width=8, condition="temperature")
        return trained.save_pretrained(tmp_path_factory.mktemp("grid") / "saved", samples=0)
    finally:
        torch.set_default_dtype(before)


def test_formats_say_the_same(
    grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(grid), "-n", "6"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 6
    for name in ("objects.json", "objects.csv"):
        assert main(["sample", str(grid), "-n", "6", "--out", str(tmp_path / name)]) == 0
        assert f"6 objects in {tmp_path / name}" in capsys.readouterr().out
    assert json.loads((tmp_path / "objects.json").read_text()) == lines
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["object"] for row in rows] == [line["object"] for line in lines]
    assert [float(row["reward"]) for row in rows] == [line["reward"] for line in lines]
    assert [json.loads(row["condition"]) for row in rows] == [line["condition"] for line in lines]


def test_molecules_are_written_for_chemists(tmp_path: Path) -> None:
    chem = pytest.importorskip("rdkit.Chem")
    trained = gflow.fit(
        "atoms", steps=1, batch_size=2, workers=0, eval_samples=8, max_atoms=4, width=8
    )
    rows, smiles = drawn(trained, 5)
    assert smiles is not None
    lines = text_of(rows, smiles, "smi").splitlines()
    assert [line.split()[:2] for line in lines] == [
        [text, f"sample-{i}"] for i, text in enumerate(smiles, 1)
    ]
    assert f" QED={rows[0]['QED']:.6g}" in lines[0]
    (tmp_path / "found.sdf").write_text(text_of(rows, smiles, "sdf"))
    found = list(chem.SDMolSupplier(str(tmp_path / "found.sdf")))
    assert [chem.MolToSmiles(one) for one in found] == [
        chem.MolToSmiles(chem.MolFromSmiles(text)) for text in smiles
    ]
    assert float(found[2].GetProp("reward")) == pytest.approx(rows[2]["reward"], rel=1e-5)
    assert found[2].GetProp("_Name") == "sample-3"


def test_a_diverse_choice_is_good_and_far_apart(capsys: pytest.CaptureFixture[str]) -> None:
    trained = gflow.fit("bits", bits=8, word=1, modes=2, steps=1, width=8, eval_samples=8)
    rows, _ = drawn(trained, 200, diverse=4, alike=0.6)
    assert len(rows) == 4
    texts = [row["object"] for row in rows]
    for i, one in enumerate(texts):
        for other in texts[:i]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) / len(one) < 0.6
    name = "reward" if "reward" in rows[0] else "log_reward"
    values = [row[name] for row in rows]
    assert values == sorted(values, reverse=True)
    every, _ = drawn(trained, 200)
    assert values[0] == max(row[name] for row in every)
    few, _ = drawn(trained, 3, diverse=5, alike=0.01)
    assert len(few) < 5
    assert "draw more by -n, or raise --alike" in capsys.readouterr().err


def test_what_cannot_be_written_is_refused(
    grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"the name 'a.xlsx' says no format .* jsonl, json, csv"):
        format_of("", "a.xlsx")
    rows: list[dict[str, Any]] = [{"object": "x"}]
    with pytest.raises(ConfigError, match="smi is for molecules, .* use json, jsonl or csv"):
        text_of(rows, None, "smi")
    torus = gflow.fit("torus", steps=1, batch_size=2, width=8, eval_samples=8)
    with pytest.raises(IncompatibleError, match="how alike two objects of .* are. Write a Task"):
        drawn(torus, 3, diverse=2)
    assert main(["sample", str(grid), "--out", str(tmp_path / "no" / "where.csv")]) == 2
    assert "where.csv cannot be written" in capsys.readouterr().err
