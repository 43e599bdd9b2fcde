"""Arithmetic with a calculator: sums of 3, 4 and 5 numbers, from questions and answers to 3 and 4.

Run:   python benchmarks/arithmetic.py                 # pre-trains the model first, if need be
       python benchmarks/arithmetic.py --only ours --steps 100
Takes: six CPU minutes for the model, once; one or two for each method.
Shows: for the model as it was, supervised tuning on 50 worked questions, a policy gradient in the
       form of PPO and modified sub-trajectory balance, both from as many sampled texts: the share
       of texts behind which the answer is true, that of questions whose majority of ten is, how
       many texts are the steps of the question, and how many of ten differ.

Nobody sees steps but supervised tuning. The answer is the likeliest continuation of the model
without adapters behind the steps. `ours, vargrad` balances whole texts alone; `ours + demos` begins
with the 50 worked questions in its memory.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from curves import table

from gflow import Needs, TrainConfig, Trainer
from gflow.behaviours import BackwardReplay
from gflow.behaviours.base import OnPolicy
from gflow.envs.language.arithmetic_reward import accuracy
from gflow.envs.language.arithmetic_task import JUDGED, SAMPLES, ArithmeticTask
from gflow.language import GradientConfig, PolicyGradient, TokenEnvironment, written
from gflow.objective import Objective
from gflow.objectives import LogPartitionVariance, MaximumLikelihood, ModifiedSubTrajectoryBalance

DEMONSTRATIONS = 50
SUPERVISED = 100
"""Steps of supervised tuning, each on 32 of the demonstrations."""

Tune = Callable[[ArithmeticTask, TokenEnvironment, Any, TrainConfig], None]


def nothing(task: ArithmeticTask, env: TokenEnvironment, policy: Any, config: TrainConfig) -> None:
    """The model as it was."""


def supervised(
    task: ArithmeticTask, env: TokenEnvironment, policy: Any, config: TrainConfig
) -> None:
    """Maximum likelihood of worked questions."""
    rows = range(DEMONSTRATIONS)
    unread = torch.zeros(len(rows))
    batch = written(env, [task.worked(env, row) for row in rows], rows, unread)
    data = BackwardReplay(env, batch.final_states, 1.0, unread, batch.condition)
    few = replace(config, steps=SUPERVISED, lr_half_life=0)
    draw = task.condition(env)
    Trainer(env, policy, MaximumLikelihood(), few, condition=draw, behaviour=data).train()


def ppo(task: ArithmeticTask, env: TokenEnvironment, policy: Any, config: TrainConfig) -> None:
    """A policy gradient that raises log R, less 0.1 for each nat from the model."""
    chosen = GradientConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        lr=3e-4,
        lr_half_life=config.lr_half_life,
        epochs=4,
        kl=0.1,
        grad_clip=config.grad_clip,
        seed=config.seed,
    )
    PolicyGradient(env, policy, chosen, task.condition(env)).train()


def ours(
    task: ArithmeticTask,
    env: TokenEnvironment,
    policy: Any,
    config: TrainConfig,
    objective: Callable[[], Objective] = ModifiedSubTrajectoryBalance,
) -> None:
    """A balance, from policy, heated policy and memory."""
    trainer = Trainer(
        env,
        policy,
        objective(),
        config,
        condition=task.condition(env),
        behaviour=task.behaviour(env, OnPolicy()),
    )
    trainer.train()


METHODS: dict[str, tuple[int, Tune]] = {
    "model": (0, nothing),
    "supervised": (0, supervised),
    "ppo": (0, ppo),
    "ours": (0, ours),
    "ours, vargrad": (0, partial(ours, objective=LogPartitionVariance)),
    "ours + demos": (DEMONSTRATIONS, ours),
}


def judged(name: str, args: argparse.Namespace) -> list[list[str]]:
    """Rows of the table, a line for each number of operands."""
    demonstrations, tune = METHODS[name]
    task = ArithmeticTask(
        base=args.base, demonstrations=demonstrations, test_problems=args.questions
    )
    env = task.environment()
    torch.manual_seed(args.seed)
    policy = task.policy(env, Needs())
    began = time.process_time()
    tune(task, env, policy, replace(task.train, steps=args.steps, seed=args.seed))
    seconds = time.process_time() - began
    rows = []
    for size in JUDGED:
        generator = torch.Generator().manual_seed(size)
        found = accuracy(env, policy, task.test_rows(size), SAMPLES, generator)
        shares = [f"{found[key]:.3f}" for key in ("accuracy", "majority", "worked")]
        rows.append([name, str(size), *shares, f"{found['distinct']:.1f}", f"{seconds:.0f}"])
        print(" ".join(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=ArithmeticTask.base, help="folder of the model")
    parser.add_argument("--steps", type=int, default=ArithmeticTask.train.steps)
    parser.add_argument("--questions", type=int, default=100, help="of each length")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    head = ["method", "numbers", "one text", f"majority of {SAMPLES}", "own steps", "distinct"]
    rows = [[*head, "CPU s"]]
    for name in args.only:
        rows += judged(name, args)
    table(rows)


if __name__ == "__main__":
    main()
