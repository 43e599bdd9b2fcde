"""Objects and states: what is true of every environment, discrete or continuous."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from gflow.environment.law import Law
from gflow.environment.movers import CHANCE
from gflow.environment.scored import Scored
from gflow.errors import IncompatibleError
from gflow.rewards.base import LogReward
from gflow.rewards.scalarizations import AtTemperature
from gflow.rewards.vector import VectorReward
from gflow.shown import in_a_line
from gflow.state import as_tuples

if TYPE_CHECKING:
    from gflow.conditions.conditioning import Conditioning

S = TypeVar("S")


class Environment(Scored[S], ABC):
    """States between a source and finished objects, and the reward of these, in batches.

    How one gets from state to state is said by the two kinds: a `DiscreteEnvironment` has
    actions that are numbered, a `ContinuousEnvironment` has densities. What differs is one object,
    the `Law` of the moves at a batch of states. States are a tensor or a frozen dataclass of
    tensors with the batch first (see `gflow.state`). What asks the reward stands in `Scored`.

    Attributes:
        reward: `LogReward` of finished objects.
        every_state_stops: True promises that the stop action is legal in every state.
        horizon: Largest number of transitions of a trajectory, a stop included.
        stop_action: Number of the stop action, or None if objects end by force alone.
        feature_sizes: K numbers; column k of `encode` lies in ``range(feature_sizes[k])``.
        has_forced_terminals: False promises that objects end by `stop_action` alone.
        num_keys: `key` lies in ``range(num_keys)``, or None if that range is not small.
        condition_dim: Width of the condition that reward and policy read, 0 for none.
        source_reads_condition: Each trajectory starts where its condition says (see `start`).
        numbered: Moves are numbered actions; else they have densities. Said by the kind.
        has_keys: `key` is defined.
        has_movers: `mover` is defined: some moves are not the agent's.
        chance_adds: Chance adds moves of its own, maybe several in a row, as a tool's answers are;
            else it decides what becomes of each of the agent's.
        has_backward: Moves back are defined. Without them (games, whose positions do not tell
            whether they can be reached) nothing is sampled backward, and objectives read no P_B.
        num_players: How many have a reward of their own: 1, or the players of a game.
        conditioning: What the conditions are, where that was chosen (`Conditioning.applied`).
    """

    horizon: int
    stop_action: int | None = None
    feature_sizes: tuple[int, ...] = ()
    has_forced_terminals: bool = True
    num_keys: int | None = None
    condition_dim: int = 0
    source_reads_condition: bool = False
    num_players: int = 1
    conditioning: "Conditioning | None" = None
    numbered: ClassVar[bool]
    has_keys: ClassVar[bool]
    has_movers: bool
    chance_adds: bool = False
    has_backward: ClassVar[bool] = True

    def __init_subclass__(cls, kind: bool = False, **kwargs: Any) -> None:
        """Give what is derived from this class itself the discrete kind; `kind` marks the kinds."""
        super().__init_subclass__(**kwargs)
        if not kind and Environment in cls.__bases__:
            from gflow.environment.discrete import DiscreteEnvironment

            cls.__bases__ = tuple(
                DiscreteEnvironment if base is Environment else base for base in cls.__bases__
            )
        cls.has_keys = cls.key is not Environment.key
        cls.has_movers = cls.mover is not Environment.mover

    # ------------------------------------------------------------------ what a subclass defines

    @abstractmethod
    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> S:
        """B copies of the source s0."""

    # What follows is said by the two kinds, or asked of a subclass by them.

    def is_terminal(self, states: S) -> Tensor:
        """(B,) bool: the object is finished by force."""
        raise NotImplementedError

    def is_initial(self, states: S) -> Tensor:
        """(B,) bool: the state is the source s0."""
        raise NotImplementedError

    def can_end(self, states: S) -> Tensor:
        """(B,) bool: the state is a finished object, or may be declared one by stopping."""
        raise NotImplementedError

    def forward_law(self, states: S, outputs: Tensor) -> Law[Any]:
        """The law of the next move that the policy means.

        Args:
            states: B states. Finished ones may be among them; their law means nothing.
            outputs: (B, A) raw outputs of the policy.
        """
        raise NotImplementedError

    def backward_law(self, states: S, outputs: Tensor | None = None) -> Law[Any]:
        """The law of the move back.

        Args:
            states: B states. Sources may be among them; their law means nothing.
            outputs: (B, P) raw outputs of the policy, or None for the fixed law.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------ what a subclass may define

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> S:
        """B sources for the conditions (B, C) of a batch: `initial`, unless they differ by it."""
        return self.initial(batch_size, device)

    def encode(self, states: S) -> Any:
        """What the policy reads; by default the states, (B, K) int64 within `feature_sizes`."""
        return states

    def key(self, states: S) -> Tensor:
        """(B,) int64: equal exactly for equal states."""
        raise IncompatibleError(
            f"{self.name} defines no `key`, so states cannot be compared by number. "
            f"Define `key(states)` as a (B,) int64 that differs for different states."
        )

    def object_key(self, states: S) -> Tensor:
        """(B,) int64: equal exactly for finished states that stand for the same object.

        The key, unless several finished states do (`log_multiplicity`). What remembers or counts
        objects tells them apart by it.
        """
        return self.key(states)

    def backward_action(self, states: S, actions: Tensor) -> Tensor:
        """(B,) int64: the move back that undoes `actions`, (B,) int64, taken at `states`."""
        return actions

    def mover(self, states: S) -> Tensor | None:
        """(B,) int64 whose move it is at each state; None (the default): all the agent's.

        `AGENT`, a player, or `CHANCE` (see `gflow.environment.movers`).
        """
        return None

    def player_log_reward(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B, n) log-reward of finished objects for each of `num_players` players.

        Of one: the target log-reward. Of two, r and -r: what one wins the other loses, and `reward`
        is the first player's. Of more: to be defined.

        Raises:
            IncompatibleError: If there are more than two players.
        """
        if self.num_players > 2:
            raise IncompatibleError(
                f"{self.name} has {self.num_players} players and one reward. Define "
                f"`player_log_reward(states)` as the (B, {self.num_players}) log-rewards of all."
            )
        first = self.target_log_reward(states, condition)
        return torch.stack([first, -first], 1) if self.num_players == 2 else first[:, None]

    def chance_law(self, states: S) -> Law[Any]:
        """The law of the moves at states where it is chance's turn; for others it means nothing.

        Of the same kind as `forward_law`: for numbered moves a `Categorical` over the actions that
        `forward_mask` allows there.
        """
        raise IncompatibleError(
            f"{self.name}: `mover` gives moves to chance, and there is no `chance_law`. Define "
            f"`chance_law(states)` as the law of these moves."
        )

    def max_entropy_law(self, states: S) -> Law[Any]:
        """The law of the move back that makes all trajectories to an object equally likely.

        Raises:
            IncompatibleError: If the environment cannot count its trajectories.
        """
        raise IncompatibleError(
            f"{self.name} cannot count its trajectories, so the maximum-entropy backward policy is "
            f"not available. Use backward='uniform' or 'learned'."
        )

    def written(self, states: S) -> list[Any]:
        """B objects as people write them in Python, hashable: what their own functions take.

        By default the lines of `show`, or, without it, the numbers of states as tuples.
        """
        if type(self).show is Scored.show and isinstance(states, Tensor):
            return as_tuples(states)
        return list(self.show(states))

    def log_partition(self) -> float | None:
        """Log Z in closed form, if the environment knows it."""
        return None

    def known_log_z(self, condition: Tensor | None, count: int) -> Tensor | None:
        """(B,) log Z for each of `count` trajectories, where the reward is such that it is known.

        Flows are anchored at it (see `LogReward.known_log_z`); `log_partition` is for comparison.
        """
        known = self.reward.known_log_z(condition) if self.reward.has_known_log_z else None
        return None if known is None else known.expand(count)

    def reaches(self, states: S, objects: S) -> Tensor | None:
        """(B,) bool: moves lead from a state to the object in its row; None: that is not known.

        A finished object reaches itself.
        """
        return None

    @property
    def has_exact_objects(self) -> bool:
        """Whether `exact_objects` can draw from the target."""
        return False

    def exact_objects(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> S:
        """`count` independent finished objects, distributed exactly as R / Z, where it is possible.

        Raises:
            IncompatibleError: If it is not.
        """
        raise IncompatibleError(
            f"{self.name} cannot draw objects exactly in proportion to their reward."
        )

    def condition_encoder(self) -> nn.Module | None:
        """A fresh module with `out_features` that networks read (N, C) conditions with.

        None, the default, reads them as they are.
        """
        return None if self.conditioning is None else self.conditioning.encoder(self)

    def with_temperature(self) -> "Environment[S]":
        """The same on R^beta, beta being the last entry of the condition.

        Overridden where more than the reward says what is sampled, such as the score of a density.
        """
        from gflow.environment.rewarded import with_reward
        from gflow.rewards.wrappers import TemperatureConditional, TemperedEnvironment

        reward: LogReward[S]
        if isinstance(self.reward, VectorReward):
            reward = self.reward.combined(AtTemperature(self.reward.scalarization))
        elif type(self).partial_log_reward is not Scored.partial_log_reward:
            reward = TemperedEnvironment(self)
        else:
            reward = TemperatureConditional(self.reward)
        return with_reward(self, reward, self.condition_dim + 1)

    # ------------------------------------------------------------------ what the engine adds

    __repr__ = in_a_line

    @property
    def has_chance(self) -> bool:
        """Whether some moves are chance's: there is a law of them, or there must be."""
        if type(self).chance_law is not Environment.chance_law:
            return True
        return self.has_movers and self.num_players == 1

    def law(self, states: S, outputs: Tensor) -> Law[Any]:
        """The law of the next move whoever makes it: the policy's, or chance's own.

        No output of the policy counts where it is chance's turn.

        Args:
            states: B states.
            outputs: (B, A) raw outputs of the policy.
        """
        law = self.forward_law(states, outputs)
        mover = self.mover(states) if self.has_chance else None
        return law if mover is None else law.where(mover != CHANCE, self.chance_law(states))
