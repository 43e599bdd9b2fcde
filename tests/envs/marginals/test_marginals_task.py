"""`gflow train marginals`: what is chosen by default, and what each kind of problem learns."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.behaviours.base import OnPolicy
from gflow.cli.main import main
from gflow.envs.marginals.task import MarginalsTask, sampled_gap
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import ConfigError, GFlowError
from gflow.marginals import (
    AnyOrderFit,
    ConvolutionSites,
    MarginalPolicy,
    ResidualSites,
    SharedSites,
    TransformerSites,
)
from gflow.tasks.options import RunConfig
from gflow.tasks.task import enumerate_if_small

pytest.importorskip("sklearn")
pytest.importorskip("selfies")


@pytest.mark.parametrize(
    ("given", "objective", "behaviour"),
    [
        ({}, "marginal_matching", "marginal_chains"),
        ({"objective": "db"}, "db", "marginal_chains"),
        ({"objective": "marginal_divergence"}, "marginal_divergence", "marginal_chains"),
        ({"task": "digits"}, "marginal_consistency", "marginal_chains"),
        ({"task": "selfies"}, "marginal_matching", "marginal_chains"),
        ({"task": "selfies", "learn_from": "data"}, "marginal_consistency", "marginal_chains"),
        ({"objective": "tb"}, "tb", "on_policy"),
        ({"objective": "db", "behaviour": "on_policy"}, "db", "on_policy"),
    ],
)
def test_parts_by_default(given: dict[str, Any], objective: str, behaviour: str) -> None:
    config = RunConfig.from_flags(MarginalsTask, given, "gflow train marginals --help")
    assert (config.objective.name, config.behaviour.name) == (objective, behaviour)
    task = {k: v for k, v in given.items() if k not in ("objective", "behaviour")}
    if task == given:
        config = RunConfig.of(MarginalsTask(**task))
        assert (config.objective.name, config.behaviour.name) == (objective, behaviour)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, ConvolutionSites),
        ({"network": "residual"}, ResidualSites),
        ({"side": 1}, ConvolutionSites),
        ({"task": "digits"}, SharedSites),
        ({"task": "digits", "network": "convolution"}, ConvolutionSites),
        ({"task": "text"}, TransformerSites),
        ({"task": "text", "network": "residual"}, ResidualSites),
    ],
)
def test_networks_by_default(options: dict[str, Any], kind: type[Any]) -> None:
    assert isinstance(MarginalsTask(**options).site_network(), kind)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "digits", "coupling": 0.1}, "digits has no coupling"),
        ({"task": "text", "learn_from": "energy"}, "text has no energy"),
        ({"task": "ising", "learn_from": "data"}, "ising has no data"),
        ({"task": "digits", "data_share": 0.0}, "data_share must be above 0"),
        ({"task": "chess"}, "digits"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(GFlowError, match=words):
        MarginalsTask(**options)


def test_convolutions_of_text_and_whole_trajectories_of_data_are_refused() -> None:
    with pytest.raises(ConfigError, match="convolutions are for pictures"):
        MarginalsTask(task="text", network="convolution").site_network()
    task = MarginalsTask(task="digits", network="residual")
    with pytest.raises(ConfigError, match="single moves"):
        task.behaviour(task.environment(), OnPolicy())


@pytest.mark.parametrize(("name", "listed"), [("densities", False), ("ising", True)])
def test_only_energies_have_an_exact_law(name: str, listed: bool) -> None:
    small: dict[str, Any] = {"bits": 2} if name == "densities" else {"side": 2}
    task = MarginalsTask(task=name, **small)  # type: ignore[arg-type]
    assert (enumerate_if_small(task, task.environment()) is not None) is listed


@pytest.fixture
def single() -> Iterator[None]:
    """float32, as the command line has it."""
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(torch.float64)


def train(folder: Path, *flags: str) -> Any:
    assert main(["train", "marginals", f"--out={folder}", "--quiet", "--threads=1", *flags]) == 0
    return gflow.load(folder)


@pytest.mark.slow
def test_an_energy_is_learned(tmp_path: Path, single: None) -> None:
    flags = ("--side=2", "--width=32", "--depth=1", "--lr=5e-3")
    run = train(tmp_path / "ising", *flags, "--steps=150", "--eval-every=150")
    assert (tmp_path / "ising" / "lattices.png").exists()
    exact = run.env.log_partition()
    nothing = run.env.initial(1)
    whole = torch.full_like(nothing, 2)
    said = run.policy.marginal(whole) - run.env.log_reward(whole)
    assert -float(said) == pytest.approx(exact, abs=0.3)


@pytest.mark.slow
def test_data_are_learned(tmp_path: Path, single: None) -> None:
    flags = ("--task=digits", "--network=residual", "--width=64", "--depth=1", "--lr=5e-3")
    run = train(tmp_path / "digits", *flags, "--steps=60", "--fit-steps=200", "--eval-every=60")
    (fit,) = run.trainer.learners
    assert isinstance(fit, AnyOrderFit)
    assert fit.taken == 200
    lines = (tmp_path / "digits" / "metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["nll_in_order"] < 0.75 < first["nll_in_order"]  # one bit says nothing
    assert last["nll"] < 1.0
    assert last["fit_bits"] < 0.75


def test_the_divergence_of_a_sampler_is_along_the_orders_it_draws_in() -> None:
    """Of conditionals that contradict each other, against the sum over orders and objects."""
    env = EnergyModel(IsingReward(2, 2, 0.3, 0.1))
    torch.manual_seed(0)
    policy = MarginalPolicy(env, ResidualSites(4, 2, 8, 1))
    for parameter in policy.parameters():
        parameter.data.normal_(0, 0.7)
    whole = torch.cartesian_prod(*[torch.arange(2)] * 4)
    wanted = torch.zeros(())
    for order in itertools.permutations(range(4)):
        with torch.no_grad():
            said = policy.along(whole, torch.tensor(order).expand(16, 4))
        wanted += (said.exp() * (said - env.log_reward(whole + 1))).sum() / 24
    generator = torch.Generator().manual_seed(1)
    found = sampled_gap(env, policy, generator, env.initial(20_000))
    assert float(found) == pytest.approx(float(wanted), abs=0.05)
