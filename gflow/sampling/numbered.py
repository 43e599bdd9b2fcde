"""How a batch walks where moves are numbered: forward, backward, or along given actions."""

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.errors import IllegalActionError, ShapeError
from gflow.listed.env import Listed
from gflow.policies.base import Policy, Session, backward_law
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.reversed import Reversed, turned
from gflow.sampling.walk import (
    Ask,
    Draw,
    Walk,
    walk_listed,
    walk_ragged,
    walk_static,
    walk_whole,
)
from gflow.state import batch_size, device_of, take

S = TypeVar("S")

LIST_KEYS = 8
"""With at most this many keys per trajectory, all states are evaluated at once."""

LIST_MOST = 512
"""More states than this are never listed. A batch of many trajectories visits few of many states,
mostly the same ones: from about a thousand up, looking for equal ones was always faster."""


class Look(NamedTuple):
    """What decides about the next actions at U states.

    Attributes:
        law: Whose move it is included.
        other: That of another policy, to mix in; None for none.
        chance: (U,) bool where nothing may be explored; None if nowhere.
    """

    law: Categorical
    other: Categorical | None = None
    chance: Tensor | None = None

    def take(self, rows: Tensor) -> "Look":
        """The same for some of the states, repeatedly."""
        return Look(
            self.law.take(rows),
            None if self.other is None else self.other.take(rows),
            None if self.chance is None else self.chance[rows],
        )


class NumberedMoves:
    """Walks by numbered actions; see `Sampler` for what the arguments mean.

    Args:
        env: The environment.
        plan: "ragged", "static" or "auto".
        share: Whether equal states are evaluated once.
    """

    def __init__(self, env: DiscreteEnvironment[Any], plan: str, share: bool | None) -> None:
        self.env, self.plan, self.share = env, plan, share
        self._distinct = Distinct(env.num_keys)
        self._all: Any = None

    def forward(
        self,
        policy: Policy,
        start: S,
        session: Session | None,
        exploration: Exploration,
        condition: Tensor | None,
        limit: int | None,
        generator: torch.Generator | None,
    ) -> Walk[S]:
        """Walk on from B states with the policy as explored, for at most `limit` transitions."""
        env, count, device = self.env, batch_size(start), device_of(start)
        uniform = None
        if exploration.trajectory_epsilon:
            coin = torch.rand(count, device=device, generator=generator)
            uniform = coin < exploration.trajectory_epsilon
        may_stick = not (env.every_state_stops or self.static(device))
        other = exploration.other
        law_of = env.law if env.has_chance else env.forward_law

        def law_at(states: Any, rows: Tensor) -> Categorical:
            if session is None:
                given = None if condition is None else condition[rows]
                logits = policy.forward_logits(env, states, given)
            else:
                logits = session(states, rows)
            law = law_of(states, logits)
            if may_stick and not bool(law.mask.any(-1).all()):
                _refuse_stuck(env, states, law.mask)
            return law

        def look(states: Any, rows: Tensor) -> Look:
            law, mixed = law_at(states, rows), None
            if other is not None:
                given = None if condition is None else condition[rows]
                mixed = env.law(states, other.forward_logits(env, states, given))
            mover = env.mover(states) if env.has_chance else None
            return Look(law, mixed, None if mover is None else mover == CHANCE)

        def explore(look: Look, rows: Tensor, time: int) -> Tensor:
            far = None if uniform is None else uniform[rows]
            law = exploration.explored(look.law, look.other, far, env.stop_action, generator)
            if look.chance is not None:
                law = look.law.where(look.chance, law)
            return law.sample(generator)[0]

        plain = exploration is ON_POLICY
        ask: Ask = law_at if plain else look
        draw: Draw = self._draw(generator) if plain else explore
        return self._walk(env, start, ask, draw, condition, session is not None, limit)

    def backward(
        self,
        policy: Policy,
        objects: S,
        condition: Tensor | None,
        generator: torch.Generator | None,
    ) -> Walk[S]:
        """A walk from B objects to the source by the backward policy, in forward time."""
        env = self.env

        def ask(states: Any, rows: Tensor) -> Categorical:
            learned = None
            if policy.backward == "learned":
                given = None if condition is None else condition[rows]
                learned = policy.backward_logits(env, states, given)
            return backward_law(env, policy, states, learned)

        walk = self._walk(Reversed(env), objects, ask, self._draw(generator), condition)
        return turned(env, walk, objects)

    def along(self, actions: Tensor, length: Tensor, condition: Tensor | None) -> Walk[Any]:
        """A walk that takes given actions; see `Sampler.along`."""
        env = self.env
        if actions.dim() != 2 or tuple(length.shape) != (actions.shape[0],):
            raise ShapeError(
                f"`actions` must be (B, T) and `length` (B,), got {tuple(actions.shape)} and "
                f"{tuple(length.shape)}."
            )
        count = actions.shape[0]

        def ask(states: Any, rows: Tensor) -> Categorical:
            return Categorical(None, env.forward_mask(states))

        def draw(law: Categorical, rows: Tensor, time: int) -> Tensor:
            short = length[rows] <= time
            if bool(short.any()):
                row = int(rows[short][0])
                raise IllegalActionError(
                    f"{env.name}: trajectory {row} is not finished after its {int(length[row])} "
                    f"actions. Give all actions up to the end, a stop included."
                )
            chosen, mask = actions[rows, time], law.mask
            illegal = ~mask.gather(1, chosen[:, None].clamp(0, env.num_actions - 1)).squeeze(1)
            illegal |= (chosen < 0) | (chosen >= env.num_actions)
            if bool(illegal.any()):
                row = int(illegal.nonzero()[0])
                raise IllegalActionError(
                    f"{env.name}: action {int(chosen[row])} of trajectory {int(rows[row])} is "
                    f"illegal at time {time}; legal: {mask[row].nonzero().flatten().tolist()}."
                )
            return chosen

        share = self._shared(condition)
        walk = walk_ragged(env, env.start(count, actions.device, condition), ask, draw, share)
        if bool((walk.length < length).any()):
            row = int((walk.length < length).nonzero()[0])
            raise IllegalActionError(
                f"{env.name}: trajectory {row} is finished after {int(walk.length[row])} of its "
                f"{int(length[row])} actions."
            )
        return walk

    # ------------------------------------------------------------------ plans

    @staticmethod
    def _draw(generator: torch.Generator | None) -> Draw:
        """Actions from laws as they are."""

        def draw(law: Categorical, rows: Tensor, time: int) -> Tensor:
            return law.sample(generator)[0]

        return draw

    def static(self, device: torch.device | str) -> bool:
        """Whether walks on a device go on to the horizon, with all rows."""
        if self.plan == "auto":
            return torch.device(device).type != "cpu"
        return self.plan == "static"

    def _shared(self, condition: Tensor | None) -> Distinct | None:
        if condition is not None or not self.env.has_keys:
            return None
        return self._distinct if self.share is not False else None

    def _listed(self, count: int, device: torch.device, condition: Tensor | None) -> Any:
        """All states, if evaluating them all is less work than walking, else None."""
        keys = self.env.num_keys
        if condition is not None or self.share is not None or keys is None:
            return None
        if keys > min(LIST_KEYS * count, LIST_MOST):
            return None
        if self._all is None or device_of(self._all) != device:
            self._all = self.env.all_states(device)
        return self._all

    def _walk(
        self,
        env: DiscreteEnvironment[S],
        start: S,
        ask: Ask,
        draw: Draw,
        condition: Tensor | None,
        apart: bool = False,
        limit: int | None = None,
    ) -> Walk[S]:
        """A walk by the plan in force; `apart` keeps equal states of different rows apart."""
        count, device = batch_size(start), device_of(start)
        if isinstance(self.env, Listed) and self.env.whole and condition is None:
            walk = walk_whole if self.static(device) else walk_listed
            whole: Walk[Any] = walk(env, start, self.env.all, ask, draw, limit)
            return whole
        if self.static(device):
            return walk_static(env, start, ask, draw, limit)
        if apart:
            return walk_ragged(env, start, ask, draw, limit=limit)
        listed = self._listed(count, device, condition)
        if listed is not None:
            return walk_listed(env, start, listed, ask, draw, limit)
        return walk_ragged(env, start, ask, draw, self._shared(condition), limit)


def _refuse_stuck(env: DiscreteEnvironment[Any], states: Any, mask: Tensor) -> None:
    """Complain if a state without legal action is not a finished object."""
    stuck = ~mask.any(-1) & ~env.is_terminal(states)
    if bool(stuck.any()):
        rows = stuck.nonzero().squeeze(1)
        env.refuse_stuck(take(states, rows), mask[rows])
