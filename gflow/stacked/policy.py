"""K policies as one: states of each run go through its own network, all in one pass."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from gflow.policies.base import Policy, PolicyOutput
from gflow.stacked.environment import OfRuns, StackedEnvironment
from gflow.stacked.layers import StackedLayers
from gflow.stacked.parameters import buffers, stack
from gflow.state import tensors, tree_map

Ask = Callable[[Policy, Any, Any, Tensor | None], dict[str, Tensor]]
"""A policy, an environment, states and their conditions to outputs by name."""


class StackedPolicy(Policy):
    """The policies of K runs, for states `OfRuns`.

    States are laid out run by run, as many rows for each as the run with most of them has, and go
    through `torch.func.vmap` of the first policy's code over the parameters of all. So any policy
    works that `vmap` can go through: one that reads nothing by the host and does not mix rows.

    Args:
        policies: K policies of one shape. Their parameters become views of the stacked ones.

    Attributes:
        stacked: The parameters, (K, ...) by name.
    """

    def __init__(self, policies: Sequence[Policy]) -> None:
        super().__init__()
        first = policies[0]
        self.count = len(policies)
        self.backward, self.has_log_flow = first.backward, first.has_log_flow
        self.has_marginals = first.has_marginals
        self._code = [first]  # a list: its parameters are not this module's
        self.stacked = stack(policies)
        self._buffers_of_runs = buffers(policies)

    @property
    def held(self) -> dict[str, Tensor]:
        """All that differs between the policies, (K, ...) by name."""
        return {**self.stacked, **self._buffers_of_runs}

    def forward(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        parts = self._asked(_all, env, states, condition)
        return PolicyOutput(parts["forward"], parts.get("backward"), parts.get("flow"))

    def forward_logits(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward heads alone."""
        return self._asked(_ahead, env, states, condition)["forward"]

    def backward_logits(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward heads alone, or None."""
        return self._asked(_back, env, states, condition).get("backward")

    def _asked(
        self, ask: Ask, env: StackedEnvironment, states: OfRuns[Any], condition: Tensor | None
    ) -> dict[str, Tensor]:
        """What every run's policy says of its states, (N, ...) in their order."""
        layout = Layout(states.run, self.count)
        code = env.encode(states)
        read = [code] if isinstance(code, Tensor) else []
        parts = [layout.spread(part) for part in (*read, *tensors(states.states))]
        given = None if condition is None else layout.spread(condition)
        call, one = _Call(self._code[0], ask), env.one

        def single(
            held: dict[str, Tensor], parts: list[Tensor], given: Tensor | None
        ) -> dict[str, Tensor]:
            rest = iter(parts[len(read) :])
            own = tree_map(lambda _: next(rest), states.states)
            shown = _encoded(one, parts[0]) if read else one
            found: dict[str, Tensor] = functional_call(call, held, (shown, own, given))
            return found

        held = {f"policy.{name}": value for name, value in self.held.items()}
        with StackedLayers():
            found = vmap(single, in_dims=(0, 0, None if given is None else 0))(held, parts, given)
        return {name: layout.gather(part) for name, part in found.items()}


def _all(policy: Policy, env: Any, states: Any, given: Tensor | None) -> dict[str, Tensor]:
    output: PolicyOutput = policy.forward(env, states, given)
    parts = (output.forward_logits, output.backward_logits, output.log_flow)
    named = zip(("forward", "backward", "flow"), parts, strict=True)
    return {name: part for name, part in named if part is not None}


def _ahead(policy: Policy, env: Any, states: Any, given: Tensor | None) -> dict[str, Tensor]:
    return {"forward": policy.forward_logits(env, states, given)}


def _back(policy: Policy, env: Any, states: Any, given: Tensor | None) -> dict[str, Tensor]:
    logits = policy.backward_logits(env, states, given)
    return {} if logits is None else {"backward": logits}


class _Call(torch.nn.Module):
    """A question to a policy as the forward pass of a module."""

    def __init__(self, policy: Policy, ask: Ask) -> None:
        super().__init__()
        self.policy, self.ask = policy, ask

    def forward(self, env: Any, states: Any, given: Tensor | None) -> dict[str, Tensor]:
        """The answer."""
        return self.ask(self.policy, env, states, given)


def _encoded(env: Any, code: Tensor) -> Any:
    """An environment that has encoded the states at hand already, and otherwise is what it was."""
    found = object.__new__(type(env))
    vars(found).update(vars(env), encode=lambda states: code)
    return found


class Layout:
    """Rows of K runs as a table (K, M), M being the most that one run has.

    Args:
        run: (N,) int64 whose each row is.
        count: K.
    """

    def __init__(self, run: Tensor, count: int) -> None:
        rows = len(run)
        sizes = torch.bincount(run, minlength=count)
        most = int(sizes.max()) if rows else 0
        self.count, self.most = count, most
        ordered = bool((run[1:] >= run[:-1]).all())
        self.slots: Tensor | None = None
        if ordered and most * count == rows:
            return  # the table itself
        place = torch.arange(rows, device=run.device)
        order = place if ordered else run.argsort(stable=True)
        sorted_run = run if ordered else run[order]
        rank = place - (sizes.cumsum(0) - sizes)[sorted_run]
        slots = torch.empty_like(place)
        slots[order] = sorted_run * most + rank
        self.slots = slots
        self._source = torch.zeros(count * most, dtype=torch.int64, device=run.device)
        self._source[slots] = place

    def spread(self, rows: Tensor) -> Tensor:
        """(K, M, ...) of (N, ...); where a run has fewer rows, the first of all."""
        table = rows if self.slots is None else rows.index_select(0, self._source)
        return table.view(self.count, self.most, *rows.shape[1:])

    def gather(self, table: Tensor) -> Tensor:
        """(N, ...) of (K, M, ...)."""
        flat = table.flatten(0, 1)
        return flat if self.slots is None else flat.index_select(0, self.slots)
