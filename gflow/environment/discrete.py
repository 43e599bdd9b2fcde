"""The one interface that discrete environments implement and the engine consumes."""

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.categorical import Categorical
from gflow.errors import IllegalActionError, IncompatibleError, ShapeError
from gflow.masking import representatives
from gflow.state import batch_size, device_of, equal_rows

S = TypeVar("S")


class DiscreteEnvironment(Environment[S], kind=True):
    r"""A pointed directed acyclic graph of states, handled in batches.

    An environment is immutable and remembers nothing: states go in, states come out. States are
    a tensor or a frozen dataclass of tensors with the batch first (see `gflow.state`).

    Shapes: B states, A = `num_actions` forward actions, P = `num_backward_actions`, K features.

    **How objects end.** Either no action is left (*forced*: `is_terminal` is true and
    `forward_mask` has no legal action), or the policy takes `stop_action`, which by convention is
    the last forward action. Stopping changes no tensor: the object built is the state in which
    the policy stopped, so `_step` never sees the stop action and undoing a stop has probability 1.
    An environment may use both.

    **What a subclass defines.** `initial`, `forward_mask`, `backward_mask`, `_step`, `_backstep`,
    the sizes, and, unless forward action i is undone by backward action i, the two action maps.
    Without `backward_mask` and `_backstep` there are no moves back (`has_backward`): objectives
    that read no P_B still work, such as those of games.
    `key` makes sharing of network passes, replay by object and exact solutions possible.
    All of these are tensor programs: no loop over the batch, no read by the host, no change of
    their arguments, and no error for an action that is illegal in a row (its result is thrown
    away: on a GPU finished rows step along with the others).

    Attributes:
        num_actions: A, the stop action included.
        num_backward_actions: P; undoing a stop is not among them. 0 without moves back.

    The other attributes are those of `Environment`.
    """

    numbered = True
    num_actions: int
    num_backward_actions: int = 0

    def __init_subclass__(cls, kind: bool = False, **kwargs: Any) -> None:
        """Note whether there are moves back."""
        super().__init_subclass__(kind, **kwargs)
        cls.has_backward = cls.backward_mask is not DiscreteEnvironment.backward_mask

    # ------------------------------------------------------------------ what a subclass defines

    @abstractmethod
    def forward_mask(self, states: S) -> Tensor:
        """(B, A) bool: legal forward actions. All False where the object is finished by force."""

    def backward_mask(self, states: S) -> Tensor:
        """(B, P) bool: legal backward actions. All False at s0 only."""
        return torch.zeros(batch_size(states), 0, dtype=torch.bool, device=device_of(states))

    @abstractmethod
    def _step(self, states: S, actions: Tensor) -> S:
        """Children reached by `actions`, (B,) int64, none of them a stop."""

    def _step_undone(self, states: S, actions: Tensor) -> tuple[S, Tensor | None]:
        """The children, and what `backward_action` says, where that comes with the step.

        None where it does not: then it is asked for all steps of a walk together.
        """
        return self._step(states, actions), None

    def _backstep(self, states: S, actions: Tensor) -> S:
        """Parents reached by backward `actions`, (B,) int64."""
        raise IncompatibleError(
            f"{self.name} defines no moves back. Define `backward_mask` and `_backstep`, or use "
            f"what walks forward alone."
        )

    # ------------------------------------------------------------------ what a subclass may define

    def forward_action(self, states: S, backward_actions: Tensor) -> Tensor:
        """(B,) int64: the action at ``backstep(states, backward_actions)`` that leads here."""
        return backward_actions

    def is_terminal(self, states: S) -> Tensor:
        """(B,) bool: the object is finished because no action is left."""
        return ~self.forward_mask(states).any(-1)

    def is_initial(self, states: S) -> Tensor:
        """(B,) bool: the state is the source s0: none that a move leads to."""
        if not self.has_backward:
            return equal_rows(states, self.initial(batch_size(states), device_of(states)))
        return ~self.backward_mask(states).any(-1)

    def all_states(self, device: torch.device | str = "cpu") -> S | None:
        """The states with keys 0, 1, ... num_keys - 1 in this order, or None.

        Where there are few, the sampler asks the network once for all of them and steps by gathers.
        Keys that belong to no state may stand for any state.
        """
        return None

    def forward_classes(self, states: S) -> Tensor | None:
        """(B, A) int64: for each action the first legal action with the same child.

        None (the default) promises that different legal actions lead to different children.
        With classes, log P_F of a transition sums over its class, so that policies speak about
        states and not about labels of actions.
        """
        return None

    def backward_classes(self, states: S) -> Tensor | None:
        """(B, P) int64: for each backward action the first legal one with the same parent."""
        return None

    def max_entropy_logits(self, states: S) -> Tensor | None:
        """(B, P) log n(parent) up to a constant per row, n counting trajectories from s0, or None.

        The maximum-entropy backward policy is P_B(s | s') = n(s) / n(s'): all
        trajectories to an object are equally likely.
        """
        return None

    # ------------------------------------------------------------------ what the engine adds

    def forward_law(self, states: S, outputs: Tensor) -> Categorical:
        """softmax(outputs) over legal actions; see `Environment.forward_law`."""
        return Categorical(
            outputs, self.forward_mask(states), partial(self.forward_classes, states)
        )

    if TYPE_CHECKING:

        def law(self, states: S, outputs: Tensor) -> Categorical:
            """The law of the next action, whoever moves; see `Environment.law`."""

    def backward_law(self, states: S, outputs: Tensor | None = None) -> Categorical:
        """softmax(outputs) over legal backward actions; without outputs even over parents."""
        if outputs is None:
            return self._over_parents(states, None)
        classes = partial(self.backward_classes, states)
        return Categorical(outputs, self.backward_mask(states), classes)

    def max_entropy_law(self, states: S) -> Categorical:
        """P_B(s | s') = n(s) / n(s') by `max_entropy_logits`; see `Environment.max_entropy_law`."""
        logits = self.max_entropy_logits(states)
        if logits is None:
            super().max_entropy_law(states)  # refuses
        return self._over_parents(states, logits)

    def _over_parents(self, states: S, logits: Tensor | None) -> Categorical:
        """A law of parents: of equivalent actions only the first is legal."""
        mask, classes = self.backward_mask(states), self.backward_classes(states)
        if classes is not None:
            mask = representatives(mask, classes)
        return Categorical(logits, mask, lambda: classes)

    def step(self, states: S, actions: Tensor) -> S:
        """Children reached by `actions`, (B,) int64, after checking that each is legal.

        Raises:
            IllegalActionError: With the row, the state and its legal actions.
        """
        self._refuse_illegal("forward", states, self.forward_mask(states), actions)
        if self.stop_action is not None and bool((actions == self.stop_action).any()):
            raise IllegalActionError(
                f"{self.name}: `step` was given the stop action {self.stop_action}. Stopping "
                f"changes no state: the object is the state at hand; leave those rows out."
            )
        return self._step(states, actions)

    def backstep(self, states: S, actions: Tensor) -> S:
        """Parents reached by backward `actions`, (B,) int64, after checking that each is legal."""
        if self.has_backward:
            self._refuse_illegal("backward", states, self.backward_mask(states), actions)
        return self._backstep(states, actions)

    def can_end(self, states: S) -> Tensor:
        """(B,) bool: the state is a finished object, or may be declared one by stopping."""
        if self.stop_action is None:
            return self.is_terminal(states)
        stops = self.forward_mask(states)[:, self.stop_action]
        return stops | self.is_terminal(states) if self.has_forced_terminals else stops

    # ------------------------------------------------------------------ complaints

    def refuse_stuck(self, states: S, mask: Tensor) -> NoReturn:
        """Complain about states in which no forward action is legal although they can go on."""
        row = int((~mask.any(-1)).nonzero()[0])
        which = self.shown(states, row)
        raise IllegalActionError(
            f"{self.name}: `forward_mask` allows no action in the state {which}, yet `is_terminal` "
            f"does not call it finished. Allow an action there, or make `is_terminal` true."
        )

    def _refuse_illegal(self, direction: str, states: S, mask: Tensor, actions: Tensor) -> None:
        size = mask.shape[1]
        if tuple(actions.shape) != (mask.shape[0],):
            raise ShapeError(
                f"{self.name}: {direction} actions must have shape ({mask.shape[0]},), "
                f"got {tuple(actions.shape)}."
            )
        inside = (actions >= 0) & (actions < size)
        illegal = ~(inside & mask.gather(1, actions.clamp(0, size - 1)[:, None]).squeeze(1))
        if not bool(illegal.any()):
            return
        row = int(illegal.nonzero()[0])
        which = self.shown(states, row)
        raise IllegalActionError(
            f"{self.name}: {direction} action {int(actions[row])} is illegal in row {row} "
            f"({int(illegal.sum())} of {len(actions)} rows are). The state there is {which}; "
            f"legal: {mask[row].nonzero().flatten().tolist()}. Mask the logits with "
            f"`env.{direction}_mask(states)` before sampling."
        )


def require_numbered(env: Environment[S], who: str, instead: str) -> DiscreteEnvironment[S]:
    """The environment, for what makes sense only where moves are numbered.

    Args:
        env: Any environment.
        who: What asks, for the message.
        instead: What to do otherwise: a sentence.

    Raises:
        IncompatibleError: If the moves have densities.
    """
    if not isinstance(env, DiscreteEnvironment):
        raise IncompatibleError(
            f"{who} counts actions, and the moves of {env.name} have densities. {instead}"
        )
    return env


def require_backward(env: Environment[Any], who: str, instead: str) -> None:
    """Refuse an environment without moves back, for what walks back or looks back.

    Args:
        env: Any environment.
        who: What asks, with what it does: the beginning of a sentence.
        instead: What to do otherwise: a sentence.

    Raises:
        IncompatibleError: If it defines none.
    """
    if not env.has_backward:
        raise IncompatibleError(f"{who}, and {env.name} defines no moves back. {instead}")
