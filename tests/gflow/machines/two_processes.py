"""What two processes under torchrun do together: called by `test_machines.py`, prints JSON."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gflow import MLPPolicy, Objective, TrainConfig, Trainer, Trajectories
from gflow.behaviours.base import Around, Sampling
from gflow.cli.main import main
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, NonFiniteLossError, RankError
from gflow.learner import Learner
from gflow.machines import ALONE, Ranks, join
from gflow.objectives import (
    DetailedBalance,
    FlowMatching,
    LogPartitionVariance,
    ModifiedDetailedBalance,
    OrderPreservingTrajectoryBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)

ENV = HyperGrid(2, 5)
SPLIT = 5
"""Rows of the first process, of `COUNT`: the second has more."""

COUNT = 12

OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "tb": TrajectoryBalance,
    "db": DetailedBalance,
    "subtb": SubTrajectoryBalance,
    "subtb-pooled": lambda: SubTrajectoryBalance(weighting="pooled"),
    "vargrad": LogPartitionVariance,
    "fm": lambda: FlowMatching(leaf_coefficient=0.7),
    "mdb": ModifiedDetailedBalance,
    "optb-pairwise": lambda: OrderPreservingTrajectoryBalance(order="pairwise"),
    "db-of-parts": DetailedBalance,
}


def trainer(objective: Objective, ranks: Ranks, clip: float = 0.0, **more: Any) -> Trainer:
    """A small one; other weights in each process, if they may be."""
    torch.manual_seed(ranks.rank)
    policy = MLPPolicy(ENV, 12, 1, "learned", log_flow=True)
    config = TrainConfig(batch_size=COUNT, lr=0.02, grad_clip=clip, ema=0.7, seed=3)
    return Trainer(ENV, policy, objective, config, ranks=ranks, **more)


def mine(batch: Trajectories[Any], ranks: Ranks) -> Trajectories[Any]:
    """The rows of this process."""
    rows = torch.arange(len(batch))
    return batch.select(rows[:SPLIT] if ranks.first else rows[SPLIT:])


def weights(held: Trainer) -> list[Tensor]:
    """Everything that is trained or averaged."""
    assert held.average is not None
    modules = [held.policy, held.objective, held.average]
    return [p.detach() for module in modules for p in module.parameters()]


def apart(first: Trainer, second: Trainer) -> float:
    """The largest difference between weights."""
    pairs = zip(weights(first), weights(second), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def steeper(first: Trainer, second: Trainer) -> float:
    """The largest difference between gradients."""
    held = [
        [p.grad for module in (t.policy, t.objective) for p in module.parameters()]
        for t in (first, second)
    ]
    assert [g is None for g in held[0]] == [g is None for g in held[1]]
    pairs = zip(*held, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs if a is not None and b is not None)


def equal(ranks: Ranks, name: str) -> dict[str, float]:
    """Three steps of two processes against three of one with the joined batch."""
    clip = 0.3 if name == "db" else 0.0
    one, two = (trainer(OBJECTIVES[name](), r, clip) for r in (ALONE, ranks))
    one.policy.load_state_dict(two.policy.state_dict())
    start = [p.clone() for p in weights(two)]
    generator, losses, slopes = torch.Generator().manual_seed(5), 0.0, 0.0
    for _ in range(3):
        batch = one.sampler.forward(one.policy, COUNT, generator=generator)
        if name == "db-of-parts":  # those of the second process are cut
            cut = one.sampler.forward(one.policy, COUNT - SPLIT, limit=3, generator=generator)
            whole = batch.select(torch.arange(SPLIT))
            batch, own = Trajectories.join([whole, cut]), whole if ranks.first else cut
        else:
            own = mine(batch, ranks)
        losses = max(losses, abs(float(one.descend(batch)[0] - two.descend(own)[0])))
        slopes = max(slopes, steeper(one, two))
    moved = max(float((a - b).abs().max()) for a, b in zip(weights(two), start, strict=True))
    return {"loss": losses, "gradients": slopes, "weights": apart(one, two), "moved": moved}


def not_finite(ranks: Ranks) -> dict[str, Any]:
    """A reward of the second process alone is NaN."""
    held = trainer(TrajectoryBalance(), ranks)
    before = [p.clone() for p in weights(held)]
    batch = mine(held.sampler.forward(held.policy, COUNT, generator=held.generator), ranks)
    if not ranks.first:
        batch.log_reward[2] = torch.nan
    said = ""
    try:
        held.descend(batch)
    except NonFiniteLossError as error:
        said = str(error)
    still = all(bool((a == b).all()) for a, b in zip(weights(held), before, strict=True))
    return {"said": said, "still": still}


def one_fails(ranks: Ranks) -> dict[str, Any]:
    """The second process fails by itself, in the midst of a step."""
    held = trainer(TrajectoryBalance(), ranks)
    found: dict[str, Any] = {}
    try:
        with ranks.together():
            batch = held.sampler.forward(held.policy, 4, generator=held.generator)
            if not ranks.first:
                raise ValueError("the dock is closed\nfor good")
            held.descend(batch)
    except (RankError, ValueError) as error:
        found = {"kind": type(error).__name__, "said": str(error)}
    return {**found, "again": ranks.any(not ranks.first)}  # all can still talk


class Sometimes(Learner):
    """Fits a number to the mean length of the batch; not in the second process at odd batches."""

    def __init__(self, ranks: Ranks) -> None:
        self.bias = nn.Parameter(torch.zeros(()))
        self.module = nn.ParameterList([self.bias])
        self.optimizer = torch.optim.SGD([self.bias], 0.25)
        self.ranks, self.calls = ranks, 0

    def learn(self, *arguments: Any) -> dict[str, Tensor]:
        """One step, or none."""
        self.calls += 1
        if self.calls % 2 and not self.ranks.first:
            return {}
        self.optimizer.zero_grad()
        (self.bias - (1.0 + 2.0 * self.ranks.rank)).square().backward()
        self.optimizer.step()
        return {"sometimes": self.bias.detach().clone()}


class Once(Around):
    """One further batch, in the second process alone."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks
        self.gives = self.inner.gives

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """That of the policy."""
        return self.inner.collect(sampling, count)

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        """See the class."""
        if not self.ranks.first:
            yield sampling.fresh(3)


def beside(ranks: Ranks) -> dict[str, Any]:
    """Learners and further batches that some processes have and others have not."""
    learner = Sometimes(ranks)
    held = trainer(
        SubTrajectoryBalance(), ranks, learners=[learner], behaviour=Once(ranks), record_every=2
    )
    biases = []
    for _ in range(2):
        record = held.train_step()
        biases.append(float(learner.bias.detach()))
    held.ranks.check_equal([held.policy, held.objective, learner.module])
    steps = float(next(iter(held.optimizer.state.values()))["step"])
    with torch.no_grad():
        learner.bias.add_(ranks.rank)
    said = ""
    try:
        held.state_dict()
    except RankError as error:
        said = str(error)
    return {"biases": biases, "record": record, "steps": steps, "said": said}


def run_and_resume(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """A run of six steps, and one that is interrupted and resumed."""
    flags = ["--side", "4", "--batch-size", "8", "--replay", "16", "--quiet", "--eval-samples", "8"]
    flags += ["--checkpoint-every", "2", "--width", "8", "--eval-every", "3"]
    codes = [main(["train", "hypergrid", "--out", str(folder / "whole"), "--steps", "6", *flags])]
    step = Trainer.train_step

    def stopping(held: Trainer, record: bool | None = None) -> dict[str, float]:
        if held.step == 1 and not ranks.first:  # Ctrl-C that reaches one process alone
            os.kill(os.getpid(), signal.SIGINT)
        return step(held, record)

    Trainer.train_step = stopping  # type: ignore[method-assign, assignment]
    codes += [main(["train", "hypergrid", "--out", str(folder / "cut"), "--steps", "6", *flags])]
    Trainer.train_step = step  # type: ignore[method-assign]
    codes += [main(["resume", str(folder / "cut")])]
    codes += [main(["sample", str(folder / "cut")])]
    codes += [main(["train", "hypergrid", "--out", str(folder / "odd"), "--batch-size", "9"])]
    return {"codes": codes}


def everything(folder: Path) -> dict[str, Any]:
    """All cases, by name."""
    ranks = join()
    found: dict[str, Any] = {name: equal(ranks, name) for name in OBJECTIVES}
    try:
        ranks.share(COUNT + 1)
    except ConfigError as error:
        found["share"] = str(error)
    seeds = [trainer(TrajectoryBalance(), r).generator.initial_seed() for r in (ALONE, ranks)]
    found |= {"seeds": seeds, "not_finite": not_finite(ranks), "one_fails": one_fails(ranks)}
    found |= {"beside": beside(ranks), "runs": run_and_resume(ranks, folder)}
    return found


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    place = Path(sys.argv[1])
    said = everything(place)
    (place / f"{os.environ['RANK']}.json").write_text(json.dumps(said))
