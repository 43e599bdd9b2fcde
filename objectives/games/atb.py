"""Adversarial trajectory balance."""

from torch import Tensor

from gflow.objectives.games.adversarial import Adversarial
from gflow.objectives.tb import TrajectoryBalance
from gflow.terms import FlowTerms, Needs


class AdversarialTrajectoryBalance(Adversarial, TrajectoryBalance):
    r"""Trajectory balance of two-player zero-sum games: one residual per game.

    .. math:: \delta(\tau) = \log Z + \sum_t \sigma_t \left[\log P(s_{t+1} \mid s_t)
              + \log b(s_t)\right] - \log R_1(x)

    The log-probabilities of player 1 and the reward stand on opposite sides of it, those of
    player -1 beside the reward. R_1 is the reward of player 1, e^(lambda u) for a result u of 1, 0
    or -1, and b(s) the number of distinct moves (see `Adversarial`). Games may be played by anyone:
    it learns from trajectories of every source.

    Args:
        log_z: Initial log Z.
        condition_dim: Width of the condition that log Z depends on, 0 for none.
        condition_encoder: Module for the condition, with `out_features`.
        regression: How residuals are punished.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    name = "atb"
    needs = Needs(mover=True, branching=True, log_pb=False)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B,) log Z and what the moves multiply it by, less log R of player 1."""
        log_z: Tensor = self.log_z(terms)
        return log_z + self.steps(terms).sum(-1) - terms.log_reward
