"""Residuals of every objective at the exact sampler of a Gaussian target.

Run:   python benchmarks/diffusion_exact.py
Takes: seconds.
Shows: for each objective the largest residual in float64 over random means, variances, rates,
       numbers of steps and trajectories drawn with inflated noise, and the same with log Z or the
       flow of the source wrong by 0.1, which must not vanish.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.oracle import OraclePolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import Gaussian
from gflow.evaluation.evaluate import evaluate
from gflow.objective import Objective
from gflow.objectives import PROPORTIONAL, TrajectoryBalance
from gflow.policies.base import PolicyOutput
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.terms import FlowTerms

CASES = 20


class Looking(OraclePolicy):
    """The oracle with its flows relative to the energy that objectives look forward to."""

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """See `Policy.forward`."""
        out = super().forward(env, states)
        assert out.log_flow is not None
        return replace(out, log_flow=out.log_flow - self.env.partial_log_reward(states))


def largest(objective: Objective, seed: int) -> tuple[float, float]:
    """The largest residual of one case, as it is and with the source's flow wrong by 0.1."""
    g = torch.Generator().manual_seed(seed)
    dim, steps = (
        int(torch.randint(1, 5, (), generator=g)),
        int(torch.randint(1, 25, (), generator=g)),
    )
    spread, rate = (0.2 + 4 * torch.rand(2, generator=g)).tolist()
    target = Gaussian(torch.randn(dim, generator=g), spread, log_constant=1.5)
    env = Diffusion(target, Brownian(rate), steps, log_variance_range=8.0)
    policy = Looking(env) if objective.needs.energy else OraclePolicy(env)
    loud = Exploration(noise=0.7)
    batch = Sampler(env).forward(policy, 16, exploration=loud, generator=g)
    terms = evaluate(env, policy, batch, objective.needs)
    if isinstance(objective, TrajectoryBalance):
        assert target.log_z is not None
        with torch.no_grad():
            objective.log_z.value.fill_(target.log_z)
    return biggest(objective, terms), biggest(objective, disturbed(objective, terms))


def biggest(objective: Objective, terms: FlowTerms) -> float:
    """The largest absolute residual."""
    return float(objective.residual(terms).detach().abs().max())


def disturbed(objective: Objective, terms: FlowTerms) -> FlowTerms:
    """The same terms with the first transition wrong by 0.1 in every other trajectory."""
    wrong = terms.log_pf.clone()
    wrong[::2, 0] += 0.1
    return replace(terms, log_pf=wrong)


def main() -> None:
    """Print one line per objective."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    env = Diffusion(Gaussian([0.0]), Brownian(1.0), 2)
    for name, cls in PROPORTIONAL.items():
        reason = cls.refusal(env)
        if reason is not None:
            print(f"{name:>8}  refused: {reason.split('. ')[0]}")
            continue
        exact, wrong = zip(*(largest(cls(), seed) for seed in range(CASES)), strict=True)
        print(f"{name:>8}  exact {max(exact):.1e}   disturbed by 0.1, at least {min(wrong):.3f}")


if __name__ == "__main__":
    main()
