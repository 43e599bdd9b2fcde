"""Environments given by a table: any small graph, written down."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


class TableReward(LogReward[Tensor]):
    """log R looked up by state; entries of states that are no objects are minus their energies."""

    def __init__(self, log_reward: Tensor) -> None:
        self.log_reward = log_reward
        self.has_partial = bool(log_reward.isfinite().all())

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) entries of the table."""
        return self.log_reward.to(states.device)[states]

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) entries of the table."""
        return self(states)


class TableEnvironment(DiscreteEnvironment[Tensor]):
    """Any pointed acyclic graph of N states, given by the children of each.

    **What is built.** A state without children that may not stop (forced), or one in which the
    policy stops. **State.** (B,) int64 number of the state; 0 is the source.

    **Forward actions.** Action a leads from s to ``children[s][a]``; the last action stops, if any
    state may. Two actions with one child are merged by `forward_classes`.

    **Backward actions.** The transitions into a state, numbered by parent and action. With
    `merge_parents` there is one per distinct parent; without, one per transition, merged by
    `backward_classes`.

    **Reward.** A table. **Size.** N, a few dozen: for tests and for counterexamples.

    Args:
        children: N rows of child numbers, -1 where there is no action; rows may be ragged.
        log_reward: N log-rewards; those of states that are no objects are minus their energies,
            which only forward-looking objectives read. (N, n) for a game of n > 2 players.
        stops: N bools, states in which the policy may stop; None for nowhere.
        merge_parents: One backward action per parent instead of one per transition.
        movers: N numbers of who moves (`gflow.environment.movers`); None for the agent everywhere.
            With players +1 and -1 two play; with 1, 2, ..., n > 2 so many.
        chance: N rows, the probabilities of the actions where it is chance's turn; other rows say
            nothing. None for even ones. An action with probability 0 is none.

    Raises:
        ConfigError: If a child does not exist, a state cannot be reached, there is a cycle, or
            movers and probabilities are none.

    Example:
        >>> env = TableEnvironment([[1, 2], [3], [3], []], [0.0, 0.0, 0.0, 1.0])
        >>> env.step(env.initial(2), torch.tensor([0, 1])).tolist()
        [1, 2]
    """

    def __init__(
        self,
        children: Sequence[Sequence[int]] | Tensor,
        log_reward: Sequence[float] | Tensor,
        stops: Sequence[bool] | Tensor | None = None,
        merge_parents: bool = True,
        movers: Sequence[int] | Tensor | None = None,
        chance: Sequence[Sequence[float]] | Tensor | None = None,
    ) -> None:
        rows = children.tolist() if isinstance(children, Tensor) else [list(r) for r in children]
        rows = _possible(rows, movers, chance)
        count = len(rows)
        moves = max(1, *(len(row) for row in rows))
        self._children = torch.tensor([row + [-1] * (moves - len(row)) for row in rows])
        self._stops = torch.zeros(count, dtype=torch.bool)
        if stops is not None:
            self._stops = torch.as_tensor(stops, dtype=torch.bool)
        value = torch.as_tensor(log_reward, dtype=torch.float64)
        self._log_rewards = value
        value = value[:, 0] if value.dim() == 2 else value
        if value.shape != (count,) or self._stops.shape != (count,):
            raise ConfigError(
                f"TableEnvironment: {count} states need {count} log-rewards and stops, got "
                f"{tuple(value.shape)} and {tuple(self._stops.shape)}."
            )
        self.reward = TableReward(value)
        depth = self._depths(rows)
        self._tabulate_parents(rows, merge_parents)
        self._count(rows, depth)
        sinks = (self._children < 0).all(1) & ~self._stops
        self.num_states = self.num_keys = count
        self.feature_sizes = (count,)
        self.num_actions = moves + bool(self._stops.any())
        self.num_backward_actions = self._parents.shape[1]
        self.stop_action = moves if bool(self._stops.any()) else None
        self.has_forced_terminals = bool(sinks.any())
        self.every_state_stops = bool(self._stops.all())
        ends = [
            d + int(stop)
            for d, stop, end in zip(
                depth, self._stops.tolist(), (sinks | self._stops).tolist(), strict=True
            )
            if end
        ]
        self.horizon = max(1, *ends)
        self.merged = bool((self._first_action != torch.arange(moves)).any())
        first = torch.arange(self.num_backward_actions)
        self.merged_back = bool((self._first_parent != first).any())
        self._closure: Tensor | None = None
        self._set_movers(movers, chance)

    def _set_movers(self, movers: Any, chance: Any) -> None:
        """Whose move it is at each state, and what chance does on its turns."""
        count, moves = self._children.shape
        self._movers: Tensor | None = None
        self.has_movers = movers is not None
        if movers is None:
            return
        self._movers = torch.as_tensor(movers, dtype=torch.int64)
        if self._movers.shape != (count,):
            raise ConfigError(f"TableEnvironment: {count} states need {count} movers.")
        players = set(self._movers.tolist()) - {AGENT, CHANCE}
        if players:
            self.num_players = max(2, *players)
        even = (self._children >= 0).double()
        table = even.clone()
        for s in (self._movers == CHANCE).nonzero().flatten().tolist():
            if chance is not None and len(chance[s]):
                row = torch.as_tensor(chance[s], dtype=torch.float64)
                table[s] = torch.nn.functional.pad(row, (0, moves - len(row)))
            total = float(table[s].sum())
            if bool((table[s] < 0).any()) or bool(table[s][even[s] == 0].any()) or not total:
                raise ConfigError(
                    f"TableEnvironment: state {s} is chance's, and {table[s].tolist()} are no "
                    f"probabilities of its actions."
                )
            table[s] /= total
        self._chance = table.log()

    # ------------------------------------------------------------------ tables

    @staticmethod
    def _depths(rows: list[list[int]]) -> list[int]:
        """Length of the longest path to each state; refuses what is no pointed acyclic graph."""
        count = len(rows)
        indegree = [0] * count
        for s, row in enumerate(rows):
            for c in row:
                if not -1 <= c < count:
                    raise ConfigError(f"TableEnvironment: state {s} has a child {c} of {count}.")
                indegree[c] += c >= 0
        extra = [s for s in range(1, count) if not indegree[s]]
        if extra or indegree[0]:
            raise ConfigError(
                f"TableEnvironment: state 0 must be the only one without a parent; "
                f"{'state 0 has one' if indegree[0] else f'so are {extra}'}."
            )
        depth, ready, done = [0] * count, [0], 0
        while ready:
            s = ready.pop()
            done += 1
            for c in rows[s]:
                if c >= 0:
                    depth[c] = max(depth[c], depth[s] + 1)
                    indegree[c] -= 1
                    if not indegree[c]:
                        ready.append(c)
        if done < count:
            raise ConfigError("TableEnvironment: the table has a cycle.")
        return depth

    def _tabulate_parents(self, rows: list[list[int]], merge: bool) -> None:
        count, moves = self._children.shape
        into: list[list[tuple[int, int]]] = [[] for _ in range(count)]  # (parent, action)
        undo = torch.zeros(count, moves, dtype=torch.int64)
        first = torch.arange(moves).repeat(count, 1)
        for s, row in enumerate(rows):
            seen: dict[int, int] = {}  # child -> first action
            for a, c in enumerate(row):
                if c < 0:
                    continue
                first[s, a] = seen.setdefault(c, a)
                if merge and seen[c] != a:
                    undo[s, a] = undo[s, seen[c]]
                    continue
                undo[s, a] = len(into[c])
                into[c].append((s, a))
        width = max(1, *(len(parents) for parents in into))
        self._parents = torch.full((count, width), -1)
        self._redo = torch.zeros(count, width, dtype=torch.int64)
        self._first_parent = torch.arange(width).repeat(count, 1)
        for c, parents in enumerate(into):
            seen = {}
            for b, (s, a) in enumerate(parents):
                self._parents[c, b], self._redo[c, b] = s, a
                self._first_parent[c, b] = seen.setdefault(s, b)
        self._undo, self._first_action = undo, first

    def _count(self, rows: list[list[int]], depth: list[int]) -> None:
        """Log n(parent) at the first backward action to each parent, -inf at equivalent ones."""
        paths = [0] * len(rows)
        paths[0] = 1
        for s in sorted(range(len(rows)), key=depth.__getitem__):
            for c in {c for c in rows[s] if c >= 0}:
                paths[c] += paths[s]
        count = torch.tensor(paths, dtype=torch.float64).log()
        first = self._first_parent == torch.arange(self._parents.shape[1])
        legal = self._parents >= 0
        self._log_count = count[self._parents].where(first & legal, -torch.inf)

    # ------------------------------------------------------------------ the environment

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B,) zeros."""
        return torch.zeros(batch_size, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) entries of the table that name a child, and the stop."""
        mask = self._at(self._children, states) >= 0
        if self.stop_action is None:
            return mask
        return torch.cat([mask, self._at(self._stops, states)[:, None]], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, P) transitions into the state."""
        return self._at(self._parents, states) >= 0

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) number of the transition among those into the child."""
        return self._at(self._undo, states).gather(1, self._inside(actions)[:, None]).squeeze(1)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the first action of the parent that leads here."""
        return self._at(self._redo, states).gather(1, backward_actions[:, None]).squeeze(1)

    def forward_classes(self, states: Tensor) -> Tensor | None:
        """(B, A) first action with the same child, or None if the table repeats no child."""
        if not self.merged:
            return None
        classes = self._at(self._first_action, states)
        if self.stop_action is None:
            return classes
        return torch.nn.functional.pad(classes, (0, 1), value=self.stop_action)

    def backward_classes(self, states: Tensor) -> Tensor | None:
        """(B, P) first transition from the same parent, or None if all parents differ."""
        return self._at(self._first_parent, states) if self.merged_back else None

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, P) log n(parent), once per parent."""
        return self._at(self._log_count, states)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) state 0."""
        return states == 0

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) by the table."""
        if self._closure is None:
            self._closure = _closure(self._children)
        return self._at(self._closure, states).gather(1, objects[:, None]).squeeze(1)

    def encode(self, states: Tensor) -> Tensor:
        """(B, 1) the number of the state."""
        return states[:, None]

    def key(self, states: Tensor) -> Tensor:
        """(B,) the number of the state."""
        return states

    def mover(self, states: Tensor) -> Tensor | None:
        """(B,) by the table."""
        return None if self._movers is None else self._at(self._movers, states)

    @property
    def has_chance(self) -> bool:
        """Whether a state is chance's by the table."""
        return self._movers is not None and bool((self._movers == CHANCE).any())

    def chance_law(self, states: Tensor) -> Categorical:
        """By the table; chance never stops."""
        logits = self._at(self._chance, states).to(torch.get_default_dtype())
        if self.stop_action is not None:
            logits = torch.nn.functional.pad(logits, (0, 1), value=-torch.inf)
        mask = self.forward_mask(states) & (logits > -torch.inf)
        return Categorical(logits, mask, lambda: self.forward_classes(states))

    def player_log_reward(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, n) by the table."""
        if self._log_rewards.dim() == 1:
            return super().player_log_reward(states, condition)
        return self._at(self._log_rewards, states)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        child = self._at(self._children, states).gather(1, self._inside(actions)[:, None])
        return child.squeeze(1).clamp(min=0)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return self._at(self._parents, states).gather(1, actions[:, None]).squeeze(1).clamp(min=0)

    def _inside(self, actions: Tensor) -> Tensor:
        return actions.clamp(max=self._children.shape[1] - 1)

    @staticmethod
    def _at(table: Tensor, states: Tensor) -> Tensor:
        return table.to(states.device)[states]


def _closure(children: Tensor) -> Tensor:
    """(N, N) bool: which states moves lead to from each, itself among them."""
    count = len(children)
    rows, actions = (children >= 0).nonzero(as_tuple=True)
    reached = torch.eye(count, dtype=torch.bool)
    reached[rows, children[rows, actions]] = True
    for _ in range(count.bit_length()):  # paths twice as long each time
        reached = (reached.double() @ reached.double()) > 0
    return reached


def _possible(rows: list[list[int]], movers: Any, chance: Any) -> list[list[int]]:
    """The children, without those that chance never goes to."""
    if movers is None or chance is None:
        return rows
    found = [list(row) for row in rows]
    for row, mover, share in zip(found, list(movers), list(chance), strict=False):
        if int(mover) == CHANCE and any(float(p) > 0 for p in share):
            for action, p in enumerate(share[: len(row)]):
                row[action] = row[action] if float(p) else -1
    return found
