"""Independent sets of graphs of 200 to 300 nodes: train, then judge on graphs never seen.

    python benchmarks/independent_set.py train --out runs/mis [--objective fldb] [--device cuda]
    python benchmarks/independent_set.py judge runs/mis [...]     # exact optima by HiGHS, a table

Graphs of model RB, 20 to 24 groups of 5 to 11 nodes, as in Zhang et al. (2023, arXiv 2305.17010);
400 to train on, 100 to judge by. The first steps are on graphs of 60 to 100 nodes, where a step
costs a fifth: the network does not know the size of a graph. Groups of trajectories share their
beginnings (`Branching`). log R is beta times the size. At beta = 50 the order in which 20 nodes are
chosen, log 20! = 42 nats, is worth nearly a node, so beta grows at the end; if it is large from
the start, the policy is sure of itself too early. Judging takes some minutes, nearly all of it
for the optima; --cache keeps these, and the graphs.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from curves import table

from gflow.behaviours.branching import Branching
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import GraphBatch, rb_graphs
from gflow.envs.graphs.node_subsets import NodeCount
from gflow.envs.graphs.optima import degree_greedy, optimum
from gflow.envs.graphs.policy import GraphPolicy
from gflow.objectives import OBJECTIVES
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer

TRAIN, TEST = (400, 7), (100, 8)  # number and seed


def graphs(count: int, seed: int, cache: Path | None) -> GraphBatch:
    """Random graphs, from a file if they were made before."""
    file = None if cache is None else cache / f"rb-{count}-{seed}.pt"
    if file is not None and file.exists():
        return GraphBatch.from_edges(*torch.load(file))
    drawn = rb_graphs(count, torch.Generator().manual_seed(seed), nodes=(200, 300))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save((drawn.sizes.tolist(), [drawn.edges(g) for g in range(count)]), file)
    return drawn


def smaller_graphs(most: int) -> GraphBatch:
    """Graphs of 10 to 14 groups of 5 to `most` nodes for the first steps."""
    generator = torch.Generator().manual_seed(TRAIN[1])
    nodes = (60, 100 if most <= 8 else 130)
    return rb_graphs(TRAIN[0], generator, (10, 14), (5, most), nodes=nodes)


def optima(test: GraphBatch, seconds: float, cache: Path | None) -> list[tuple[int, bool]]:
    """Size of the best set of every graph and whether it is proven; kept in a file.

    What could not be proven is tried anew if there is more time than the last time.
    """
    file = None if cache is None else cache / f"optima-{TEST[0]}-{TEST[1]}.pt"
    known = torch.load(file) if file is not None and file.exists() else []
    for graph in range(len(test)):
        if graph < len(known) and (known[graph][1] or known[graph][2] >= seconds):
            continue
        found = optimum(test, graph, seconds=seconds)
        known[graph : graph + 1] = [(found.value, found.proven, seconds)]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(known, file)
    return [(value, proven) for value, proven, _ in known]


def train(args: argparse.Namespace) -> None:
    """Train until the steps or the minutes are over; sizes on the held-out graphs go to a file."""
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    reward = NodeCount(args.beta)
    first = IndependentSet(smaller_graphs(args.first_groups), reward)
    env = IndependentSet(graphs(*TRAIN, args.cache), reward)
    objective = OBJECTIVES[args.objective].build(env).to(args.device)
    policy = GraphPolicy(
        env, args.width, args.depth, log_flow=objective.needs.log_flow, scale=args.scale
    ).to(args.device)
    config = TrainConfig(
        args.steps, args.batch, lr=args.lr, grad_clip=10.0, ema=args.ema, seed=args.seed
    )
    if args.start is not None:
        policy.load_state_dict(torch.load(args.start, map_location=args.device))
    behaviour = Branching() if args.branch else None
    trainer = Trainer(
        first,
        policy,
        objective,
        config,
        condition=GraphDraw(first.turn, args.repeat),
        behaviour=behaviour,
    )
    sizes: list[float] = []
    began, told = time.monotonic(), 0.0
    done = 0.0
    while done < 1:
        if trainer.env is first and trainer.step >= args.first_steps:
            trainer.env, trainer.sampler = env, Sampler(env, config.plan)
            trainer.condition = GraphDraw(env.turn, args.repeat)
            sizes.clear()
        reward.beta = args.beta * (args.last_beta / args.beta) ** max(0.0, (done - 0.6) / 0.4)
        for group in trainer.optimizer.param_groups:
            group["lr"] = args.lr * (0.03 + 0.97 * (1 + math.cos(math.pi * done)) / 2)
        record = trainer.train_step()
        sizes.append(record["mean_log_reward"] / reward.beta)
        taken = time.monotonic() - began
        done = max(trainer.step / args.steps, taken / (60 * args.minutes))
        if taken - told > 20:
            told = taken
            mean = sum(sizes[-40:]) / len(sizes[-40:])
            print(
                f"{args.out.name}  step {trainer.step:6d}  {taken:5.0f} s  "
                f"loss {record['loss']:9.3g}  mean size {mean:6.2f}",
                flush=True,
            )
            torch.save(trainer.evaluated_policy.state_dict(), args.out / "policy.pt")
    found = {"steps": trainer.step, "seconds": time.monotonic() - began, "args": str(vars(args))}
    judge_env = IndependentSet(graphs(*TEST, args.cache))
    for temperature in (1.0, 0.3, 0.05):
        batch = Sampler(judge_env, config.plan).forward(
            trainer.evaluated_policy,
            20 * TEST[0],
            exploration=Exploration(temperature=temperature),
            generator=torch.Generator(args.device).manual_seed(1),
            device=args.device,
        )
        size = (batch.final_states.label == 1).sum(-1).view(20, TEST[0]).cpu()
        found[f"sizes at {temperature}"] = size
        print(f"{args.out.name}  temperature {temperature}: {size.double().mean():.3f}", flush=True)
    torch.save({"policy": trainer.evaluated_policy.state_dict(), **found}, args.out / "found.pt")


def judge(args: argparse.Namespace) -> None:
    """The table: gaps to the optimum, mean over graphs of the share.

    Where the optimum is not proven, the best set that anything found stands for it.
    """
    test = graphs(*TEST, args.cache)
    exact = optima(test, args.seconds, args.cache)
    best = torch.tensor([value for value, _ in exact], dtype=torch.float64)
    sure = torch.tensor([proven for _, proven in exact])
    runs = {
        folder.name: torch.load(folder / "found.pt", map_location="cpu", weights_only=True)
        for folder in args.folders
    }
    for found in runs.values():
        for key in [k for k in found if k.startswith("sizes at ")]:
            best = best.where(sure, torch.maximum(best, found[key].double().amax(0)))
    rule = degree_greedy(IndependentSet(test), torch.arange(len(test)))
    greedy = (rule.label == 1).sum(-1).double()
    print(f"{len(test)} held-out graphs, {int(sure.sum())} optima proven")
    rows = [["run", "steps", "sets", "mean size", "gap to optimum"]]

    def add(run: str, steps: str, label: str, value: torch.Tensor) -> None:
        gap = 100 * float(1 - (value / best).mean())
        rows.append([run, steps, label, f"{float(value.mean()):.3f}", f"{gap:.2f} %"])

    add("", "", "optimum", best)
    add("", "", "greedy by degree", greedy)
    for name, found in runs.items():
        for key in [k for k in found if k.startswith("sizes at ")]:
            size, temperature = found[key].double(), key.removeprefix("sizes at ")
            add(name, str(found["steps"]), f"mean of 20, temperature {temperature}", size.mean(0))
            add(name, str(found["steps"]), f"best of 20, temperature {temperature}", size.amax(0))
    table(rows)


def main() -> None:
    """Parse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    learn = commands.add_parser("train")
    learn.add_argument("--out", type=Path, default=Path("runs/mis"))
    learn.add_argument("--objective", choices=list(OBJECTIVES), default="vargrad")
    learn.add_argument("--device", default="cpu")
    learn.add_argument("--steps", type=int, default=1500)
    learn.add_argument("--first-steps", type=int, default=500, help="of these, on smaller graphs")
    learn.add_argument("--first-groups", type=int, default=8, help="most nodes of their groups")
    learn.add_argument("--minutes", type=float, default=600.0)
    learn.add_argument("--batch", type=int, default=64)
    learn.add_argument("--repeat", type=int, default=8, help="trajectories per graph")
    learn.add_argument("--lr", type=float, default=1e-3, help="at the start, then a cosine")
    learn.add_argument("--ema", type=float, default=0.98)
    learn.add_argument("--beta", type=float, default=50.0, help="until 60 %% of the steps")
    learn.add_argument("--last-beta", type=float, default=400.0, help="at the end")
    learn.add_argument("--scale", type=float, default=10.0)
    learn.add_argument("--width", type=int, default=64)
    learn.add_argument("--depth", type=int, default=3)
    learn.add_argument("--branch", action=argparse.BooleanOptionalAction, default=True)
    learn.add_argument("--start", type=Path, help="a policy.pt to start from")
    learn.add_argument("--threads", type=int, default=0, help="0 lets PyTorch choose")
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
