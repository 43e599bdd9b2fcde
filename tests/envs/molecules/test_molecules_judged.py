"""Modes, scaffolds and what is new, on molecules of which that is known."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")

from gflow.cli.main import main
from gflow.envs.molecules.extras import MoleculeError, parse_smiles
from gflow.envs.molecules.judge import JudgedMolecules, MoleculeJudge
from gflow.envs.molecules.known import Known
from gflow.envs.molecules.modes import (
    MARKS,
    Modes,
    Prints,
    fingerprint,
    parse_written,
    scaffold_of,
    similar,
)
from gflow.envs.molecules.task import MoleculesTask
from gflow.errors import ConfigError, GFlowError

BENZENE, TOLUENE, ACID = "c1ccccc1", "Cc1ccccc1", "CC(=O)O"
ETHYL, PROPYL = "CCc1ccccc1", "CCCc1ccccc1"


def similarity(one: str, other: str) -> float:
    first, second = (fingerprint(parse_smiles(text, "")) for text in (one, other))
    return similar(second, [first])[0]


# Charges, fused and spiro rings, aromatic nitrogen with and without hydrogen, sulfones, isotopes.
WRITTEN = [
    ETHYL, PROPYL, ACID, "C[N+](C)(C)CC(=O)[O-]", "c1ccc2[nH]ccc2c1", "O=c1cc[nH]c(=O)[nH]1",
    "C1CCC2(CC1)OCCO2", "CS(=O)(=O)Nc1ccc(-c2nc3ccccc3s2)cc1", "C1CC1C#Cc1cnc2ccccc2c1",
    "O=C(CCl)N1CCOCC1", "c1ccc(-n2cccn2)cc1", "OB(O)c1ccccc1", "CC(C)(C)OC(=O)NC1CCNCC1",
]  # fmt: skip


def test_similarities_are_those_of_rdkit() -> None:
    prints = [fingerprint(parse_smiles(text, "")) for text in WRITTEN]
    mine = Prints()
    assert mine.nearest([1]) < 0
    for number in range(200):  # more than there is room for at first
        bits = list(prints[number % len(prints)].GetOnBits())
        if number:
            assert mine.nearest(bits) == max(
                similar(prints[number % len(prints)], prints[: min(number, len(prints))])
            )
        mine.add(bits)


def test_what_is_read_quickly_is_what_rdkit_perceives() -> None:
    for text in WRITTEN:
        quick, whole = parse_written(text), parse_smiles(text, "")
        assert fingerprint(quick) == fingerprint(whole), text
        assert scaffold_of(quick) == scaffold_of(whole), text
    for bad in ("nonsense", ""):
        with pytest.raises(MoleculeError, match="not a valid SMILES"):
            parse_written(bad)


def test_modes_are_above_the_threshold_and_unlike_those_before() -> None:
    alike = similarity(ETHYL, PROPYL)
    assert 0.3 < alike < 1
    modes = Modes(0.5, alike)
    modes.see([BENZENE, ETHYL, PROPYL, ACID], [0.5, 0.9, 0.99, 0.6])
    assert modes.modes == [ETHYL, ACID], "benzene is at the threshold, propylbenzene too alike"
    assert list(modes.above) == [ETHYL, PROPYL, ACID]
    assert list(modes.scaffolds) == [BENZENE, ""]
    looser = Modes(0.5, alike + 1e-6)
    looser.see([ETHYL, PROPYL], [0.9, 0.9])
    assert looser.modes == [ETHYL, PROPYL]


def test_the_first_come_and_each_is_looked_at_once() -> None:
    modes = Modes(0.0, similarity(ETHYL, PROPYL))
    modes.see([PROPYL, ETHYL, PROPYL], [0.1, 1.0, 0.1])
    assert modes.modes == [PROPYL]
    assert modes.drawn == 3
    assert len(modes.above) == 2


def test_when_modes_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.envs.molecules.modes.MARKS", (1, 2))
    modes = Modes(0.5, 0.7)
    modes.see([BENZENE, ACID], [0.1, 0.2], 3.0)
    modes.see([BENZENE, ACID, "CCN"], [0.6, 0.2, 0.9], 2.0)
    assert modes.reached == {1: (3, 5.0), 2: (5, 5.0)}
    modes.see(["O=S(=O)(O)O"], [0.9], 1.0)
    assert len(modes.modes) == 2, "no more than the last mark"
    assert len(modes.above) == 3


def test_scaffolds_are_rings_and_what_links_them() -> None:
    found = [scaffold_of(parse_smiles(s, "")) for s in ("CCOc1ccc(CCc2ccncc2)cc1", "CCCC")]
    assert found == ["c1ccc(CCc2ccncc2)cc1", ""]


def test_what_was_seen_goes_on_after_a_checkpoint() -> None:
    clock = iter(range(100))

    def judge() -> MoleculeJudge:
        modes = Modes(0.5, similarity(ETHYL, PROPYL))
        return MoleculeJudge(lambda x: x, modes, clock=lambda: float(next(clock)))

    parts: list[Any] = [([ETHYL, ACID], [0.9, 0.9]), (["CCN", PROPYL, ETHYL], [0.9] * 3)]
    whole, first = judge(), judge()
    for part in parts:
        whole.see(part)
    first.see(parts[0])
    second = judge()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    second.see(parts[1])
    assert second.numbers() == whole.numbers()
    assert second.modes.modes == [ETHYL, ACID, "CCN"]
    mine, theirs = second.state_dict(), whole.state_dict()
    assert all(mine[name] == theirs[name] for name in mine if name not in ("seconds", "reached"))


def test_what_is_known_is_told_whatever_its_spelling(tmp_path: Path) -> None:
    file = tmp_path / "known.smi"
    file.write_text(f"C1=CC=CC=C1 benzene\n{PROPYL}\nC[C@H](N)C(=O)O\n")
    known = Known(str(file))
    assert BENZENE in known
    assert "CC(N)C(=O)O" in known
    assert TOLUENE not in known
    assert len(known) == 3
    assert known.nearest(BENZENE) == 1
    assert known.nearest(ETHYL) == similarity(ETHYL, PROPYL) < 1
    judge = MoleculeJudge(lambda x: x, Modes(0.5, 0.7), known)
    assert "novel" not in judge.numbers()
    judge.see(([BENZENE, TOLUENE, ETHYL, ACID], [0.9, 0.9, 0.9, 0.1]))
    assert judge.numbers()["novel"] == pytest.approx(2 / 3)
    assert "66.7% of them are not among the 3 known ones" in judge.report()


def test_how_new_a_sample_and_the_best_are(tmp_path: Path) -> None:
    file = tmp_path / "known.smi"
    file.write_text(f"{BENZENE}\n{PROPYL}\n")
    judge = MoleculeJudge(lambda x: x, Modes(0.5, 0.7), Known(str(file)))
    found = judge.novelty([BENZENE, ETHYL, ETHYL, ACID], [BENZENE, ETHYL])
    assert found["sample_novel"] == pytest.approx(2 / 3)
    assert found["top100_novel"] == 0.5
    near = max(similarity(ETHYL, PROPYL), similarity(ETHYL, BENZENE))
    assert found["top100_nearest_known"] == pytest.approx((1 + near) / 2)
    assert not MoleculeJudge(lambda x: x, Modes(0.5, 0.7)).novelty([ACID], [ACID])


def test_molecules_of_all_processes_are_seen_by_the_first() -> None:
    class Two:
        ranks: Any

        def gather(self, said: Any) -> list[Any]:
            return [said, ([ACID, ETHYL], [0.9, 0.1])]

    clock = iter((0.0, 3.0))
    judge = MoleculeJudge(lambda x: x, Modes(0.5, 0.7), clock=lambda: next(clock))
    trainer, batch = Two(), Batch(([BENZENE], [0.9]))
    trainer.ranks = trainer
    judge(trainer, batch, {})  # type: ignore[arg-type]
    assert judge.modes.modes == [BENZENE, ACID]
    assert judge.modes.drawn == 3
    assert judge.modes.seconds == 3.0


class Batch:
    def __init__(self, final_states: Any) -> None:
        self.final_states = final_states

    def __len__(self) -> int:
        return 1


@pytest.mark.usefixtures("undrawn")
def test_a_bad_file_of_known_molecules_costs_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.smi"
    bad.write_text("CCO\nnonsense\n")
    judge = MoleculeJudge(lambda x: x, Modes(0.5, 0.7), Known(str(bad)))
    for ask in (judge.numbers, lambda: judge.see(([ACID], [0.9]))):
        with pytest.raises(MoleculeError, match="line 2: 'nonsense'"):
            ask()
    assert judge.modes.drawn == 0


def test_files_of_no_molecules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.smi"):
        len(Known(str(tmp_path / "nowhere.smi")))
    bad = tmp_path / "bad.smi"
    bad.write_text("CCO\nnonsense\n")
    with pytest.raises(GFlowError, match="line 2: 'nonsense' is not a valid SMILES"):
        len(Known(str(bad)))
    with pytest.raises(ConfigError, match="mode_similarity"):
        MoleculesTask(mode_similarity=1.5)


FLAGS = ["--batch-size=8", "--workers=0", "--width=8", "--depth=1", "--vocabulary-size=20"]
FLAGS += ["--max-fragments=2", "--eval-samples=20", "--eval-every=2", "--checkpoint-every=2"]
FLAGS += ["--mode-reward=0.3", "--quiet"]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_runs_count_on_where_they_stopped(tmp_path: Path) -> None:
    known = tmp_path / "known.smi"
    known.write_text("c1ccccc1\n")
    words = ["train", "molecules", *FLAGS, f"--known={known}"]
    assert main([*words, "--steps=4", f"--out={tmp_path / 'whole'}"]) == 0
    assert main([*words, "--steps=2", f"--out={tmp_path / 'half'}"]) == 0
    assert main(["resume", str(tmp_path / "half"), "--steps=4"]) == 0
    one, other = (
        json.loads((tmp_path / name / "summary.json").read_text())["metrics"]
        for name in ("whole", "half")
    )
    assert one == other
    assert one["modes"] > 1
    assert one["novel"] == 1
    assert one["molecules_to_1_modes"] >= 1


@pytest.mark.slow
@pytest.mark.usefixtures("sketches")
def test_tables_say_scaffolds_and_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["train", "molecules", *FLAGS[:-1], "--steps=4", f"--out={out}"]) == 0
    assert "of 32 molecules drawn" in capsys.readouterr().out
    with (out / "molecules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert any(row["scaffold"] for row in rows)
    assert "nearest_known" not in rows[0]
    with (out / "modes.csv").open(newline="") as file:
        marks = list(csv.DictReader(file))
    assert [int(row["modes"]) for row in marks] == list(MARKS[: len(marks)])
    assert int(marks[0]["molecules"]) >= 1


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_modes_of_a_reward_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def two(smiles):\n    return 2.0\n")
    words = ["train", "molecules", *FLAGS, f"--reward={tmp_path / 'mine.py'}:two", "--steps=3"]
    found = {}
    for bound in ("1.9", "2.0"):
        out = tmp_path / bound
        assert main([*words, f"--mode-reward={bound}", f"--out={out}"]) == 0
        found[bound] = json.loads((out / "summary.json").read_text())["metrics"]["modes"]
    assert found["1.9"] > 1
    assert found["2.0"] == 0


def test_all_tasks_of_molecules_are_judged() -> None:
    from gflow.tasks.registry import TASKS

    for name in ("molecules", "atoms", "reactions"):
        assert issubclass(TASKS[name], JudgedMolecules)
