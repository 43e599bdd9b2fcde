"""The tempered posterior of a tiny language model, by adapters: who learns it from equal samples.

Run:   python benchmarks/posterior.py
       python benchmarks/posterior.py --only msubtb reinforce --seeds 1
Takes: a CPU minute and a half for each seed of all.
Shows: total variation from p(text, stop)^(1/0.7) over all texts while training, exact, for modified
       sub-trajectory balance, trajectory balance, VarGrad, REINFORCE (which raises the mean of
       log R), and REINFORCE with entropy (whose optimum is the posterior too); table and picture.

A GPT-2 of two layers with random weights, adapters of rank 8, six letters and the stop, at most
four letters: 1555 texts.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from curves import Curve, Panel, plot, spread, table

from gflow import TrainConfig, Trainer
from gflow.language import (
    GradientConfig,
    HuggingFacePolicy,
    LanguageModel,
    ListedTexts,
    PolicyGradient,
    Prompts,
    ReferenceLM,
    TokenEnvironment,
)
from gflow.metrics import total_variation
from gflow.objectives import (
    LogPartitionVariance,
    ModifiedSubTrajectoryBalance,
    TrajectoryBalance,
)

LETTERS, LONGEST, TEMPERATURE = 6, 4, 0.7
BATCH, LR, HALF = 32, 5e-3, 100
EVERY = 50


def begin(seed: int) -> tuple[TokenEnvironment, HuggingFacePolicy, ListedTexts]:
    """The same model for all methods of a seed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=LETTERS + 1, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(seed)
    network: Any = GPT2LMHeadModel(config)
    model = LanguageModel(network).adapt(rank=8, seed=seed)
    prompts = Prompts([[1, 2]])
    reward = ReferenceLM(model, prompts, 0, TEMPERATURE)
    env = TokenEnvironment(LETTERS + 1, 0, reward, LONGEST, prompts=prompts)
    return env, HuggingFacePolicy(env, model), ListedTexts(env)


def balanced(objective: Callable[[], Any], steps: int, seed: int) -> Curve:
    """A balance, with a twentieth of the moves drawn evenly."""
    env, policy, listed = begin(seed)
    config = TrainConfig(
        steps=steps, batch_size=BATCH, lr=LR, lr_half_life=HALF, epsilon=0.05, seed=seed
    )
    trainer = Trainer(env, policy, objective(), config)
    return measured(trainer, policy, listed, steps)


def climbed(entropy: float, steps: int, seed: int) -> Curve:
    """REINFORCE."""
    env, policy, listed = begin(seed)
    config = GradientConfig(
        steps=steps, batch_size=BATCH, lr=LR, lr_half_life=HALF, entropy=entropy, seed=seed
    )
    return measured(PolicyGradient(env, policy, config), policy, listed, steps)


def measured(trainer: Any, policy: HuggingFacePolicy, listed: ListedTexts, steps: int) -> Curve:
    """Total variation now and then."""
    curve = []
    while True:
        distance = total_variation(listed.log_law(policy), listed.log_target)
        curve.append((trainer.step, float(distance)))
        if trainer.step >= steps:
            return curve
        trainer.train(min(EVERY, steps - trainer.step))


OBJECTIVES: dict[str, Callable[[], Any]] = {
    "msubtb": ModifiedSubTrajectoryBalance,
    "tb": TrajectoryBalance,
    "vargrad": LogPartitionVariance,
}
ENTROPY = {"reinforce": 0.0, "reinforce + entropy": 1.0}
METHODS = (*OBJECTIVES, *ENTROPY)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/posterior"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods: dict[str, Callable[[int], Curve]] = {}
    for name in args.only:
        if name in OBJECTIVES:
            methods[name] = partial(balanced, OBJECTIVES[name], args.steps)
        else:
            methods[name] = partial(climbed, ENTROPY[name], args.steps)
    title = f"{sum(LETTERS**k for k in range(LONGEST + 1))} texts, T = {TEMPERATURE}"
    panel = Panel(title, "total variation", 0.0).run(methods, range(args.seeds))
    half = args.steps // 2 // EVERY
    rows = [["method", "TV before", f"after {half * EVERY} steps", f"after {args.steps}"]]
    for name, runs in panel.curves.items():
        places = (0, half, -1)
        rows.append([name, *(spread([run[at][1] for run in runs], ".3f") for at in places)])
    table(rows)
    plot([panel], args.out / "posterior.png")


if __name__ == "__main__":
    main()
