"""Any environment told what to build: the condition is an outcome, the reward is to achieve it."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import torch
from torch import Tensor

from gflow.bounds import Bounds
from gflow.checks import checked
from gflow.deferred import require
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.environment.rewarded import with_reward
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.outcomes.random_objects import wander
from gflow.rewards.base import LogReward
from gflow.state import batch_size, device_of

E = TypeVar("E", bound=Environment[Any])

Outcome = Callable[[Any], Tensor]
"""B finished objects to their outcomes, (B, C) numbers: equal rows are the same outcome."""

LogCount = Callable[[Tensor], Tensor]
"""(B, C) outcomes to (B,) the log of how many objects have each."""


class OutcomeReward(LogReward[Any]):
    r"""R(x | y) = 1 where the object x has the outcome y, else a floor.

    What an outcome-conditioned sampler is trained on: F(s | y) is then the probability that a walk
    back from y comes through s, and is zero where y cannot be reached any more.

    Args:
        env: The environment whose objects are told apart.
        outcome: (B, C) outcomes of B finished objects; by default what the policy reads of them,
            so that each object is an outcome of its own.
        floor: The reward of missing the outcome, small against one over the number of objects: a
            sampler that balances it misses with a probability of at most (objects) x floor. 0 is
            for exact answers; residuals cannot balance its log.
        log_count: Log of the number of objects with an outcome, where `outcome` is given. It is
            log Z but for the floor, and flows are anchored there.
        anchored: False leaves log Z to be learned, which takes trajectories that miss.

    Reference:
        Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
        https://arxiv.org/abs/2310.03419
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        outcome: Outcome | None = None,
        floor: Annotated[float, Bounds(0, 1, open_high=True)] = 1e-6,
        log_count: LogCount | None = None,
        anchored: bool = True,
    ) -> None:
        self.env, self.outcome, self.log_count = env, outcome, log_count
        self.floor = floor
        self.log_floor = math.log(floor) if floor else -math.inf
        self.has_known_log_z = anchored and (outcome is None or log_count is not None)

    def outcomes(self, objects: Any) -> Tensor:
        """(B, C) the outcomes of B finished objects, as floats.

        Raises:
            ShapeError: If the function gives something else.
        """
        with torch.no_grad():
            found: Any = (self.env.encode if self.outcome is None else self.outcome)(objects)
        count = batch_size(objects)
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != count:
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(
                f"{self!r}: outcomes must be (B, C) numbers, here ({count}, C), got {what} from "
                f"{'`encode` of ' + self.env.name if self.outcome is None else '`outcome`'}. Pass "
                f"OutcomeConditioned(env, outcome=...), a function that gives one row per object."
            )
        return found.to(torch.get_default_dtype())

    def achieved(self, objects: Any, condition: Tensor) -> Tensor:
        """(B,) bool: each object has the outcome in its row of (B, C)."""
        return (self.outcomes(objects) == condition.to(torch.get_default_dtype())).all(-1)

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) 0 where the outcome is achieved, else the log of the floor.

        Raises:
            ConfigError: If no outcome is asked for.
        """
        if condition is None:
            raise ConfigError(
                f"{self!r}: no outcome was asked for. Train and sample with a condition (B, C) of "
                f"outcomes, such as env.reward.outcomes(objects)."
            )
        hit = self.achieved(states, condition)
        zero = torch.zeros((), dtype=torch.get_default_dtype(), device=hit.device)
        return torch.where(hit, zero, self.log_floor)

    def known_log_z(self, condition: Tensor | None) -> Tensor | None:
        """(B,) log of the number of objects with each outcome: 0 where objects are outcomes."""
        if condition is None or not self.has_known_log_z:
            return None
        if self.log_count is None:
            return condition.new_zeros(len(condition))
        return self.log_count(condition)

    def __repr__(self) -> str:
        return f"OutcomeReward({self.env.name})"


def OutcomeConditioned(
    env: E,
    outcome: Outcome | None = None,
    floor: float = 1e-6,
    log_count: LogCount | None = None,
    anchored: bool = True,
) -> E:
    """The same environment, told what to build: the condition is an outcome.

    Its reward is an `OutcomeReward`, 1 for objects with the outcome asked for and a floor for
    others; the reward of `env` is not read. log F of the source is anchored at log Z where that is
    known, which it is if each object is its own outcome: trajectories that achieve their outcome
    are then all that has to be balanced (see `Achieved`).

    Args:
        env: Any environment without chance and with one player.
        outcome: As of `OutcomeReward`.
        floor: As of `OutcomeReward`.
        log_count: As of `OutcomeReward`.
        anchored: As of `OutcomeReward`; never so where the environment has a `log_symmetry`.

    Raises:
        IncompatibleError: If moves are chance's or of several players; if several finished states
            stand for one object and no `outcome` says which.
        ShapeError: If outcomes are no (B, C).
    """
    require_numbered(
        env,
        "OutcomeConditioned",
        "Objects of a continuum are reached with probability zero; condition on a score instead.",
    )
    if env.num_players > 1 or env.has_chance:
        raise IncompatibleError(
            f"OutcomeConditioned: in {env.name} not all moves are the agent's, so nobody can "
            f"promise an outcome. Use an environment without chance and with one player."
        )
    if env.source_reads_condition:
        raise IncompatibleError(
            f"OutcomeConditioned: trajectories of {env.name} start where its own condition says, "
            f"and the outcome would take that place. Fix the condition in the environment first."
        )
    some = wander(env, 1)
    if outcome is None and env.log_multiplicity(some) is not None:
        raise IncompatibleError(
            f"OutcomeConditioned: in {env.name} several finished states stand for one object, and "
            f"what the policy reads may differ between them. Pass outcome=, equal exactly for "
            f"equal objects, and log_count=lambda y: torch.zeros(len(y)) if it tells all apart."
        )
    # Where objects are counted by their symmetries log Z is a sum over them that nobody knows.
    anchored = anchored and env.log_symmetry(some) is None
    reward = OutcomeReward(env, outcome, floor, log_count, anchored)
    width = reward.outcomes(some).shape[1]
    return with_reward(env, reward, width, f"OutcomeConditioned({env.name})")


def outcome_reward(env: Environment[Any], who: str) -> OutcomeReward:
    """The reward of an outcome-conditioned environment.

    Raises:
        IncompatibleError: If it has another.
    """
    if not isinstance(env.reward, OutcomeReward):
        raise IncompatibleError(
            f"{who} is for environments that are told an outcome, and the reward of {env.name} is "
            f"{env.reward!r}. Make one by OutcomeConditioned(env)."
        )
    return env.reward


def require_apart(reward: OutcomeReward, outcomes: Tensor, who: str) -> None:
    """Refuse outcomes (B, C) that several objects share, where sums run over drawn objects.

    Each outcome would count as often as there are objects that have it.

    Raises:
        IncompatibleError: If several objects may share one.
    """

    def complain() -> NoReturn:
        raise IncompatibleError(
            f"{who}: several objects share an outcome of {reward!r}, and would each count as much "
            f"as it does. Sum over all objects (draws=0, or Outcomes.of without log_proposal), or "
            f"make each object an outcome of its own (OutcomeConditioned without outcome=); if "
            f"outcome= tells all apart, say so by log_count=lambda y: torch.zeros(len(y))."
        )

    if reward.outcome is None:
        return
    if reward.log_count is None:
        complain()
    require(reward.log_count(outcomes) <= 0, complain, "outcomes of one object each")


def outcomes_of(env: Environment[Any], objects: Any) -> Tensor:
    """(B, C) the outcomes of B finished objects of an outcome-conditioned environment."""
    found = outcome_reward(env, "outcomes_of").outcomes(objects)
    return found.to(device_of(objects))
