"""Train a diffusion sampler and bracket log Z from below and from above.

Run:   python examples/train_diffusion.py [--target gmm9] [--objective tb] [--steps 300]
Takes: about a minute on one CPU core.
Shows: the ELBO and the importance-weighted bound from below, the EUBO from above (on exact samples
       traced back), and how many modes a sample hits; with the default target log Z is 0.
"""

import argparse

import torch

from gflow import evaluate
from gflow.envs.diffusion import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import make_target
from gflow.metrics import elbo, eubo, importance_log_z, mode_coverage
from gflow.objectives import OBJECTIVES
from gflow.sampling.sampler import Sampler
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=["gmm9", "gmm25"], default="gmm9")
    parser.add_argument("--objective", choices=["tb", "vargrad", "db", "subtb"], default="tb")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    target = make_target(args.target)
    env = Diffusion(target, Brownian(sigma2=5.0), times=50)
    objective = OBJECTIVES[args.objective]()
    policy = DiffusionPolicy(env, log_flow=objective.needs.log_flow, langevin=True)
    config = TrainConfig(batch_size=300, noise=0.2, noise_steps=args.steps, seed=args.seed)
    trainer = Trainer(env, policy, objective, config)

    sampler, generator = Sampler(env), torch.Generator().manual_seed(args.seed)
    assert target.modes is not None
    assert target.mode_radius is not None
    part = max(1, args.steps // 6)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        batch = sampler.forward(policy, 1000, generator=generator)
        exact = env.objects(target.sample(1000, generator))
        back = sampler.backward(policy, exact, generator=generator)
        with torch.no_grad():
            ahead, behind = evaluate(env, policy, batch), evaluate(env, policy, back)
        cover = mode_coverage(batch.final_states.x, target.modes.float(), target.mode_radius)
        print(
            f"step {trainer.step:5d}  loss {record['loss']:8.2f}  ELBO {float(elbo(ahead)):.3f}  "
            f"importance {float(importance_log_z(ahead)):.3f}  EUBO {float(eubo(behind)):.3f}  "
            f"modes {cover.hit} of {len(target.modes)}  inside {cover.inside:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
