"""Stochastic GFlowNets: chance as a part of the forward policy that nobody chooses."""

from typing import Any, Literal

from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.exact.noisy import stochastic_flows
from gflow.objectives.chance.across import across, even
from gflow.objectives.chance.base import ModelledChance
from gflow.policies.encoder import StateEncoder
from gflow.terms import FlowTerms, Needs


class StochasticFlow(ModelledChance):
    r"""Detailed balance from one state of the agent's to the next, across what chance does between.

    .. math:: \delta(s \to e \to s') = \log F(s) + \log P_F(e \mid s) + \log P_\psi(s' \mid e)
              - \log F(s') - \log P_B(e \mid s')

    with F(x) = R(x) at finished objects, P_psi what is thought of chance, known or learned beside
    the policy, and P_B a policy over the states e = (s, a) before s': parents together with what
    the agent meant. Where chance moves several times all its moves enter; where it does not move
    this is detailed balance.

    **What it converges to.** If all residuals vanish, objects are sampled in proportion to the
    reward. They can only if a policy exists that makes chance spread the flow as an ordinary
    GFlowNet would: on a tree whose moves are replaced by one of V uniform ones with probability
    alpha, if and only if every child carries at least alpha / V of its parent's flow. Else the loss
    has a minimum above zero, whose policy depends on where trajectories go, and is in proportion to
    nothing (`gflow.exact.stochastic_flows` says which).

    It learns from any trajectories and parts of them; parts that end before chance has moved teach
    nothing of that move. A learned model takes what chance did as drawn by its own law.

    Args:
        model: See `ModelledChance`.
        model_lr: Learning rate of the model.
        regression: How residuals are punished.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """

    name = "sgfn"
    needs = Needs(log_flow=True, mover=True, whole=False, from_source=False)

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        encoder: StateEncoder | None = None,
        kernel: Literal["known", "learned"] = "learned",
        width: Count = 128,
        **settings: Any,
    ) -> "ModelledChance":
        """See `ModelledChance.build`; here the model is learned if nothing is said.

        Args:
            env: The environment.
            encoder: Encodes states; by default their categorical features.
            kernel: Whether moves of chance have their known probabilities, or those of a model that
                is fitted to what happens (`EnvironmentModel`).
            width: Units of the layers of the model.
            settings: Further arguments of the class.
        """
        return super().build(env, encoder, kernel, width, **settings)

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """Those of `gflow.exact.stochastic_flows`, if there are any."""
        return (
            stochastic_flows(graph, log_pb) if graph.env.has_chance else graph.exact_flows(log_pb)
        )

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one for each move of the agent; 0 where it is chance's turn."""
        return across(terms, terms.log_pf)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all moves of the agent in the batch."""
        return even(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]
