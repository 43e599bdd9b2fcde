"""`gflow train atoms`, `bags` and `phylogeny`, and docking, run as a user runs them."""

import csv
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.atoms.task import valid_fraction
from gflow.envs.phylogeny.env import Phylogeny
from gflow.envs.phylogeny.task import PhylogenyTask, random_trees
from gflow.envs.sets.bags_task import BagsTask

pytestmark = pytest.mark.usefixtures("sketches")

QUICK = ["--steps=3", "--eval-samples=20", "--quiet=True", "--width=16", "--batch-size=8"]


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, task: str, *flags: str) -> dict[str, Any]:
    assert main(["train", task, *QUICK, f"--out={folder}", *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["train", *words]) == 2
    return capsys.readouterr().err


# ---------------------------------------------------------------------- atoms


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("objective", ["tb", "db"])
def test_atoms(tmp_path: Path, objective: str, capsys: pytest.CaptureFixture[str]) -> None:
    chem = pytest.importorskip("rdkit.Chem")
    flags = ["--workers=0", "--max-atoms=5", "--properties", "qed", "logp:0:2", "--kinds", "C", "O"]
    found = train(tmp_path / "run", "atoms", f"--objective={objective}", "--depth=1", *flags)
    assert found["valid"] == 1
    assert 0 < found["unique"] <= 1
    assert 0 < found["mean_qed"] < 1
    with (tmp_path / "run" / "molecules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert chem.MolFromSmiles(row["smiles"]).GetNumHeavyAtoms() <= 5
        assert set(row["smiles"].lower()) <= set("co=#()1234")
        both = float(row["qed"]) * float(row["logp:0:2"])
        assert float(row["reward"]) == pytest.approx(both**0.5, abs=1e-5)
    assert (tmp_path / "run" / "molecules.png").stat().st_size > 5000
    assert rows[0]["smiles"] in capsys.readouterr().out


def test_what_rdkit_does_not_read_is_not_valid() -> None:
    pytest.importorskip("rdkit.Chem")
    assert valid_fraction(["CCO", "C1=CC=CC=C1", "C.C", "CC"], [3, 6, 2, 3]) == 0.25


def test_unknown_atoms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit.Chem")
    said = complaint(capsys, "atoms", "--kinds", "C", "Xe", f"--out={tmp_path / 'run'}")
    assert "no kind of atom named 'Xe'" in said


# ---------------------------------------------------------------------- bags


@pytest.mark.slow
def test_bags_know_their_exact_mean(tmp_path: Path) -> None:
    """R is 0.01, 10 or 30, so the mean is a ratio of counts; here counted one by one."""
    found = train(tmp_path / "run", "bags", "--task=published_small")
    env = BagsTask(task="published_small").environment()
    modes = {tuple(row) for row in env.reward.modes.tolist()}  # type: ignore[attr-defined]
    total = squares = 0.0
    for bag in itertools.combinations_with_replacement(range(7), 7):
        counts = tuple(bag.count(letter) for letter in range(7))
        reward = 30.0 if counts in modes else 10.0 if max(counts) >= 4 else 0.01
        total, squares = total + reward, squares + reward**2
    assert found["exact_mean_reward"] == pytest.approx(squares / total)
    assert found["mean_reward_ratio"] == pytest.approx(found["mean_reward"] * total / squares)
    assert 23 < found["exact_mean_reward"] < 24.5  # 23.73 with the modes drawn for the paper
    assert 0 <= found["modes_in_sample"] <= 20
    assert 0 <= found["tv"] <= 1
    assert found["log_z_error"] == pytest.approx(abs(found["log_z"] - math.log(total)), abs=1e-4)


def test_the_published_bags() -> None:
    """27,132 bags, of which 3,308 + 3,160 have a frequent letter; 24.79 with the paper's modes."""
    env = BagsTask().environment()
    assert len(env.objects()) == 27132
    assert int(env.reward.has_substructure(env.objects()).sum()) == 6468  # type: ignore[attr-defined]
    assert env.expected_reward() == pytest.approx(24.79, abs=0.1)
    assert BagsTask().log_z(env) == pytest.approx(math.log(27132))


@pytest.mark.slow
def test_bags_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--task=own", "--letters=3", "--size=4"]
    assert train(tmp_path / "run", "bags", *own, "--repeats=3", "--mode=20")["top_reward"] <= 20.01
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "-n", "5"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(len(row["object"]) == 4 and set(row["object"]) <= set("ABC") for row in rows)
    said = complaint(capsys, "bags", *own, "--repeats=2", f"--out={tmp_path / 'other'}")
    assert "size/2 < repeats <= size" in said


@pytest.mark.slow
def test_bags_are_learned(tmp_path: Path) -> None:
    """All seven letters, not only the first that is found to be rewarded."""
    flags = ["--task=published_small", "--steps=1500", "--epsilon-steps=1200", "--width=128"]
    folder = tmp_path / "run"
    assert main(["train", "bags", *flags, "--quiet=True", f"--out={folder}"]) == 0
    found = json.loads((folder / "summary.json").read_text())["metrics"]
    assert found["tv"] < 0.3  # 6 / 7 if one letter is found
    assert found["mean_reward_ratio"] == pytest.approx(1, abs=0.2)


# ---------------------------------------------------------------------- phylogeny


@pytest.mark.slow
def test_made_up_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = train(tmp_path / "run", "phylogeny", "--taxa=5")
    assert 0 <= found["tv"] <= 1
    assert found["fewest_mutations"] <= found["mean_mutations"]
    lines = (tmp_path / "run" / "trees.nwk").read_text().splitlines()
    assert 1 < len(lines) == len(set(lines)) <= 100
    numbers = [int(line[1:].split("]")[0]) for line in lines]
    assert numbers == sorted(numbers)
    env = PhylogenyTask(taxa=5).environment()
    assert numbers[0] == brute_force(env)
    assert lines[0].split("] ")[1] in capsys.readouterr().out


def brute_force(env: Phylogeny) -> float:
    """Fewest mutations of any tree, by trying all orders of joins."""
    states, fewest = env.initial(1), math.inf
    layer = [states]
    for _ in range(env.horizon):
        following = []
        for forest in layer:
            for action in env.forward_mask(forest)[0].nonzero().flatten():
                following.append(env.step(forest, action[None]))
        seen = {int(env.key(forest)): forest for forest in following}
        layer = list(seen.values())
    for tree in layer:
        fewest = min(fewest, float(env.reward.mutations(tree)))  # type: ignore[attr-defined]
    return fewest


@pytest.mark.slow
def test_trees_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sequences.json"
    path.write_text(json.dumps({"cat": "ACGTA", "dog": "ACGTT", "eel": "TTGCA", "fox": "ACGTT"}))
    flags = [f"--alignment={path}", "--objective=subtb", "--baseline=3"]
    found = train(tmp_path / "run", "phylogeny", *flags)
    assert 3 <= found["fewest_mutations"] <= 8
    assert "top_reward" not in found, "R is exponential in mutations"
    assert found["mean_log_reward"] <= 1e-3
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "-n", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(name in row["object"] for row in rows for name in ("cat", "dog", "eel", "fox"))
    said = complaint(capsys, "phylogeny", "--alignment=none.json", f"--out={tmp_path / 'x'}")
    assert "here is no file none.json" in said


def test_the_baseline_is_a_tree_met_at_random() -> None:
    task = PhylogenyTask(taxa=8)
    env = task.environment()
    trees = random_trees(env, 100)
    assert bool(env.is_terminal(trees).all())
    assert len(set(env.show(trees))) > 90
    rewards = env.log_reward(trees)
    assert float(rewards.max()) == 0  # the best of them has reward 1
    count = math.prod(range(1, 2 * 8 - 2, 2))
    assert task.log_z(env) == pytest.approx(math.log(count) + float(rewards.mean()), abs=1e-4)
    fixed = PhylogenyTask(taxa=8, baseline=7.0).environment()
    shift = float(fixed.reward.mutations(trees).min()) - 7  # type: ignore[attr-defined]
    torch.testing.assert_close(fixed.log_reward(trees), rewards - shift / task.scale)
    high = PhylogenyTask(taxa=8, baseline=600.0, scale=1.0)  # beyond single precision
    assert bool(high.environment().log_reward(trees).isfinite().all())


# ---------------------------------------------------------------------- docking


@pytest.mark.slow
def test_molecules_that_dock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight carbons around a hole: small molecules fit, and the table has their energies."""
    pytest.importorskip("rdkit.Chem")
    pytest.importorskip("vina")
    receptor = tmp_path / "cube.pdbqt"
    corners = itertools.product((-2.2, 2.2), repeat=3)
    receptor.write_text(
        "".join(
            f"ATOM  {i:5d} C    LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00    +0.000 C\n"
            for i, (x, y, z) in enumerate(corners, 1)
        )
    )
    box = "0:0:0:12:12:12"
    flags = ["--workers=0", "--max-atoms=3", "--kinds", "C", "O", "--depth=1"]
    flags += ["--steps=1", "--eval-samples=5", "--batch-size=4"]
    goal = ["--properties", f"dock:{receptor}:{box}"]
    found = train(tmp_path / "run", "atoms", *flags, *goal)
    assert 0.02 < found["mean_dock:cube"] < 0.1
    with (tmp_path / "run" / "molecules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert max(float(row["dock:cube"]) for row in rows) == float(rows[0]["dock:cube"])
    said = complaint(
        capsys, "molecules", "--properties", f"dock:none:{box}", f"--out={tmp_path / 'x'}"
    )
    assert "there is no receptor 'none'" in said
