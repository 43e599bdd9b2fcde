"""Reviews from 10, 20 and 50 labels: rationales by EM, against tuning that writes none.

Run:   python benchmarks/rationales.py
       python benchmarks/rationales.py --items 10 --seeds 1
       python benchmarks/rationales.py --model NAME --items 10 --seeds 1
Takes: about six minutes on one core for all.
Shows: for each method the accuracy on 200 other reviews, mean and standard error over seeds (of the
       reviews and of the training; the model is one): base = what the model prefers without being
       trained, with no rationale and by the votes of ten; supervised = its label head tuned, with
       no rationale; E = GFlowNet over rationales; EM = with M-steps of the label head. Behind
       votes and a greedy rationale, the share of rationales that name the film's attribute.
"""

import argparse
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow import Trainer
from gflow.envs.language.rationale_mstep import LabelFit
from gflow.envs.language.rationale_task import RationalesTask, reward_of
from gflow.envs.language.rationale_votes import majority, rationales, votes, without_rationales
from gflow.objective import Objective
from gflow.objectives import ModifiedSubTrajectoryBalance
from gflow.policies.base import Policy

SUPERVISED = 100
"""Steps of supervised tuning."""


def measured(task: RationalesTask, env: Any, policy: Policy | None, seed: int) -> dict[str, float]:
    """Accuracies, and how often a rationale names the attribute that decides."""
    head = reward_of(env).head
    data = task.data()[task.items :]
    prompt = torch.arange(task.items, task.items + len(data))
    truth = torch.tensor([one.label for one in data])

    def right(labels: Tensor) -> float:
        return float((labels == truth).double().mean())

    if policy is None:
        return {"accuracy": right(without_rationales(head, prompt))}
    generator = torch.Generator().manual_seed(seed)
    share = votes(env, policy, head, prompt, generator, task.votes)
    greedy = votes(env, policy, head, prompt, generator, greedy=True)
    tokens, size = rationales(env, policy, prompt, generator)
    said = [head.base.decode(z[:n]) for z, n in zip(tokens.tolist(), size.tolist(), strict=True)]
    named = [one.attribute in z for one, z in zip(data, said, strict=True)]
    return {
        "accuracy": right(majority(share)),
        "greedy": right(majority(greedy)),
        "named": sum(named) / len(named),
    }


def base(task: RationalesTask, seed: int, steps: int) -> dict[str, float]:
    """No training, no rationale."""
    return measured(task, task.environment(), None, seed)


def voting(task: RationalesTask, seed: int, steps: int) -> dict[str, float]:
    """No training; rationales are the model's own."""
    env = task.environment()
    return measured(task, env, task.policy(env, objective().needs), seed)


def supervised(task: RationalesTask, seed: int, steps: int) -> dict[str, float]:
    """The label head, tuned on the labelled reviews without rationales."""
    env = task.environment()
    reward = reward_of(env)
    prompt = reward.labelled
    none, size = torch.zeros(len(prompt), 0, dtype=torch.int64), torch.zeros_like(prompt)
    generator = torch.Generator().manual_seed(seed)
    fit = LabelFit(reward.head, task.m_lr)
    fit.run(none, size, prompt, reward.answers[prompt], SUPERVISED, 32, generator)
    return measured(task, env, None, seed)


def objective() -> Objective:
    """That of the task by default."""
    return ModifiedSubTrajectoryBalance()


def em(task: RationalesTask, seed: int, steps: int) -> dict[str, float]:
    """A GFlowNet over rationales, with the learners of the task."""
    env, chosen = task.environment(), objective()
    policy = task.policy(env, chosen.needs)
    trainer = Trainer(
        env,
        policy,
        chosen,
        replace(task.train, steps=steps, seed=seed),
        condition=task.condition(env),
        learners=task.learners(env, policy),
        record_every=steps,
    )
    trainer.train()
    return measured(task, env, trainer.policy, seed)


def e_step(task: RationalesTask, seed: int, steps: int) -> dict[str, float]:
    """Without M-steps."""
    return em(replace(task, m_every=0), seed, steps)


METHODS = {
    "base": base,
    "base, rationales": voting,
    "supervised": supervised,
    "E": e_step,
    "EM": em,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=RationalesTask.train.steps)
    parser.add_argument("--model", default="")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for items in args.items:
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        spent: dict[str, float] = defaultdict(float)
        for seed in range(args.seeds):
            task = RationalesTask(model=args.model, items=items, data_seed=seed)
            task.base()
            for name, method in METHODS.items():
                begun = time.process_time()
                found[name].append(method(task, seed, args.steps))
                spent[name] += time.process_time() - begun
        print(f"{items} labels")
        for name, rows in found.items():
            cells = []
            for key in rows[0]:
                column = torch.tensor([row[key] for row in rows], dtype=torch.float64)
                error = float(column.std() / len(rows) ** 0.5) if len(rows) > 1 else 0.0
                cells.append(f"{key} {float(column.mean()):.3f} ± {error:.3f}")
            print(f"  {name:18s} {'  '.join(cells)}  {spent[name] / args.seeds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
