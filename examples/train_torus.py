"""Learn to sample two angles from a density on the torus, by mixtures of von Mises distributions.

Run:   python examples/train_torus.py [--target ramachandran] [--objective tb] [--steps 2000]
Takes: about a minute and a half on one CPU core.
Shows: log Z against the exact one, the Jensen-Shannon divergence of a histogram of samples from
       exact cell masses and what exact samples have, and the weights of the basins.
"""

import argparse

import torch

from gflow.behaviours.data import BackwardReplay
from gflow.envs.torus import Torus
from gflow.envs.torus.metrics import basin_weights, cell_jsd, cell_jsd_floor
from gflow.envs.torus.policy import TorusPolicy
from gflow.envs.torus.targets import Sines, ramachandran, resampled
from gflow.objectives import OBJECTIVES
from gflow.sampling.sampler import Sampler
from gflow.training import TrainConfig, Trainer

TARGETS = {"ramachandran": ramachandran, "sines": Sines}


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, default="ramachandran")
    parser.add_argument("--objective", choices=["tb", "vargrad", "db", "subtb"], default="tb")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--length", type=int, default=5, help="moves of a trajectory")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    target = TARGETS[args.target]()
    env = Torus(target, args.length)
    objective = OBJECTIVES[args.objective]()
    policy = TorusPolicy(env, log_flow=objective.needs.log_flow)
    config = TrainConfig(
        args.steps, batch_size=128, lr=3e-3, log_z_lr=0.05, lr_half_life=args.steps // 5,
        grad_clip=10, epsilon=0.05, seed=args.seed,
    )  # fmt: skip
    # Two angles are few enough to know where the reward is: without this, small basins come late.
    objects = env.objects(resampled(target, torch.Generator().manual_seed(args.seed)))
    behaviour = BackwardReplay(env, objects, share=0.25)
    trainer = Trainer(env, policy, objective, config, behaviour=behaviour)

    exact = ", ".join(f"{v:.3f}" for v in target.basin_weights.tolist())
    print(f"exact log Z {target.log_z:.3f}, basins {', '.join(target.basin_names)}: {exact}")
    while trainer.step < args.steps:
        record = trainer.train(min(max(1, args.steps // 5), args.steps - trainer.step))
        angles = Sampler(env).forward(policy, 5000).final_states.angles
        basins = ", ".join(f"{v:.3f}" for v in basin_weights(target, angles).tolist())
        print(
            f"step {trainer.step:5d}  loss {record['loss']:.2e}  log Z {record['log_z']:.3f}  "
            f"JSD {cell_jsd(target, angles):.4f} (exact samples "
            f"{cell_jsd_floor(target, len(angles)):.4f})  basins {basins}",
            flush=True,
        )


if __name__ == "__main__":
    main()
