"""Adversarial sub-trajectory balance."""

from gflow.objectives.games.adversarial import Adversarial
from gflow.objectives.subtb import SubTrajectoryBalance
from gflow.terms import Needs


class AdversarialSubTrajectoryBalance(Adversarial, SubTrajectoryBalance):
    r"""Sub-trajectory balance of two-player zero-sum games: one residual per pair of positions.

    .. math:: \delta_{ij} = \log F(s_i) + \sum_{t=i}^{j-1} \sigma_t \left[
              \log P(s_{t+1} \mid s_t) + \log b(s_t)\right] - \log F(s_j)

    Weightings and settings are those of `SubTrajectoryBalance`.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    name = "asubtb"
    needs = Needs(
        log_flow=True, mover=True, branching=True, log_pb=False, whole=False, from_source=False
    )
