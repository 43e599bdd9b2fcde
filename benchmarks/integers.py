"""Random integers: a seeded memory and balance, on-policy balance, and policy gradients.

Run:   python benchmarks/integers.py
       python benchmarks/integers.py --only ours ppo --seeds 1
Takes: about three CPU minutes for each seed of all.
Shows: exact over all 1110 texts, after equal numbers of sampled texts: the share that are integers
       from 0 to 100, divergences from uniform over these both ways, total variation from the target
       (in which other texts have a share, too), the rarest integer, CPU seconds.

`ppo` raises log R alone, four epochs a batch; `ppo + kl` pays 0.1 for each nat from the model as it
was. Integers earn the same, so nothing but chance tells a policy gradient which of them to write.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from curves import spread, table

from gflow import Needs, TrainConfig, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.envs.language.integers_task import IntegersTask, integer_numbers
from gflow.language import GradientConfig, ListedTexts, PolicyGradient, TokenEnvironment
from gflow.objectives import ModifiedSubTrajectoryBalance

Tune = Callable[[IntegersTask, TokenEnvironment, Any, int, int], None]


def balance(task: IntegersTask, env: TokenEnvironment, policy: Any, steps: int, seed: int) -> None:
    """Modified sub-trajectory balance from where the task takes its texts."""
    chosen = task.train
    config = TrainConfig(
        steps=steps,
        batch_size=chosen.batch_size,
        lr=chosen.lr,
        lr_half_life=chosen.lr_half_life,
        seed=seed,
    )
    behaviour = task.behaviour(env, OnPolicy())
    objective = ModifiedSubTrajectoryBalance()
    Trainer(env, policy, objective, config, behaviour=behaviour).train()


def gradient(
    settings: dict[str, Any],
    task: IntegersTask,
    env: TokenEnvironment,
    policy: Any,
    steps: int,
    seed: int,
) -> None:
    """A policy gradient on as many texts."""
    chosen = task.train
    config = GradientConfig(
        steps=steps,
        batch_size=chosen.batch_size,
        lr=5e-4,
        lr_half_life=chosen.lr_half_life,
        seed=seed,
        **settings,
    )
    PolicyGradient(env, policy, config).train()


METHODS: dict[str, tuple[float, Tune]] = {
    "ours": (0.25, balance),
    "ours without memory": (0.0, balance),
    "reinforce": (0.0, partial(gradient, {})),
    "ppo": (0.0, partial(gradient, {"epochs": 4})),
    "ppo + kl": (0.0, partial(gradient, {"epochs": 4, "kl": 0.1})),
}
COLUMNS = ("valid", "kl_to_uniform", "kl_of_uniform", "tv", "rarest", "cpu seconds")


def run(name: str, steps: int, seed: int) -> dict[str, float]:
    """What a method leaves of a base of this seed."""
    remembered, tune = METHODS[name]
    task = IntegersTask(base_seed=seed, remembered=remembered)
    env = task.environment()
    policy: Any = task.policy(env, Needs())
    began = time.process_time()
    tune(task, env, policy, steps, seed)
    seconds = time.process_time() - began
    return numbers(env, policy) | {"cpu seconds": seconds}


def numbers(env: TokenEnvironment, policy: Any) -> dict[str, float]:
    """Exact numbers of a policy."""
    listed = ListedTexts(env)
    law = listed.log_law(policy)
    rarest = law[listed.trajectories.log_reward == 0].exp().min()
    return integer_numbers(listed, law) | {"rarest": float(rarest)}


def base(seed: int) -> dict[str, float]:
    """The model as it was."""
    task = IntegersTask(base_seed=seed)
    env = task.environment()
    return numbers(env, task.policy(env, Needs()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=IntegersTask.train.steps)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {"model": [base(s) for s in range(args.seeds)]}
    for seed in range(args.seeds):
        for name in args.only:
            found.setdefault(name, []).append(run(name, args.steps, seed))
            print(f"{name}, seed {seed}: {found[name][-1]}", flush=True)
    rows = [["method", *COLUMNS]]
    for name, runs in found.items():
        cells = [spread([r[c] for r in runs], ".3g") if c in runs[0] else "" for c in COLUMNS]
        rows.append([name, *cells])
    table(rows)


if __name__ == "__main__":
    main()
