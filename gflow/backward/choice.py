"""Every backward policy by its name: what a policy and a trainer need for it."""

from typing import Annotated, Any

import torch

from gflow.backward.base import BackwardPolicy
from gflow.bounds import Known
from gflow.discovery import Discovered
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward
from gflow.errors import ConfigError, IncompatibleError
from gflow.learner import Learner
from gflow.policies.base import Backward, Policy
from gflow.policies.mlp import MLPPolicy

BACKWARD_POLICIES: Discovered[BackwardPolicy] = Discovered(
    "gflow.backward",
    BackwardPolicy,
    "backward policy",
    first="learned",
)
"""Every backward policy by its name."""

BackwardChoice = Annotated[str, Known(lambda: BACKWARD_POLICIES)]
"""The type of an option that names a backward policy."""

BackwardChoiceOrAuto = Annotated[str, Known(lambda: ("auto", *BACKWARD_POLICIES))]
"""The same, where "auto" leaves it to the task."""


def own_backward(kind: str) -> Backward:
    """How to build the policy that is given to `with_backward`.

    Raises:
        UnknownNameError: There is no such kind.
    """
    return BACKWARD_POLICIES[kind].head


def with_backward(
    kind: str,
    env: Environment[Any],
    policy: Policy,
    network: Policy | None = None,
    generator: torch.Generator | None = None,
    **settings: Any,
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
        generator: For the initial weights of a default network.
        settings: Arguments of the class of that name, see `gflow.backward.kinds`.

    Returns:
        The policy to train and its learners, none for policies that the objective trains.

    Raises:
        UnknownNameError: There is no such kind.
        ConfigError: `policy` has another backward policy than the one asked for.
        IncompatibleError: `network` lacks the head that is needed, or there are no moves back.
    """
    cls = BACKWARD_POLICIES[kind]
    if cls.network != "none":
        who = f"with_backward: {kind} learns a backward policy"
        require_backward(env, who, "Use backward='uniform', which then says nothing.")
    chosen = cls(**settings)
    if cls.network == "none":
        if policy.backward != cls.head:
            raise ConfigError(
                f"with_backward: the policy was built with backward={policy.backward!r}; build it "
                f"with backward={cls.head!r}."
            )
        return chosen.attach(env, policy, None)
    if network is None:
        network = _default_network(cls.network == "log_flow", env, policy, generator)
    return chosen.attach(env, policy, network)


def _default_network(
    log_flow: bool, env: Environment[Any], policy: Policy, generator: torch.Generator | None
) -> Policy:
    width, depth = 256, 2
    if isinstance(policy, MLPPolicy):
        width, depth = policy.bias.shape[0], len(policy.hidden) + 1
    try:
        return MLPPolicy(
            env,
            width,
            depth,
            "uniform" if log_flow else "learned",
            log_flow=log_flow,
            generator=generator,
        )
    except IncompatibleError as e:
        raise IncompatibleError(
            f"with_backward: {env.name} has no features for a perceptron; give `network`, a second "
            f"policy made for it."
        ) from e
