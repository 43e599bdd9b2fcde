"""Runs whose sampler is told a condition, from the command line and from Python."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Environment, MLPPolicy, Needs, Policy, enumerate_states, fit, load
from gflow.arena.lineup import entrant
from gflow.arena.players import PolicyPlayer
from gflow.behaviours.base import OnPolicy
from gflow.cli.main import main
from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler, TableCondition, UniformCondition
from gflow.conditions.temperature import Temperature
from gflow.environment.rewarded import with_reward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.grids.task import HypergridTask
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.policies.logit_scaled import LogitScaled
from gflow.policies.told import ConditionLayer
from gflow.rewards.wrappers import TemperatureConditional
from gflow.tasks.conditional import conditions_of, require_heard
from gflow.tasks.measure import evaluate_run
from gflow.tasks.registry import TASKS
from gflow.tasks.task import Task
from gflow.testing import TableEnvironment
from gflow.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = ["--side=4", "--width=16", "--depth=1", "--batch-size=8", "--eval-samples=40", "--quiet"]
TOLD = ["--condition=temperature", "--condition-low=0.5", "--condition-high=4"]

SLOW = ("molecules", "atoms", "reactions", "rna")

NARROW = ["--width=8", "--blocks=1", "--head-width=2"]
"""Of networks that read boards."""


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, *flags: str, task: str = "hypergrid") -> dict[str, Any]:
    assert main(["train", task, *SMALL, *flags, f"--out={folder}"]) == 0
    metrics: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return metrics


# ---------------------------------------------------------------------- what is measured


@pytest.mark.slow
def test_a_run_measures_each_of_its_conditions_exactly(tmp_path: Path) -> None:
    """`tv_at_c` and `log_z_error_at_c` are those of one condition, `tv` is their mean."""
    metrics = train(tmp_path / "run", *TOLD, "--steps=6", "--objective=tb")
    labels = ["0.5", "1.375", "2.25", "3.125", "4"]
    assert [k for k in metrics if k.startswith("tv_at_")] == [f"tv_at_{c}" for c in labels]
    trained = load(tmp_path / "run")
    graph = enumerate_states(HyperGrid(2, 4, Corners(4)))
    log_reward = graph.log_reward()[graph.objects]
    for label in labels:
        beta = float(label)
        law = graph.terminal_distribution(trained.asked([beta])).exp()
        wanted = (beta * log_reward).softmax(0)
        exact = float((law - wanted).abs().sum() / 2)
        assert metrics[f"tv_at_{label}"] == pytest.approx(exact, abs=1e-4)
        log_z: Any = trained.objective
        code = trained.env.condition_encoder()
        assert code is not None
        with torch.no_grad():
            value = float(log_z.log_z.network(code(torch.tensor([[beta]]))) + log_z.log_z.value)
        truth = float((beta * log_reward).logsumexp(0))
        found = metrics[f"log_z_error_at_{label}"]
        assert found == pytest.approx(abs(value - truth), abs=2e-3)
    for name in ("tv", "log_z_error"):
        mean = sum(metrics[f"{name}_at_{label}"] for label in labels) / 5
        assert metrics[name] == pytest.approx(mean, abs=1e-5)


@pytest.mark.slow
def test_rewards_and_pictures_are_those_without_temperature(tmp_path: Path) -> None:
    metrics = train(tmp_path / "run", *TOLD, "--steps=6")
    assert 0.1 <= metrics["mean_reward"] <= metrics["top_reward"] <= 2.6 + 1e-5
    assert (tmp_path / "run" / "distribution.png").exists()
    trained = load(tmp_path / "run")
    best = trained.context.best
    assert best is not None
    wanted = Corners(4)(best.states)
    torch.testing.assert_close(best.log_reward, wanted, atol=1e-4, rtol=1e-4)
    far = train(tmp_path / "far", "--condition=temperature", "--condition-low=2", "--steps=2")
    assert "mode_regions" not in far, "1 is no temperature that it is told"
    assert not (tmp_path / "far" / "distribution.png").exists()


@pytest.mark.slow
def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    flags = [*TOLD, "--condition-draw=gamma", "--eval-every=2", "--replay=20", "--steps=6"]
    whole = train(tmp_path / "whole", *flags)
    train(tmp_path / "part", *flags[:-1], "--steps=4")
    assert main(["resume", str(tmp_path / "part"), "--steps=6"]) == 0
    rows = json.loads((tmp_path / "part" / "summary.json").read_text())["metrics"]
    assert rows == whole


@pytest.mark.slow
def test_objects_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "run", *TOLD, "--steps=2")
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "-n", "4", "--condition", "2.5"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["condition"] for row in rows] == [[2.5]] * 4
    assert all(0.09 < row["reward"] < 2.7 for row in rows)
    assert main(["sample", str(tmp_path / "run"), "-n", "30"]) == 0
    drawn = [json.loads(line)["condition"][0] for line in capsys.readouterr().out.splitlines()]
    assert len(set(drawn)) == 30
    assert 0.5 <= min(drawn) < 1.5 < 3 < max(drawn) <= 4
    assert main(["sample", str(tmp_path / "run"), "--condition", "1", "2"]) == 2
    assert "a condition has 1 numbers" in capsys.readouterr().err
    train(tmp_path / "plain", "--steps=2")
    assert main(["sample", str(tmp_path / "plain"), "--condition", "1"]) == 2
    assert "is told nothing" in capsys.readouterr().err


# ---------------------------------------------------------------------- every task


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in TASKS if n not in SLOW])
def test_every_task_is_trained_at_every_temperature(name: str) -> None:
    """One step with R^beta, its log-rewards beta times those without; or a refusal that says why.

    All that is measured and shown is asked for once too.
    """
    cls = TASKS[name]
    narrow = {"width": 8, "blocks": 1, "head_width": 2} if name == "connect4" else {}
    task, plain = cls(**narrow), cls.cheap()
    chosen = Temperature(low=0.5, high=2.0, repeat=2)
    own_way = cls.condition_encoder is not Task.condition_encoder
    if plain.source_reads_condition or own_way or cls.refuses_conditions:  # they are told already
        with pytest.raises(IncompatibleError, match="Leave --condition out|by its own options"):
            conditions_of(task, chosen, plain).policy(task, Needs())
        return
    told = conditions_of(task, chosen, plain)
    from gflow.tasks.options import RunConfig

    config = RunConfig.of(task)
    objective = config.build_objective(told.env, plain)
    trainer = Trainer(
        told.env,
        told.policy(task, objective.needs),
        objective,
        config.train,
        condition=told.draw,
        behaviour=OnPolicy(),
    )
    batch = trainer.sample()
    assert batch.condition is not None
    own = batch.condition[:, : plain.condition_dim] if plain.condition_dim else None
    log_reward = plain.log_reward(batch.final_states, own)
    wanted = batch.condition[:, -1] * log_reward
    symmetry = plain.log_symmetry(batch.final_states)
    wanted = wanted if symmetry is None else wanted - symmetry
    torch.testing.assert_close(batch.log_reward, wanted.to(batch.log_reward), atol=1e-3, rtol=1e-4)
    assert math.isfinite(float(trainer.descend(batch)[0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("sets", ["--items=6", "--size=3"]),
        ("spins", ["--height=2"]),
        ("dags", ["--variables=3", "--edges=2"]),
        ("torus", []),
        ("box", []),
        ("diffusion", ["--target=gmm9", "--steps-per-trajectory=4"]),
        ("diffusion", ["--target=vae", "--steps-per-trajectory=4"]),
        ("tictactoe", ["--objective=atb", *NARROW]),
        ("stochastic-grid", ["--side=3"]),
        ("phylogeny", []),
        ("tfbind", []),
        ("landscapes", ["--side=6"]),
        ("bits", ["--bits=8", "--word=2"]),
    ],
)
def test_whole_runs(name: str, flags: list[str], tmp_path: Path) -> None:
    quick = ["--steps=2", "--batch-size=4", "--eval-samples=10", "--quiet", f"--out={tmp_path}/run"]
    assert main(["train", name, *TOLD, *flags, *quick]) == 0
    assert main(["eval", f"{tmp_path}/run", "--samples=10"]) == 0
    assert main(["sample", f"{tmp_path}/run", "-n", "2"]) == 0


@pytest.mark.slow
def test_a_game_of_a_temperature_is_played_at_that_of_the_others(tmp_path: Path) -> None:
    quick = ["--steps=1", "--batch-size=4", "--eval-samples=4", "--quiet", "--objective=atb"]
    quick += NARROW
    for name, low in (("at", "0.5"), ("above", "2")):
        flags = ["--condition=temperature", f"--condition-low={low}", f"--out={tmp_path / name}"]
        assert main(["train", "tictactoe", *quick, *flags]) == 0
    found = entrant(str(tmp_path / "at"))
    assert found.env.condition_dim == 0
    states = found.env.initial(2)
    trained = load(tmp_path / "at")
    with torch.no_grad():
        wanted = trained.policy.forward_logits(trained.env, states, torch.ones(2, 1))
        moves = trained.asked([1.0]).forward_logits(found.env, states)
    torch.testing.assert_close(moves, wanted)
    assert isinstance(found.player, PolicyPlayer)
    with torch.no_grad():
        torch.testing.assert_close(found.player.policy.forward_logits(found.env, states), wanted)
    with pytest.raises(IncompatibleError, match=r"a temperature of 1.* --condition-low 1"):
        entrant(str(tmp_path / "above"))


# ---------------------------------------------------------------------- one's own


class Shifted(Conditioning):
    """R to the power 1 + c: a temperature by another name.

    Args:
        high: Largest c.
    """

    def __init__(self, high: float = 2.0) -> None:
        self.high = high

    def environment(self, env: Environment[Any]) -> Environment[Any]:
        return with_reward(env, OneMore(env.reward), 1)

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> ConditionSampler:
        return UniformCondition(0.0, self.high)


class OneMore(TemperatureConditional[Any]):
    def changed(self, value: Tensor, condition: Tensor | None) -> Tensor:
        assert condition is not None
        return super().changed(value, 1 + condition)


class Powers(HyperGrid):
    """A grid that reads a temperature by itself."""

    condition_dim = 1

    def __init__(self, side: int = 3) -> None:
        super().__init__(2, side, TemperatureConditional(Corners(side, 0.1)))


class Pair(ConditionSampler):
    """One of two temperatures.

    Args:
        other: The other.
    """

    def __init__(self, other: float = 2.0) -> None:
        self.draw = TableCondition(torch.tensor([[1.0], [other]]))

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return self.draw(count, generator)


@pytest.mark.slow
def test_ones_own_class_by_reference(tmp_path: Path) -> None:
    here = f"{__file__}"
    flags = [f"--condition={here}:Shifted", "--condition-high=3", "--steps=4"]
    metrics = train(tmp_path / "run", *flags)
    assert [k for k in metrics if k.startswith("tv_at_")] == [
        "tv_at_0", "tv_at_0.75", "tv_at_1.5", "tv_at_2.25", "tv_at_3",
    ]  # fmt: skip
    trained = load(tmp_path / "run")
    assert type(trained.trainer.env.conditioning).__name__ == "Shifted"
    graph = enumerate_states(trained.env)
    reward = Corners(4)(graph.states[graph.objects]).double()
    law = graph.log_target(torch.tensor([[1.0]]))
    torch.testing.assert_close(law, (2 * reward).log_softmax(0), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_conditions_of_an_environment_that_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only who draws them is missing: a class of its own, or, in Python, an object."""
    quick = ["--steps=2", "--batch-size=8", "--eval-samples=20", "--quiet", "--width=8"]
    words = ["train", f"{__file__}:Powers", *quick, f"--out={tmp_path / 'run'}"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "nothing says which ones to train on" in said
    assert "--condition file.py:Class" in said
    assert main([*words, f"--condition={__file__}:Pair", "--condition-other=3"]) == 0
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert {k for k in metrics if k.startswith("tv_at")} == {"tv_at_1", "tv_at_3"}
    trained = fit(Powers(), "tb", condition=Pair(3.0), steps=2, width=8)
    assert "tv_at_3" in trained.metrics
    with pytest.raises(IncompatibleError, match="Pair draws conditions of width 1.* reads none"):
        fit(HyperGrid(2, 3), "tb", condition=Pair(), steps=1)


def test_python_takes_names_and_objects() -> None:
    named = fit(
        HyperGrid(2, 3), "tb", condition="temperature", condition_high=4.0, steps=2, width=8, seed=1
    )
    given = fit(HyperGrid(2, 3), "tb", condition=Temperature(high=4.0), steps=2, width=8, seed=1)
    for one, other in zip(named.policy.parameters(), given.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    assert named.sample(3, condition=torch.tensor([2.0])).shape == (3, 2)
    with pytest.raises(ShapeError, match=r"one row for each of 3, got shape \(2, 1\)"):
        named.sample(3, condition=torch.ones(2, 1))
    with pytest.raises(ConfigError, match="condition_lo.*Did you mean condition_low"):
        fit(HyperGrid(2, 3), condition="temperature", condition_lo=1.0, steps=1)


# ---------------------------------------------------------------------- who does not hear


class Deaf(HypergridTask):
    """A task whose policy reads no condition."""

    def policy(self, env: Any, needs: Needs) -> Policy:
        policy: Any = super().policy(HyperGrid(self.dim, self.side), needs)
        return policy  # type: ignore[no-any-return]


def test_a_policy_that_does_not_hear_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="MLPPolicy says the same whatever condition"):
        fit(Deaf(), "tb", condition="temperature", steps=1)
    env = Temperature().applied(HyperGrid(2, 3))
    policy = MLPPolicy(env, 8)
    for parameter in policy.parameters():
        torch.nn.init.zeros_(parameter)
    before = torch.get_rng_state()
    require_heard(policy, env, torch.tensor([[1.0], [2.0]]))
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(bool(p.any()) for p in policy.parameters()), "it is not changed"


# ---------------------------------------------------------------------- logit scaling


def test_scaled_logits_solve_a_choice_at_every_temperature() -> None:
    """Of one move to each object P is softmax(beta log R): one multiple of one score."""
    torch.set_default_dtype(torch.float64)
    rewards = [0.0, 0.3, -0.4, 0.9, -1.1]
    plain = TableEnvironment([[1, 2, 3, 4], [], [], [], []], rewards)
    env = Temperature(low=0.5, high=2.5, reads="logits").applied(plain)
    torch.manual_seed(0)
    policy = LogitScaled(MLPPolicy(plain, 8, 1, "uniform"), env)
    betas = torch.tensor([[0.5], [1.5], [2.5]])
    graph = enumerate_states(env)
    goal = torch.stack([graph.log_target(beta) for beta in betas])
    from gflow.testing.solve import minimise

    source = env.initial(3)

    def loss() -> Tensor:
        logits = policy.forward_logits(env, source, betas)
        law: Any = env.forward_law(source, logits)
        apart: Tensor = law.table()[:, :4] - goal
        return apart.square().sum()

    assert minimise(loss, policy.parameters(), 2000) < 1e-10
    scale = policy.scale(betas).flatten().detach()
    torch.testing.assert_close(scale / scale[0], betas.flatten() / 0.5, atol=1e-4, rtol=1e-4)


def test_scaled_logits_are_clipped_and_never_told_to_the_scores() -> None:
    plain = HyperGrid(2, 3)
    torch.manual_seed(1)  # some units are not dead
    env = Temperature(reads="logits").applied(plain)
    policy = LogitScaled(MLPPolicy(plain, 8, 1), env, clip=2.0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 3.0)
    states, betas = env.initial(2), torch.tensor([[1.0], [30.0]])
    logits = policy.forward_logits(env, states, betas)
    assert float(logits.detach().abs().max()) == 2.0
    layers = [m for m in policy.policy.modules() if isinstance(m, ConditionLayer)]
    assert not layers
    back, again = (policy.backward_logits(env, states, c) for c in (betas, betas.flip(0)))
    assert back is not None
    assert torch.equal(back, again)  # type: ignore[arg-type]
    trained = fit(plain, "tb", condition="temperature", condition_reads="logits", steps=2, width=8)
    assert isinstance(trained.policy, LogitScaled)
    assert "tv_at_0.5" in evaluate_run(trained.context, 20)
    with pytest.raises(IncompatibleError, match="say nothing of how flows depend"):
        fit(plain, "db", condition="temperature", condition_reads="logits", steps=1)
    with pytest.raises(IncompatibleError, match="have densities"):
        fit("box", "tb", condition="temperature", condition_reads="logits", steps=1)
