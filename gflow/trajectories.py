"""One layout for trajectories: sampled forward or backward, replayed, or cut short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from gflow.state import batch_size, cat, take, to_device

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.policies.recorded import Recording

S = TypeVar("S")


@dataclass(frozen=True)
class Trajectories(Generic[S]):
    """B trajectories in forward time order, over a shared store of N states.

    States lie unpadded in one store, each once where the sampler recognised repetitions; the
    trajectories point into it. So networks see every distinct state once, however many
    trajectories visit it, and everything else is a gather. It holds no log-probabilities: those
    are evaluated under the parameters at hand (`gflow.evaluate`), never remembered.

    Shapes: B trajectories, T the longest, N stored states.

    Attributes:
        states: N states, in any order.
        state_index: (B, T + 1) int64 row of s_t in `states`. After the end it repeats a valid row.
        actions: (B, T) int64 forward actions; 0 after the end.
        backward_actions: (B, T) int64 actions that undo them; 0 after the end and for stops.
        length: (B,) int64 number of transitions, a stop included.
        stopped: (B,) bool: the last transition is a stop, so that s_length is s_{length-1}.
        log_reward: (B,) target log-reward of the objects (see `Environment.target_log_reward`);
            meaningless where not `complete`.
        scores: (B, K) raw objectives of the objects, for rewards with several; None for others.
        condition: (B, C) or None.
        owner: (N,) int64 trajectory of each stored state when conditions make states differ.
        complete: (B,) bool, False for trajectories cut before their end; None if all are whole.
        from_source: (B,) bool, False for those that begin elsewhere than at the source; None if
            all begin there.
        recorded: What the policy's layers held while it sampled exactly these, if they were kept:
            a shorter way to its outputs while its parameters stay as they are.
    """

    states: S
    state_index: Tensor
    actions: Tensor
    backward_actions: Tensor
    length: Tensor
    stopped: Tensor
    log_reward: Tensor
    scores: Tensor | None = None
    condition: Tensor | None = None
    owner: Tensor | None = None
    complete: Tensor | None = None
    from_source: Tensor | None = None
    recorded: "Recording | None" = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        few, many = (int(self.length.min()), int(self.length.max())) if len(self) else (0, 0)
        cut = "" if self.complete is None else f", {int((~self.complete).sum())} cut"
        count = batch_size(self.states)
        return f"Trajectories({len(self)} of {few} to {many} moves{cut}, {count} states)"

    def __len__(self) -> int:
        return self.length.shape[0]

    def await_reward(self, late: "Callable[[], Tensor]") -> None:
        """Let `log_reward` be what a call returns, which is made when it is first read.

        For samplers: workers score the objects while the policy is evaluated.
        """
        object.__delattr__(self, "log_reward")
        object.__setattr__(self, "_late", late)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            late = self.__dict__.get("_late")
            if name != "log_reward" or late is None:
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}.")
            value = late()
            object.__setattr__(self, "log_reward", value)
            object.__delattr__(self, "_late")
            return value

        def __getstate__(self) -> dict[str, Any]:
            """With the log-rewards, for copies and pickles."""
            assert self.log_reward is not None
            return dict(self.__dict__)

    @property
    def num_states(self) -> int:
        """N, the number of stored states."""
        return batch_size(self.states)

    @property
    def mask(self) -> Tensor:
        """(B, T) bool: transitions that exist."""
        steps = torch.arange(self.actions.shape[1], device=self.length.device)
        return steps < self.length[:, None]

    @property
    def moves(self) -> Tensor:
        """(B, T) bool: transitions that are not stops."""
        steps = torch.arange(self.actions.shape[1], device=self.length.device)
        return steps < (self.length - self.stopped.long())[:, None]

    @property
    def condition_of_states(self) -> Tensor | None:
        """(N, C) the condition of each stored state, or None."""
        if self.condition is None:
            return None
        assert self.owner is not None
        return self.condition[self.owner]

    @property
    def final_states(self) -> S:
        """(B,) the last state of each trajectory: the finished objects of whole ones."""
        return take(self.states, self.state_index.gather(1, self.length[:, None]).squeeze(1))

    @property
    def whole(self) -> "Trajectories[S]":
        """Those that run to their end; all of them, as they are, if none was cut."""
        if self.complete is None:
            return self
        if bool(self.complete.all()):
            return replace(self, complete=None)
        return replace(self.select(self.complete.nonzero().squeeze(1)), complete=None)

    def told(self, condition: Tensor, log_reward: Tensor | None = None) -> "Trajectories[S]":
        """The same trajectories as if they had been sampled for given conditions.

        Conditions make states differ, so each trajectory gets states of its own in the store.

        Args:
            condition: (B, C) what each is told.
            log_reward: (B,) target log-rewards of the objects under these; as they are if None.
        """
        moves = self.length - self.stopped.long()
        time = torch.arange(self.state_index.shape[1], device=moves.device)
        visited = time <= moves[:, None]
        first = (moves + 1).cumsum(0) - (moves + 1)
        owner = torch.arange(len(self), device=moves.device)
        return replace(
            self,
            states=take(self.states, self.state_index[visited]),
            state_index=first[:, None] + torch.minimum(time, moves[:, None]),
            owner=owner.repeat_interleave(moves + 1),
            condition=condition,
            log_reward=self.log_reward if log_reward is None else log_reward,
            recorded=None,
        )

    def first_visits(self) -> tuple[Tensor, Tensor]:
        """(N,) trajectory and (N,) time, from where it begins, of the first visit to each state.

        The first trajectory through it, at its first time; times after an end repeat the last
        state, and come later than its own. A state that none visits is put at the last of all.
        """
        index = self.state_index
        cells = torch.arange(index.numel(), device=index.device)
        unseen = torch.full((self.num_states,), index.numel() - 1, device=index.device)
        first = unseen.scatter_reduce(0, index.flatten(), cells, "amin")
        return first // index.shape[1], first % index.shape[1]

    def states_at(self, time: int) -> S:
        """(B,) the states s_time; meaningless for trajectories that are shorter."""
        return take(self.states, self.state_index[:, time])

    def states_after(self, keep: Tensor) -> S:
        """(B,) the states after the first `keep` (B,) transitions of each, stops not counted."""
        return take(self.states, self.state_index.gather(1, keep[:, None]).squeeze(1))

    def select(self, index: Tensor) -> "Trajectories[S]":
        """Some of the trajectories, with a store of just their states."""
        rows = {
            name: getattr(self, name)[index]
            for name in ("actions", "backward_actions", "length", "stopped", "log_reward")
        }
        longest = int(rows["length"].max()) if len(rows["length"]) else 0
        chosen = self.state_index[index][:, : longest + 1]
        used, inverse = torch.unique(chosen, return_inverse=True)
        rows["actions"] = rows["actions"][:, :longest]
        rows["backward_actions"] = rows["backward_actions"][:, :longest]
        owner = None
        if self.owner is not None:
            place = torch.full((len(self),), -1, device=index.device)
            ids = torch.arange(len(self), device=index.device)[index]
            place[ids] = torch.arange(len(ids), device=index.device)
            owner = place[self.owner[used]]
        return Trajectories(
            states=take(self.states, used),
            state_index=inverse,
            scores=None if self.scores is None else self.scores[index],
            condition=None if self.condition is None else self.condition[index],
            complete=None if self.complete is None else self.complete[index],
            from_source=None if self.from_source is None else self.from_source[index],
            owner=owner,
            **rows,
        )

    def truncate(self, length: Tensor) -> "Trajectories[S]":
        """The first `length` (B,) transitions of each; those that lose some are not complete."""
        kept = torch.minimum(length, self.length)
        whole = kept == self.length
        if self.complete is not None:
            whole = whole & self.complete
        steps = torch.arange(self.state_index.shape[1], device=kept.device)
        last = self.state_index.gather(1, kept[:, None])
        inside = steps[:-1] < kept[:, None]
        return replace(
            self,
            state_index=torch.where(steps <= kept[:, None], self.state_index, last),
            actions=self.actions.where(inside, 0),
            backward_actions=self.backward_actions.where(inside, 0),
            length=kept,
            stopped=self.stopped & whole,
            complete=whole,
            recorded=None,
        )

    def part(self, begin: Tensor, end: Tensor) -> "Trajectories[S]":
        """The transitions from time `begin` up to `end` of each, (B,) int64 with begin < end."""
        length, ends = end - begin, end == self.length
        steps = torch.arange(int(length.max()) + 1, device=length.device)
        time = torch.minimum(begin[:, None] + steps, end[:, None])
        inside = steps[:-1] < length[:, None]
        at = time[:, :-1].clamp(max=self.actions.shape[1] - 1)
        start = begin == 0
        return replace(
            self,
            state_index=self.state_index.gather(1, time),
            actions=self.actions.gather(1, at).where(inside, 0),
            backward_actions=self.backward_actions.gather(1, at).where(inside, 0),
            length=length,
            stopped=self.stopped & ends,
            complete=ends if self.complete is None else ends & self.complete,
            from_source=start if self.from_source is None else start & self.from_source,
            recorded=None,
        )

    def splice(self, keep: Tensor, tail: "Trajectories[S]") -> "Trajectories[S]":
        """The first `keep` (B,) transitions of each, then all of `tail`, with a store of just both.

        Args:
            keep: (B,) int64, none of the kept transitions a stop.
            tail: B trajectories that start in the states reached, of the same conditions; objects,
                rewards and ends are theirs.
        """
        length = keep + tail.length
        width = int(length.max())
        time = torch.arange(width + 1, device=keep.device)
        later = time - keep[:, None]
        mine = time.clamp(max=self.actions.shape[1]).expand_as(later)
        theirs = later.clamp(0, tail.actions.shape[1])
        index = torch.where(
            later <= 0,  # where they meet, the state of the head: that of the tail is left out
            self.state_index.gather(1, mine),
            tail.state_index.gather(1, theirs) + self.num_states,
        )
        used, index = torch.unique(index, return_inverse=True)

        def joined(head: Tensor, rest: Tensor) -> Tensor:
            mine_t = mine[:, :-1].clamp(max=head.shape[1] - 1)
            theirs_t = theirs[:, :-1].clamp(max=rest.shape[1] - 1)
            value = torch.where(later[:, :-1] < 0, head.gather(1, mine_t), rest.gather(1, theirs_t))
            return value.where(time[:-1] < length[:, None], 0)

        owner = None
        if self.owner is not None and tail.owner is not None:
            owner = torch.cat([self.owner, tail.owner])[used]
        return replace(
            tail,
            states=take(cat([self.states, tail.states]), used),
            state_index=index,
            actions=joined(self.actions, tail.actions),
            backward_actions=joined(self.backward_actions, tail.backward_actions),
            length=length,
            owner=owner,
            from_source=self.from_source,
            recorded=None,
        )

    def to(self, device: torch.device | str) -> "Trajectories[S]":
        """The same trajectories on another device."""
        self.log_reward  # noqa: B018  (it may still come late)
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and name != "states"
        }
        return replace(self, states=to_device(self.states, device), recorded=None, **moved)

    @staticmethod
    def from_paths(
        env: "Environment[S]",
        states: "S | Sequence[S]",
        actions: "Tensor | Sequence[Tensor] | None" = None,
        length: Tensor | None = None,
        **known: Any,
    ) -> "Trajectories[S]":
        """Finished trajectories that come from elsewhere, without stepping the environment.

        Equal states are stored once where the environment has keys. Backward actions and flags
        follow from the states.

        Args:
            env: The environment.
            states: A list of B paths, each s_0 ... s_n; or all padded at the end, (B, T + 1, ...).
                The state behind a stop is the one before it, and may be left out.
            actions: Their actions, a list of (n,) or (B, T) int64, stops included; None for moves
                that have no numbers.
            length: (B,) int64 numbers of actions of padded paths; by default all T.
            known: What `segments` takes.

        Raises:
            ShapeError: If numbers of states and actions do not fit.
            IllegalActionError: If an action is illegal where it is taken, or a path is not whole.
        """
        from gflow.paths import from_paths

        return from_paths(env, states, actions, length, **known)

    @staticmethod
    def segments(
        env: "Environment[S]",
        states: "S | Sequence[S]",
        actions: "Tensor | Sequence[Tensor] | None" = None,
        length: Tensor | None = None,
        *,
        log_reward: Tensor | None = None,
        scores: Tensor | None = None,
        condition: Tensor | None = None,
        check: bool = True,
    ) -> "Trajectories[S]":
        """Parts of trajectories, which begin and end anywhere; otherwise as `from_paths`.

        Args:
            env: The environment.
            states: As of `from_paths`.
            actions: As of `from_paths`.
            length: As of `from_paths`.
            log_reward: (B,) target log-rewards if they are known; they count where a part ends in a
                finished object.
            scores: (B, K) raw objectives if they are known.
            condition: (B, C) or None.
            check: Whether to ask the masks if actions are legal.
        """
        from gflow.paths import segments

        return segments(
            env,
            states,
            actions,
            length,
            log_reward=log_reward,
            scores=scores,
            condition=condition,
            check=check,
        )

    @staticmethod
    def transitions(
        env: "Environment[S]", before: S, actions: Tensor, after: S, **known: Any
    ) -> "Trajectories[S]":
        """B single transitions from anywhere.

        Args:
            env: The environment.
            before: B states.
            actions: (B,) int64 what was done there.
            after: B states that this led to; any where it was a stop.
            known: What `segments` takes.
        """
        from gflow.paths import transitions

        return transitions(env, before, actions, after, **known)

    @staticmethod
    def join(parts: "list[Trajectories[S]]") -> "Trajectories[S]":
        """All trajectories of several batches; either all are conditional or none."""
        if len(parts) == 1:
            return parts[0]
        longest = max(part.actions.shape[1] for part in parts)
        first_state = first_row = 0
        index, owner = [], []
        for part in parts:
            extra = longest + 1 - part.state_index.shape[1]
            last = part.state_index[:, -1:].expand(-1, extra)
            index.append(torch.cat([part.state_index, last], 1) + first_state)
            if part.owner is not None:
                owner.append(part.owner + first_row)
            first_state += part.num_states
            first_row += len(part)

        def padded(name: str) -> Tensor:
            return torch.cat(
                [
                    torch.nn.functional.pad(v := getattr(part, name), (0, longest - v.shape[1]))
                    for part in parts
                ]
            )

        conditions = [part.condition for part in parts if part.condition is not None]
        scores = [part.scores for part in parts if part.scores is not None]

        def flags(name: str) -> Tensor | None:
            found = [getattr(part, name) for part in parts]
            if all(flag is None for flag in found):
                return None
            pairs = zip(found, parts, strict=True)
            return torch.cat([torch.ones_like(p.stopped) if f is None else f for f, p in pairs])

        return Trajectories(
            states=cat([part.states for part in parts]),
            state_index=torch.cat(index),
            actions=padded("actions"),
            backward_actions=padded("backward_actions"),
            length=torch.cat([part.length for part in parts]),
            stopped=torch.cat([part.stopped for part in parts]),
            log_reward=torch.cat([part.log_reward for part in parts]),
            scores=torch.cat(scores) if scores else None,
            condition=torch.cat(conditions) if conditions else None,
            owner=torch.cat(owner) if owner else None,
            complete=flags("complete"),
            from_source=flags("from_source"),
        )
