"""Flow terms: the one table that policies fill and objectives read."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gflow.environment.base import Environment


@dataclass(frozen=True)
class Needs:
    """What an objective reads beyond log P_F, log P_B, log R and the lengths.

    Attributes:
        log_flow: log F at every visited state.
        edge_flow: log inflow and outflow of every visited state (flow matching).
        stop: log R and log P_F(stop) at every visited state (modified balance).
        energy: The energy of every visited state; log F is then learned as log F + E, which is
            what makes an objective forward-looking.
        scores: The vector of raw objectives of the objects.
        backward_divergence: How far P_B is from uniform at every visited state.
        mover: Whose each transition is.
        branching: How many moves there were to choose from.
        children: log F of all children, with the probabilities of the moves to them: at no state,
            where it is chance's turn, or everywhere.
        player_flow: A log F for each player of a game, each ending in a reward of their own.
        log_pb: log P_B is read at all; without it environments need no moves back.
        whole: Trajectories must run to their end.
        from_source: Trajectories must begin at the source.
        marginals: The policy must be one of marginals (`Policy.has_marginals`).
    """

    log_flow: bool = False
    edge_flow: bool = False
    stop: bool = False
    energy: bool = False
    scores: bool = False
    backward_divergence: bool = False
    mover: bool = False
    branching: bool = False
    children: Literal["none", "chance", "all"] = "none"
    player_flow: bool = False
    log_pb: bool = True
    whole: bool = True
    from_source: bool = True
    marginals: bool = False

    def flows(self, env: "Environment[Any]") -> int:
        """How many log-flows a policy must give at each state."""
        return (env.num_players if self.player_flow else 1) if self.log_flow else 0


@dataclass(frozen=True)
class FlowTerms:
    """Log-probabilities of B trajectories under the *current* parameters, padded at the end.

    `evaluate` leaves zeros without gradient after the end of a trajectory; objectives read nothing
    there, whatever it holds.

    Shapes: B trajectories, T transitions of the longest.

    Attributes:
        log_pf: (B, T) log P_F(s_{t+1} | s_t), the stop included.
        log_pb: (B, T) log P_B(s_t | s_{t+1}); 0 for a stop, and all 0 if `has_log_pb` is False.
        log_reward: (B,) target log-reward of the objects.
        length: (B,) int64 number of transitions.
        stopped: (B,) bool: the last transition is a stop.
        log_flow: (B, T + 1) log F(s_t); at the end of a whole trajectory it *is* log R.
            (B, T + 1, n) with a flow, and a log R, for each of n > 1 players.
        log_inflow: (B, T + 1) log of the flow into s_t; zero at s_0.
        log_outflow: (B, T + 1) log of the flow out of s_t; log R at the end.
        state_log_reward: (B, T + 1) log R(s_t) where s_t may stop, 0 elsewhere.
        log_stop: (B, T + 1) log P_F(stop | s_t); -inf where s_t may not.
        energy: (B, T + 1) E(s_t); minus the target log-reward at the end of a whole trajectory.
        potential: (B, T) learned energy differences of the transitions, without gradient; 0 for a
            stop.
        bonus: (B, T + 1) what a visit to s_t is worth beside the reward; 0 after the end. Set by
            objectives that seek novelty.
        scores: (B, K) raw objectives of the objects; their log-reward where there is one number.
        log_symmetry: (B,) by how much `log_reward` is below log R of the objects, for their
            symmetry and for the finished states that share an object; filled in beside `scores`,
            None for nothing.
        backward_divergence: (B, T) KL(uniform over the parents of s_{t+1} || P_B); 0 for a stop.
        learned_log_reward: (B, T + 1) what the objective's own network says of log R at s_t.
        mover: (B, T) int64 whose each transition is (see `Environment.mover`); None if not asked
            for, or if all are the agent's.
        log_branching: (B, T) log of the number of moves that differ in what they lead to, a stop
            included.
        child_log_flow: (B, T, A) or (B, T, A, n) log F of all children of s_t, log R where the move
            finishes the object; -inf where there is no such move, or where it was not asked for.
        child_log_prob: (B, T, A) log-probability of each of these moves, of whoever makes them;
            -inf likewise.
        chance: (B, T + 1) bool: it is chance's turn at s_t; False at the end of whole trajectories.
            Set by objectives that tell moves of chance apart; None if nothing is chance's.
        mean_log_flow: (B, T + 1) log of the mean of F over what chance may do at s_t, where it is
            its turn; 0 elsewhere. Set by expected detailed balance.
        target_log_flow: (B, T + 1) what the flow into s_t is balanced with. Set likewise.
        known_log_z: (B,) log Z where it is known by construction, and log F(s_0) is anchored at it.
        condition: (B, C) or None.
        complete: (B,) bool, False for trajectories cut before their end; None if all are whole.
        from_source: (B,) bool, False for those that begin elsewhere; None if all begin at the
            source.
        has_log_pb: False where there are no moves back, or `Needs.log_pb` is.
    """

    log_pf: Tensor
    log_pb: Tensor
    log_reward: Tensor
    length: Tensor
    stopped: Tensor
    log_flow: Tensor | None = None
    log_inflow: Tensor | None = None
    log_outflow: Tensor | None = None
    state_log_reward: Tensor | None = None
    log_stop: Tensor | None = None
    energy: Tensor | None = None
    potential: Tensor | None = None
    bonus: Tensor | None = None
    scores: Tensor | None = None
    log_symmetry: Tensor | None = None
    backward_divergence: Tensor | None = None
    learned_log_reward: Tensor | None = None
    mover: Tensor | None = None
    log_branching: Tensor | None = None
    child_log_flow: Tensor | None = None
    child_log_prob: Tensor | None = None
    chance: Tensor | None = None
    mean_log_flow: Tensor | None = None
    target_log_flow: Tensor | None = None
    known_log_z: Tensor | None = None
    condition: Tensor | None = None
    complete: Tensor | None = None
    from_source: Tensor | None = None
    has_log_pb: bool = True

    def select(self, rows: Tensor) -> "FlowTerms":
        """The terms of some trajectories, (K,) int64."""
        held: Any = {k: v[rows] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **held)

    @property
    def mask(self) -> Tensor:
        """(B, T) bool: transitions that exist."""
        steps = torch.arange(self.log_pf.shape[1], device=self.length.device)
        return steps < self.length[:, None]

    @property
    def moves(self) -> Tensor:
        """(B, T) bool: transitions that are not stops."""
        steps = torch.arange(self.log_pf.shape[1], device=self.length.device)
        return steps < (self.length - self.stopped.long())[:, None]

    @property
    def log_weight(self) -> Tensor:
        r"""(B,) log R(x) + sum log P_B - sum log P_F: an unbiased estimate of Z is its exponential.

        Less log Z it is minus the trajectory-balance residual; its mean under P_F is the ELBO, its
        mean under P_B from exact samples the EUBO.
        """
        return self.log_reward + (self.log_pb - self.log_pf).where(self.mask, 0.0).sum(-1)
