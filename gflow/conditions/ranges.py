"""Ranges as conditions: one sampler for every range of some quantities of objects."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Part, Probability
from gflow.checks import checked
from gflow.conditions.conditioning import Conditioning, refuse_conditional
from gflow.conditions.draws import ConditionSampler
from gflow.conditions.range_draws import OPEN, RangeDraw, RangeEncoder
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.ranges import FLOOR, Quantity, Range, read_range

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer

ASKED, EACH = 16, 16
"""Ranges asked for in an evaluation, and objects for each."""


@runtime_checkable
class Measured(Protocol):
    """What an environment offers whose objects can be asked to lie in ranges."""

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can be measured, by lower-case name."""

    def measured(self, states: Any, names: Sequence[str]) -> Tensor:
        """(B, K) quantities of finished objects."""


class RangeFactor:
    r"""Log of :math:`\prod_k e^{-d_k / w_k}`, at least `FLOOR`, to the power of beta.

    :math:`d_k` is how far quantity k lies outside of the range that the condition says, 0 inside.

    Args:
        env: Measures objects.
        ranges: K ranges, of which names and widths are read.
        beta: Exponent.
    """

    def __init__(self, env: Measured, ranges: Sequence[Range], beta: float = 1.0) -> None:
        self.env, self.names = env, tuple(r.quantity for r in ranges)
        self.widths, self.beta = tuple(r.width for r in ranges), beta

    def outside(self, states: Any, condition: Tensor) -> Tensor:
        """(B, K) distances from the ranges, 0 inside.

        Args:
            states: B finished objects.
            condition: (B, 2 K) lower ends, then upper ends.

        Raises:
            ShapeError: Conditions of another width.
        """
        value = self.env.measured(states, self.names)
        if tuple(condition.shape) != (len(value), 2 * len(self.names)):
            raise ShapeError(
                f"RangeFactor: {len(self.names)} ranges need a condition of shape "
                f"{(len(value), 2 * len(self.names))}, lower ends and then upper ends, got "
                f"{tuple(condition.shape)}."
            )
        low, high = condition.to(value).chunk(2, -1)
        return torch.maximum(low - value, value - high).clamp(min=0)

    def __call__(self, states: Any, condition: Tensor | None) -> Tensor:
        """(B,) log factors."""
        if condition is None:
            raise ShapeError("RangeFactor: a condition is needed, the ends of the ranges.")
        away = self.outside(states, condition)
        steep = (away / away.new_tensor(self.widths)).sum(-1)
        return -self.beta * steep.clamp(max=-math.log(FLOOR))


class RangeConditions(Conditioning):
    r"""Ranges that quantities of objects should lie in, drawn anew for every trajectory.

    The reward is multiplied by :math:`\prod_k e^{-d_k / w_k}`, at least 1e-6, with :math:`d_k` the
    distance from range k, 0 inside. Ranges that were never drawn are asked for by
    `gflow sample RUN --range "logP 2..3"`.

    Args:
        of: What the ranges are about, with the interval in which they are drawn and the width of
            their edge: logP, "weight 200..500", "logP 0..4 width 0.2". For names alone the usual
            values of the environment.
        narrow: Shortest range, as a share of its interval.
        wide: Longest range.
        free: Probability that nothing is asked of a quantity.
        open_end: Probability of each end of the other ranges to be open.
        marks: Marks by which networks read each end.
        repeat: Trajectories in a row that are told the same, at least 2 for vargrad.
    """

    name = "ranges"

    @checked
    def __init__(
        self,
        of: tuple[str, ...] = ("logP", "weight"),
        narrow: Part = 0.1,
        wide: Part = 0.4,
        free: Probability = 0.2,
        open_end: Probability = 0.1,
        marks: Count = 16,
        repeat: Count = 1,
    ) -> None:
        if narrow > wide or not of or marks < 2:
            raise ConfigError(
                f"RangeConditions: need at least one quantity, narrow <= wide and 2 marks, got "
                f"of={of}, narrow={narrow}, wide={wide}, marks={marks}."
            )
        self.of, self.narrow, self.wide, self.free = of, narrow, wide, free
        self.open_end, self.marks, self.repeat = open_end, marks, repeat

    def ranges(self, env: Environment[Any]) -> tuple[Range, ...]:
        """The K intervals in which ranges are drawn, with the widths of their edges.

        Raises:
            IncompatibleError: Objects of this environment have no quantities.
            ConfigError: An interval without two ends, or twice the same.
        """
        if not isinstance(env, Measured):
            raise IncompatibleError(
                f"RangeConditions: {env.name} says no quantities of its objects. Molecules have "
                f"some (gflow train molecules, atoms); an environment of your own has with a "
                f"property `quantities` and a method `measured(states, names)`."
            )
        found = tuple(read_range(text, env.quantities, bare=True) for text in self.of)
        for r in found:
            if not r.high - r.low < math.inf or r.low == r.high:
                raise ConfigError(
                    f"RangeConditions: ranges of {r.quantity} are drawn in an interval with two "
                    f"ends, got {str(r)!r}."
                )
        names = [r.quantity for r in found]
        if len(set(names)) < len(names):
            raise ConfigError(f"RangeConditions: give each quantity once, got {', '.join(names)}.")
        return found

    def environment(self, env: Environment[Any]) -> Environment[Any]:
        """The same, its reward multiplied by how far objects lie in the ranges that are asked for.

        Raises:
            IncompatibleError: It says no quantities, has several scores, or is told something.
        """
        from gflow.environment.rewarded import with_reward
        from gflow.rewards.scaled import Scaled

        ranges = self.ranges(env)
        refuse_conditional(env, f"The condition {self.name!r}")
        if env.num_scores:
            raise IncompatibleError(
                f"RangeConditions: {env.name} keeps several scores apart, and ranges multiply one "
                f"reward. Leave --vector out, or use --condition preferences."
            )
        factor = RangeFactor(_measured(env), ranges, float(getattr(env, "beta", 1.0)))
        return with_reward(env, Scaled(env.reward, factor), 2 * len(ranges))

    def sampler(self, env: Environment[Any], own: ConditionSampler | None = None) -> RangeDraw:
        """Draws both ends of all ranges."""
        ranges = self.ranges(env)
        known = _measured(env).quantities
        whole = [known[r.quantity.lower()].whole for r in ranges]
        return RangeDraw(
            ranges, whole, self.narrow, self.wide, self.free, self.open_end, self.repeat
        )

    def encoder(self, env: Environment[Any]) -> nn.Module:
        """Marks of both ends."""
        return RangeEncoder(self.ranges(env), self.wide / 2, self.marks)

    def reference(self, env: Environment[Any]) -> Tensor | None:
        """All ends open, if that is drawn: the reward as it was."""
        if not (self.free or self.open_end):
            return None
        k = len(self.of)
        return torch.tensor([[-OPEN] * k + [OPEN] * k])

    def condition_of(self, env: Environment[Any], ranges: Sequence[str]) -> Tensor:
        """(2 K,) the condition that asks for ranges; what is not named may be anything.

        Args:
            env: The environment.
            ranges: As ``"logP 2..3"``, of quantities that the sampler was trained for.

        Raises:
            IncompatibleError: Another quantity.
            ConfigError: Two ranges of one, or one that is not written so.
        """
        names = [r.quantity for r in self.ranges(env)]
        ends = [[-OPEN] * len(names), [OPEN] * len(names)]
        given: set[str] = set()
        for text in ranges:
            asked = read_range(text, _measured(env).quantities)
            if asked.quantity not in names:
                raise IncompatibleError(
                    f"This sampler was trained for ranges of {', '.join(names)}, and was asked for "
                    f"{str(asked)!r}: train one with --condition ranges --condition-of "
                    f"{' '.join([*names, asked.quantity])}."
                )
            if asked.quantity in given:
                raise ConfigError(f"Give one range of {asked.quantity}, got two.")
            given.add(asked.quantity)
            at = names.index(asked.quantity)
            ends[0][at] = max(asked.low, -OPEN)
            ends[1][at] = min(asked.high, OPEN)
        return torch.tensor(ends[0] + ends[1])

    def inside(self, env: Environment[Any], states: Any, condition: Tensor) -> Tensor:
        """(B,) bool: objects that lie in all ranges they were asked for."""
        factor = RangeFactor(_measured(env), self.ranges(env))
        return (factor.outside(states, condition) == 0).all(-1)

    def metrics(self, trainer: "Trainer") -> dict[str, float]:
        """`asked_hits`: the share of objects that lie in all ranges they were asked for."""
        assert trainer.condition is not None
        seed = trainer.config.seed * 1_000_003 + trainer.step + 1
        generator = torch.Generator(trainer.device).manual_seed(seed)
        asked = trainer.condition(ASKED, generator).repeat_interleave(EACH, 0)
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            len(asked),
            condition=asked,
            generator=generator,
            device=trainer.device,
        )
        hits = self.inside(trainer.env, batch.final_states, asked)
        return {"asked_hits": float(hits.double().mean())}


def _measured(env: Environment[Any]) -> Measured:
    found: Any = env
    measured: Measured = found
    return measured
