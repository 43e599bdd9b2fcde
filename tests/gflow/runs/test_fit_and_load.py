"""`gflow.fit` and `gflow.load`: what a person types first."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
import gflow.envs
import gflow.objectives
from gflow.conditions.draws import UniformCondition
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.grids.task import HypergridTask
from gflow.errors import ConfigError, IncompatibleError
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing.slipping import SlippingGrid

pytestmark = pytest.mark.usefixtures("sketches")

SMALL: dict[str, Any] = {"width": 32, "batch_size": 16, "lr": 5e-3}


def test_an_environment_with_moves_of_chance_is_fitted_and_measured() -> None:
    env = SlippingGrid(2, 3, slip=0.2)
    graph = gflow.enumerate_states(env)
    metrics = gflow.fit(env, "tb", steps=2, **SMALL).metrics
    total = graph.log_reward()[graph.objects].exp().sum().log()
    assert metrics["log_z_error"] == pytest.approx(abs(metrics["log_z"] - float(total)))
    assert 0 < metrics["tv"] < 1


@pytest.mark.slow
def test_an_environment_is_fitted() -> None:
    env = HyperGrid(2, 4, Corners(4))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    trained = gflow.fit(env, "subtb", steps=200, lam=0.8, **SMALL)
    assert torch.equal(torch.get_rng_state(), before), "nobody's random numbers were touched"
    assert trained.env is env
    assert trained.step == 200
    assert trained.objective.lam == 0.8
    assert trained.metrics["tv"] < 0.05
    graph = gflow.enumerate_states(env)
    law = graph.terminal_distribution(trained.policy).exp()
    wanted = graph.log_target().exp()
    assert float((law - wanted).abs().sum() / 2) == pytest.approx(trained.metrics["tv"])
    objects = trained.sample(2000, seed=3)
    assert objects.shape == (2000, 2)
    assert torch.equal(objects, trained.sample(2000, seed=3))
    share = float((objects == torch.tensor([0, 0])).all(-1).double().mean())
    cell = int((graph.states[graph.objects] == 0).all(-1).nonzero()[0])
    assert share == pytest.approx(float(law[cell]), abs=0.05)
    row = trained.table(1)[0]
    cells = torch.tensor([json.loads("[" + row["object"].strip("()[]") + "]")])
    assert row["reward"] == pytest.approx(float(env.log_reward(cells).exp()))
    assert trained.train(5).step == 205


def test_the_same_seed_gives_the_same_sampler() -> None:
    policies = []
    for seed in (1, 1, 2):
        torch.rand(3)  # whatever else has drawn random numbers
        policies.append(gflow.fit(HyperGrid(2, 3), steps=5, seed=seed, **SMALL).policy)
    first, again, other = policies
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    differ = [
        torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)
    ]
    assert not all(differ)


def test_tasks_and_names() -> None:
    task = HypergridTask(side=3, width=16, backward="uniform")
    trained = gflow.fit(task, "tb", steps=3, batch_size=4)
    assert trained.context.task == task
    assert trained.policy.backward == "uniform"
    trained = gflow.fit(task, "tb", steps=3, batch_size=4, side=5)
    assert trained.env.side == 5  # type: ignore[attr-defined]
    trained = gflow.fit("sets", steps=2, items=5, size=2, width=8)
    assert set(trained.sample(4).sum(-1).tolist()) == {2}
    assert trained.objective.name == "tb"


class Conditional(HyperGrid):
    condition_dim = 1


def test_a_policy_and_conditions_of_ones_own() -> None:
    env = Conditional(2, 3, TemperatureConditional(Corners(3)))
    policy = gflow.MLPPolicy(env, 16, backward="uniform", log_flow=True)
    trained = gflow.fit(
        env, "db", policy=policy, condition=UniformCondition(1.0, 4.0), steps=3, batch_size=8
    )
    assert trained.trainer.policy is policy
    trained = gflow.fit(env, "tb", condition=UniformCondition(1.0, 4.0), steps=3, batch_size=8)
    assert trained.objective.log_z.network is not None  # type: ignore[union-attr]
    given = torch.full((6, 1), 2.0)
    taken = trained.trajectories(6, condition=given).condition
    assert taken is not None
    assert torch.equal(taken, given)


def test_what_is_wrong_is_refused() -> None:
    env = HyperGrid(2, 3)
    with pytest.raises(ConfigError, match=r"^led_lr belongs to the objective led .* tb. Add obj"):
        gflow.fit(env, "tb", led_lr=0.1)
    with pytest.raises(ConfigError, match="^lr must be a number, got 'fast'"):
        gflow.fit(env, lr="fast")
    with pytest.raises(ConfigError, match="number must be at least 1"):
        gflow.fit(env, steps=1, width=8).sample(0)
    with pytest.raises(ConfigError, match="must be an environment, a task or a name, got 3"):
        gflow.fit(3)  # type: ignore[arg-type]
    env.feature_sizes = ()
    with pytest.raises(IncompatibleError, match="declares no `feature_sizes`"):
        gflow.fit(env, steps=1)


@pytest.mark.slow
def test_a_folder_is_loaded(tmp_path: Path) -> None:
    from gflow.cli.main import main

    flags = ["--side=4", "--width=16", "--steps=30", "--eval-samples=50", "--quiet"]
    assert main(["train", "hypergrid", *flags, f"--out={tmp_path / 'run'}"]) == 0
    trained = gflow.load(tmp_path / "run")
    said = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert trained.step == 30
    assert trained.metrics["tv"] == pytest.approx(said["tv"])
    assert len(trained.sample(5)) == 5
    with pytest.raises(ConfigError, match="holds no run"):
        gflow.load(tmp_path)


def test_the_face_lists_itself() -> None:
    assert dir(gflow) == sorted(gflow.__all__)
    assert 20 <= len(gflow.__all__) <= 25
    for module in (gflow, gflow.envs, gflow.objectives):
        listed = dir(module)
        assert listed == sorted(module.__all__)
        for name in listed:
            assert getattr(module, name) is not None


def test_python_is_answered_in_words_of_python() -> None:
    for settings, words in (
        (
            {"stepz": 3},
            "There is no argument stepz. Did you mean steps? `gflow train ",
        ),
        (
            {"lam": 0.5},
            "lam belongs to the objectives asubtb, flsubtb, led, msubtb, opflsubtb, opsubtb and "
            "subtb (Decay",
        ),
        ({"led_lr": 0.1}, "Add objective='led', or leave led_lr out."),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0."),
    ):
        with pytest.raises(ConfigError) as found:
            gflow.fit(HyperGrid(2, 3), "tb", **settings)
        text = str(found.value)
        assert words in text
        assert "--" not in text.replace("--help", "")
