"""P_B between states of the agent's, whatever chance does between them."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.errors import IncompatibleError
from gflow.state import equal_rows, take, where


def origins(env: DiscreteEnvironment[Any], states: Any) -> Any:
    """(N,) the last state of the agent's on the way to each of N states, itself included.

    Where chance begins, its first state stands for that.

    Args:
        env: An environment with moves back.
        states: N states.

    Raises:
        IncompatibleError: If a state of chance has several parents, between which nothing chooses.
    """
    while True:
        mask, classes = env.backward_mask(states), env.backward_classes(states)
        parents = mask.sum(-1)
        mover = env.mover(states)
        if mover is None:
            return states
        chance = (mover == CHANCE) & (parents > 0)
        if not bool(chance.any()):
            return states
        first = mask.long().argmax(-1)
        if classes is not None:  # all lead to one parent
            same = (classes == classes.gather(1, first[:, None])) & mask
            parents = parents - same.sum(-1) + 1
        several = chance & (parents > 1)
        if bool(several.any()):
            row = int(several.nonzero()[0])
            raise IncompatibleError(
                f"{env.name}: chance moves at {env.shown(states, row)}, which has "
                f"{int(parents[row])} parents, so that nobody can say which state of the agent's "
                f"the move came from. Keep that state in it, or use the form 'tree'."
            )
        states = where(chance, env._backstep(states, first), states)


def log_pb_of_origins(
    env: DiscreteEnvironment[Any], law: Categorical, states: Any, origin: Any
) -> Tensor:
    """(M,) log P_B that each of M states was reached from a state of the agent's, with gradients.

    The sum over all moves back whose parent has that origin: over all that the agent may have
    chosen there and chance made into this.

    Args:
        env: An environment with moves back.
        law: Of the move back at the M states.
        states: M states of the agent's, or finished ones.
        origin: M states, of which each is an origin of its row.
    """
    legal = law.distinct
    rows, undo = legal.nonzero(as_tuple=True)
    parents = env._backstep(take(states, rows), undo)
    ours = equal_rows(origins(env, parents), take(origin, rows))
    rows, undo = rows[ours], undo[ours]
    table = law.table()
    kept = torch.full_like(table, -torch.inf).index_put((rows, undo), table[rows, undo])
    return kept.logsumexp(-1)
