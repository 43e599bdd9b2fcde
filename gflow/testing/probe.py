"""Calls to an environment under suspicion: results are checked, arguments must survive."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import RewardError
from gflow.rewards.values import real
from gflow.state import batch_size, clone, equal_rows, shorten, take, tensors
from gflow.testing.findings import AbandonedError, Findings

SHAPES = {  # rows B, forward actions A, backward actions P; "?" may be None
    "forward_mask": ("BA", "bool"),
    "backward_mask": ("BP", "bool"),
    "is_terminal": ("B", "bool"),
    "is_initial": ("B", "bool"),
    "can_stop": ("B", "bool"),
    "can_end": ("B", "bool"),
    "key": ("B", "int64"),
    "backward_action": ("B", "int64"),
    "forward_action": ("B", "int64"),
    "forward_classes": ("BA", "int64?"),
    "backward_classes": ("BP", "int64?"),
    "log_symmetry": ("B", "float?"),
    "max_entropy_logits": ("BP", "float?"),
}


class Probe:
    """An environment whose every answer is checked for shape, type and side effects.

    Args:
        env: The environment.
        findings: Where to note what is wrong.
        condition: (1, C) what the source and the reward read, or None.
    """

    def __init__(
        self, env: Environment[Any], findings: Findings, condition: Tensor | None = None
    ) -> None:
        self.env: Any = env
        self.findings, self.condition = findings, condition
        self.form: list[tuple[tuple[int, ...], torch.dtype]] = []

    # ------------------------------------------------------------------ guarded calls

    def call(self, method: str, states: Any, *args: Tensor) -> Any:
        """``env.method(states, *args)`` on copies.

        Raises:
            AbandonedError: If it raised or returned something of another shape or type.
        """
        given, more = clone(states), [a.clone() for a in args]
        try:
            out = getattr(self.env, method)(given, *more)
        except Exception as error:  # whatever a stranger's code raises
            self.findings.add(
                "raises",
                f"`{method}` raised {type(error).__name__}: {error}. The first of the "
                f"{batch_size(states)} states given was {self.show(states, 0)}.",
                "Every method must accept any batch of states that can be reached.",
            )
            raise AbandonedError from error
        self.expect_unchanged(method, states, given, args, more)
        if method in ("_step", "_backstep"):
            self.expect_states(method, out, batch_size(states))
        elif method in SHAPES:
            self._expect(method, out, batch_size(states))
        return out

    def start(self, count: int) -> Any:
        """`count` sources, those of the condition where the environment reads it there."""
        if self.condition is None or not self.env.source_reads_condition:
            return self.env.initial(count, "cpu")
        return self.env.start(count, "cpu", self.condition.expand(count, -1))

    @property
    def shown_condition(self) -> str:
        """The condition for people."""
        return shorten(str(None if self.condition is None else self.condition[0].tolist()))

    def step(self, states: Any, actions: Tensor) -> Any:
        """Children, not checking legality."""
        return self.call("_step", states, actions)

    def backstep(self, states: Any, actions: Tensor) -> Any:
        """Parents, not checking legality."""
        return self.call("_backstep", states, actions)

    def attempt(self, method: str, states: Any, *args: Tensor) -> Any:
        """As `call`, but None instead of a finding: for trying what may be illegal."""
        try:
            return getattr(self.env, method)(clone(states), *[a.clone() for a in args])
        except Exception:
            return None

    def reward(self, states: Any) -> Any:
        """The reward of finished objects, in whatever shape it comes."""
        given, condition = clone(states), self.condition if self.env.condition_dim else None
        try:
            with torch.no_grad():
                if condition is None:
                    out = self.env.reward(given)
                else:
                    out = self.env.reward(given, condition.expand(batch_size(states), -1))
            out = real(out, f"The reward {self.env.reward!r}")
        except RewardError as error:
            self.findings.add("reward-shape", str(error), "A log-reward is a real number.")
            raise AbandonedError from error
        except Exception as error:
            self.findings.add(
                "raises",
                f"The reward {self.env.reward!r} raised {type(error).__name__}: {error}. The first "
                f"object given was {self.show(states, 0)}.",
                "A reward must score every object that can be built.",
            )
            raise AbandonedError from error
        self.expect_unchanged("reward", states, given, (), [])
        return out

    # ------------------------------------------------------------------ comparisons

    def same(self, a: Any, b: Any) -> Tensor:
        """(B,) bool equal states: by key where there are keys, else by their tensors."""
        if self.env.has_keys:
            same: Tensor = self.call("key", a) == self.call("key", b)
            return same
        return equal_rows(a, b)

    def identity(self, states: Any) -> Tensor:
        """(B,) int64 equal for equal states of this batch."""
        if self.env.has_keys:
            key: Tensor = self.call("key", states)
            return key
        return row_numbers(states)

    def in_range(self, states: Any) -> Tensor:
        """(B,) bool: all features lie within `feature_sizes`."""
        code = self.call("encode", states)
        sizes = self.env.feature_sizes
        if not sizes:
            return torch.ones(batch_size(states), dtype=torch.bool)
        wanted = (batch_size(states), len(sizes))
        if not isinstance(code, Tensor) or tuple(code.shape) != wanted or code.is_floating_point():
            got = f"{code.dtype} {tuple(code.shape)}" if isinstance(code, Tensor) else type(code)
            self.findings.add(
                "shape",
                f"`encode` returned {got} where `feature_sizes` has {len(sizes)} entries.",
                f"Return int64 of shape {wanted}, or leave `feature_sizes` empty for a policy that "
                f"reads something else.",
            )
            raise AbandonedError
        return ((code >= 0) & (code < torch.tensor(sizes))).all(1)

    def show(self, states: Any, row: int) -> str:
        """One state for people, even if `show` itself is broken."""
        one = take(states, torch.tensor([row]))
        try:
            return shorten(str(self.env.show(one)[0]))
        except Exception:
            return shorten(str([t.tolist() for t in tensors(one)]))

    # ------------------------------------------------------------------ expectations

    def expect_states(self, method: str, states: Any, count: int) -> None:
        """Refuse results that are not `count` states like the initial ones."""
        try:
            form = [(tuple(t.shape[1:]), t.dtype) for t in tensors(states)]
            rows = {t.shape[0] for t in tensors(states)}
        except (TypeError, AttributeError, IndexError) as error:
            self.findings.add(
                "shape",
                f"`{method}` returned {type(states).__name__}, which is no batch of states. "
                f"{error}",
                "States are a tensor or a frozen dataclass of tensors with the batch first.",
            )
            raise AbandonedError from error
        if not self.form:
            self.form = form
        if form == self.form and rows == {count}:
            return
        self.findings.add(
            "shape",
            f"`{method}` returned tensors of (shape of one state, type) {form} with {rows} rows, "
            f"where {count} states of {self.form} were expected.",
            "All states must have the shapes and types of the initial ones.",
        )
        raise AbandonedError

    def _expect(self, method: str, out: Any, count: int) -> None:
        letters, kind = SHAPES[method]
        if out is None and kind.endswith("?"):
            return
        size = {"B": count}
        if self.env.numbered:
            env: Any = self.env
            size |= {"A": env.num_actions, "P": env.num_backward_actions}
        wanted = tuple(size[letter] for letter in letters)
        kind = kind.rstrip("?")
        if isinstance(out, Tensor) and tuple(out.shape) == wanted:
            name = str(out.dtype).removeprefix("torch.")
            if name == kind or (kind == "float" and out.is_floating_point()):
                return
        got = f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        self.findings.add(
            "shape",
            f"`{method}` returned {got} for {count} states.",
            f"Return {kind} of shape {wanted}: B={count}{_sizes(self.env)}.",
        )
        raise AbandonedError

    def expect_unchanged(
        self, method: str, before: Any, after: Any, args: Any = (), more: Any = ()
    ) -> None:
        """Note that a method changed what it was given."""
        kept = equal_rows(before, after)
        if bool(kept.all()) and all(torch.equal(a, b) for a, b in zip(args, more, strict=True)):
            return
        if bool(kept.all()):
            seen = f"`{method}` changed the actions that it was given."
        else:
            row = int((~kept).nonzero()[0])
            seen = (
                f"`{method}` changed the states that it was given: {self.show(before, row)} became "
                f"{self.show(after, row)}."
            )
        self.findings.add(
            "mutates-input",
            seen,
            "Build new tensors (scatter, not scatter_; clone before writing): states are shared "
            "between trajectories.",
        )


def _sizes(env: Any) -> str:
    if not env.numbered:
        return ""
    return f", num_actions={env.num_actions}, num_backward_actions={env.num_backward_actions}"


def row_numbers(states: Any) -> Tensor:
    """(B,) int64 equal exactly for rows whose tensors agree."""
    flat = [(t if t.dim() > 1 else t[:, None]).flatten(1).double() for t in tensors(states)]
    number: Tensor = torch.unique(torch.cat(flat, 1), dim=0, return_inverse=True)[1]
    return number
