"""CPU time of a trajectory-balance iteration on 25 Gaussians, against the peer's own classes.

Run:   python benchmarks/diffusion_speed.py [--peer DIR] [--scores] [--search] [--matmul high]
       DIR is a checkout of https://github.com/GFNOrg/gfn-diffusion (it needs einops too).
Takes: about two minutes on one core, with --search six; the core should have nothing else to do.
Shows: milliseconds per iteration of this library, of gfn-diffusion, and of the bare network that no
       library can save, in one interleaved run; and that on one path the log-weights of reference
       processes (drifts are zero at first) are equal. With --search, iterations are those of
       whole cycles of 100: fifty on fresh trajectories, fifty backward from what Langevin chains
       of 200 steps found, the search itself included.

d = 2, T = 100, rate 5, batch 300, width 64, fixed variance, Adam: the settings of Sendera et al.,
2024, https://arxiv.org/abs/2402.05098.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peers.gfn_diffusion import GfnDiffusion
from torch.nn import functional as F

from gflow.behaviours.langevin import LangevinSearch
from gflow.envs.diffusion.env import Diffusion, DiffusionState
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import gmm25
from gflow.evaluation.evaluate import evaluate
from gflow.objectives import TrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories

STEPS, RATE, BATCH = 100, 5.0, 300
CYCLE, BLOCK = 100, 10


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="a checkout of gfn-diffusion")
    parser.add_argument("--scores", action="store_true", help="read the score of the target")
    parser.add_argument("--search", action="store_true", help="with Langevin chains")
    parser.add_argument("--matmul", default="highest", help="precision: highest, high or medium")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=8, help="per round and contestant")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(args.matmul)
    torch.manual_seed(0)
    env = Diffusion(gmm25(), Brownian(RATE), STEPS)
    policy = DiffusionPolicy(env, langevin=args.scores)
    config = TrainConfig(batch_size=BATCH, lr=1e-3, log_z_lr=0.1)
    search = LangevinSearch(period=CYCLE) if args.search else None
    trainer = Trainer(env, policy, TrajectoryBalance(), config, behaviour=search)
    print(f"gflow: {sum(p.numel() for p in policy.parameters())} parameters")
    contestants: dict[str, Callable[[], object]] = {"gflow": trainer.train_step}
    if args.peer:
        peer = GfnDiffusion(args.peer, STEPS, RATE, BATCH, args.scores, args.search)
        print(f"gfn-diffusion: {peer.parameters} parameters")
        if not args.scores:
            print(f"log-weights on one path differ by {difference(env, policy, peer):.1e}")
        contestants["gfn-diffusion"] = peer.train_step
    if not args.search:
        states = Sampler(env).forward(policy, BATCH).states
        contestants["bare network"] = lambda: bare(policy, env, states)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for step in contestants.values():
        for _ in range(4):
            step()
    iterations = CYCLE if args.search else args.iterations
    for _ in range(args.rounds):
        for name, step in contestants.items():
            began = time.process_time()
            for _ in range(iterations):
                step()
            taken[name].append((time.process_time() - began) / iterations * 1e3)
    ours_each = taken["gflow"]
    for name, each in taken.items():
        ratio = statistics.median(a / b for a, b in zip(each, ours_each, strict=True))
        print(f"{name:>14}  {statistics.median(each):7.1f} ms   {ratio:5.2f} of gflow's time")


@torch.no_grad()
def difference(env: Diffusion, policy: DiffusionPolicy, peer: GfnDiffusion) -> float:
    """By how much the two disagree about a path of the peer, both with drifts of zero."""
    path, theirs = peer.log_weight()
    state = env.initial(1)
    x = path.transpose(0, 1).reshape(-1, 2)
    step = torch.arange(STEPS + 1).repeat_interleave(BATCH).to(state.step.dtype)
    states = DiffusionState(x, step, state.grid.expand(len(x)).clone())
    index = torch.arange(len(x)).view(STEPS + 1, BATCH).T.contiguous()
    zero = torch.zeros(BATCH, STEPS, dtype=torch.int64)
    batch = Trajectories(
        states=states,
        state_index=index,
        actions=zero,
        backward_actions=zero,
        length=torch.full((BATCH,), STEPS),
        stopped=torch.zeros(BATCH, dtype=torch.bool),
        log_reward=env.log_reward(DiffusionState(path[:, -1], step[-BATCH:], states.grid[-BATCH:])),
    )
    return float((evaluate(env, policy, batch).log_weight - theirs).abs().max())


def bare(policy: DiffusionPolicy, env: Diffusion, states: DiffusionState) -> None:
    """The network alone: once at each step, and its gradient at all states."""
    read, layers = policy.point, [*policy.drift.layers, policy.drift.last]
    points = states.x.view(STEPS + 1, BATCH, 2)[:-1]
    with torch.no_grad():
        times = policy.time(env.clock(states.x)[0])
        held = [[read(x) + time] for x, time in zip(points, times[:-1], strict=True)]
        for layer in layers:
            for row in held:
                row.append(layer(F.gelu(row[-1])))
    for first in range(0, STEPS, BLOCK):
        rows = held[first : first + BLOCK]
        grad = torch.cat([row[-1] for row in rows])
        for number in reversed(range(len(layers))):
            before = torch.cat([row[number] for row in rows])
            grad.T @ F.gelu(before)
            grad = torch.ops.aten.gelu_backward(grad @ layers[number].weight, before)
        grad.T @ points[first : first + BLOCK].flatten(0, 1)


if __name__ == "__main__":
    main()
