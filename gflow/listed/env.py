"""An environment whose states are numbers and whose moves are looked up."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.listed.tables import Tables
from gflow.rewards.vector import VectorReward
from gflow.state import take
from gflow.trajectories import Trajectories

COPIED = (
    "reward", "horizon", "stop_action", "feature_sizes", "has_forced_terminals",
    "every_state_stops", "condition_dim", "num_players", "conditioning", "num_actions",
    "num_backward_actions", "has_backward", "has_movers",
)  # fmt: skip


class Listed(DiscreteEnvironment[Tensor]):
    """The same environment with a (B,) int64 row of a list in place of each state.

    Moves, masks, rewards and energies are gathers from tables that are filled once, so that a walk
    costs the same few operations whatever the environment computes. Everything of the engine works
    on it; policies see the states themselves (`OnList`).

    Rewards are asked for all objects at once when the first of them is wanted, and again when the
    reward has changed (`LogReward.version`). Where they read a condition they are asked anew.

    Args:
        graph: All states and moves of the environment.
        device: Where the tables are to be.
        whole: Ask policies once for all states, as is worth while where they are few.

    Raises:
        IncompatibleError: If each trajectory starts where its condition says.

    Attributes:
        inner: The environment itself.
        tables: The tables.
        all: (N,) int64 all rows. A batch of states that *is* this tensor is all states: it is then
            looked up without a gather, and evaluation knows children and parents by their rows.
    """

    def __init__(
        self, graph: StateGraph[Any], device: torch.device | str = "cpu", whole: bool = True
    ) -> None:
        self.inner: Any = graph.env
        if self.inner.source_reads_condition:
            raise IncompatibleError(
                f"{self.inner.name}: each trajectory starts where its condition says, so there is "
                f"no one list of its states. Use the environment as it is."
            )
        for name in COPIED:
            setattr(self, name, getattr(self.inner, name))
        self.tables, self.whole = Tables.of(graph, device), whole
        self.num_keys = len(self.tables)
        self.all = torch.arange(self.num_keys, device=device)
        self._version = self.inner.reward.version
        self._values: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """That of the environment itself."""
        return str(self.inner.name)

    @property
    def has_chance(self) -> bool:
        """As of the environment itself."""
        return bool(self.inner.has_chance)

    @property
    def has_partial(self) -> bool:
        """As of the environment itself."""
        return bool(self.inner.has_partial)

    def at(self, table: Tensor, rows: Tensor) -> Tensor:
        """Entries of a table whose first axis are the states."""
        return table if rows is self.all else table[rows]

    def states(self, rows: Tensor) -> Any:
        """The states themselves."""
        return self.tables.states if rows is self.all else take(self.tables.states, rows)

    def unlisted(self, trajectories: Trajectories[Tensor]) -> Trajectories[Any]:
        """Trajectories of the environment itself."""
        held: Any = vars(trajectories) | {"states": self.states(trajectories.states)}
        return Trajectories(**held)

    # ------------------------------------------------------------------ moves

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B,) zeros: the source is the first of the list."""
        return torch.zeros(batch_size, dtype=torch.int64, device=device)

    def encode(self, states: Tensor) -> Any:
        """What the environment itself lets policies read."""
        return self.inner.encode(self.states(states))

    def key(self, states: Tensor) -> Tensor:
        """(B,) the rows as they are."""
        return states

    def object_key(self, states: Tensor) -> Tensor:
        """(B,) that of the environment itself."""
        found: Tensor = self.inner.object_key(self.states(states))
        return found

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        """(N,) all rows."""
        return self.all

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) looked up."""
        return self.at(self.tables.mask, states)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, P) looked up."""
        return self.at(self.tables.back_mask, states)

    def forward_classes(self, states: Tensor) -> Tensor | None:
        """(B, A) looked up."""
        classes = self.tables.classes
        return None if classes is None else self.at(classes, states)

    def backward_classes(self, states: Tensor) -> Tensor | None:
        """(B, P) looked up."""
        classes = self.tables.back_classes
        return None if classes is None else self.at(classes, states)

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) looked up."""
        return self.at(self.tables.terminal, states)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) the first row."""
        return states == 0

    def can_end(self, states: Tensor) -> Tensor:
        """(B,) looked up."""
        return self.at(self.tables.can_end, states)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return self.tables.child.view(-1)[states * self.num_actions + actions]

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return self.tables.parent.view(-1)[states * self.num_backward_actions + actions]

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) looked up."""
        return self.tables.undo.view(-1)[states * self.num_actions + actions]

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) looked up."""
        return self.tables.redo.view(-1)[states * self.num_backward_actions + backward_actions]

    def mover(self, states: Tensor) -> Tensor | None:
        """(B,) looked up."""
        mover = self.tables.mover
        return None if mover is None else self.at(mover, states)

    def chance_law(self, states: Tensor) -> Categorical:
        """That of the environment itself, looked up."""
        law: Categorical = self._chance
        return law if states is self.all else law.take(states)

    @cached_property
    def _chance(self) -> Categorical:
        law: Categorical = self.inner.chance_law(self.tables.states)
        return law

    def max_entropy_logits(self, states: Tensor) -> Tensor | None:
        """(B, P) looked up."""
        return None if self._entropy is None else self.at(self._entropy, states)

    @cached_property
    def _entropy(self) -> Tensor | None:
        found: Tensor | None = self.inner.max_entropy_logits(self.tables.states)
        return found

    # ------------------------------------------------------------------ rewards

    def _value(self, name: str, states: Tensor) -> Any:
        """Entries of a table of the reward, which is made when it is wanted or has changed."""
        version = self.inner.reward.version
        if version != self._version:
            self._version, self._values = version, {}
        if name not in self._values:
            self._values[name] = getattr(self, f"_make_{name}")()
        table = self._values[name]
        return None if table is None else self.at(table, states)

    def _objects(self, ask: Any) -> Tensor:
        """A table of what `ask` says of the objects, zeros for the other states."""
        rows = self.tables.can_end.nonzero().squeeze(1)
        value: Tensor = ask(take(self.tables.states, rows))
        return value.new_zeros(len(self.tables), *value.shape[1:]).index_put((rows,), value)

    def _make_reward(self) -> Tensor:
        return self._objects(self.inner.log_reward)

    def _make_target(self) -> Tensor:
        return self._objects(self.inner.target_log_reward)

    def _make_scores(self) -> Tensor:
        return self._objects(self.inner.scores)

    def _make_players(self) -> Tensor:
        return self._objects(self.inner.player_log_reward)

    def _make_partial(self) -> Tensor:
        found: Tensor = self.inner.partial_log_reward(self.tables.states)
        return found

    def _make_symmetry(self) -> Tensor | None:
        if self.inner.log_symmetry(take(self.tables.states, self.all[:1])) is None:
            return None
        return self._objects(self.inner.log_symmetry)

    def _make_multiplicity(self) -> Tensor | None:
        if self.inner.log_multiplicity(take(self.tables.states, self.all[:1])) is None:
            return None
        return self._objects(self.inner.log_multiplicity)

    def log_reward(
        self, states: Tensor, condition: Tensor | None = None, zero: bool = False
    ) -> Tensor:
        """(B,) looked up, unless a condition is read."""
        if condition is not None or zero:
            found: Tensor = self.inner.log_reward(self.states(states), condition, zero)
            return found
        value: Tensor = self._value("reward", states)
        return value

    def target_log_reward(
        self, states: Tensor, condition: Tensor | None = None, zero: bool = False
    ) -> Tensor:
        """(B,) looked up, unless a condition is read."""
        if condition is not None or zero:
            found: Tensor = self.inner.target_log_reward(self.states(states), condition, zero)
            return found
        value: Tensor = self._value("target", states)
        return value

    def scores(self, states: Tensor) -> Tensor:
        """(B, K) looked up."""
        value: Tensor = self._value("scores", states)
        return value

    def outcome(
        self, states: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B,) target log-rewards and (B, K) scores or None."""
        if not isinstance(self.reward, VectorReward):
            return self.target_log_reward(states, condition), None
        scores = self.scores(states)
        if condition is None:
            target: Tensor = self._value("target", states)
            return target, scores
        return self.inner.target_from_scores(self.states(states), scores, condition), scores

    def target_from_scores(
        self, states: Tensor, scores: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """(B,) that of the environment itself."""
        found: Tensor = self.inner.target_from_scores(self.states(states), scores, condition)
        return found

    def player_log_reward(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, n) looked up, unless a condition is read."""
        if condition is not None:
            found: Tensor = self.inner.player_log_reward(self.states(states), condition)
            return found
        value: Tensor = self._value("players", states)
        return value

    def partial_log_reward(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) looked up, unless a condition is read."""
        if condition is not None:
            found: Tensor = self.inner.partial_log_reward(self.states(states), condition)
            return found
        value: Tensor = self._value("partial", states)
        return value

    def partial_of_trajectories(self, trajectories: Trajectories[Tensor]) -> Tensor:
        """(N,) `partial_log_reward` of the stored states."""
        return self.partial_log_reward(trajectories.states, trajectories.condition_of_states)

    def target_of_trajectories(
        self, trajectories: Trajectories[Tensor], objects: Tensor | None = None
    ) -> Tensor:
        """(N,) `target_log_reward` of the stored states that are objects, 0 for the others."""
        states, given = trajectories.states, trajectories.condition_of_states
        if objects is None:
            return self.target_log_reward(states, given)
        if given is not None:  # others than objects are not to be shown to the reward
            states = states.where(objects, self._some_object)
        return self.target_log_reward(states, given).where(objects, 0.0)

    @cached_property
    def _some_object(self) -> Tensor:
        """() the row of an object."""
        return self.tables.can_end.nonzero()[0, 0]

    def log_symmetry(self, states: Tensor) -> Tensor | None:
        """(B,) looked up."""
        found: Tensor | None = self._value("symmetry", states)
        return found

    def log_multiplicity(self, states: Tensor) -> Tensor | None:
        """(B,) looked up."""
        found: Tensor | None = self._value("multiplicity", states)
        return found

    def known_log_z(self, condition: Tensor | None, count: int) -> Tensor | None:
        """(B,) that of the environment itself."""
        found: Tensor | None = self.inner.known_log_z(condition, count)
        return found

    def complete(self, states: Tensor) -> Tensor:
        """Not needed: energies are looked up."""
        raise IncompatibleError(f"{self.name}: complete the states themselves, `listed.inner`.")

    def show(self, states: Tensor) -> list[str]:
        """What the environment itself shows."""
        lines: list[str] = self.inner.show(self.states(states))
        return lines
