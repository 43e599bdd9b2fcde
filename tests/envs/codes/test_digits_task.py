"""`gflow train digits`, run as a user runs it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.em.learner import MStep
from gflow.em.reward import JointReward
from gflow.envs.codes.pictures import side_by_side
from gflow.envs.codes.prior import PixelCNN
from gflow.envs.codes.task import DigitsTask
from gflow.errors import ConfigError
from gflow.objectives import DetailedBalance
from gflow.runs.build import build_context
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig
from gflow.tasks.parts import Part

pytestmark = pytest.mark.usefixtures("sketches")

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

QUICK = [
    "--eval-samples=20", "--quiet=True", "--width=16", "--features=8", "--decoder-width=16",
    "--batch-size=8",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "digits", *QUICK, f"--out={folder}", *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
def test_on_listed_codes_all_is_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Likelihoods, distances to posteriors, and log Z against log p(x)."""
    found = train(tmp_path, "--steps=4", "--objective=tb", "--repeat=1", "--sleep=0")
    assert 30 < found["test_nll"] < 60  # untrained; 64 log 2 if all pictures were equally likely
    assert 30 < found["train_nll"] < 60
    assert 0 < found["posterior_tv"] < 1
    assert found["posterior_kl"] > 0
    assert found["log_z_gap"] > 0
    assert (tmp_path / "gallery.png").stat().st_size > 5000
    assert (tmp_path / "atlas.png").stat().st_size > 5000
    assert f"test pictures: {found['test_nll']:.3f} nats each (exact)" in capsys.readouterr().out


@pytest.mark.slow
def test_many_codes_with_a_learned_prior(tmp_path: Path) -> None:
    found = train(tmp_path, "--steps=3", "--side=4", "--prior=pixelcnn", "--nll-samples=2")
    assert 30 < found["test_nll"] < 70
    assert "posterior_tv" not in found
    assert "augmented_loss" in found
    assert (tmp_path / "gallery.png").exists()
    assert not (tmp_path / "atlas.png").exists()


@pytest.mark.slow
def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    """Decoder, prior, their optimisers and dreams are kept."""
    flags = ["--prior=pixelcnn", "--sleep=0.5", "--alternate=2", "--latents=fresh"]
    flags += ["--decoder-batch=8", "--eval-every=3"]
    whole = train(tmp_path / "whole", "--steps=6", *flags)
    train(tmp_path / "part", "--steps=3", *flags)
    assert main(["resume", str(tmp_path / "part"), "--steps=6"]) == 0
    part = json.loads((tmp_path / "part" / "summary.json").read_text())["metrics"]
    assert part == whole
    again = Run.open(tmp_path / "part")
    reward: Any = again.context.env.reward
    assert isinstance(reward, JointReward)
    assert again.context.task.metrics(again.context, None)["test_nll"] == part["test_nll"]


def test_what_decoder_and_prior_are_fitted_to() -> None:
    """Both to the same sampled codes; if greedy, the decoder to likeliest ones."""

    def steps(latents: Any) -> list[MStep]:
        task = DigitsTask(prior="pixelcnn", decoder_batch=5, latents=latents)
        context = build_context(RunConfig.of(task))
        found = [one for one in context.trainer.learners if isinstance(one, MStep)]
        assert len(found) == len(context.trainer.learners)
        return found

    def held(step: MStep) -> set[int]:
        return {id(p) for p in step.optimizer.param_groups[0]["params"]}

    decoder, prior = steps("greedy")
    assert (decoder.latents, prior.latents) == ("greedy", "fresh")
    assert (decoder.count, prior.count) == (5, 5)
    model: Any = prior.reward.model
    assert isinstance(model.prior, PixelCNN)
    assert held(decoder) == {id(p) for p in model.decoder.parameters()}
    assert held(prior) == {id(p) for p in model.prior.parameters()}
    for latents, count in (("batch", 0), ("fresh", 5)):
        (both,) = steps(latents)
        assert (both.latents, both.count, both.rows is None) == (latents, count, not count)
        assert held(both) == {id(p) for p in both.reward.model.parameters()}


def test_the_codes_of_one_batch_are_fitted_once() -> None:
    with pytest.raises(ConfigError, match="Set latents to fresh or greedy"):
        DigitsTask(alternate=3)
    assert DigitsTask(alternate=3, latents="greedy").alternate == 3


def test_measuring_draws_from_a_generator_of_its_own() -> None:
    """Nothing about the training that follows changes."""
    task = DigitsTask(width=8, features=4, repeat=1)
    context = build_context(RunConfig.of(task, objective=Part.of("objective", "tb")))
    own, trainers = torch.get_rng_state(), context.trainer.generator.get_state()
    first = task.metrics(context, None)
    assert torch.equal(torch.get_rng_state(), own)
    assert torch.equal(context.trainer.generator.get_state(), trainers)
    assert task.metrics(context, None) == first


def test_flows_start_where_log_z_does() -> None:
    task = DigitsTask(width=8, features=4)
    env = task.environment()
    policy = task.policy(env, DetailedBalance.needs)
    with torch.no_grad():
        flow = policy(env, env.initial(50), torch.arange(50.0)[:, None]).log_flow
    assert flow is not None
    assert float(flow.mean()) == pytest.approx(-64 * math.log(2), abs=3)


def test_log_z_is_compared_with_the_likelihood() -> None:
    """T4.3: a log Z that is one number is off by the mean distance of log p(x) from it."""
    task = DigitsTask(width=8, features=4, repeat=1)
    context = build_context(RunConfig.of(task, objective=Part.of("objective", "tb")))
    log_z: Any = context.trainer.objective.log_z
    with torch.no_grad():
        for parameter in log_z.parameters():
            parameter.zero_()
        log_z.value.fill_(-40.0)
        reward: Any = context.env.reward
        exact = reward.model.log_marginal(reward.data.data[:1500])
    found = task.metrics(context, None)["log_z_gap"]
    assert found == pytest.approx(float((exact + 40).abs().mean()), rel=1e-4)


def test_only_training_pictures_are_trained_on() -> None:
    task = DigitsTask()
    env = task.environment()
    told = task.condition(env)(4000, torch.Generator().manual_seed(0))
    assert float(told.max()) <= 1499
    assert float(told.max()) > 1450


@pytest.mark.slow
def test_the_sampler_finds_the_posterior_and_the_likelihood() -> None:
    """T4.3 on pictures: the model at rest, log Z(x) goes to log p(x) and q to the posterior."""
    torch.manual_seed(0)
    task = DigitsTask(sleep=0.0, repeat=1, width=64, features=32)
    context = build_context(RunConfig.of(task, objective=Part.of("objective", "tb")))
    trainer = context.trainer
    trainer.train(400)
    trainer.learners.clear()
    before = task.metrics(context, None)
    trainer.train(1200)
    after = task.metrics(context, None)
    assert after["test_nll"] == before["test_nll"]
    assert after["test_nll"] < 30
    assert after["posterior_kl"] < 0.5 * before["posterior_kl"]
    assert after["log_z_gap"] < 0.5


def test_pictures_stand_side_by_side() -> None:
    row = torch.stack([torch.zeros(64), torch.ones(64)])
    image = side_by_side(row)
    assert image.shape == (8, 17)
    assert image[:, :8].sum() == 0
    assert image[:, 8].unique().tolist() == [0.25]
    assert bool((image[:, 9:] == 1).all())
