"""What the reward says of states: of finished objects, of unfinished ones, of whole batches."""

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import torch
from torch import Tensor

from gflow.deferred import require
from gflow.errors import IncompatibleError, RewardError
from gflow.rewards.base import LogReward
from gflow.rewards.values import real
from gflow.rewards.vector import VectorReward
from gflow.state import batch_size, describe, device_of, shorten, take

if TYPE_CHECKING:
    from gflow.trajectories import Trajectories

S = TypeVar("S")

REMEDY = (
    "NaN comes from the log of a negative number or 0/0, -inf from a reward of zero. To forbid "
    "such objects exactly, leave them out by the masks (where moves have densities: by moves that "
    "do not lead there). Approximately: Clipped(reward, low=-20) lets each through with R = e^-20, "
    "n of them with a probability of at most n e^-20 / Z."
)
"""What to do about log-rewards that are not finite."""


class Scored(Generic[S]):
    """The half of an `Environment` that asks its reward, and refuses what no flow can balance.

    Attributes:
        reward: `LogReward` of finished objects.
        every_state_stops: True promises that the stop action is legal in every state.
    """

    reward: LogReward[S]
    every_state_stops: bool = False

    # ------------------------------------------------------------------ what a subclass may define

    def log_symmetry(self, states: S) -> Tensor | None:
        """(B,) or None: log of how often counting actions counts this object too much.

        For environments whose states are classes of labelled representations (molecules, graphs)
        it is cheaper to distinguish all actions and to correct the reward of the finished object
        once than to merge equivalent actions at every step. The engine trains on
        ``log_reward - log_symmetry``; the objects are then sampled in proportion to the reward.
        """
        return None

    def log_multiplicity(self, states: S) -> Tensor | None:
        """(B,) or None: log m, where m finished states stand for the same object as each of B does.

        `log_reward` shares the reward of an object equally among them, whatever the temperature;
        `object_key` says which they are.
        """
        return None

    def complete(self, states: S) -> S:
        """B finished objects whose log R stands in for the energies of unfinished states.

        The cheapest partial energy: a string filled up with its first symbol, say. Finished objects
        come back unchanged. Not needed where the reward has its own `partial`.
        """
        raise IncompatibleError(f"{self.name} defines no `complete`.")

    def show(self, states: S) -> list[str]:
        """B short lines for people: used in errors, logs and notebooks."""
        return describe(states)

    # ------------------------------------------------------------------ what the engine adds

    @property
    def name(self) -> str:
        """Name of the environment for messages."""
        return type(self).__name__

    def shown(self, states: S, row: int) -> str:
        """One of B states for error messages: a line of at most some hundred characters."""
        one = take(states, torch.tensor([row], device=device_of(states)))
        return shorten(self.show(one)[0])

    def log_reward(self, states: S, condition: Tensor | None = None, zero: bool = False) -> Tensor:
        """(B,) log R(x) of finished objects, refused if it is not finite or misshapen.

        Where several finished states stand for one object, each has its share of the reward.

        Args:
            states: B finished objects.
            condition: (B, C) or None.
            zero: Let -inf pass, the log of a reward of zero. Exact answers can have objects
                without mass, residuals cannot: no flow balances a log of zero.

        Raises:
            RewardError: With the environment, the object and its value.
        """
        with torch.no_grad():
            value = self.reward(states) if condition is None else self.reward(states, condition)
        return _less(self._checked(value, states, zero), self.log_multiplicity(states))

    def _checked(self, given: Any, states: S, zero: bool = False) -> Tensor:
        value = real(given, f"{self.name}: the reward {self.reward!r}", device_of(states))
        count = batch_size(states)
        if tuple(value.shape) != (count,):
            raise RewardError(
                f"{self.name}: the reward {self.reward!r} must return one log-reward per object, "
                f"shape ({count},), got {tuple(value.shape)}. Sum or squeeze the last axis."
            )
        good = value.isfinite()
        if zero:
            good = good | (value == -torch.inf)
        require(good, lambda: self._refuse_reward(states, value, ~good), "the reward")
        return value

    def target_log_reward(
        self, states: S, condition: Tensor | None = None, zero: bool = False
    ) -> Tensor:
        """(B,) what objectives train on: `log_reward` less `log_symmetry`."""
        return _less(self.log_reward(states, condition, zero), self.log_symmetry(states))

    @property
    def has_partial(self) -> bool:
        """Whether `partial_log_reward` is defined: forward-looking objectives need it."""
        return (
            self.reward.has_partial
            or self.every_state_stops
            or type(self).complete is not Scored.complete
            or type(self).partial_log_reward is not Scored.partial_log_reward
        )

    def partial_log_reward(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energy of B states, finished or not; log R at finished objects.

        Raises:
            IncompatibleError: If the reward is defined on finished objects only.
            RewardError: If a value is not finite.
        """
        with torch.no_grad():
            if self.reward.has_partial:
                return self._checked(self.reward.partial(states, condition), states)
            if self.every_state_stops:
                return self.log_reward(states, condition)
            if self.has_partial:
                return self.log_reward(self.complete(states), condition)
            return self.reward.partial(states, condition)  # refuses, and says what to do

    def partial_of_trajectories(self, trajectories: "Trajectories[S]") -> Tensor:
        """(N,) `partial_log_reward` of the stored states, in one pass if the reward has one."""
        states, condition = trajectories.states, trajectories.condition_of_states
        own = type(self).partial_log_reward is not Scored.partial_log_reward
        shared = trajectories.from_source is None and not own
        if not (shared and (self.reward.has_partial or self.every_state_stops)):
            return self.partial_log_reward(states, condition)
        value = self._reward_of(trajectories)
        return value if self.reward.has_partial else _less(value, self.log_multiplicity(states))

    def target_of_trajectories(
        self, trajectories: "Trajectories[S]", objects: Tensor | None = None
    ) -> Tensor:
        """(N,) `target_log_reward` of the stored states that are objects, 0 for the others.

        Args:
            trajectories: B trajectories.
            objects: (N,) bool which states are objects; None if all are.
        """
        states, given = trajectories.states, trajectories.condition_of_states
        own = type(self.reward).of_trajectories is not LogReward.of_trajectories
        if trajectories.from_source is not None or not (own or objects is None):
            if objects is None:
                return self.target_log_reward(states, given)
            rows = objects.nonzero().squeeze(1)
            value = self.target_log_reward(
                take(states, rows), None if given is None else given[rows]
            )
            return value.new_zeros(len(objects)).index_put((rows,), value)
        value = self._reward_of(trajectories, objects)
        value = _less(_less(value, self.log_multiplicity(states)), self.log_symmetry(states))
        return value if objects is None else value.where(objects, 0.0)

    def _reward_of(self, trajectories: "Trajectories[S]", objects: Tensor | None = None) -> Tensor:
        env: Any = self
        with torch.no_grad():
            given = trajectories.condition_of_states
            value = self.reward.of_trajectories(env, trajectories, given)
        if objects is not None:  # of others nothing is promised
            value = torch.as_tensor(value).where(objects, 0.0)
        return self._checked(value, trajectories.states)

    @property
    def num_scores(self) -> int:
        """K, the number of objectives of a multi-objective reward, 0 for others."""
        return self.reward.num_scores

    def scores(self, states: S) -> Tensor:
        """(B, K) raw objectives of finished objects, all to be made large; not finite is refused.

        Raises:
            IncompatibleError: If the reward is a single number.
            RewardError: With the object.
        """
        with torch.no_grad():
            value = self.reward.scores(states)
        value = real(value, f"{self.name}: `scores` of {self.reward!r}", device_of(states))
        expected = (batch_size(states), self.num_scores)
        if tuple(value.shape) != expected:
            raise RewardError(
                f"{self.name}: `scores` of {self.reward!r} must have shape {expected}, got "
                f"{tuple(value.shape)}."
            )
        self._checked(value.sum(-1), states)
        return value

    def foresee(self, states: S) -> bool:
        """Begin to compute elsewhere what `outcome` of finished objects needs, if that is possible.

        By default what the reward can, unless the environment has its own way to ask it.

        Returns:
            Whether anything has begun: then `outcome` is best asked late.
        """
        kind = type(self)
        asked = all(
            getattr(kind, name) is getattr(Scored, name)
            for name in ("outcome", "target_log_reward", "log_reward")
        )
        return asked and self.reward.foresee(states)

    def outcome(self, states: S, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(B,) target log-rewards and (B, K) scores or None, each object being scored once."""
        if not isinstance(self.reward, VectorReward):
            return self.target_log_reward(states, condition), None
        scores = self.scores(states)
        return self.target_from_scores(states, scores, condition), scores

    def target_from_scores(
        self, states: S, scores: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """(B,) target log-rewards of finished objects whose (B, K) scores are known already.

        Raises:
            IncompatibleError: If the reward is a single number.
            RewardError: With the object.
        """
        if not isinstance(self.reward, VectorReward):
            raise IncompatibleError(
                f"{self.name}: log R can be computed from scores for a `VectorReward` alone, and "
                f"the reward is {self.reward!r}."
            )
        with torch.no_grad():
            value = self._checked(self.reward.from_scores(scores, condition), states)
        value = _less(value, self.log_multiplicity(states))
        return _less(value, self.log_symmetry(states))

    # ------------------------------------------------------------------ complaints

    def _refuse_reward(self, states: S, value: Tensor, bad: Tensor) -> NoReturn:
        row = int(bad.nonzero()[0])
        which = self.shown(states, row)
        raise RewardError(
            f"{self.name}: the reward {self.reward!r} returned log R = {float(value[row])} for the "
            f"object {which} (row {row} of {len(value)}). A log-reward must be finite: {REMEDY}"
        )


def _less(value: Tensor, correction: Tensor | None) -> Tensor:
    return value if correction is None else value - correction.to(value.dtype)
