"""Calls to a continuous environment under suspicion, and to its laws."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.state import batch_size, clone, tensors, tree_map
from gflow.testing.findings import AbandonedError
from gflow.testing.probe import Probe

FORWARD, BACKWARD, EXPLORATION = "forward_law", "backward_law", "exploration_law"


class ContinuousProbe(Probe):
    """A `Probe` that knows laws."""

    env: Any

    def law(self, method: str, states: Any, outputs: Tensor | None = None) -> "LawProbe":
        """The law of N states, forward, backward (None for the fixed one) or to explore with.

        Raises:
            AbandonedError: If there is none.
        """
        given = clone(states)
        more = [] if method == EXPLORATION else [outputs]
        ask = getattr(self.env, method)
        if method == FORWARD and type(self.env).mover is not Environment.mover:
            ask = self.env.law  # the environment's own where it moves
        try:
            law = ask(given, *more)
        except Exception as error:  # whatever a stranger's code raises
            how = "" if outputs is not None or method == EXPLORATION else " without outputs"
            self.raised(f"`{method}`{how}", error, states)
        self.expect_unchanged(method, states, given)
        return LawProbe(self, method, law, states)

    def raised(self, what: str, error: Exception, states: Any) -> None:
        """Note that something raised.

        Raises:
            AbandonedError: Always.
        """
        self.findings.add(
            "raises",
            f"{what} raised {type(error).__name__}: {error}. The first of the "
            f"{batch_size(states)} states given was {self.show(states, 0)}.",
            "Every method must accept any batch of states that can be reached.",
        )
        raise AbandonedError from error


class LawProbe:
    """A law whose every answer is checked.

    Args:
        probe: The environment's.
        method: What gave the law.
        law: The law of N states.
        states: The N states that it leaves.
    """

    def __init__(self, probe: ContinuousProbe, method: str, law: Any, states: Any) -> None:
        self.probe, self.method, self.law, self.states = probe, method, law, states
        self.count = batch_size(states)

    @torch.no_grad()
    def sample(self, generator: torch.Generator, noise: float = 0.0) -> tuple[Any, Tensor]:
        """N next states, and (N,) bool which stop instead."""
        try:
            found = self.law.sample(generator, noise) if noise else self.law.sample(generator)
        except Exception as error:
            self.probe.raised(f"`sample` of `{self.method}`", error, self.states)
        if not (isinstance(found, tuple) and len(found) == 2):
            self.refuse("sample", type(found).__name__, "a pair: next states, and stops or None")
        states, stops = found
        self.probe.expect_states(f"{self.method}(...).sample", states, self.count)
        if stops is None:
            stops = torch.zeros(self.count, dtype=torch.bool)
        elif not isinstance(stops, Tensor) or stops.shape != (self.count,):
            self.refuse(
                "sample", f"stops {_form(stops)}", f"bool of shape ({self.count},), or None"
            )
        elif stops.dtype != torch.bool:
            self.refuse(
                "sample", f"stops {_form(stops)}", f"bool of shape ({self.count},), or None"
            )
        return states, stops

    @torch.no_grad()
    def log_prob(self, states: Any) -> Tensor:
        """(N,) float64 log-densities of moving to N states; -inf where there is none."""
        given = clone(states)
        try:
            value = self.law.log_prob(given)
        except Exception as error:
            self.probe.raised(f"`log_prob` of `{self.method}`", error, states)
        self.probe.expect_unchanged(f"{self.method}(...).log_prob", states, given)
        return self._numbers("log_prob", value)

    @property
    def log_stop(self) -> Tensor:
        """(N,) float64 log-probabilities of stopping; -inf where nothing can stop."""
        value = self.law.log_stop
        if value is None:
            return torch.full((self.count,), -torch.inf, dtype=torch.float64)
        value = self._numbers("log_stop", value.detach())
        if bool((value > 1e-5).any()):
            row = int((value > 1e-5).nonzero()[0])
            self.probe.findings.add(
                "wrong-stop",
                f"`log_stop` is {float(value[row]):.4g} in {self.probe.show(self.states, row)}.",
                "It is the log of a probability, so never above 0.",
            )
            raise AbandonedError
        return value

    def _numbers(self, name: str, value: Any) -> Tensor:
        if (
            not isinstance(value, Tensor)
            or value.shape != (self.count,)
            or not value.is_floating_point()
        ):
            self.refuse(name, _form(value), f"floats of shape ({self.count},), one for each state")
        if bool((value.isnan() | (value == torch.inf)).any()):
            row = int((value.isnan() | (value == torch.inf)).nonzero()[0])
            self.probe.findings.add(
                "wrong-density",
                f"`{name}` of `{self.method}` is {float(value[row])} for the move from "
                f"{self.probe.show(self.states, row)}.",
                "A log-density is a number, -inf at most where there is none: clamp before taking "
                "a logarithm or dividing by a variance of 0.",
            )
            raise AbandonedError
        numbers: Tensor = value.detach().double()
        return numbers

    def refuse(self, name: str, got: str, wanted: str) -> None:
        """Note a wrong shape.

        Raises:
            AbandonedError: Always.
        """
        self.probe.findings.add(
            "shape",
            f"`{name}` of `{self.method}` returned {got} for {self.count} states.",
            f"Return {wanted}.",
        )
        raise AbandonedError


def _form(value: Any) -> str:
    return (
        f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    )


# ---------------------------------------------------------------------- coordinates


def columns(part: Tensor) -> Tensor:
    """(N, ...) as a table, (N, m)."""
    return part.flatten(1) if part.dim() > 1 else part[:, None]


def coordinates(states: Any) -> Tensor:
    """(N, m) float64 all floating-point numbers of N states."""
    parts = [columns(t).double() for t in tensors(states) if t.is_floating_point()]
    return torch.cat(parts, 1) if parts else torch.zeros(batch_size(states), 0).double()


def moved_to(states: Any, where: Tensor) -> Any:
    """N states with other coordinates, (N, m)."""
    place = [0]

    def replaced(part: Tensor) -> Tensor:
        if not part.is_floating_point():
            return part
        size = columns(part).shape[1]
        found = where[:, place[0] : place[0] + size].reshape(part.shape).to(part.dtype)
        place[0] += size
        return found

    return tree_map(replaced, states)


def kinds(states: Any) -> Tensor:
    """(N,) int64 equal for states that agree in all that is not a floating-point number."""
    parts = [columns(t).long() for t in tensors(states) if not t.is_floating_point()]
    if not parts:
        return torch.zeros(batch_size(states), dtype=torch.int64)
    number: Tensor = torch.unique(torch.cat(parts, 1), dim=0, return_inverse=True)[1]
    return number
