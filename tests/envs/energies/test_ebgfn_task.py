"""`gflow train ebgfn`, run as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.behaviours.base import OnPolicy
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.local_search import LocalSearch
from gflow.cli.main import main
from gflow.energies import (
    ContrastiveStep,
    EnergyReward,
    IsingEnergy,
    PerceptronEnergy,
    RandomOrderPolicy,
)
from gflow.envs.energies import DENSITIES, GrayCode
from gflow.envs.energies.ising_data import ising_couplings
from gflow.envs.energies.metrics import neg_log_rmse, true_nll
from gflow.envs.energies.pictures import density_grid, histogram
from gflow.envs.energies.task import EBGFNTask
from gflow.errors import ConfigError
from gflow.marginals import MarginalPolicy
from gflow.policies.mlp import MLPPolicy
from gflow.runs.run import Run
from gflow.terms import Needs

pytestmark = pytest.mark.usefixtures("sketches")

pytest.importorskip("matplotlib")

QUICK = [
    "--eval-samples=10", "--quiet=True", "--width=8", "--energy-width=8", "--batch-size=4",
    "--samples=30", "--tested=6", "--nll-samples=2", "--energy-batch=8", "--warmup=4",
]  # fmt: skip


@pytest.fixture
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "ebgfn", *QUICK, f"--out={folder}", *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("rendered", "_single_precision")
def test_couplings_are_measured_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = train(tmp_path, "--rows=2", "--columns=3", "--coupling=0.2", "--steps=6")
    run = Run.open(tmp_path)
    reward, task = run.context.env.reward, run.context.task
    assert isinstance(reward, EnergyReward)
    network = reward.network
    assert isinstance(network, IsingEnergy)
    assert isinstance(task, EBGFNTask)
    wanted = neg_log_rmse(network.couplings, ising_couplings(task.lattice))
    assert found["neg_log_rmse"] == pytest.approx(wanted)
    assert found["true_nll"] == pytest.approx(true_nll(task.lattice, task.test_data()))
    assert found["true_nll"] - 1 < found["nll"] < found["true_nll"] + 4
    assert 0 <= found["tv"] <= 1
    assert found["energy_moves"] == pytest.approx((1 + 3 + 4 + 3 * 6) / 6)  # a mean of six steps
    assert 0 < found["energy_acceptance"] <= 1
    assert (tmp_path / "couplings.png").stat().st_size > 3000
    assert f"couplings: -log RMSE {wanted:.2f}" in capsys.readouterr().out
    assert main(["sample", str(tmp_path), "-n", "2"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["object"].count(" ") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("_single_precision")
def test_a_run_on_the_plane_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    flags = ["--data=8gaussians", "--bits=4", "--order=random", "--acceptance=barker"]
    flags += ["--start=chains", "--eval-every=2", "--energy-half-life=3", "--base=True"]
    whole = train(tmp_path / "whole", "--steps=4", *flags)
    train(tmp_path / "part", "--steps=2", *flags)
    assert main(["resume", str(tmp_path / "part"), "--steps=4"]) == 0
    part = json.loads((tmp_path / "part" / "summary.json").read_text())["metrics"]
    assert part == whole
    assert "neg_log_rmse" not in whole
    assert whole["nll"] > 3
    assert (tmp_path / "part" / "density.png").exists()


def test_options_reach_their_parts() -> None:
    task = EBGFNTask(
        data="moons", samples=40, tested=10, bits=3, order="random", acceptance="none", share=0.25,
        energy_width=8, energy_depth=1, energy_lr=0.02, energy_batch=7, gradient_penalty=0.1,
        energy_l2=0.2, warmup=9, width=8,
    )  # fmt: skip
    env = task.environment()
    assert (env.sites, env.values) == (6, 2)
    assert isinstance(env.reward, EnergyReward)
    assert isinstance(env.reward.network, PerceptronEnergy)
    assert isinstance(task.policy(env, Needs()), RandomOrderPolicy)
    assert type(task.policy(env, Needs(log_flow=True))) is MarginalPolicy
    (step,) = task.learners(env, task.policy(env, Needs()))
    assert isinstance(step, ContrastiveStep)
    assert step.reward is env.reward
    settings = (step.accept, step.warmup, step.count, step.gradient_penalty, step.l2)
    assert settings == ("none", 9, 7, 0.1, 0.2)
    assert torch.equal(step.data, task.training_data())
    behaviour = task.behaviour(env, OnPolicy())
    assert isinstance(behaviour, BackwardReplay)
    assert behaviour.share == 0.25
    assert len(behaviour.data) == 40
    search = LocalSearch(1)
    assert task.behaviour(env, search) is search
    every = torch.cat([task.training_data(), task.test_data()])
    generator = torch.Generator().manual_seed(0)
    points = DENSITIES["moons"].points(50, generator)
    assert torch.equal(every, GrayCode(5.6, 3).encode(points))
    x, y = task.describe(env, every[:1])[0].strip("()").split(", ")
    middle = GrayCode(5.6, 3).decode(every[:1])[0]
    assert [float(x), float(y)] == pytest.approx(middle.tolist(), abs=1e-4)
    lattice = EBGFNTask(
        rows=2, columns=2, sparsity=0.1, knee=0.3, samples=5, tested=2, start="chains", moves=3
    )
    env = lattice.environment()
    assert isinstance(env.reward, EnergyReward)
    assert isinstance(env.reward.network, IsingEnergy)
    assert (env.reward.network.sparsity, env.reward.network.knee) == (0.1, 0.3)
    policy = lattice.policy(env, Needs(log_flow=True))
    (step,) = lattice.learners(env, policy)
    assert isinstance(step, ContrastiveStep)
    assert (step.accept, step.start, step.most) == ("metropolis", "chains", 3)
    assert isinstance(policy, MLPPolicy)
    assert (policy.backward, policy.has_log_flow) == ("learned", True)
    assert lattice.describe(env, torch.tensor([[1, 2, 2, 2]])) == ["-+ ++"]


def test_log_z_is_that_of_the_first_energy() -> None:
    for base in (False, True):
        task = EBGFNTask(data="circles", samples=60, tested=5, bits=2, base=base)
        env = task.environment()
        states = 1 + (torch.arange(16)[:, None] >> torch.arange(4) & 1)
        wanted = float(env.log_reward(states).logsumexp(0))
        assert task.log_z(env) == pytest.approx(wanted, abs=1e-9)


def test_options_that_say_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="a perceptron has none"):
        EBGFNTask(data="moons", sparsity=0.1)
    with pytest.raises(ConfigError, match="base belongs to the perceptron"):
        EBGFNTask(base=True)
    with pytest.raises(ConfigError, match="know no chains"):
        EBGFNTask(acceptance="none", start="chains")
    with pytest.raises(ConfigError, match="set sparsity too"):
        EBGFNTask(knee=0.1)


def test_pictures_show_where_points_and_densities_are() -> None:
    points = torch.tensor([[-1.9, 0.9], [0.1, 0.1], [0.2, 0.3], [9.0, -9.0]])
    table = histogram(points, 2.0, 4)
    assert float(table[2, 0]) == 0.25  # on the left, above the middle
    assert float(table[2, 2]) == 0.5
    assert float(table[0, 3]) == 0.25  # beyond the border
    code = GrayCode(2.0, 2)
    network = PerceptronEnergy(4, 2, 4, 1)
    with torch.no_grad():
        network.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[operator]
    grid = density_grid(network, code, 4)
    middles = torch.tensor([[0.5, -1.5], [-1.5, 0.5]])
    with torch.no_grad():
        value = network.log_density(code.encode(middles))
    ratio = (grid[0, 2] / grid[2, 0]).log()
    torch.testing.assert_close(ratio, value[0] - value[1])
    assert float(grid.sum()) == pytest.approx(1)
