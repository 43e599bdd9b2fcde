"""`gflow train digits`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gflow.behaviours.base import Behaviour
from gflow.bounds import Count, Probability, Rate
from gflow.conditions.draws import ConditionSampler, TableCondition
from gflow.em.dreams import Sleep
from gflow.em.learner import GREEDY, Latents, MStep
from gflow.em.pace import Every
from gflow.em.reward import JointReward
from gflow.envs.codes.data import PIXELS, binary_digits, split
from gflow.envs.codes.env import codes
from gflow.envs.codes.metrics import nll, posterior_gap
from gflow.envs.codes.model import CodeModel, Decoder
from gflow.envs.codes.pictures import atlas, gallery
from gflow.envs.codes.policy import CodePolicy, picture_encoder
from gflow.envs.codes.prior import PRIORS
from gflow.envs.sequences.env import Autoregressive
from gflow.errors import ConfigError
from gflow.learner import Learner
from gflow.objective import LogZ
from gflow.policies.base import Policy
from gflow.tasks.parts import Part
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

SHOWN = 20
"""Pictures in a row of the gallery."""


@dataclass(frozen=True)
class DigitsTask(Task[Autoregressive]):
    """A discrete autoencoder of handwritten digits, fitted by GFlowNet-EM.

    Attributes:
        side: Codes form a grid of side x side cells.
        symbols: K, different codes a cell may hold.
        prior: Of grids of codes.
        embedding: Numbers that the decoder has for a code.
        decoder_width: Units of the decoder's hidden layers.
        decoder_lr: Learning rate of decoder and prior.
        alternate: So many steps of the sampler, then as many of the decoder, in turns.
        latents: What decoder and prior are fitted to: the codes of the training batch, whoever made
            them; codes drawn for it from the sampler (fresh); or, the decoder alone, the likeliest
            codes (greedy), which is quick and good where codes are few, but forgets what they cost.
        decoder_batch: Pictures of a step on fresh or likeliest codes.
        sleep: Probability that a step is followed by one on pictures that the model makes up.
        repeat: Trajectories for each picture of a batch, at least 2 for vargrad.
        width: Units of the sampler's layers.
        features: Numbers that the sampler keeps of a picture.
        nll_samples: Codes for each test picture to estimate its likelihood from, where codes cannot
            be listed.
    """

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "discrete autoencoder of 8 x 8 digits by GFlowNet-EM; exact on 2 x 2"
    train: ClassVar[TrainConfig] = TrainConfig(steps=3000, batch_size=128, lr=3e-3, log_z_lr=3e-3)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500, eval_samples=300)
    objective: ClassVar[str] = "vargrad"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "test_nll",
        "train_nll",
        "posterior_tv",
        "posterior_kl",
        "log_z_gap",
        "elbo",
    )

    side: Count = 2
    symbols: Count = 4
    prior: Literal["uniform", "pixelcnn"] = "uniform"
    embedding: Count = 4
    decoder_width: Count = 128
    decoder_lr: Rate = 1e-3
    alternate: Count = 1
    latents: Latents = "batch"
    decoder_batch: Count = 64
    sleep: Probability = 1.0
    repeat: Count = 4
    width: Count = 128
    features: Count = 64
    nll_samples: Count = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents == "batch" and self.alternate > 1:
            raise ConfigError(
                f"DigitsTask: {self.alternate} steps of the decoder in a row would all fit the "
                f"codes of one batch. Set latents to fresh or greedy, or alternate to 1."
            )

    def environment(self) -> Autoregressive:
        """Codes, with a fresh decoder and prior."""
        cells = self.side**2
        decoder = Decoder(cells, self.symbols, PIXELS, self.decoder_width, self.embedding)
        model = CodeModel(decoder, PRIORS[self.prior](self.side, self.symbols))
        return codes(cells, self.symbols, JointReward(model, binary_digits()))

    def policy(self, env: Autoregressive, needs: Needs) -> Policy:
        """A perceptron over picture and codes, whose flows start where log Z does."""
        policy = CodePolicy(
            env, _reward(env).data, self.width, self.features, log_flow=needs.log_flow
        )
        if needs.log_flow:
            with torch.no_grad():
                policy.head.bias[-1] += self.log_z(env)
        return policy

    def condition(self, env: Autoregressive) -> ConditionSampler:
        """Training pictures, each for `repeat` trajectories."""
        return TableCondition(split(_reward(env).data.conditions)[0], self.repeat)

    def condition_encoder(self, env: Autoregressive) -> nn.Module:
        """What log Z reads of a picture."""
        return picture_encoder(_reward(env).data, self.width, self.features)

    def log_z(self, env: Autoregressive) -> float:
        """As if all pictures were equally likely."""
        return -PIXELS * math.log(2)

    def behaviour(self, env: Autoregressive, chosen: Behaviour) -> Behaviour:
        """What was chosen, with some sleep."""
        if not self.sleep:
            return chosen
        objective = Part.of("objective", "mle").build(env=env)
        return Sleep(_reward(env), objective, self.sleep, inner=chosen)

    def learners(self, env: Autoregressive, policy: Policy) -> list[Learner]:
        """The M-steps: of decoder and prior on the same codes, or of each on its own."""
        reward, model = _reward(env), _model(env)
        rows = TableCondition(split(reward.data.conditions)[0])
        codes_from: dict[nn.Module, Latents] = {model: self.latents}
        if self.latents == "greedy":
            codes_from = {model.decoder: "greedy", model.prior: "fresh"}
        return [
            MStep(
                reward,
                torch.optim.Adam(part.parameters(), self.decoder_lr),
                Every(self.alternate, self.alternate),
                latents=latents,
                rows=None if latents == "batch" else rows,
                count=0 if latents == "batch" else self.decoder_batch,
            )
            for part, latents in codes_from.items()
            if list(part.parameters())
        ]

    def rewards(
        self, env: Autoregressive, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """None: likelihoods of pictures span many orders of magnitude."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Likelihoods of pictures; where codes can be listed, distances to exact posteriors."""
        trainer, env = context.trainer, context.env
        policy, device = trainer.evaluated_policy, trainer.device
        train, test = split(_reward(env).data.conditions.to(device))
        generator = torch.Generator(device).manual_seed(trainer.step)
        numbers = {"test_nll": float(nll(env, policy, test, self.nll_samples, generator).mean())}
        if not _model(env).listable:
            return numbers
        exact = nll(env, policy, train, self.nll_samples)
        kl, tv = posterior_gap(env, policy, test)
        numbers |= {
            "train_nll": float(exact.mean()),
            "posterior_kl": float(kl.mean()),
            "posterior_tv": float(tv.mean()),
        }
        log_z = getattr(trainer.objective, "log_z", None)
        if isinstance(log_z, LogZ):
            batch = trainer.sampler.forward(
                policy, len(train), condition=train, generator=generator, device=device
            )
            with torch.no_grad():
                said = log_z(trainer.objective.evaluate(env, policy, batch))
            numbers["log_z_gap"] = float((said + exact).abs().mean())
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Test pictures, as their likeliest codes give them back, and what the model makes up."""
        trainer, env = context.trainer, context.env
        model = _model(env)
        generator = torch.Generator(trainer.device).manual_seed(0)
        test = split(_reward(env).data.conditions)[1].to(trainer.device)
        with torch.no_grad():
            told = test[:: max(1, len(test) // SHOWN)][:SHOWN]
            found = trainer.sampler.forward(
                trainer.evaluated_policy,
                len(told),
                exploration=GREEDY,
                condition=told,
                generator=generator,
                device=trainer.device,
            )
            made = [model.prior.sample(SHOWN, generator) for _ in range(2)]
            rows = {
                "test pictures": _reward(env).data.rows(told),
                "given back": model.decoder(found.final_states).sigmoid(),
                "made up": model.decoder(made[0]).sigmoid(),
                " ": model.decoder(made[1]).sigmoid(),
            }
            paths = {"gallery": folder / "gallery.png"}
            gallery(rows, paths["gallery"])
            if model.listable and model.prior.symbols**model.prior.cells <= 1024:
                paths["atlas"] = folder / "atlas.png"
                atlas(model.decoder(model.every_code()).sigmoid(), paths["atlas"])
        return paths

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "gallery": "Test pictures, as their likeliest codes give them back, and made up ones.",
            "atlas": "The picture of every code.",
        }

    def report(self, context: Context) -> str:
        """The likelihood of test pictures, and how it is known."""
        value = context.numbers.get("test_nll")
        if value is None:
            return ""
        how = "exact" if _model(context.env).listable else f"from {self.nll_samples} codes each"
        bits = value / PIXELS / math.log(2)
        return f"test pictures: {value:.3f} nats each ({how}), {bits:.4f} bits a pixel"


def _reward(env: Autoregressive) -> JointReward:
    reward: Any = env.reward
    assert isinstance(reward, JointReward)
    return reward


def _model(env: Autoregressive) -> CodeModel:
    model: Any = _reward(env).model
    assert isinstance(model, CodeModel)
    return model
