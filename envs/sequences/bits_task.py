"""`gflow train bits`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoiceOrAuto, own_backward
from gflow.bounds import Count, Natural, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.bits import (
    Form,
    ModesFound,
    NearModes,
    bit_sequences,
    flipped_modes,
    plant_modes,
    to_bits,
    to_words,
)
from gflow.metrics import log_likelihood, spearman
from gflow.policies.base import Backward, Policy
from gflow.policies.mlp import MLPPolicy
from gflow.policies.transformer import CausalTransformer
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

TESTED = 600
"""Test strings whose likelihood is compared with their reward at an evaluation."""


@dataclass(frozen=True)
class BitsTask(Task[DiscreteEnvironment[Any]]):
    """Strings of bits with planted modes, written word by word.

    Attributes:
        bits: Number of bits, a multiple of 8 and of the word.
        word: Bits per word.
        modes: Number of modes.
        modes_seed: Which modes.
        beta: Inverse temperature.
        form: log R = -beta d / n ("fraction") or -beta d ("distance"), d to the closest mode.
        order: "left_to_right" or "any".
        backward: Backward policy; "auto" is uniform left to right, where a state has one parent,
            and learned in any order.
        network: "mlp", or "transformer" (left to right only).
        width: Units per hidden layer.
        depth: Hidden layers, or blocks of the transformer.
        heads: Attention heads of the transformer.
    """

    name: ClassVar[str] = "bits"
    summary: ClassVar[str] = "bit strings with planted modes, word by word"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=5000, batch_size=16, lr=1e-3, log_z_lr=0.05, epsilon=1e-3, weight_decay=1e-5
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_reward",
        "nearest_mode",
        "modes_in_sample",
        "test_spearman",
        "log_z",
        "elbo",
        "ess",
    )

    bits: Count = 120
    word: Count = 8
    modes: Count = 60
    modes_seed: Natural = 0
    beta: Positive = 2.0
    form: Form = "distance"
    order: Literal["left_to_right", "any"] = "left_to_right"
    backward: BackwardChoiceOrAuto = "auto"
    network: Literal["mlp", "transformer"] = "mlp"
    width: Count = 256
    depth: Count = 2
    heads: Count = 8

    def environment(self) -> DiscreteEnvironment[Any]:
        """The strings."""
        planted = plant_modes(self.bits, self.modes, self.modes_seed)
        return bit_sequences(NearModes(planted, self.word, self.beta, self.form), self.order)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A perceptron or a transformer."""
        if self.network == "transformer":
            return CausalTransformer(
                env, self.width, self.depth, self.heads, log_flow=needs.log_flow
            )
        return MLPPolicy(env, self.width, self.depth, self._backward(), needs.log_flow)

    def backward_network(self, env: DiscreteEnvironment[Any], log_flow: bool) -> Policy:
        """A perceptron."""
        backward: Backward = "uniform" if log_flow else "learned"
        return MLPPolicy(env, self.width, self.depth, backward, log_flow)

    def _backward(self) -> Backward:
        if self.backward != "auto":
            return own_backward(self.backward)
        return "uniform" if self.order == "left_to_right" else "learned"

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of strings, and the log-reward of a random one, 0.39 n from a mode."""
        reward = _reward(env)
        return self.bits * (math.log(2) - 0.39 * reward.scale)

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """R of a random string is e^-90 and less: its logarithm and distances are reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Modes within reach of the sample, and how likelihood follows reward on test strings."""
        reward = _reward(context.env)
        found = ModesFound(reward)
        found.update(objects)
        strings = flipped_modes(reward.modes, self.modes_seed)
        chosen = to_words(strings[:: max(1, len(strings) // TESTED)], self.word)
        trainer, policy = context.trainer, context.policy
        assert policy is not None
        likelihood = log_likelihood(
            context.env,
            policy,
            chosen.to(trainer.device),
            1 if self.order == "left_to_right" else 10,
            generator=torch.Generator(trainer.device).manual_seed(trainer.step),
            sampler=context.sampler,
        )
        return {
            "modes_in_sample": float(len(found)),
            "nearest_mode": float(reward.distances(objects).amin(1).mean()),
            "test_spearman": float(spearman(likelihood.log_prob, reward(chosen))),
        }

    def describe(self, env: DiscreteEnvironment[Any], objects: Any) -> list[str]:
        """The bits."""
        rows = to_bits(objects, self.word).tolist()
        return ["".join(map(str, row)) for row in rows]

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """Logos of bits, learned against exact; the best strings as text."""
        from gflow.envs.sequences.draw import logos

        bits = Alphabet("01")
        drawn = logos(shown, bits, lambda words: bits.encode(self.describe(shown.env, words)))
        return drawn | super().pictures(shown)


def _reward(env: DiscreteEnvironment[Any]) -> NearModes:
    assert isinstance(env.reward, NearModes)
    return env.reward
