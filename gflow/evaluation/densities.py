"""Log-probabilities of transitions where moves have densities, from the pairs of their states."""

from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density
from gflow.errors import IncompatibleError
from gflow.evaluation.parts import Parts, outputs
from gflow.policies.base import BackwardNetwork, Policy, backward_law
from gflow.state import take, tree_map
from gflow.terms import Needs
from gflow.trajectories import Trajectories

S = TypeVar("S")


def parts(
    env: ContinuousEnvironment[Any], policy: Policy, trajectories: Trajectories[Any], needs: Needs
) -> Parts:
    """See `gflow.evaluate`.

    Raises:
        IncompatibleError: If the objective reads what sums over all children or all parents.
    """
    for name, read in (
        ("edge flows", needs.edge_flow),
        ("the stop at every state", needs.stop),
        ("the divergence of P_B from uniform", needs.backward_divergence),
    ):
        if read:
            raise IncompatibleError(
                f"{env.name}: its moves have densities, and the objective reads {name}, which is "
                f"known only where actions can be counted. Use tb, vargrad, db or subtb."
            )
    output = outputs(env, policy, trajectories)
    pairs = Pairs(trajectories)
    before, after = pairs.before(trajectories.states), pairs.after(trajectories.states)
    ahead = pairs.timed(env.law(before, pairs.before(output.forward_logits)), 0)
    log_pf = pairs.table(ahead.log_prob(after))
    if env.stop_action is not None:
        log_pf = _with_stops(env, trajectories, output.forward_logits, log_pf)
    learned = pairs.entered(output.backward_logits)
    back = pairs.timed(backward_law(env, policy, after, learned), 1)
    log_pb = pairs.table(back.log_prob(before))
    return Parts(output, log_pf, log_pb.to(log_pf.dtype))


def log_pb(
    env: ContinuousEnvironment[Any],
    policy: BackwardNetwork,
    trajectories: Trajectories[Any],
    learned: Tensor | None,
) -> Tensor:
    """See `gflow.evaluation.evaluate.log_pb`."""
    pairs = Pairs(trajectories)
    before, after = pairs.before(trajectories.states), pairs.after(trajectories.states)
    law = pairs.timed(backward_law(env, policy, after, pairs.entered(learned)), 1)
    return pairs.table(law.log_prob(before))


class Pairs:
    """The M moves of trajectories as pairs of rows of their store.

    Where all B trajectories have T moves and the store holds one time after the other, as samplers
    leave it, both ends are views of the store and nothing is gathered.

    Args:
        trajectories: B trajectories.
    """

    def __init__(self, trajectories: Trajectories[Any]) -> None:
        index, moves = trajectories.state_index, trajectories.moves
        self.moves, self.from_source = moves, trajectories.from_source is None
        count, steps = moves.shape
        stored = trajectories.num_states
        regular = torch.arange(stored, device=index.device)
        self.in_order = (
            stored == index.numel()
            and bool((index.T.reshape(-1) == regular).all())
            and bool(moves.all())
        )
        if self.in_order:
            self._before: Any = slice(0, count * steps)
            self._after: Any = slice(count, count * (steps + 1))
        else:
            self._before, self._after = index[:, :-1][moves], index[:, 1:][moves]

    def timed(self, law: Density[S], first: int) -> Density[S]:
        """A law of all moves, told their times if they are in order; see `Density.timed`."""
        if not self.in_order or not self.from_source:
            return law
        return law.timed(first, self.moves.shape[1])

    def before(self, stored: S) -> S:
        """(M, ...) what is `stored` for the state that each move leaves."""
        return self._take(stored, self._before)

    def after(self, stored: S) -> S:
        """(M, ...) what is `stored` for the state that each move enters."""
        return self._take(stored, self._after)

    def entered(self, learned: Tensor | None) -> Tensor | None:
        """(M, P) what backward policies say of the state that each move enters, if they do."""
        return None if learned is None else self.after(learned)

    def _take(self, stored: S, rows: Any) -> S:
        if self.in_order:
            return tree_map(lambda t: t[rows], stored)
        return take(stored, rows)

    def table(self, values: Tensor) -> Tensor:
        """(B, T) from (M,) values of moves; 0 where there is no move."""
        if self.in_order:
            return values.view(self.moves.shape[1], -1).T
        return values.new_zeros(self.moves.shape).masked_scatter(self.moves, values)


def _with_stops(
    env: ContinuousEnvironment[Any],
    trajectories: Trajectories[Any],
    outputs: Tensor,
    log_pf: Tensor,
) -> Tensor:
    """`log_pf` with the log-probabilities of the stops put in."""
    last = trajectories.state_index.gather(1, trajectories.length[:, None]).squeeze(1)
    log_stop = env.law(take(trajectories.states, last), outputs[last]).log_stop
    assert log_stop is not None  # promised by `stop_action`
    steps = torch.arange(log_pf.shape[1], device=log_pf.device)
    ends = trajectories.stopped[:, None] & (steps == trajectories.length[:, None] - 1)
    return torch.where(ends, log_stop[:, None], log_pf)
