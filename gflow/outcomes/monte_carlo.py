"""Conversion where outcomes are too many to list: some are drawn for each state."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.outcomes.conditioned import require_apart
from gflow.outcomes.conversion import Sums
from gflow.outcomes.flows import OutcomeFlows
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import batch_size, device_of, take


class MonteCarlo(Policy):
    r"""Sums over outcomes by draws from what each state leads to, weighted r(y) / q(y | s).

    .. math:: N(a \mid s) \approx \frac{1}{D} \sum_{d=1}^{D} \frac{r(y_d)}{q(y_d \mid s)}
              F(s \mid y_d) P_F(a \mid s, y_d), \quad y_d \sim q(\cdot \mid s),

    with the right mean for any q that gives all outcomes that can be reached; here blanks of a
    sequence are filled evenly. Where few outcomes have most of the reward, it takes many draws to
    meet them: learn the sums then (`Amortised`).

    Each call draws anew. Rewards are asked for at all that is drawn.

    Args:
        flows: The frozen outcome-conditioned policy.
        env: The environment whose reward is wanted: sequences with places to fill.
        draws: D, outcomes drawn for each state.
        seed: Of the draws.

    Raises:
        IncompatibleError: If states are no sequences with places to fill.
    """

    has_log_flow = True

    @checked
    def __init__(
        self, flows: OutcomeFlows, env: DiscreteEnvironment[Any], draws: Count = 100, seed: int = 0
    ) -> None:
        super().__init__()
        if not getattr(env, "fills_places", False):
            raise IncompatibleError(
                f"MonteCarlo fills the blanks of sequences (`fills_places`), which those of "
                f"{env.name} are not. List the objects (draws=0), or learn the sums (Amortised)."
            )
        self.flows, self.target, self.draws = flows, env, draws
        self.backward = flows.policy.backward
        self.generator = torch.Generator().manual_seed(seed)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Estimates of the mixture at N states."""
        return self._mixed(states, back=True)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) estimated log numerators of the actions."""
        return self._mixed(states, back=False).forward_logits

    @torch.no_grad()
    def _mixed(self, states: Tensor, back: bool) -> PolicyOutput:
        count, device = batch_size(states), device_of(states)
        sums = Sums(self.flows, count, back)
        at = torch.arange(count, device=device).repeat_interleave(self.draws)
        begun = take(states, at)
        objects, log_q = filled_evenly(self.target, begun, self.generator)
        outcomes = self.flows.reward.outcomes(objects)
        require_apart(self.flows.reward, outcomes, "MonteCarlo")
        log_r = self.target.target_log_reward(objects, zero=True).double()
        told = self.flows.env.target_log_reward(objects, outcomes).double()
        log_weight = log_r - told - log_q - torch.tensor(float(self.draws)).log().double()
        some = (log_weight > -torch.inf).nonzero().squeeze(1)
        sums.add(take(begun, some), at[some], outcomes[some], log_weight[some])
        return sums.output(device)

    def get_extra_state(self) -> Tensor:
        """Where the draws stand."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.generator.set_state(state)


def filled_evenly(env: Any, states: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences with their blanks filled, each allowed filling being equally likely.

    Args:
        env: Sequences with places to fill.
        states: (M, L) tokens.
        generator: Source of the draws, on the CPU.

    Returns:
        (M, L) objects and (M,) float64 the log-probability of each filling.
    """
    allowed = env.allowed
    if allowed is None:
        allowed = torch.ones(env.length, env.blank, dtype=torch.bool)
    noise = torch.rand(*states.shape, env.blank, generator=generator)
    symbols = noise.masked_fill(~allowed, -1.0).argmax(-1).to(states.device)
    blank = states == env.blank
    choices = allowed.sum(-1).double().log().to(states.device)
    return torch.where(blank, symbols, states), -(blank * choices).sum(-1)
