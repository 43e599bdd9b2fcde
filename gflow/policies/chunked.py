"""A policy asked about some states at a time, so that training fits into little memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.language.projected import Projected
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.state import batch_size, device_of, take
from gflow.trajectories import Trajectories


class Chunked(Policy):
    """A policy whose network sees at most `size` states at a time, and forgets what lies between.

    What the layers hold of a chunk is thrown away and computed again when the gradient comes there
    (gradient checkpointing), so that memory grows with `size` and not with the number of states of
    a batch. The last chunk is kept, as the gradient comes there first: of k chunks k - 1 cost one
    more pass of the network. Values and gradients are those of the policy, sums of gradients in
    another order. The same gradient, for a residual d of each
    trajectory, is that of a pass without gradient that finds d and a second one, chunk by chunk,
    down the sum of 2 d times the log-probabilities, d held fixed: for any objective that is what
    happens here.

    A policy that shares work among the states of a trajectory (`of_trajectories`) is asked about
    some trajectories at a time: as many as have `size` states, at least one. Work shared by
    trajectories of different chunks is then done for each.

    Args:
        policy: The policy; it shares its parameters.
        size: States per pass.
    """

    @checked
    def __init__(self, policy: Policy, size: Count) -> None:
        super().__init__()
        self.policy, self.size = policy, size
        self.backward, self.has_log_flow = policy.backward, policy.has_log_flow

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        return self._by_state(self.policy, env, states, condition)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head alone."""
        found = self._by_state(_as_output(self.policy.forward_logits), env, states, condition)
        return found.forward_logits

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head alone, or None."""
        if self.backward != "learned":
            return self.policy.backward_logits(env, states, condition)
        found = self._by_state(_as_output(self.policy.backward_logits), env, states, condition)
        return found.forward_logits

    def backward_layers(self) -> list[tuple[torch.nn.Linear, slice]]:
        """Those of the policy."""
        return self.policy.backward_layers()

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """The memory of a rollout, which the policy holds for all rows."""
        return self.policy.begin(env, count, condition)

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the stored states, by chunks of states or of trajectories."""
        if not self.policy.shares_work:
            return self._by_state(self.policy, env, trajectories.states, condition)
        count, width = trajectories.state_index.shape
        several = max(1, self.size // width)
        if several >= count:
            return self.policy.of_trajectories(env, trajectories, condition)
        owner, _ = trajectories.first_visits()
        device, rows, parts = owner.device, [], []
        for chosen in _split(count, several, device):
            first = chosen[0]
            visited = torch.zeros(trajectories.num_states, dtype=torch.bool, device=device)
            visited[trajectories.state_index[chosen]] = True
            mine = visited & (owner >= first)  # the others are in an earlier chunk
            place = mine[visited]  # `select` keeps the order of the store
            part = trajectories.select(chosen)

            def run(part: Trajectories[Any] = part, place: Tensor = place) -> PolicyOutput:
                found = self.policy.of_trajectories(env, part, part.condition_of_states)
                return _each(found, lambda t: t[place])

            parts.append(run)
            rows.append(mine.nonzero().squeeze(1))
        place, total = torch.cat(rows), trajectories.num_states
        return _each(
            _answers(parts), lambda t: t.new_zeros(total, *t.shape[1:]).index_put((place,), t)
        )

    def _by_state(
        self,
        ask: Callable[..., PolicyOutput],
        env: Environment[Any],
        states: Any,
        condition: Tensor | None,
    ) -> PolicyOutput:
        count = batch_size(states)
        if count <= self.size:
            return ask(env, states, condition)
        parts = []
        for rows in _split(count, self.size, device_of(states)):

            def run(rows: Tensor = rows) -> PolicyOutput:
                given = None if condition is None else condition[rows]
                return ask(env, take(states, rows), given)

            parts.append(run)
        return _answers(parts)


def chunked(policy: Policy, size: int) -> Policy:
    """The policy by chunks of `size` states; the policy itself for 0."""
    return Chunked(policy, size) if size else policy


def _split(count: int, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """The rows 0 ... count - 1 in chunks of at most `size` that are as equal as they can be."""
    return torch.arange(count, device=device).tensor_split(-(-count // size))


def _answers(parts: Sequence[Callable[[], PolicyOutput]]) -> PolicyOutput:
    """All that `parts` say, one after the other; all but the last forget how they came to it."""
    if not torch.is_grad_enabled():
        return _joined([run() for run in parts])
    said = [checkpoint(run, use_reentrant=False) for run in parts[:-1]]
    return _joined([*said, parts[-1]()])


def _as_output(ask: Callable[..., Tensor | None]) -> Callable[..., PolicyOutput]:
    """A single head in the place of the first."""

    def output(env: Environment[Any], states: Any, condition: Tensor | None) -> PolicyOutput:
        logits = ask(env, states, condition)
        assert logits is not None  # only learned heads are asked for
        return PolicyOutput(logits)

    return output


def _each(output: PolicyOutput, change: Callable[[Tensor], Tensor]) -> PolicyOutput:
    logits: Any = output.forward_logits
    ahead: Any = logits.each(change) if isinstance(logits, Projected) else change(logits)
    back, flow = output.backward_logits, output.log_flow
    return PolicyOutput(
        ahead,
        None if back is None else change(back),
        None if flow is None else change(flow),
    )


def _joined(parts: list[PolicyOutput]) -> PolicyOutput:
    def together(name: str) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found)

    logits: list[Any] = [part.forward_logits for part in parts]
    ahead: Any = Projected.joined(logits) if isinstance(logits[0], Projected) else torch.cat(logits)
    return PolicyOutput(ahead, together("backward_logits"), together("log_flow"))
