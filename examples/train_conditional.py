"""One sampler for every temperature: R(x)^beta with beta given at sampling time.

Run:   python examples/train_conditional.py [--steps 3000] [--reads logits] [--draw log_uniform]
Takes: about a minute on one CPU core.
Shows: total variation to the exact distribution and the error of log Z at several temperatures;
       expect a total variation below 0.06 at each. The same from the command line:

    gflow train hypergrid --condition temperature --condition-low 0.25 --condition-high 2

A condition of your own is a class with two methods, as `Temperature` is.
"""

import argparse

import torch

from gflow import MLPPolicy, Sampler, enumerate_states, evaluate
from gflow.conditions import Temperature
from gflow.envs import HyperGrid
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.policies.logit_scaled import LogitScaled
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--reads", default="layer", choices=["layer", "logits"])
    parser.add_argument("--draw", default="uniform", choices=["uniform", "log_uniform"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    told = Temperature(args.draw, low=0.25, high=2.0, marks=16)
    plain = HyperGrid(2, 8)
    env = told.applied(plain)  # R^beta, and how networks read beta
    layered = args.reads == "layer"
    policy = MLPPolicy(env) if layered else LogitScaled(MLPPolicy(plain), env)
    objective = TrajectoryBalance(
        condition_dim=env.condition_dim, condition_encoder=env.condition_encoder()
    )
    config = TrainConfig(steps=args.steps, batch_size=64, log_z_lr=1e-2)
    draw = told.sampler(env)
    Trainer(env, policy, objective, config, condition=draw).train()

    graph = enumerate_states(env)
    for beta in draw.probes(5):
        exact = graph.told(beta)
        learned = exact.terminal_distribution(policy)
        batch = Sampler(env).forward(policy, 1, condition=beta[None])
        log_z = float(objective.log_z_estimate(evaluate(env, policy, batch)).detach())
        print(
            f"beta {float(beta):.3f}  "
            f"total variation {float(total_variation(learned, exact.log_target())):.4f}  "
            f"log Z {log_z:+.3f}, exactly {exact.exact_flows().log_z:+.3f}"
        )


if __name__ == "__main__":
    main()
