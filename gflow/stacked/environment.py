"""Several runs on one environment as one: states that know whose they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.law import Law
from gflow.state import batch_size, cat, device_of, take
from gflow.trajectories import Trajectories

S = TypeVar("S")

MOST_KEYS = 2**62
"""Keys of all runs together stay below this."""


@dataclass(frozen=True)
class OfRuns(Generic[S]):
    """N states, each of a run.

    Attributes:
        states: N states.
        run: (N,) int64 whose each is.
    """

    states: S
    run: Tensor


class StackedEnvironment(DiscreteEnvironment[OfRuns[Any]]):
    """K environments that differ in nothing but the reward, as one.

    Rows of a batch belong to runs. Equal states of different runs differ, so that what is shared
    is shared within a run alone. All else is asked of the first environment, rewards of each run's
    own unless there is one reward for all.

    Args:
        envs: K environments (see `gflow.stacked.alike`).
        together: Whether their rewards are equal, so that the first one's is asked for all.
    """

    def __init__(self, envs: Sequence[DiscreteEnvironment[Any]], together: bool) -> None:
        self.envs, self.together = tuple(envs), together
        self.one = one = envs[0]
        self.reward = one.reward
        self.horizon, self.stop_action = one.horizon, one.stop_action
        self.num_actions, self.num_backward_actions = one.num_actions, one.num_backward_actions
        self.feature_sizes = one.feature_sizes
        self.has_forced_terminals = one.has_forced_terminals
        self.every_state_stops = one.every_state_stops
        self.condition_dim, self.num_players = one.condition_dim, one.num_players
        self.source_reads_condition = one.source_reads_condition
        self.conditioning = one.conditioning
        self.num_keys = None if one.num_keys is None else one.num_keys * len(envs)
        keyed = one.has_keys and self.num_keys is not None and self.num_keys < MOST_KEYS
        self.has_keys = keyed  # type: ignore[misc]
        self.has_movers = one.has_movers
        self.has_backward = one.has_backward  # type: ignore[misc]

    @property
    def name(self) -> str:
        """Name for messages: that of the environment."""
        return self.one.name

    @property
    def has_chance(self) -> bool:
        """As the environment."""
        return self.one.has_chance

    @property
    def has_partial(self) -> bool:
        """As the environments."""
        return all(env.has_partial for env in self.envs)

    @property
    def num_scores(self) -> int:
        """As the environment."""
        return self.one.num_scores

    # ------------------------------------------------------------------ states and moves

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> OfRuns[Any]:
        """Sources, an equal number for each run, one run after the other."""
        return self.start(batch_size, device)

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> OfRuns[Any]:
        """The same, for conditions (B, C)."""
        each = batch_size // len(self.envs)
        run = torch.arange(len(self.envs), device=device).repeat_interleave(each)
        return OfRuns(self.one.start(batch_size, device, condition), run)

    def encode(self, states: OfRuns[Any]) -> Any:
        """As the environment encodes."""
        return self.one.encode(states.states)

    def key(self, states: OfRuns[Any]) -> Tensor:
        """(B,) int64: those of the environment, run after run."""
        keys = self.one.key(states.states)
        return keys + states.run * self.one.num_keys if self.one.num_keys else super().key(states)

    def all_states(self, device: torch.device | str = "cpu") -> OfRuns[Any] | None:
        """Those of the environment, once for each run."""
        states = self.one.all_states(device)
        if states is None:
            return None
        runs, each = len(self.envs), batch_size(states)
        run = torch.arange(runs, device=device).repeat_interleave(each)
        return OfRuns(cat([states] * runs), run)

    def forward_mask(self, states: OfRuns[Any]) -> Tensor:
        """As the environment."""
        return self.one.forward_mask(states.states)

    def backward_mask(self, states: OfRuns[Any]) -> Tensor:
        """As the environment."""
        return self.one.backward_mask(states.states)

    def _step(self, states: OfRuns[Any], actions: Tensor) -> OfRuns[Any]:
        return OfRuns(self.one._step(states.states, actions), states.run)

    def _backstep(self, states: OfRuns[Any], actions: Tensor) -> OfRuns[Any]:
        return OfRuns(self.one._backstep(states.states, actions), states.run)

    def forward_action(self, states: OfRuns[Any], backward_actions: Tensor) -> Tensor:
        """As the environment."""
        return self.one.forward_action(states.states, backward_actions)

    def backward_action(self, states: OfRuns[Any], actions: Tensor) -> Tensor:
        """As the environment."""
        return self.one.backward_action(states.states, actions)

    def is_terminal(self, states: OfRuns[Any]) -> Tensor:
        """As the environment."""
        return self.one.is_terminal(states.states)

    def is_initial(self, states: OfRuns[Any]) -> Tensor:
        """As the environment."""
        return self.one.is_initial(states.states)

    def can_end(self, states: OfRuns[Any]) -> Tensor:
        """As the environment."""
        return self.one.can_end(states.states)

    def mover(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.mover(states.states)

    def forward_classes(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.forward_classes(states.states)

    def backward_classes(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.backward_classes(states.states)

    def max_entropy_logits(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.max_entropy_logits(states.states)

    def forward_law(self, states: OfRuns[Any], outputs: Tensor) -> Categorical:
        """As the environment."""
        return self.one.forward_law(states.states, outputs)

    def backward_law(self, states: OfRuns[Any], outputs: Tensor | None = None) -> Categorical:
        """As the environment."""
        return self.one.backward_law(states.states, outputs)

    def max_entropy_law(self, states: OfRuns[Any]) -> Categorical:
        """As the environment."""
        return self.one.max_entropy_law(states.states)

    def chance_law(self, states: OfRuns[Any]) -> Law[Any]:
        """As the environment."""
        return self.one.chance_law(states.states)

    def show(self, states: OfRuns[Any]) -> list[str]:
        """As the environment."""
        return self.one.show(states.states)

    # ------------------------------------------------------------------ rewards

    def known_log_z(self, condition: Tensor | None, count: int) -> Tensor | None:
        """(B,) those of each run; rows come run after run, equally many of each."""
        each = count // len(self.envs)
        parts = [None] * len(self.envs) if condition is None else condition.split(each)
        found = [env.known_log_z(c, each) for env, c in zip(self.envs, parts, strict=True)]
        known = [value for value in found if value is not None]
        return torch.cat(known) if known else None

    def log_symmetry(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.log_symmetry(states.states)

    def log_multiplicity(self, states: OfRuns[Any]) -> Tensor | None:
        """As the environment."""
        return self.one.log_multiplicity(states.states)

    def log_reward(
        self, states: OfRuns[Any], condition: Tensor | None = None, zero: bool = False
    ) -> Tensor:
        """(B,) log R, each by the reward of its run."""
        return self._each(states, condition, lambda env, s, c: env.log_reward(s, c, zero))

    def target_log_reward(
        self, states: OfRuns[Any], condition: Tensor | None = None, zero: bool = False
    ) -> Tensor:
        """(B,) what objectives train on, each by the reward of its run."""
        return self._each(states, condition, lambda env, s, c: env.target_log_reward(s, c, zero))

    def partial_log_reward(self, states: OfRuns[Any], condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energies, each by the reward of its run."""
        return self._each(states, condition, lambda env, s, c: env.partial_log_reward(s, c))

    def player_log_reward(self, states: OfRuns[Any], condition: Tensor | None = None) -> Tensor:
        """(B, n) those of all players, each by the reward of its run."""
        return self._each(states, condition, lambda env, s, c: env.player_log_reward(s, c))

    def scores(self, states: OfRuns[Any]) -> Tensor:
        """(B, K) raw objectives, each by the reward of its run."""
        return self._each(states, None, lambda env, s, c: env.scores(s))

    def outcome(
        self, states: OfRuns[Any], condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B,) target log-rewards and (B, K) scores or None, each by the reward of its run."""
        if self.together:
            return self.one.outcome(states.states, condition)
        if not self.num_scores:
            return self.target_log_reward(states, condition), None
        both = self._each(states, condition, _columns)
        return both[:, 0], both[:, 1:]

    def partial_of_trajectories(self, trajectories: Trajectories[OfRuns[Any]]) -> Tensor:
        """(N,) `partial_log_reward` of the stored states."""
        if self.together:
            return self.one.partial_of_trajectories(without_runs(trajectories))
        return self.partial_log_reward(trajectories.states, trajectories.condition_of_states)

    def target_of_trajectories(
        self, trajectories: Trajectories[OfRuns[Any]], objects: Tensor | None = None
    ) -> Tensor:
        """(N,) `target_log_reward` of the stored states that are objects, 0 for the others."""
        if self.together:
            return self.one.target_of_trajectories(without_runs(trajectories), objects)
        states, given = trajectories.states, trajectories.condition_of_states
        rows = torch.arange(batch_size(states), device=device_of(states))
        rows = rows if objects is None else objects.nonzero().squeeze(1)
        value = self.target_log_reward(take(states, rows), None if given is None else given[rows])
        return value.new_zeros(batch_size(states)).index_put((rows,), value)

    def _each(
        self,
        states: OfRuns[Any],
        condition: Tensor | None,
        ask: Callable[[DiscreteEnvironment[Any], Any, Tensor | None], Tensor],
    ) -> Tensor:
        """(B, ...) what each run's environment says of its own rows."""
        if self.together:
            return ask(self.one, states.states, condition)
        found: Tensor | None = None
        for number, env in enumerate(self.envs):
            rows = (states.run == number).nonzero().squeeze(1)
            if not len(rows):
                continue
            given = None if condition is None else condition[rows]
            value = ask(env, take(states.states, rows), given)
            if found is None:
                found = value.new_zeros(len(states.run), *value.shape[1:])
            found = found.index_put((rows,), value)
        return ask(self.one, states.states, condition) if found is None else found


def _columns(env: DiscreteEnvironment[Any], states: Any, condition: Tensor | None) -> Tensor:
    """(B, 1 + K) target log-rewards and scores."""
    value, scores = env.outcome(states, condition)
    return value[:, None] if scores is None else torch.cat([value[:, None], scores], 1)


def without_runs(trajectories: Trajectories[OfRuns[S]]) -> Trajectories[S]:
    """The same trajectories, their states as the environment has them."""
    bare: Any = replace(trajectories, states=trajectories.states.states)  # type: ignore[arg-type]
    same: Trajectories[S] = bare
    return same


def of_runs(parts: Sequence[Trajectories[S]]) -> Trajectories[OfRuns[S]]:
    """The trajectories of K runs as one batch, run after run."""
    marked: list[Trajectories[OfRuns[S]]] = []
    for number, part in enumerate(parts):
        run = torch.full_like(part.length[:1], number).expand(part.num_states)
        marked.append(replace(part, states=OfRuns(part.states, run)))  # type: ignore[arg-type]
    return Trajectories.join(marked)
