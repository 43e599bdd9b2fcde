"""EM on the mixture of clusters of petals: who finds the truth, from the same twenty starts.

Run:   python benchmarks/mixture.py
       python benchmarks/mixture.py --only gflownet exact --seeds 3
Takes: about ten minutes on one core for all; `--only exact mean_field` one or two.
Shows: for each method the mean log-likelihood of the data in nats a point, how many starts end
       within 0.01 of that of the true means, the worst, steps of the model, seconds a start.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow import MLPPolicy, TrainConfig, Trainer
from gflow.behaviours.base import Behaviour
from gflow.em import (
    BackAndForth,
    DataEncoder,
    Dreams,
    Every,
    ExactEM,
    ListedLatents,
    MeanFieldEM,
    MonteCarloEM,
    MStep,
    Pace,
    Sleep,
    Threshold,
)
from gflow.em.reward import JointReward
from gflow.envs.mixture import PetalMixture, mixture_env, petals
from gflow.envs.mixture.task import truth
from gflow.envs.sequences.env import Autoregressive
from gflow.objective import Objective
from gflow.objectives import LogPartitionVariance, MaximumLikelihood, TrajectoryBalance

ROUNDS = 60
"""Of exact and mean-field EM."""
SAMPLED = 1000
"""Steps of samplers that learn, and ten times the M-steps with Markov chains."""


@dataclass
class Fit:
    """A model at its start, and what fits it.

    Attributes:
        env: Names of places, with the reward of the model.
        joint: That reward before it is clipped.
        steps: Steps of the model that were taken.
    """

    env: Autoregressive
    joint: JointReward
    seed: int
    steps: int = 0

    @property
    def latents(self) -> ListedLatents:
        """All sixteen names."""
        return ListedLatents(self.env, self.joint)

    def sgd(self) -> torch.optim.Optimizer:
        """Gradient steps on the mean negative log-likelihood, as in the reference's toy."""
        return torch.optim.SGD(self.joint.model.parameters(), 0.1)


def begin(data: Tensor, seed: int) -> Fit:
    """Means at four of the points."""
    generator = torch.Generator().manual_seed(seed)
    model = PetalMixture(data[torch.randperm(len(data), generator=generator)[:4]])
    joint = JointReward(model, data)
    env = mixture_env(model, joint.data)
    return Fit(env, joint, seed)


def exact(fit: Fit) -> None:
    """The posterior of every point, and the M-step in closed form."""
    em = ExactEM(fit.latents)
    for fit.steps in range(1, ROUNDS + 1):
        em.step()


def mean_field(fit: Fit) -> None:
    """Cluster and petal independent in q."""
    em = MeanFieldEM(fit.latents)
    for fit.steps in range(1, ROUNDS + 1):
        em.step()


def chains(fit: Fit) -> None:
    """Metropolis-Hastings by even moves."""
    step = MStep(fit.joint, fit.sgd())
    em = MonteCarloEM(fit.env, step, 1000, BackAndForth(8), fit.seed)
    for fit.steps in range(1, SAMPLED // 10 + 1):
        em.step()


def trained(
    fit: Fit,
    pace: Pace,
    objective: Objective | None = None,
    behaviour: Behaviour | None = None,
    mixing: BackAndForth | None = None,
    repeat: int = 1,
) -> None:
    """A sampler that learns, by trajectory balance unless said otherwise."""
    torch.manual_seed(fit.seed)
    data = fit.joint.data
    policy = MLPPolicy(fit.env, 64, 2, "uniform", condition_encoder=DataEncoder(data))
    if objective is None:
        objective = TrajectoryBalance(condition_dim=1, condition_encoder=DataEncoder(data))
    step = MStep(fit.joint, fit.sgd(), pace, rows=data.sampler(), count=2000, mixing=mixing)
    config = TrainConfig(
        steps=SAMPLED,
        batch_size=128,
        lr=1e-2,
        log_z_lr=1e-2,
        epsilon=None if behaviour is not None else 0.2,
        seed=fit.seed,
    )
    Trainer(
        fit.env,
        policy,
        objective,
        config,
        condition=data.sampler(repeat),
        behaviour=behaviour,
        learners=[step],
        record_every=SAMPLED,
    ).train()
    fit.steps = step.steps


def wake_sleep(fit: Fit) -> None:
    """The sampler sees what the model makes up and nothing else."""
    trained(fit, Every(10), MaximumLikelihood(), Dreams(fit.joint))


def gflownet(fit: Fit) -> None:
    """GFlowNet-EM: an M-step after every ten steps of the sampler."""
    trained(fit, Every(10))


def adaptive(fit: Fit) -> None:
    """M-steps while the smoothed loss, log variance, lies below a threshold that falls."""
    trained(fit, Threshold(3.0, 1.5, 100), LogPartitionVariance(), repeat=4)


def asleep(fit: Fit) -> None:
    """A sleep phase after every third step, without other exploration."""
    trained(fit, Every(10), behaviour=Sleep(fit.joint, MaximumLikelihood(), 0.3, 128))


def mixed(fit: Fit) -> None:
    """Latents improved by two rounds of back-and-forth moves."""
    trained(fit, Every(10), mixing=BackAndForth(2, temperature=1.1))


METHODS: dict[str, Callable[[Fit], None]] = {
    "exact": exact,
    "mean_field": mean_field,
    "chains": chains,
    "wake_sleep": wake_sleep,
    "gflownet": gflownet,
    "adaptive": adaptive,
    "asleep": asleep,
    "mixed": mixed,
}


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--points", type=int, default=4000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = petals(args.points)
    best = truth(data)
    print(f"truth {best:.4f} nats a point, {args.points} points, {args.seeds} starts\n")
    print("| method | log-likelihood | within 0.01 of the truth | worst | M-steps | s a start |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in args.only:
        found, steps, began = [], [], time.perf_counter()
        for seed in range(args.seeds):
            fit = begin(data, seed)
            METHODS[name](fit)
            found.append(float(fit.latents.log_likelihood().mean()))
            steps.append(fit.steps)
        seconds = (time.perf_counter() - began) / args.seeds
        good = sum(abs(value - best) < 0.01 for value in found)
        print(
            f"| `{name}` | {sum(found) / len(found):.3f} | {good} of {len(found)} | "
            f"{min(found):.3f} | {sum(steps) / len(steps):.0f} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
