"""Settings of a training run."""

from dataclasses import dataclass
from typing import Literal

from gflow.bounds import (
    Count,
    Decay,
    LogitShift,
    Natural,
    NotNegative,
    Probability,
    Rate,
    Temperature,
    Width,
    check_fields,
)
from gflow.errors import ConfigError
from gflow.memory.draw import Draw
from gflow.memory.keep import Keep
from gflow.memory.replay import Rebuild


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: Number of gradient steps; 0 for none, to measure what is there.
        batch_size: Trajectories per step.
        lr: Learning rate of the policy.
        log_z_lr: Learning rate of what belongs to the objective (log Z).
        lr_half_life: Steps in which both rates halve; 0 keeps them.
        weight_decay: Of the policy.
        grad_clip: Largest norm of the policy's gradient; 0 does not clip.
        ema: Decay of an average of the weights that is evaluated in place of them; 0 for none.
        epsilon: Initial probability of a uniform action; by default that of the objective, which is
            0 for most (`Objective.epsilon`).
        epsilon_steps: Steps over which epsilon falls to zero linearly; 0 keeps it.
        trajectory_epsilon: Probability that a whole trajectory is uniform.
        temperature: Sampling temperature.
        stop_bias: Subtracted from the stop logit while sampling.
        noise: Standard deviation added to that of Gaussian steps while sampling.
        noise_steps: Steps over which the noise falls to zero linearly; 0 keeps it.
        ema_sampling: Probability, per step, of acting by the average of the weights (see `ema`).
        replay: Trajectories to remember; 0 for none.
        replay_keep: Which to keep when full: the most recent, the best, or good ones far apart.
        replay_draw: How they are drawn again (see `ReplayBuffer`); "auto" is by reward
            if the best are kept, else uniform.
        replay_rebuild: Repeat the "actions", or draw trajectories "backward" from the objects.
        replay_distinct: Remember each object once; always so with replay_draw="prt".
        replay_top: How many are drawn from with replay_draw="top".
        replay_cutoff: Smallest Hamming distance with replay_keep="diverse".
        replay_fraction: Share of each batch that is drawn from memory once it holds a batch.
        augment: Further gradient steps after every step, on trajectories drawn backward from
            remembered objects (see `BackwardAugmentation`); 0 for none.
        augment_objects: How many objects these steps go back from.
        chunk: States that the network sees at a time in a training step, whose activations alone
            are held (`Chunked`): less memory for one more pass of the network; 0 for all at once.
        plan: Execution plan of the sampler: "auto", "ragged" or "static".
        compile: Run each step as one graph, compiled by torch (docs/topics/speed.md), or "graph":
            captured by a CUDA graph. Refused where a step cannot be one graph.
        seed: Of everything random.
    """

    steps: Natural = 1000
    batch_size: Count = 16
    lr: Rate = 1e-3
    log_z_lr: Rate = 0.1
    lr_half_life: Natural = 0
    weight_decay: Decay = 0.0
    grad_clip: NotNegative = 0.0
    ema: Probability = 0.0
    epsilon: Probability | None = None
    epsilon_steps: Natural = 0
    trajectory_epsilon: Probability = 0.0
    temperature: Temperature = 1.0
    stop_bias: LogitShift = 0.0
    noise: Width = 0.0
    noise_steps: Natural = 0
    ema_sampling: Probability = 0.0
    replay: Natural = 0
    replay_keep: Keep = "recent"
    replay_draw: Literal["auto", Draw] = "auto"
    replay_rebuild: Rebuild = "actions"
    replay_distinct: bool = False
    replay_top: Count = 100
    replay_cutoff: NotNegative = 1.0
    replay_fraction: Probability = 0.5
    augment: Natural = 0
    augment_objects: Count = 20
    chunk: Natural = 0
    plan: Literal["auto", "ragged", "static"] = "auto"
    compile: bool | Literal["graph"] = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, unused in (
            ("replay_keep", "recent"), ("replay_draw", "auto"), ("replay_rebuild", "actions"),
        ):  # fmt: skip
            if not self.replay and getattr(self, name) != unused:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} is about a memory, and replay=0 remembers "
                    f"nothing: set replay to the number of trajectories to remember."
                )
        if self.ema_sampling and not self.ema:
            raise ConfigError("ema_sampling acts by the average of the weights: set ema too.")
        if self.augment and not (self.replay and self.replay_rebuild == "backward"):
            raise ConfigError(
                "augment goes back from remembered objects: set replay and "
                "replay_rebuild='backward' too."
            )
