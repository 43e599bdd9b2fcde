"""Learn the posterior of a VAE's latent code for every image at once.

Run:   python examples/train_posterior.py [--steps 400]
Takes: about two minutes on one CPU core. Needs the extra `continuous`.
Shows: for test images, the mean ELBO and importance-weighted bound of log p(image) under the
       learned sampler, each image having its own bound, beside the log marginal likelihood
       estimated from the VAE's own encoder.
"""

import argparse
import math

import torch

from gflow import evaluate
from gflow.conditions.draws import TableCondition
from gflow.envs.diffusion import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import VAEPosterior
from gflow.objectives import LogPartitionVariance
from gflow.sampling.sampler import Sampler
from gflow.training import TrainConfig, Trainer

IMAGES, TRAJECTORIES = 50, 20


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    target = VAEPosterior()
    env = Diffusion(target, Brownian(1.0), times=20, log_variance_range=4.0)
    policy = DiffusionPolicy(env)
    config = TrainConfig(batch_size=300, seed=args.seed)
    images_of = TableCondition(target.train_images.float(), repeat=10)
    trainer = Trainer(env, policy, LogPartitionVariance(), config, condition=images_of)

    images = target.test_images[:IMAGES].float()
    generator = torch.Generator().manual_seed(args.seed)
    known = float(target.log_marginal(images, generator=generator).mean())
    part = max(1, args.steps // 5)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        given = images.repeat_interleave(TRAJECTORIES, 0)
        batch = Sampler(env).forward(policy, len(given), condition=given, generator=generator)
        with torch.no_grad():
            weight = evaluate(env, policy, batch).log_weight.view(IMAGES, TRAJECTORIES)
        better = float((weight.logsumexp(1) - math.log(TRAJECTORIES)).mean())
        print(
            f"step {trainer.step:5d}  loss {record['loss']:8.2f}  ELBO {float(weight.mean()):.2f}  "
            f"importance {better:.2f}  log marginal {known:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
