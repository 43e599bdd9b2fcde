"""CPU time of a trajectory-balance iteration on 25 Gaussians, against published practice.

Run:   python benchmarks/diffusion_speed.py
Takes: about two minutes on one core, and the core should have nothing else to do.
Shows: milliseconds per iteration of this library, of the same mathematics with everything inside
       the loop over steps (`peers/diffusion_in_loop.py`), and of the bare network passes that no
       library can save, in one interleaved run; and that both give the same log-weights.

d = 2, T = 100, rate 5, batch 300, width 64, fixed variance, Adam: the settings of Sendera et al.,
2024, https://arxiv.org/abs/2402.05098.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from peers.diffusion_in_loop import InLoop

from gflow.envs.diffusion.env import Diffusion, DiffusionState
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import gmm25
from gflow.evaluation.evaluate import evaluate
from gflow.objectives import TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer

STEPS, RATE, BATCH = 100, 5.0, 300


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=8, help="per round and contestant")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    env = Diffusion(gmm25(), Brownian(RATE), STEPS)
    policy = DiffusionPolicy(env)
    loop_policy = DiffusionPolicy(env)
    loop_policy.load_state_dict(policy.state_dict())
    config = TrainConfig(batch_size=BATCH, lr=1e-3, log_z_lr=0.1)
    trainer = Trainer(env, policy, TrajectoryBalance(), config)
    peer = InLoop(loop_policy, STEPS, RATE, BATCH)
    print(f"parameters: {sum(p.numel() for p in policy.parameters())} each")

    for _ in range(3):  # away from the drift of zero that training starts with
        trainer.train_step()
    loop_policy.load_state_dict(policy.state_dict())
    batch = trainer.sample()
    path = list(batch.states.x.view(STEPS + 1, BATCH, 2))
    with torch.no_grad():
        ours, theirs = evaluate(env, policy, batch).log_weight, peer.log_weight(path)[0]
    print(f"log-weights on shared paths and weights differ by {(ours - theirs).abs().max():.1e}")

    contestants: dict[str, Callable[[], object]] = {
        "gflow": trainer.train_step,
        "in the loop": peer.train_step,
        "bare network": lambda: bare(policy, env, batch.states),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for step in contestants.values():
        step()
    for _ in range(args.rounds):
        for name, step in contestants.items():
            began = time.process_time()
            for _ in range(args.iterations):
                step()
            taken[name].append((time.process_time() - began) / args.iterations * 1e3)
    ours_each = taken["gflow"]
    for name, each in taken.items():
        ratio = statistics.median(a / b for a, b in zip(each, ours_each, strict=True))
        print(f"{name:>14}  {statistics.median(each):7.1f} ms   {ratio:5.2f} of gflow's time")


def bare(policy: DiffusionPolicy, env: Diffusion, states: DiffusionState) -> None:
    """The network alone: once per step without gradient, once over all states with it."""
    with torch.no_grad():
        session = policy.begin(env, BATCH)
        assert session is not None
        rows = torch.arange(BATCH)
        state = env.initial(BATCH)
        for x in states.x.view(STEPS + 1, BATCH, 2)[:-1]:
            session(type(state)(x, state.step, state.grid), rows)
    out = policy.forward_logits(env, states)
    out.backward(torch.ones_like(out))


if __name__ == "__main__":
    main()
