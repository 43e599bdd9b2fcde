"""Every backward policy by its name: what a policy and a trainer need for it."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from gflow.backward.count import CountRegression, TrajectoryCount
from gflow.backward.fits import LikelihoodBackward, PessimisticBackward
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.learner import Learner
from gflow.policies.base import Backward, Policy
from gflow.policies.mlp import MLPPolicy
from gflow.policies.split import SplitPolicy

BackwardChoice = Literal[
    "learned", "uniform", "maxent", "separate", "pessimistic", "tlm", "learned_maxent"
]
"""The first three are the policy's own; the others need a second network."""

SECOND_NETWORK = ("separate", "pessimistic", "tlm", "learned_maxent")


def own_backward(kind: BackwardChoice) -> Backward:
    """How to build the policy that is given to `with_backward`."""
    return "uniform" if kind in SECOND_NETWORK else kind  # type: ignore[return-value]


@dataclass(frozen=True)
class BackwardOptions:
    """Settings of backward policies with a network of their own.

    Attributes:
        backward_lr: Learning rate of pessimistic, tlm and learned_maxent.
        backward_decay: This rate is multiplied by it after every batch. P_B must come to rest for
            the sampler to converge: 0.999 is published for grids; nearer to 1 suits long runs.
        backward_steps: Gradient steps per batch; 0 for 8 (pessimistic) and 1 (the others).
        backward_batches: Batches that pessimistic remembers.
        backward_tau: Share that the target of tlm moves per batch.
        backward_start: "uniform" zeroes the last layer of the backward network; "auto" does so for
            pessimistic and tlm.
    """

    backward_lr: float = 1e-3
    backward_decay: float = 0.999
    backward_steps: int = 0
    backward_batches: int = 20
    backward_tau: float = 0.25
    backward_start: Literal["auto", "uniform", "random"] = "auto"

    def __post_init__(self) -> None:
        if not self.backward_lr > 0:
            raise ConfigError(f"backward_lr must be positive, got {self.backward_lr}.")
        if not 0 < self.backward_decay <= 1:
            raise ConfigError(f"backward_decay must lie in (0, 1], got {self.backward_decay}.")
        if not 0 <= self.backward_tau <= 1:
            raise ConfigError(f"backward_tau must lie in [0, 1], got {self.backward_tau}.")
        if self.backward_steps < 0 or self.backward_batches < 1:
            raise ConfigError(
                f"backward_steps must not be negative and backward_batches at least 1, got "
                f"{self.backward_steps} and {self.backward_batches}."
            )


def with_backward(
    kind: str,
    env: DiscreteEnvironment[Any],
    policy: Policy,
    network: Policy | None = None,
    options: BackwardOptions = BackwardOptions(),
    generator: torch.Generator | None = None,
) -> tuple[Policy, list[Learner]]:
    """A policy that uses the backward policy called `kind`, and the learners that fit it.

    Pass both on: ``Trainer(env, policy, objective, learners=learners)``.

    Args:
        kind: "learned", "uniform", "maxent" (the policy's own, which must be built so), "separate"
            (a second network, trained by the objective), "pessimistic" (Jang et al. 2024), "tlm"
            (Gritsaev et al. 2024), "learned_maxent" (a learned number of trajectories).
        env: The environment.
        policy: Gives P_F and log F. Where there is a second network, build it with
            backward="uniform": its own backward head would lie idle.
        network: The second network: a policy with a learned backward head, or, for
            "learned_maxent", with a log-flow head. By default a perceptron as wide and deep as
            `policy` if that is one.
        options: Rates and the like.
        generator: For the initial weights of a default network.

    Returns:
        The policy to train and its learners, none for policies that the objective trains.

    Raises:
        UnknownNameError: There is no such kind.
        ConfigError: `policy` has another backward policy than the one asked for.
        IncompatibleError: `network` lacks the head that is needed.
    """
    if kind not in get_args(BackwardChoice):
        raise UnknownNameError("backward policy", kind, get_args(BackwardChoice))
    if kind not in SECOND_NETWORK:
        if policy.backward != kind:
            raise ConfigError(
                f"with_backward: the policy was built with backward={policy.backward!r}; build it "
                f"with backward={kind!r}."
            )
        _start(policy, kind, options)
        return policy, []
    if network is None:
        network = _default_network(kind, env, policy, generator)
    if kind == "learned_maxent":
        count = TrajectoryCount(network)
        steps = options.backward_steps or 1
        fit = CountRegression(count, options.backward_lr, options.backward_decay, steps)
        return SplitPolicy(policy, count, detached=True), [fit]
    split = SplitPolicy(policy, network, detached=kind != "separate")
    _start(network, kind, options)
    if kind == "pessimistic":
        return split, [
            PessimisticBackward(
                env,
                network,
                options.backward_lr,
                options.backward_decay,
                options.backward_batches,
                options.backward_steps or 8,
            )
        ]
    if kind == "tlm":
        return split, [
            LikelihoodBackward(
                network, options.backward_lr, options.backward_decay, options.backward_tau
            )
        ]
    return split, []


def _start(network: Policy, kind: str, options: BackwardOptions) -> None:
    wanted = options.backward_start
    if wanted == "uniform" or (wanted == "auto" and kind in ("pessimistic", "tlm")):
        if network.backward == "learned":
            network.zero_backward_head()


def _default_network(
    kind: str, env: DiscreteEnvironment[Any], policy: Policy, generator: torch.Generator | None
) -> Policy:
    width, depth = 256, 2
    if isinstance(policy, MLPPolicy):
        width, depth = policy.bias.shape[0], len(policy.hidden) + 1
    counts = kind == "learned_maxent"
    try:
        return MLPPolicy(
            env,
            width,
            depth,
            "uniform" if counts else "learned",
            log_flow=counts,
            generator=generator,
        )
    except IncompatibleError as e:
        raise IncompatibleError(
            f"with_backward: {env.name} has no features for a perceptron; give `network`, a second "
            f"policy made for it."
        ) from e
