"""Forward-looking balance against plain balance on sets with additive energies.

    python benchmarks/forward_looking.py [--tasks small medium] [--seeds 3] [--steps 1000 400]

The sets, energies and settings of Pan et al. (2023, arXiv 2302.01687): 20 of 30, 60 of 80 or 80 of
100 items, batches of 16, two hidden layers of 256, a learned backward policy, Adam at 1e-3,
exploration by mixing with the uniform policy. After every step 16 sets are sampled without
exploring; shown is the mean reward of the 100 best different ones so far, as a share of the 100
best sets there are. `oracle` samples 16 sets per step exactly: no sampler in proportion
to the reward does better. The table says how many steps each takes to the oracle's final share and
how far its distribution is from the exact one at the end: who samples better sets than their share
is ahead of the oracle and wrong.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from curves import Curve, Panel, plot, spread, table
from torch import Tensor

from gflow import MLPPolicy, Sampler, evaluate
from gflow.envs.sets.sets import AdditiveEnergy, published_sets
from gflow.metrics import elbo
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    Objective,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.training.trainer import TrainConfig, Trainer

METHODS: dict[str, type[Objective]] = {
    "tb": TrajectoryBalance,
    "db": DetailedBalance,
    "subtb": SubTrajectoryBalance,
    "fl-db": ForwardLookingDetailedBalance,
    "fl-subtb": ForwardLookingSubTrajectoryBalance,
}
EPSILON = {"tb": 0.0625}
"""Share of the uniform policy while training; one half for all that the table does not name."""


ENDS: dict[tuple[str, str], list[tuple[float, float]]] = {}
"""For each task and method, per seed: mean log R over the exact one, and the gap of the ELBO."""


class Best:
    """The mean reward of the 100 best different sets, over that of the 100 best there are."""

    def __init__(self, reward: AdditiveEnergy, size: int) -> None:
        self.ceiling = float(reward.best_log_rewards(size, 100).exp().sum())
        self.found: dict[tuple[bool, ...], float] = {}
        self.reward = reward

    def __call__(self, sets: Tensor) -> float:
        """See sets; the share so far."""
        value = self.reward(sets).double().exp()
        self.found |= dict(zip(map(tuple, sets.tolist()), value.tolist(), strict=True))
        self.found = dict(sorted(self.found.items(), key=lambda item: -item[1])[:100])
        return sum(self.found.values()) / self.ceiling


def learn(task: str, method: str, steps: int, seed: int) -> Curve:
    """The share after every 10 steps of training."""
    torch.manual_seed(seed)
    env = published_sets(task)
    assert isinstance(env.reward, AdditiveEnergy)
    objective = METHODS[method]()
    policy = MLPPolicy(env, 256, 2, log_flow=objective.needs.log_flow)
    epsilon = EPSILON.get(method, 0.5)
    config = TrainConfig(steps, 16, lr=1e-3, log_z_lr=0.1, epsilon=epsilon, seed=seed)
    trainer = Trainer(env, policy, objective, config)
    best, sampler = Best(env.reward, env.size), Sampler(env)
    generator, curve = torch.Generator().manual_seed(1000 + seed), []
    for step in range(1, steps + 1):
        trainer.train_step()
        share = best(sampler.forward(policy, 16, generator=generator).final_states)
        if step % 10 == 0:
            curve.append((step, share))
    with torch.no_grad():
        terms = evaluate(env, policy, sampler.forward(policy, 500, generator=generator))
    excess = float(terms.log_reward.mean()) - mean_log_reward(env.reward, env.size)
    gap = env.reward.log_partition(env.size) - float(elbo(terms))
    ENDS.setdefault((task, method), []).append((excess, gap))
    return curve


def mean_log_reward(reward: AdditiveEnergy, size: int) -> float:
    """Exact mean of log R, the derivative of log Z by the inverse temperature."""
    return (reward.log_partition(size, 1.001) - reward.log_partition(size, 0.999)) / 0.002


def oracle(task: str, steps: int, seed: int) -> Curve:
    """The same of exactly sampled sets, item by item."""
    env = published_sets(task)
    assert isinstance(env.reward, AdditiveEnergy)
    weight, items, size = -env.reward.energies, env.num_items, env.size
    # left[i, k]: log of the sum over the sets of k of the items from i on.
    left = torch.full((items + 1, size + 1), -torch.inf, dtype=torch.float64)
    left[items, 0] = 0
    for i in reversed(range(items)):
        left[i, 0] = 0
        left[i, 1:] = torch.logaddexp(left[i + 1, 1:], left[i + 1, :-1] + weight[i])
    best, generator, curve = Best(env.reward, size), torch.Generator().manual_seed(seed), []
    for step in range(1, steps + 1):
        missing = torch.full((16,), size)
        sets = torch.zeros(16, items, dtype=torch.bool)
        for i in range(items):
            taken = (weight[i] + left[i + 1, (missing - 1).clamp(min=0)] - left[i, missing]).exp()
            sets[:, i] = (torch.rand(16, generator=generator) < taken) & (missing > 0)
            missing = missing - sets[:, i].long()
        share = best(sets)
        if step % 10 == 0:
            curve.append((step, share))
    return curve


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["small", "medium"])
    parser.add_argument("--steps", nargs="+", type=int, default=[1000, 400])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("runs/forward_looking.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    panels = []
    for task, steps in zip(args.tasks, args.steps, strict=True):
        panel = Panel(f"sets, {task}", "mean reward of the 100 best / of all sets")
        methods = {name: partial(learn, task, name, steps) for name in args.methods}
        methods["oracle"] = partial(oracle, task, steps)
        panels.append(panel.run(methods, range(args.seeds)))
    head = ["task", "method", "share at the end", "steps to 90 % of the oracle", "to all of it"]
    rows = [[*head, "mean log R, less exact", "log Z - ELBO"]]
    for panel in panels:
        goal = sum(panel.last("oracle")) / args.seeds
        for name in panel.curves:
            times = (spread(panel.first_time(name, level * goal), ".0f") for level in (0.9, 1.0))
            ends = ENDS.get((panel.title.removeprefix("sets, "), name), [(0.0, 0.0)])
            exact = (spread([pair[k] for pair in ends], ".2f") for k in (0, 1))
            rows.append([panel.title, name, spread(panel.last(name)), *times, *exact])
    table(rows)
    print("published: forward-looking balance rises faster, most of all on large sets")
    plot(panels, args.out)


if __name__ == "__main__":
    main()
