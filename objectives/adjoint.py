"""Adjoint sampling: the drift regressed on the score at the end, along bridges."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gflow.bounds import Bounds, Count, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.continuous import ContinuousEnvironment
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objective import Objective, Regression, squared
from gflow.policies.base import Policy
from gflow.source import Source
from gflow.state import take
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


@dataclass(frozen=True, kw_only=True)
class AdjointTerms(FlowTerms):
    """Flow terms, with what adjoint sampling regresses.

    log P_F and log P_B are those of the first `measured` trajectories, without gradient, and 0 for
    the others.

    Attributes:
        gap: (B, K, d) by how much the drift is above its target at K times, over sigma.
        measured: M, the number of trajectories whose log-weights are known.
    """

    gap: Tensor
    measured: int


class AdjointSampling(Objective):
    r"""Reciprocal adjoint matching: what drift leads to X_1 is asked of X_1 alone.

    .. math:: L = \mathbb{E} \Bigl| \frac{u(X_t, t)}{\sigma} - \sigma
              \bigl(\nabla \log R(X_1) - \nabla \log N(X_1; 0, \sigma^2 I)\bigr) \Bigr|^2,
              \quad t \sim U[0, 1], \quad X_t \sim N(t X_1, \sigma^2 t (1 - t) I)

    X_1 are the ends of the policy's own trajectories. X_t is drawn anew from the bridge, so one
    gradient of the reward serves `repeats` regressions and every later batch in which a memory
    brings the object back (`TrainConfig(replay=..., replay_rebuild="backward")`, with a
    `replay_fraction` near 1); the trajectory is needed for X_1 only. The mean of the target given
    X_t is the optimal drift when X_1 is distributed as the target, so exact samples may be trained
    on too (`ExactSamples`). Exploration would bias it and is refused, as are memories that prefer
    some of what was seen. A residual does not vanish at the solution unless the target is one
    Gaussian: regression targets scatter by sigma times the scores at the ends, so a process much
    wider than the modes learns slowly, or drifts to one of them. `repeats` and `clip` are against
    that.

    For a diffusion over Brownian motion with fixed variances; the drift u is that of
    x + u dt + sigma dW.

    Args:
        repeats: Times drawn per object.
        clip: Largest norm of the gradient of log R; None for no limit. Where it acts, it changes
            the solution.
        measured: Trajectories of each batch whose log-weights are computed, for the estimate of
            log Z alone. The first of a batch are the fresh ones.
        regression: How each coordinate of the gap is punished.
        generator: Draws times and bridges; by default one of its own, seeded with 0. Its state is
            saved with the parameters.

    Raises:
        ConfigError: If a number is out of range.

    Reference:
        Havens et al., Adjoint Sampling: Highly Scalable Diffusion Samplers via Adjoint Matching,
        2025, https://arxiv.org/abs/2504.11713; Domingo-Enrich et al., Adjoint Matching, 2024,
        https://arxiv.org/abs/2409.08861
    """

    name = "adjoint"
    reads_policy = False
    learns_from = Source.OWN | Source.REPLAYED | Source.TARGET

    @checked
    def __init__(
        self,
        repeats: Annotated[int, Bounds(1, 10**6)] = 4,
        clip: Positive | None = None,
        measured: Count = 32,
        regression: Regression = squared,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(regression)
        self.repeats, self.clip, self.measured = repeats, clip, measured
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Where the drift of a known bridge is what the policy gives."""
        if not isinstance(env, ContinuousEnvironment):
            return (
                "it fits the drift of a diffusion, and here actions are numbered. Use tb, vargrad, "
                "db or subtb."
            )
        try:
            env.bridge()
        except IncompatibleError as reason:
            return str(reason)
        return None

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> AdjointTerms:
        """The gaps at fresh times, and the log-weights of some trajectories."""
        assert isinstance(env, ContinuousEnvironment)  # refused otherwise
        bridge = env.bridge()
        objects, condition = trajectories.final_states, trajectories.condition
        wanted = bridge.pull(objects, condition, self.clip)
        count = len(trajectories)
        on = self.generator.device
        time = torch.rand(
            self.repeats * count, dtype=wanted.dtype, device=on, generator=self.generator
        ).to(wanted.device)
        rows = torch.arange(count, device=wanted.device).repeat(self.repeats)
        points = bridge.at(take(objects, rows), time, self.generator)
        given = None if condition is None else condition[rows]
        drift = policy.forward_logits(env, points, given)
        gap = (drift.view(self.repeats, count, -1) - wanted) / bridge.sigma
        measured = min(self.measured, count)
        log_pf, log_pb = self._log_probs(env, policy, trajectories, measured)
        return AdjointTerms(
            log_pf=log_pf,
            log_pb=log_pb,
            log_reward=trajectories.log_reward,
            length=trajectories.length,
            stopped=trajectories.stopped,
            condition=condition,
            complete=trajectories.complete,
            from_source=trajectories.from_source,
            gap=gap.transpose(0, 1),
            measured=measured,
        )

    @torch.no_grad()
    def _log_probs(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any], number: int
    ) -> tuple[Tensor, Tensor]:
        """(B, T) log P_F and log P_B of the first `number` trajectories, 0 for the others."""
        first = trajectories
        if number < len(trajectories):
            first = trajectories.select(torch.arange(number, device=trajectories.length.device))
        terms = evaluate(env, policy, first)
        rest = (0, 0, 0, len(trajectories) - number)
        return pad(terms.log_pf, rest), pad(terms.log_pb, rest)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, K d) the gaps; at the solution their mean given X_t is zero, and not they."""
        return _gap(terms).flatten(1)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, K d) equal weights of all objects and times."""
        gap = _gap(terms)
        return torch.full_like(gap, 1 / (gap.shape[0] * gap.shape[1])).flatten(1).detach()

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the mean log-weight of those that were measured: the evidence lower bound."""
        measured = terms.measured if isinstance(terms, AdjointTerms) else len(terms.length)
        return terms.log_weight[:measured].mean().expand(len(terms.length))

    def get_extra_state(self) -> Tensor:
        """The state of the generator, so that a resumed run draws the same bridges."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.generator.set_state(state)


def _gap(terms: FlowTerms) -> Tensor:
    if not isinstance(terms, AdjointTerms):
        raise IncompatibleError(
            "AdjointSampling reads the drift on bridges. Fill the terms by "
            "`objective.evaluate(env, policy, trajectories)`."
        )
    return terms.gap
