"""Expected detailed balance, for environments in which some moves are chance's."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Rate, Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.anchored import log_flows
from gflow.evaluation.parts import outputs
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.learner import Learner
from gflow.objective import Regression, Solution, squared
from gflow.objectives.chance.base import FROM_CHANCE, ModelledChance
from gflow.objectives.chance.successors import log_mean_flow, log_pb_of_agent
from gflow.objectives.chance.target_network import TargetNetwork
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

HOLD = 0.99
"""What is left after a batch of the head room that targets above the flows of chance need."""


class ExpectedDetailedBalance(ModelledChance):
    r"""Expected detailed balance: one residual for each move of the agent.

    .. math:: \delta(s \to s') &= \log F(s) + \log P_F(s' \mid s) - \log F(s') \\
              \delta(s \to e) &= \log F(s) + \log P_F(e \mid s)
              - \log \sum_k P_{env}(k \mid e) F(s_k)

    with F(x) = R(x) at finished objects, where the move leads to a state s' of the agent's, or to
    one of chance's, e. The sum goes over *all* that chance may do there, not over what it did: the
    mean of flows, not of their logarithms. At the solution P_F(e | s) is in proportion to the mean
    flow of what e may become (`gflow.exact.expected_flows`). Where chance moves this is *not*
    sampling in proportion to the reward.

    The source, and what follows another move of chance, are states of chance that no residual of
    the agent's puts in terms of their successors. They have one of their own, log F(e) less the
    log of the sum, and so do all states of chance in the two-step form.

    It learns from trajectories of any sampler, from parts of them and from single transitions. Of
    moves of chance it needs none, but what is `learned` of chance, and `regress`, take what chance
    did as drawn by its own law: from trajectories that were made forward.

    Args:
        form: "one_step", as above; "two_step" learns log F(e) of all states of chance and balances
            moves into them with that.
        target: What stands for flows of successors: "live", the policy's with gradient; "stop",
            the same without; "ema", those of an average of the policy's weights (`TargetNetwork`).
            All have one solution.
        ema_rate: Share of the policy's weights that enters the average per batch.
        graph: "tree", where histories count: it reads no log P_B, and without chance objects are
            sampled in proportion to R times the number of their trajectories. "dag": log P_B of the
            policy enters, summed over what the agent may have chosen, so that without chance this
            is detailed balance; the solution is that of the P_B with which training ends. None, for
            `build`, is "tree" where chance moves, else "dag".
        branching: "sum" over all successors; "regress" learns log F(e) from the one that followed,
            by a loss whose minimum is the mean of F (Poisson regression), and looks at no other:
            for chance with very many moves. It needs a target that moves with the policy, "live" or
            "ema": with "stop" the flows of successors and of chance chase each other.
        model: See `ModelledChance`.
        model_lr: Learning rate of the model.
        regression: How residuals are punished.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    name = "edb"
    needs = Needs(log_flow=True, mover=True, log_pb=False, whole=False, from_source=False)
    solution = Solution.EXPECTED

    head_room: Tensor
    next_head_room: Tensor

    @checked
    def __init__(
        self,
        form: Literal["one_step", "two_step"] = "one_step",
        target: Literal["live", "stop", "ema"] = "live",
        ema_rate: Share = 0.05,
        graph: Literal["tree", "dag"] = "tree",
        branching: Literal["sum", "regress"] = "sum",
        model: nn.Module | None = None,
        model_lr: Rate = 1e-3,
        regression: Regression = squared,
    ) -> None:
        super().__init__(model, model_lr, regression)
        if branching == "regress" and target == "stop":
            raise ConfigError(
                "ExpectedDetailedBalance: with target=stop nothing pulls back the flows that "
                "branching=regress fits to each other, and they run away. Use target=live or ema."
            )
        if branching == "regress" and (form == "two_step" or model is not None):
            raise ConfigError(
                "ExpectedDetailedBalance: branching=regress learns log F(e) from what chance did, "
                "with no sum over its moves and no probability of them. Use it with form=one_step "
                "and kernel=known, or branching=sum."
            )
        self.form, self.target, self.graph, self.branching = form, target, graph, branching
        self.average = TargetNetwork(ema_rate) if target == "ema" else None
        if graph == "dag":
            self.needs = replace(self.needs, log_pb=True)
        if branching == "regress":
            self.learns_from = FROM_CHANCE
            self.register_buffer("head_room", torch.tensor(0.0))
            self.register_buffer("next_head_room", torch.tensor(torch.nan))

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        encoder: StateEncoder | None = None,
        kernel: Literal["known", "learned"] = "known",
        width: Count = 128,
        graph: Literal["tree", "dag"] | None = None,
        **settings: Any,
    ) -> "ModelledChance":
        """See `ModelledChance.build`; without chance it is detailed balance unless told.

        Args:
            env: The environment.
            encoder: Encodes states; by default their categorical features.
            kernel: Whether moves of chance have their known probabilities, or those of a model that
                is fitted to what happens (`EnvironmentModel`).
            width: Units of the layers of the model.
            graph: "tree", where histories count, or "dag", where log P_B enters and objects are
                sampled in proportion to the reward if nothing is chance's. None is "tree" where
                chance moves, else "dag".
            settings: Further arguments of the class.
        """
        if graph is None:
            graph = "dag" if env.has_backward and not env.has_chance else "tree"
        return super().build(env, encoder, kernel, width, graph=graph, **settings)

    def learners(self, env: Environment[Any]) -> list[Learner]:
        """The model of chance and the average of the policy, as far as there are any."""
        return super().learners(env) + ([] if self.average is None else [self.average])

    def check(
        self, env: Environment[Any], policy: Policy | None = None, conditional: bool = False
    ) -> None:
        """See `Objective.check`; the graph "dag" needs moves back."""
        super().check(env, policy, conditional)
        if self.graph == "dag" and not env.has_backward:
            raise IncompatibleError(
                f"ExpectedDetailedBalance cannot train on {env.name}: graph=dag reads log P_B, and "
                f"no moves back are defined here. Use graph=tree."
            )

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """Expected flows of the form that `graph` says."""
        return graph.expected_flows(self.graph, log_pb)

    # ------------------------------------------------------------------ what is read

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms, and what flows of successors are to be balanced with."""
        terms = super().evaluate(env, policy, trajectories)
        assert terms.log_flow is not None
        judge = policy if self.average is None else self.average.of(policy)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.target == "live"):
            aim = terms.log_flow if self.target == "live" else terms.log_flow.detach()
            if self.average is not None:
                aim = log_flows(env, judge, outputs(env, judge, trajectories), trajectories, None)
            mean = None
            if terms.chance is not None and self.branching == "sum":
                found = log_mean_flow(
                    env, judge, trajectories, self.model, policy if self.graph == "dag" else None
                )
                mean = found[trajectories.state_index].where(terms.chance, 0.0).to(aim.dtype)
                if self.form == "one_step":
                    aim = torch.where(terms.chance, mean, aim)
        if self.graph == "dag" and terms.chance is not None:
            back = log_pb_of_agent(env, policy, trajectories, terms.chance)
            terms = replace(terms, log_pb=back.to(terms.log_pf.dtype))
        return replace(terms, target_log_flow=aim, mean_log_flow=mean)

    @torch.no_grad()
    def _make_room(self, terms: FlowTerms) -> None:
        """Let the scale of the regression follow: that of a batch depends on earlier ones alone."""
        above, regressed = self._above(terms)
        spread = (2 * above.detach()).where(regressed, -torch.inf).flatten()
        typical = (spread.logsumexp(0) - regressed.sum().clamp(min=1).log()) / 2
        typical = typical.clamp(min=0)
        held = self.next_head_room
        self.head_room.copy_(torch.where(held.isnan(), typical, held))
        self.next_head_room.copy_(torch.maximum(typical, HOLD * self.head_room))

    # ------------------------------------------------------------------ the loss

    def forward(self, terms: FlowTerms) -> Tensor:
        """() the loss of a batch; with gradients, the scale of the regression follows it."""
        if self.branching == "regress" and torch.is_grad_enabled():
            self._make_room(terms)
        return super().forward(terms)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one for each move of the agent, and for some states of chance."""
        flow, aim = terms.log_flow, terms.target_log_flow
        assert flow is not None
        assert aim is not None
        agent, chance = self._counted(terms)
        delta = flow[:, :-1] + terms.log_pf - aim[:, 1:] - terms.log_pb
        delta = delta.where(agent, 0.0)
        if terms.mean_log_flow is None:
            return delta
        return torch.where(chance, flow[:, :-1] - terms.mean_log_flow[:, :-1], delta)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all of these in the batch."""
        agent, chance = self._counted(terms)
        counted = agent | chance
        share = counted.to(terms.log_pf.dtype) / counted.sum().clamp(min=1)
        return share.where(agent | (self.branching == "sum"), 0.0)

    def extra(self, terms: FlowTerms) -> Tensor | None:
        r"""(B,) the regression of log F(e) on the flows of what followed, or None.

        .. math:: e^{f - c} - e^{y - c} (1 + f - y), \quad f = \log F(e), \quad y = \log F(s')

        at its least, zero, where they agree, and on average where F(e) is the mean of F(s'). The
        scale c, f as it is and head room above it for e^(y - f) as it was of late (in root mean
        square), keeps gradients near one at all sizes of F; it is the same whatever followed e.
        """
        if self.branching == "sum" or terms.chance is None:
            return None
        assert terms.log_flow is not None
        above, regressed = self._above(terms)
        agent, chance = self._counted(terms)
        f = terms.log_flow[:, :-1]
        scale = f.detach() + self.head_room
        above = above.where(regressed, 0.0)  # y - f
        ahead = (f - scale).where(regressed, 0.0)
        loss = ahead.exp() - (above.detach() - self.head_room).exp() * (1 - above)
        count = (agent | chance).sum().clamp(min=1)
        return loss.where(regressed, 0.0).sum(-1) / count

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    def _counted(self, terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B, T) bool: moves of the agent, and states of chance with a residual of their own."""
        mask = terms.mask
        if terms.chance is None:
            return mask, torch.zeros_like(mask)
        turn = terms.chance[:, :-1] & mask
        own = turn
        if self.form == "one_step" and self.branching == "sum":  # first of a part, or after another
            own = turn & torch.nn.functional.pad(turn[:, :-1], (1, 0), value=True)
        return mask & ~turn, own

    def _above(self, terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B, T) log F(s') - log F(e), without gradient to s', and bool where chance moved."""
        assert terms.log_flow is not None
        assert terms.target_log_flow is not None
        next_flow = terms.target_log_flow[:, 1:].detach() + terms.log_pb.detach()
        if terms.chance is None:
            return next_flow - terms.log_flow[:, :-1], torch.zeros_like(terms.mask)
        return next_flow - terms.log_flow[:, :-1], terms.chance[:, :-1] & terms.mask
