"""A function of a person's own as a reward: called with objects as people write them."""

import inspect
import math
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import ConfigError, RewardError
from gflow.rewards.base import LogReward
from gflow.rewards.pools import Pool
from gflow.rewards.remembering import HostReward

Gives = Literal["reward", "log", "energy"]
"""What a function says of an object: R, log R, or -log R."""


class Scorer:
    """log R by a function: what `HostReward` asks, in this process or in workers.

    Args:
        function: Of one object, or of a list of objects, if its first argument is annotated as
            such: a number, or as many.
        called: What to call it in messages.
        gives: What these numbers are.
        floor: Smallest reward; a lower one counts as this. 0 for none.
        beta: Exponent of the reward.

    Raises:
        ConfigError: If it cannot be called with one argument.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        called: str,
        gives: Gives = "reward",
        floor: float = 0.0,
        beta: float = 1.0,
    ) -> None:
        self.function, self.called, self.gives = function, called, gives
        self.floor, self.beta, self.__name__ = floor, beta, called
        self.many = _takes_many(function, called)

    def __call__(self, objects: list[Any]) -> list[float]:
        """The log R of each object.

        Raises:
            RewardError: If the function fails, or gives what is no reward.
        """
        if self.many:
            found = self._asked(objects, f"{len(objects)} objects, {objects[0]!r} the first")
            if isinstance(found, str) or not hasattr(found, "__len__"):
                raise RewardError(f"{self.called} takes a list and gave {found!r}: give a list.")
            values: Sequence[Any] = found
            if len(values) != len(objects):
                raise RewardError(
                    f"{self.called} gave {len(values)} values for {len(objects)} objects: give one "
                    f"for each, in their order."
                )
        else:
            values = [self._asked(thing, repr(thing)) for thing in objects]
        return [self._log(v, thing) for v, thing in zip(values, objects, strict=True)]

    def value(self, log_reward: Tensor) -> Tensor:
        """(B,) R from (B,) log R, before the exponent."""
        return (log_reward.double() / self.beta).exp()

    def _asked(self, given: Any, what: str) -> Any:
        try:
            return self.function(given)
        except Exception as error:
            at = error.__traceback__
            while at is not None and at.tb_next is not None:
                at = at.tb_next
            line = "" if at is None else f" (line {at.tb_lineno})"
            raise RewardError(
                f"{self.called} failed on {what}: {type(error).__name__}: {error}{line}."
            ) from error

    def _log(self, value: Any, thing: Any) -> float:
        number = value.item() if hasattr(value, "item") and _one(value) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
            raise RewardError(
                f"{self.called} gave {value!r} for {thing!r}: give a number, a float such as 0.5."
            )
        number = float(number)
        if self.gives != "reward":
            log = -number if self.gives == "energy" else number
            return self.beta * (max(log, math.log(self.floor)) if self.floor else log)
        number = max(number, self.floor)
        if number <= 0:
            raise RewardError(
                f"{self.called} gave {number:g} for {thing!r}, and a reward is above 0: objects "
                f"are sampled in proportion to it. --reward-floor 1e-3 counts lower ones as that; "
                f"--reward-gives log or energy says that the numbers are log R or -log R."
            )
        return self.beta * math.log(number)


class OwnReward(HostReward[Any]):
    """A `Scorer` as the reward of an environment.

    Args:
        plain: The environment with the reward that it had.
        written: Turns states into what the function takes.
        scorer: The function.
        pool: Of workers, or None to compute in this process.
    """

    log_rewards: Scorer

    def __init__(
        self,
        plain: Environment[Any],
        written: Callable[[Any], list[Any]],
        scorer: Scorer,
        pool: Pool | None = None,
    ) -> None:
        super().__init__(written, scorer, pool)
        self.plain = plain

    def __repr__(self) -> str:
        return f"OwnReward({self.log_rewards.called})"


def own_reward(env: Environment[Any]) -> OwnReward:
    """The reward of one's own that an environment has, below any temperature."""
    asked: list[LogReward[Any]] = [env.reward]
    while not isinstance(asked[0], OwnReward):
        asked = [*asked[0].inner_rewards(), *asked[1:]]
    return asked[0]


def _takes_many(function: Callable[..., Any], called: str) -> bool:
    """Whether a function takes a list of objects, as its annotation says.

    Raises:
        ConfigError: If it cannot be called with one argument.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a library in another language
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (2, 4)]
    places = [p for p in parameters if p.kind in (0, 1, 2)]
    if len(needed) > 1 or not places or any(p.kind == p.KEYWORD_ONLY for p in needed):
        names = ", ".join(p.name for p in parameters) or "nothing"
        raise ConfigError(
            f"{called} takes {names}. A reward takes one object, as in def {_last(called)}(text: "
            f"str) -> float, or a list of them, as in def {_last(called)}(texts: list[str]) -> "
            f"list[float]."
        )
    try:
        hint = typing.get_type_hints(function).get(places[0].name)
    except Exception:  # a name for type checkers alone
        hint = None
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Sequence) and kind not in (str, bytes, tuple)


def _last(called: str) -> str:
    return called.rpartition(":")[2]


def _one(value: Any) -> bool:
    return math.prod(getattr(value, "shape", ())) == 1
