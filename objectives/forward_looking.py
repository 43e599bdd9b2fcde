"""Forward-looking objectives: flows relative to the energy of unfinished objects."""

from gflow.objectives.db import DetailedBalance
from gflow.objectives.subtb import SubTrajectoryBalance
from gflow.terms import Needs


class ForwardLookingDetailedBalance(DetailedBalance):
    r"""Detailed balance whose flow head learns only what the energy does not tell.

    .. math:: \delta(s \to s') = \log \tilde F(s) + \log P_F(s' \mid s) - \log \tilde F(s')
              - \log P_B(s \mid s') + E(s') - E(s)

    It is detailed balance with log F = log F~ - E, so the evaluation puts the energy into the flow
    and the formula stays what it was. At finished objects log F is log R and log F~ is 0, whatever
    the head says. The energy of unfinished objects may be any extension of -log R: the solution
    does not depend on it, only how soon it is found.

    Reference:
        Pan et al., Better Training of GFlowNets with Local Credit and Incomplete Trajectories,
        2023, https://arxiv.org/abs/2302.01687
    """

    name = "fldb"
    needs = Needs(log_flow=True, energy=True, whole=False, from_source=False)


class ForwardLookingSubTrajectoryBalance(SubTrajectoryBalance):
    r"""Sub-trajectory balance whose flow head learns only what the energy does not tell.

    .. math:: \delta_{ij} = \log \tilde F(s_i) - \log \tilde F(s_j) + E(s_j) - E(s_i)
              + \sum_{t=i}^{j-1} (\log P_F - \log P_B)

    Weightings and settings are those of `SubTrajectoryBalance`.

    Reference:
        Pan et al., Better Training of GFlowNets with Local Credit and Incomplete Trajectories,
        2023, https://arxiv.org/abs/2302.01687
    """

    name = "flsubtb"
    needs = Needs(log_flow=True, energy=True, whole=False, from_source=False)
