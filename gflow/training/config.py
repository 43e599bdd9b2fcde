"""Settings of a training run."""

from dataclasses import dataclass
from typing import Literal

from gflow.errors import ConfigError
from gflow.memory.draw import Draw
from gflow.memory.keep import Keep
from gflow.memory.replay import Rebuild


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: Number of gradient steps.
        batch_size: Trajectories per step.
        lr: Learning rate of the policy.
        log_z_lr: Learning rate of what belongs to the objective (log Z).
        lr_half_life: Steps in which both rates halve; 0 keeps them.
        weight_decay: Of the policy.
        grad_clip: Largest norm of the policy's gradient; 0 does not clip.
        ema: Decay of an average of the weights that is evaluated in place of them; 0 for none.
        epsilon: Initial probability of a uniform action.
        epsilon_steps: Steps over which epsilon falls to zero linearly; 0 keeps it.
        trajectory_epsilon: Probability that a whole trajectory is uniform.
        temperature: Sampling temperature.
        stop_bias: Subtracted from the stop logit while sampling.
        noise: Standard deviation added to that of Gaussian steps while sampling.
        noise_steps: Steps over which the noise falls to zero linearly; 0 keeps it.
        ema_sampling: Probability, per step, of acting by the average of the weights (see `ema`).
        replay: Trajectories to remember; 0 for none.
        replay_keep: Which to keep when full: the most recent, the best, or good ones far apart.
        replay_draw: Law by which they are drawn again (see `ReplayBuffer`); "auto" is by reward
            if the best are kept, else uniform.
        replay_rebuild: Repeat the "actions", or draw ways "backward" from the objects.
        replay_distinct: Remember each object once; always so with replay_draw="prt".
        replay_top: How many are drawn from with replay_draw="top".
        replay_cutoff: Smallest Hamming distance with replay_keep="diverse".
        replay_fraction: Share of each batch that is drawn from memory once it holds a batch.
        augment: Further gradient steps after every step, on trajectories drawn backward from
            remembered objects (see `BackwardAugmentation`); 0 for none.
        augment_objects: How many objects these steps go back from.
        plan: Execution plan of the sampler: "auto", "ragged" or "static".
        seed: Of everything random.
    """

    steps: int = 1000
    batch_size: int = 16
    lr: float = 1e-3
    log_z_lr: float = 0.1
    lr_half_life: int = 0
    weight_decay: float = 0.0
    grad_clip: float = 0.0
    ema: float = 0.0
    epsilon: float = 0.0
    epsilon_steps: int = 0
    trajectory_epsilon: float = 0.0
    temperature: float = 1.0
    stop_bias: float = 0.0
    noise: float = 0.0
    noise_steps: int = 0
    ema_sampling: float = 0.0
    replay: int = 0
    replay_keep: Keep = "recent"
    replay_draw: Literal["auto", Draw] = "auto"
    replay_rebuild: Rebuild = "actions"
    replay_distinct: bool = False
    replay_top: int = 100
    replay_cutoff: float = 1.0
    replay_fraction: float = 0.5
    augment: int = 0
    augment_objects: int = 20
    plan: Literal["auto", "ragged", "static"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "replay_top", "augment_objects"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("lr", "log_z_lr", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}.")
        for name in (
            "lr_half_life", "weight_decay", "grad_clip", "epsilon_steps", "noise", "noise_steps",
            "replay", "augment", "replay_cutoff",
        ):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("ema", "epsilon", "trajectory_epsilon", "ema_sampling", "replay_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
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
