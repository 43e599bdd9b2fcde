"""What the precision of float32 matrix products costs: training steps, interleaved.

Run:   python benchmarks/matmul.py [--rounds 9]
Takes: a minute or two on one core.
Shows: CPU time per training step of bits (120 bits in words of 8), of 8-mers and of a diffusion on
       25 Gaussians at each precision, as a ratio to "highest" within a round, and how far apart a
       product of float32 matrices is from that in float64.
"""

import argparse
import statistics
import time

import torch

from gflow import MLPPolicy
from gflow.envs.diffusion import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.sequences.bits_task import BitsTask
from gflow.envs.sequences.tfbind_task import TFBindTask
from gflow.envs.targets import gmm25
from gflow.objectives import TrajectoryBalance
from gflow.training import TrainConfig, Trainer

PRECISIONS = ("highest", "high", "medium")


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    a, b = torch.randn(2048, 256), torch.randn(256, 256)
    exact = a.double() @ b.double()
    for precision in PRECISIONS:
        torch.set_float32_matmul_precision(precision)
        print(f"{precision:>8}: largest error of a product {(a @ b - exact).abs().max():.1e}")
    for name, (trainer, iterations) in cases().items():
        taken: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        trainer.train(3)
        for _ in range(args.rounds):
            for precision, times in taken.items():
                torch.set_float32_matmul_precision(precision)
                began = time.process_time()
                trainer.train(iterations)
                times.append((time.process_time() - began) / iterations * 1e3)
        highest = taken["highest"]
        line = [f"{statistics.median(highest):.2f} ms"]
        for precision in PRECISIONS[1:]:
            pairs = zip(taken[precision], highest, strict=True)
            line.append(f"{precision} {statistics.median(x / y for x, y in pairs):.2f}")
        print(f"{name:>10}: {'  '.join(line)}", flush=True)


def cases() -> dict[str, tuple[Trainer, int]]:
    """Trainers, and how many steps to time together."""
    diffusion = Diffusion(gmm25(), Brownian(5.0), 100)
    found: dict[str, tuple[Trainer, int]] = {}
    for name, task, batch in (("bits", BitsTask(), 16), ("8-mers", TFBindTask(), 16)):
        env = task.environment()
        policy = MLPPolicy(env, width=256, backward="uniform")
        config = TrainConfig(batch_size=batch)
        found[name] = (Trainer(env, policy, TrajectoryBalance(), config), 20)
    config = TrainConfig(batch_size=300)
    trainer = Trainer(diffusion, DiffusionPolicy(diffusion), TrajectoryBalance(), config)
    return {**found, "diffusion": (trainer, 4)}


if __name__ == "__main__":
    main()
