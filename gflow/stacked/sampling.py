"""One walk for K runs: their rows step together, and each run's moves are those it makes alone."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.movers import CHANCE
from gflow.sampling.numbered import LIST_KEYS, LIST_MOST, Look, NumberedMoves, _refuse_stuck
from gflow.sampling.sampler import Plan, Sampler
from gflow.sampling.walk import Walk
from gflow.stacked.draws import Dice, Explorations
from gflow.stacked.environment import OfRuns, StackedEnvironment
from gflow.stacked.policy import StackedPolicy
from gflow.state import batch_size, device_of, take
from gflow.trajectories import Trajectories


class StackedMoves(NumberedMoves):
    """Walks of K runs at once, forward.

    Args:
        env: The environments of the runs.
        plan: Of the runs: "ragged", "static" or "auto".
    """

    env: StackedEnvironment

    def __init__(self, env: StackedEnvironment, plan: Plan) -> None:
        super().__init__(env, plan, None)

    def together(
        self,
        policy: StackedPolicy,
        start: OfRuns[Any],
        explorations: Explorations,
        condition: Tensor | None,
        dice: Dice,
    ) -> Walk[Any]:
        """Walk on from B states, run after run, to the end.

        Args:
            policy: The policies of the runs.
            start: B states, equally many of each run.
            explorations: How each run explores.
            condition: (B, C) or None.
            dice: Their generators.
        """
        env, count, runs = self.env, batch_size(start), len(self.env.envs)
        each = count // runs
        everyone = [each] * runs
        far = explorations.whole(each, dice, start.run)
        may_stick = not (env.every_state_stops or self.static(device_of(start)))
        law_of = env.law if env.has_chance else env.forward_law
        plain = explorations.none

        def ask(states: Any, rows: Tensor) -> Look:
            given = None if condition is None else condition[rows]
            law = law_of(states, policy.forward_logits(env, states, given))
            if may_stick and not bool(law.mask.any(-1).all()):
                _refuse_stuck(env, states, law.mask)
            mover = env.mover(states) if env.has_chance and not plain else None
            return Look(law, None, None if mover is None else mover == CHANCE)

        def draw(look: Look, rows: Tensor, time: int) -> Tensor:
            counts = everyone
            if rows.shape[0] < count:
                whose = rows.div(each, rounding_mode="floor")
                counts = torch.bincount(whose, minlength=runs).tolist()
            law: Categorical = look.law
            if not plain:
                uniform = None if far is None else far[rows]
                law = explorations.explored(look.law, uniform, env.stop_action, counts, dice)
                if look.chance is not None:
                    law = look.law.where(look.chance, law)
            return dice.choose(law, counts)

        return self._walk(env, start, ask, draw, condition)

    def _listed(self, count: int, device: torch.device, condition: Tensor | None) -> Any:
        """All states of all runs where each run by itself would list them."""
        keys, each = self.env.one.num_keys, count // len(self.env.envs)
        if condition is not None or keys is None or keys > min(LIST_KEYS * each, LIST_MOST):
            return None
        if self._all is None or device_of(self._all) != device:
            self._all = self.env.all_states(device)
        return self._all


class StackedSampler(Sampler):
    """Draws trajectories of K runs at once.

    Args:
        env: The environments of the runs.
        plan: Of the runs.
    """

    def __init__(self, env: StackedEnvironment, plan: Plan = "auto") -> None:
        super().__init__(env, plan)
        self.runs = StackedMoves(env, plan)

    @torch.no_grad()
    def together(
        self,
        policy: StackedPolicy,
        each: int,
        explorations: Explorations,
        dice: Dice,
        condition: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> Trajectories[OfRuns[Any]]:
        """`each` trajectories of every run, run after run.

        Args:
            policy: The policies of the runs.
            each: B, of a run.
            explorations: How each run explores.
            dice: Their generators.
            condition: (K B, C) or None.
            device: Where to sample.
        """
        start = self.env.start(each * len(dice.generators), device, condition)
        walk = self.runs.together(policy, start, explorations, condition, dice)
        return only_visited(self._finish(walk, condition))


def only_visited(trajectories: Trajectories[Any]) -> Trajectories[Any]:
    """The same trajectories with a store of the states that they visit."""
    index = trajectories.state_index
    used = torch.zeros(trajectories.num_states, dtype=torch.bool, device=index.device)
    used[index.flatten()] = True
    rows = used.nonzero().squeeze(1)
    if rows.shape[0] == len(used):
        return trajectories
    place = used.cumsum(0) - 1
    owner = None if trajectories.condition is None else trajectories.owner
    return replace(
        trajectories,
        states=take(trajectories.states, rows),
        state_index=place[index],
        owner=None if owner is None else owner[rows],
    )
