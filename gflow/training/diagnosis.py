"""What to say of a loss that is no number."""

from typing import Any, NoReturn

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import NonFiniteLossError
from gflow.objective import Objective
from gflow.policies.base import Policy
from gflow.state import take
from gflow.terms import FlowTerms
from gflow.training.config import TrainConfig
from gflow.trajectories import Trajectories


def refuse_loss(
    env: Environment[Any],
    policy: Policy,
    objective: Objective,
    config: TrainConfig,
    step: int,
    batch: Trajectories[Any] | None,
    terms: FlowTerms,
    start: int = 0,
) -> NoReturn:
    """Name the environment, the objective and the trajectory responsible.

    Args:
        env: The environment.
        policy: The policy.
        objective: Whose loss it is.
        config: How it trains.
        step: The step.
        batch: The trajectories of this process.
        terms: Those of all processes.
        start: Place of this process's first among them.

    Raises:
        NonFiniteLossError: Always.
    """
    with torch.no_grad():
        share = objective.per_trajectory(terms)
    wrong = ~share.isfinite()
    if bool(wrong.all()):  # one bad weight spoils the batch mean of others
        wrong = ~terms.log_weight.isfinite()
    bad = wrong.nonzero()
    row = int(bad[0]) if len(bad) else int(share.abs().argmax())
    if batch is None or not start <= row < start + len(batch):
        raise NonFiniteLossError(
            f"The loss of {type(objective).__name__} on {env.name} is not finite at step {step}. "
            f"Another process drew the trajectory responsible, and names it."
        )
    own = row - start
    length = int(batch.length[own])
    path = env.show(take(batch.states, batch.state_index[own, : length + 1]))
    if length > 8:
        path = [*path[:4], "...", *path[-3:]]

    def numbers(values: Tensor) -> str:
        return "[" + ", ".join(f"{v:.3g}" for v in values[row, :length].tolist()) + "]"

    weights = [n for n, p in policy.named_parameters() if not bool(p.isfinite().all())]
    cause = (
        f"The policy's weights are already not finite ({', '.join(weights[:3])}): lower the "
        f"learning rate (lr={config.lr:g}) or set grad_clip."
        if weights
        else "The weights are finite: look at the reward and the log-probabilities above."
    )
    raise NonFiniteLossError(
        f"The loss of {type(objective).__name__} on {env.name} is not finite at step "
        f"{step}. Trajectory {row} of {len(terms.length)}: {' -> '.join(path)}; "
        f"log_reward {float(terms.log_reward[row]):.4g}, log_pf {numbers(terms.log_pf)}, "
        f"log_pb {numbers(terms.log_pb)}. {cause}"
    )


def refuse_late(
    env: Environment[Any], objective: Objective, what: str, failed: int, step: int
) -> NoReturn:
    """Name the environment, the objective, the step and the check, where the batch is gone.

    Raises:
        NonFiniteLossError: Always.
    """
    raise NonFiniteLossError(
        f"{type(objective).__name__} on {env.name}: {what} was not finite or not allowed at step "
        f"{failed}, which was noticed at the record of step {step}. No weight was changed from "
        f"step {failed} on, and that batch is gone. Go on from the last checkpoint with "
        f"record_every=1 (or plan='ragged', which checks every step): the same numbers come again, "
        f"and the trajectory is named."
    )
