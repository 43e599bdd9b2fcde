"""Forward-looking balance against plain balance on sets with additive energies.

    python benchmarks/forward_looking.py [--tasks small medium] [--seeds 3] [--steps 1500 600]

The sets, energies and settings of Pan et al. (2023, arXiv 2302.01687): 20 of 30, 60 of 80 or 80 of
100 items, batches of 16, two hidden layers of 256, a learned backward policy, Adam at 1e-3,
exploration by mixing with the uniform policy. Shown is the mean reward of the 100 best different
sets among 16 unexplored samples every 10 steps, as a share of the 100 best sets there are.
"""

import argparse
from pathlib import Path

import torch
from curves import Curve, Panel, draw, spread, table

from gflow import MLPPolicy, Sampler
from gflow.best import BestObjects
from gflow.envs.sets import AdditiveEnergy, published_sets
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    Objective,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.training import TrainConfig, Trainer

METHODS: dict[str, type[Objective]] = {
    "tb": TrajectoryBalance,
    "db": DetailedBalance,
    "subtb": SubTrajectoryBalance,
    "fl-db": ForwardLookingDetailedBalance,
    "fl-subtb": ForwardLookingSubTrajectoryBalance,
}
EPSILON = {"tb": 0.0625}
"""Share of the uniform policy while training; one half for all that the table does not name."""


def learn(task: str, method: str, steps: int, seed: int) -> Curve:
    """Share of the ceiling after every 10 steps."""
    torch.manual_seed(seed)
    env = published_sets(task)  # type: ignore[arg-type]
    assert isinstance(env.reward, AdditiveEnergy)
    objective = METHODS[method]()
    policy = MLPPolicy(env, 256, 2, log_flow=objective.needs.log_flow)
    epsilon = EPSILON.get(method, 0.5)
    config = TrainConfig(steps, 16, lr=1e-3, log_z_lr=0.1, epsilon=epsilon, seed=seed)
    trainer = Trainer(env, policy, objective, config)
    ceiling = env.reward.best_log_rewards(env.size, 100).exp().sum()
    best, sampler = BestObjects(env) if env.has_keys else None, Sampler(env)
    found: dict[tuple[bool, ...], float] = {}
    generator = torch.Generator().manual_seed(1000 + seed)
    curve = []
    for step in range(1, steps + 1):
        trainer.train_step()
        if step % 10:
            continue
        batch = sampler.forward(policy, 16, generator=generator)
        if best is not None:
            best(trainer, batch, {})
            top = best.log_reward.double().exp().sum()
        else:  # more items than a 64-bit key holds
            rows = map(tuple, batch.final_states.tolist())
            found |= dict(zip(rows, batch.log_reward.tolist(), strict=True))
            top = torch.tensor(sorted(found.values())[-100:], dtype=torch.float64).exp().sum()
        curve.append((step, float(top / ceiling)))
    return curve


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["small", "medium"])
    parser.add_argument("--steps", nargs="+", type=int, default=[1500, 600])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("runs/forward_looking.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    panels = []
    for task, steps in zip(args.tasks, args.steps, strict=True):
        panel = Panel(f"sets, {task}", "mean reward of the 100 best / oracle's", goal=1.0)
        methods = {
            name: lambda seed, t=task, n=name, s=steps: learn(t, n, s, seed)
            for name in args.methods
        }
        panels.append(panel.run(methods, range(args.seeds)))
    rows = [["task", "method", "share of the oracle", "steps to 0.9", "steps to 0.99"]]
    for panel in panels:
        for name in panel.curves:
            times = (spread(panel.first_time(name, level), ".0f") for level in (0.9, 0.99))
            rows.append([panel.title, name, spread(panel.last(name)), *times])
    table(rows)
    print("published: forward-looking balance rises faster, most of all on large sets")
    draw(panels, args.out)


if __name__ == "__main__":
    main()
