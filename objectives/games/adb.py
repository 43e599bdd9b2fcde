"""Adversarial detailed balance."""

from gflow.objectives.db import DetailedBalance
from gflow.objectives.games.adversarial import Adversarial
from gflow.terms import Needs


class AdversarialDetailedBalance(Adversarial, DetailedBalance):
    r"""Detailed balance of two-player zero-sum games: one residual per move.

    .. math:: \delta(s \to s') = \log F(s) + \sigma(s) \left[\log P(s' \mid s) + \log b(s)\right]
              - \log F(s')

    with F(x) = R_1(x), the reward of player 1, where a game ends. What adversarial trajectory
    balance sums over a game, move by move: log F(s) is the value of the position to player 1.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    name = "adb"
    needs = Needs(
        log_flow=True, mover=True, branching=True, log_pb=False, whole=False, from_source=False
    )
