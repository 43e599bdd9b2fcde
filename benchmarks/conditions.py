"""Samplers that are told a temperature, a preference or a goal, against exact conditional laws.

Run:   python benchmarks/conditions.py [--steps 1500] [--only tb vargrad db logits deaf single]
       python benchmarks/conditions.py --of landscapes [--only preferences goals]
Takes: about half a minute a sampler on one core, `single` one for each temperature.
Shows: the total variation to the exact distribution, and the error of log Z, at five conditions:
       on the grid 8 x 8 at beta = 0.5 ... 4 (seed 0) by
         tb, vargrad, db  the first layer reads beta (db reads log F: no logits are scaled there)
         logits           tb with logits scaled by a function of beta
         deaf             tb with conditions that are shuffled before the policy hears them
         single           tb of one temperature alone: a sampler for each column
       and on two landscapes, 32 x 32, the total variation at five preferences or directions.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow import Environment, MLPPolicy, Policy, PolicyOutput, Sampler, enumerate_states
from gflow.conditions import Conditioning, GoalConditions, PreferenceConditions, Temperature
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES, Objective, TrajectoryBalance
from gflow.policies.logit_scaled import LogitScaled
from gflow.rewards.scalarizations import LogSum
from gflow.rewards.wrappers import Tempered
from gflow.training.trainer import TrainConfig, Trainer

LOW, HIGH = 0.5, 4.0
ASKED = 64
GRID = ("tb", "vargrad", "db", "logits", "deaf", "single")
SCORES = ("preferences", "goals")


class Shuffled(Policy):
    """A policy that is told what was meant for another state of the batch."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy, self.backward = policy, policy.backward
        self.generator = torch.Generator().manual_seed(0)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """What the policy says for shuffled conditions."""
        assert condition is not None
        order = torch.randperm(len(condition), generator=self.generator)
        output: PolicyOutput = self.policy(env, states, condition[order])
        return output


def trained(
    env: Environment[Any],
    policy: Policy,
    objective: Objective,
    draw: Any,
    steps: int,
    behaviour: Any = None,
    **settings: Any,
) -> None:
    """Train by the same settings as all others."""
    config = TrainConfig(
        steps=steps, batch_size=64, lr=2e-3, log_z_lr=1e-2, lr_half_life=steps // 4, epsilon=0.02,
        **settings,
    )  # fmt: skip
    trainer = Trainer(
        env, policy, objective, config, condition=draw, behaviour=behaviour, record_every=steps
    )
    trainer.train()


def row(
    env: Any, policy: Policy, objective: Objective, conditions: Tensor
) -> list[tuple[float, float]]:
    """(total variation, error of log Z) at each of (E, C) conditions."""
    graph, found = enumerate_states(env), []
    generator = torch.Generator().manual_seed(1)
    for condition in conditions:
        exact = graph.told(condition)
        learned = exact.terminal_distribution(policy)
        asked = condition.expand(ASKED, -1)
        batch = Sampler(env).forward(policy, ASKED, condition=asked, generator=generator)
        with torch.no_grad():
            estimate = objective.log_z_estimate(objective.evaluate(env, policy, batch)).mean()
        error = abs(float(estimate) - float(exact.log_reward().logsumexp(0)))
        found.append((float(total_variation(learned, exact.log_target())), error))
    return found


def objective_for(name: str, env: Environment[Any]) -> Objective:
    """With log Z a network of the condition, where there is one."""
    if name != "tb":
        return OBJECTIVES[name].build(env)
    return TrajectoryBalance(
        condition_dim=env.condition_dim, condition_encoder=env.condition_encoder()
    )


def on_the_grid(name: str, steps: int) -> list[tuple[float, float]]:
    """One sampler of the grid at every temperature, or one for each."""
    torch.manual_seed(0)
    told = Temperature(low=LOW, high=HIGH, repeat=4 if name == "vargrad" else 1)
    plain = HyperGrid(2, 8)
    env = told.applied(plain)
    draw = told.sampler(env)
    if name == "single":
        return [single(plain, float(beta), steps) for beta in draw.probes(5)]
    objective = objective_for(name if name in ("vargrad", "db") else "tb", env)
    policy: Policy = MLPPolicy(env, 128, 2, log_flow=objective.needs.flows(env))
    if name == "logits":
        policy = LogitScaled(MLPPolicy(plain, 128, 2), env)
    if name == "deaf":
        policy = Shuffled(policy)
    trained(env, policy, objective, draw, steps)
    return row(env, policy, objective, draw.probes(5))


def single(plain: HyperGrid, beta: float, steps: int) -> tuple[float, float]:
    """A sampler of one temperature."""
    env = HyperGrid(2, 8, Tempered(plain.reward, beta))
    policy, objective = MLPPolicy(env, 128, 2), TrajectoryBalance()
    trained(env, policy, objective, None, steps)
    graph = enumerate_states(env)
    error = abs(float(objective.log_z.value.detach()) - graph.exact_flows().log_z)
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target())), error


def on_landscapes(name: str, steps: int) -> list[tuple[float, float]]:
    """One sampler of two landscapes for every preference or direction."""
    torch.manual_seed(0)
    plain = landscape_grid(("branin", "currin"), 32, LogSum(beta=16.0))
    told: Conditioning = PreferenceConditions() if name == "preferences" else GoalConditions()
    env = told.applied(plain)
    draw: Any = told.sampler(env)
    objective = objective_for("tb", env)
    policy = MLPPolicy(env, 128, 3, "uniform")
    from gflow.behaviours.base import OnPolicy

    trained(env, policy, objective, draw, steps, told.behaviour(env, OnPolicy()))
    return row(env, policy, objective, draw.probes(5))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", default="grid", choices=["grid", "landscapes"])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    run: Callable[[str, int], list[tuple[float, float]]]
    names, run = (GRID, on_the_grid) if args.of == "grid" else (SCORES, on_landscapes)
    for name in [n for n in names if not args.only or n in args.only]:
        cells = " | ".join(f"{tv:.3f} ({error:.2f})" for tv, error in run(name, args.steps))
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
