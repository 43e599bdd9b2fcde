"""All trajectories of a small environment, as one batch."""

from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.exact.graph import checked_condition
from gflow.masking import representatives
from gflow.sampling.sampler import Sampler
from gflow.state import take
from gflow.trajectories import Trajectories

S = TypeVar("S")


def all_trajectories(
    env: DiscreteEnvironment[S], limit: int = 2000, condition: Tensor | None = None
) -> Trajectories[S]:
    """Every trajectory from the source to every object, actions with one child counted once.

    The sum of their probabilities under any policy is 1, so expectations under trajectories
    become finite sums.

    Args:
        env: The environment.
        limit: Give up beyond this many.
        condition: (1, C) what source and reward read, or None.

    Raises:
        IncompatibleError: If there are more than `limit`.
    """
    done: list[list[int]] = []
    condition = checked_condition(env, condition)
    states: Any = env.start(1, condition=condition)
    prefixes: list[list[int]] = [[]]
    while prefixes:
        mask = env.forward_mask(states)
        classes = env.forward_classes(states)
        if classes is not None:
            mask = representatives(mask, classes)
        if env.has_forced_terminals:
            finished = env.is_terminal(states)
            done += [prefixes[i] for i in finished.nonzero().squeeze(1).tolist()]
            mask = mask & ~finished[:, None]
        if env.stop_action is not None:
            stops = mask[:, env.stop_action].nonzero().squeeze(1).tolist()
            done += [[*prefixes[i], env.stop_action] for i in stops]
            mask = mask.clone()
            mask[:, env.stop_action] = False
        rows, actions = mask.nonzero(as_tuple=True)
        prefixes = [[*prefixes[i], a] for i, a in zip(rows.tolist(), actions.tolist(), strict=True)]
        if len(prefixes) + len(done) > limit or any(len(p) > env.horizon for p in prefixes[:1]):
            raise IncompatibleError(
                f"{env.name} has more than {limit} trajectories, or longer ones than its horizon."
            )
        if prefixes:
            states = env._step(take(states, rows), actions)
    actions, length = padded(done)
    given = None if condition is None else condition.expand(len(actions), -1)
    return Sampler(env, share=env.has_keys or None).along(actions, length, condition=given)


def padded(lists: list[list[int]]) -> tuple[Tensor, Tensor]:
    """(B, T) actions padded with zeros and (B,) lengths, as `Sampler.along` reads them."""
    length = torch.tensor([len(actions) for actions in lists])
    table = torch.zeros(len(lists), max(1, int(length.max())), dtype=torch.int64)
    for row, actions in enumerate(lists):
        table[row, : len(actions)] = torch.tensor(actions, dtype=torch.int64)
    return table, length
