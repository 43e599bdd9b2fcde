"""Independent sets of graphs of 200 to 300 nodes: train, then judge on graphs never seen.

    python benchmarks/independent_set.py train --out runs/mis [--objective vargrad] [--device cuda]
    python benchmarks/independent_set.py judge runs/mis [...]     # exact optima by HiGHS, a table

Graphs of model RB, 20 to 24 groups of 5 to 11 nodes, as in Zhang et al. (2023, arXiv 2305.17010);
400 to train on, 100 to judge by. log R = beta times the size, beta growing over the first half of
the training. Training needs a GPU to be quick; judging takes some minutes, most of it for the
optima.
"""

import argparse
import time
from pathlib import Path

import torch
from curves import table

from gflow.envs.graph_draw import GraphDraw
from gflow.envs.graph_instances import GraphBatch, rb_graphs
from gflow.envs.graph_optima import degree_greedy, optimum
from gflow.envs.graph_policy import GraphPolicy
from gflow.envs.independent_set import IndependentSet
from gflow.envs.node_subsets import NodeCount
from gflow.exploration import Exploration
from gflow.objectives import OBJECTIVES
from gflow.rollout import Sampler
from gflow.training import TrainConfig, Trainer


def graphs(count: int, seed: int, cache: Path | None) -> GraphBatch:
    """Random graphs, from a file if they were drawn before."""
    file = None if cache is None else cache / f"rb-{count}-{seed}.pt"
    if file is not None and file.exists():
        return GraphBatch.from_edges(*torch.load(file))
    drawn = rb_graphs(count, torch.Generator().manual_seed(seed), nodes=(200, 300))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save((drawn.sizes.tolist(), [drawn.edges(g) for g in range(count)]), file)
    return drawn


def train(args: argparse.Namespace) -> None:
    """Train until the steps or the minutes are over; sizes on the held-out graphs go to a file."""
    torch.manual_seed(args.seed)
    seen, unseen = graphs(400, 7, args.cache), graphs(100, 8, args.cache)
    reward = NodeCount(args.beta)
    env = IndependentSet(seen, reward)
    objective = OBJECTIVES[args.objective].build(env).to(args.device)
    policy = GraphPolicy(
        env, args.width, args.depth, log_flow=objective.needs.log_flow, scale=args.scale
    ).to(args.device)
    config = TrainConfig(
        args.steps, args.batch, lr=args.lr, grad_clip=10.0, ema=0.98, seed=args.seed
    )
    trainer = Trainer(env, policy, objective, config, condition=GraphDraw(env.turn, args.repeat))
    began, told = time.monotonic(), 0.0
    args.out.mkdir(parents=True, exist_ok=True)
    while trainer.step < args.steps and time.monotonic() - began < 60 * args.minutes:
        share = (time.monotonic() - began) / (60 * args.minutes)
        share = max(trainer.step / args.steps, share)
        reward.beta = args.beta * min(1.0, 0.1 + 1.8 * share)
        record = trainer.train_step()
        if time.monotonic() - told > 20:
            told = time.monotonic()
            size = record["mean_log_reward"] / reward.beta
            print(
                f"{args.out.name}  step {trainer.step:6d}  {told - began:5.0f} s  "
                f"loss {record['loss']:9.3g}  mean size {size:6.2f}",
                flush=True,
            )
    found = {"steps": trainer.step, "seconds": time.monotonic() - began, "args": vars(args)}
    judge_env = IndependentSet(unseen)
    for temperature in (1.0, 0.5, 0.1):
        batch = Sampler(judge_env, config.plan).forward(
            trainer.evaluated_policy,
            2000,
            exploration=Exploration(temperature=temperature),
            generator=torch.Generator(args.device).manual_seed(1),
            device=args.device,
        )
        size = (batch.final_states.label == 1).sum(-1).view(20, 100).cpu()
        found[f"sizes at {temperature}"] = size
        print(f"{args.out.name}  temperature {temperature}: {size.double().mean():.3f}", flush=True)
    torch.save({"policy": trainer.evaluated_policy.state_dict(), **found}, args.out / "found.pt")


def judge(args: argparse.Namespace) -> None:
    """The table: gaps to the optimum, mean over graphs of the share."""
    rows = [["run", "steps", "sets", "mean size", "gap to optimum"]]
    best = greedy = None
    for folder in args.folders:
        found = torch.load(folder / "found.pt", weights_only=False)
        if best is None:
            test = graphs(100, 8, args.cache)
            exact = [optimum(test, g, seconds=args.seconds) for g in range(len(test))]
            best = torch.tensor([a.value for a in exact], dtype=torch.float64)
            rule = degree_greedy(IndependentSet(test), torch.arange(len(test)))
            greedy = (rule.label == 1).sum(-1).double()
            print(f"{len(test)} held-out graphs, {sum(a.proven for a in exact)} optima proven")
            rows.append(["", "", "optimum", f"{float(best.mean()):.3f}", ""])
            gap = 100 * float(1 - (greedy / best).mean())
            rows.append(["", "", "greedy by degree", f"{float(greedy.mean()):.3f}", f"{gap:.2f} %"])
        for key in [k for k in found if k.startswith("sizes at ")]:
            size = found[key].double()
            temperature = key.removeprefix("sizes at ")
            for name, value in (("mean", size.mean(0)), ("best", size.amax(0))):
                gap = 100 * float(1 - (value / best).mean())
                label = f"{name} of 20, temperature {temperature}"
                cells = [folder.name, str(found["steps"]), label]
                rows.append([*cells, f"{float(value.mean()):.3f}", f"{gap:.2f} %"])
    table(rows)


def main() -> None:
    """Parse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    learn = commands.add_parser("train")
    learn.add_argument("--out", type=Path, default=Path("runs/mis"))
    learn.add_argument("--objective", choices=list(OBJECTIVES), default="vargrad")
    learn.add_argument("--device", default="cpu")
    learn.add_argument("--steps", type=int, default=3000)
    learn.add_argument("--minutes", type=float, default=600.0)
    learn.add_argument("--batch", type=int, default=64)
    learn.add_argument("--repeat", type=int, default=8, help="trajectories per graph")
    learn.add_argument("--lr", type=float, default=1e-3)
    learn.add_argument("--beta", type=float, default=50.0)
    learn.add_argument("--scale", type=float, default=10.0)
    learn.add_argument("--width", type=int, default=64)
    learn.add_argument("--depth", type=int, default=4)
    learn.add_argument("--seed", type=int, default=0)
    learn.set_defaults(run=train)
    look = commands.add_parser("judge")
    look.add_argument("folders", nargs="+", type=Path)
    look.add_argument("--seconds", type=float, default=30.0, help="time limit per optimum")
    look.set_defaults(run=judge)
    for command in (learn, look):
        command.add_argument("--cache", type=Path, help="folder that keeps the random graphs")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
