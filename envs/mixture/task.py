"""`gflow train mixture`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, Rate
from gflow.em.exact import ListedLatents, elbo
from gflow.em.likelihood import importance_log_likelihood
from gflow.em.model import LatentModel
from gflow.em.task import EMTask
from gflow.envs.mixture.data import centres, petals
from gflow.envs.mixture.env import mixture_env
from gflow.envs.mixture.model import PetalMixture
from gflow.envs.sequences.env import Autoregressive
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.pictures import pyplot
from gflow.tasks.task import Context, RunOptions
from gflow.terms import Needs
from gflow.training.config import TrainConfig

MEASURED = 200
"""Rows of which the exact posterior is compared with the sampler's."""
SAMPLES = 20
"""Latents of each of these in the likelihood by importance sampling."""


@dataclass(frozen=True)
class MixtureTask(EMTask[Autoregressive]):
    """The toy of the GFlowNet-EM paper: clusters of petals whose means are learned.

    The four means start at four of the points. Exact EM finds the truth nearly always, mean-field
    EM never: the cluster of a point and its petal are told by nothing but each other.

    Attributes:
        points: Points of the data.
        data_seed: Of the data.
        width: Units of each hidden layer.
        depth: Hidden layers.
    """

    name: ClassVar[str] = "mixture"
    summary: ClassVar[str] = "GFlowNet-EM on a mixture of clusters of petals, exact answers beside"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1000, batch_size=128, lr=1e-2, log_z_lr=1e-2, epsilon=0.2
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=250, eval_samples=500)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "log_likelihood",
        "truth",
        "importance_log_likelihood",
        "elbo_gap",
        "posterior_tv",
        "m_steps",
    )

    model_lr: Rate = 0.1
    e_steps: Count = 10
    m_rows: Natural = 2000
    points: Count = 4000
    data_seed: int = 0
    width: Count = 64
    depth: Count = 2

    def environment(self) -> Autoregressive:
        """Names of places, with means that start at four points."""
        data = petals(self.points, self.data_seed)
        start = data[torch.randperm(len(data))[:4]]
        return mixture_env(PetalMixture(start), data)

    def policy(self, env: Autoregressive, needs: Needs) -> Policy:
        """A perceptron over the names so far and the point; names are a tree, so that P_B is 1."""
        return MLPPolicy(
            env,
            self.width,
            self.depth,
            "uniform",
            log_flow=needs.flows(env),
            condition_encoder=self.condition_encoder(env),
        )

    def optimizer(self, model: LatentModel) -> torch.optim.Optimizer:
        """Plain gradient steps, as in the paper's toy."""
        return torch.optim.SGD(model.parameters(), self.model_lr)

    def rewards(
        self, env: Autoregressive, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Densities: their logarithm is reported."""
        return None

    def describe(self, env: Autoregressive, objects: Any) -> list[str]:
        """Cluster and petal."""
        return [f"cluster {i}, petal {j}" for i, j in objects.tolist()]

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Exact log-likelihoods in nats per point, and how far q(z | x) is from the posterior."""
        env, trainer = context.env, context.trainer
        reward = self.joint(env)
        latents = ListedLatents(env, reward)
        rows = torch.arange(min(MEASURED, len(reward.data)))
        policy = trainer.evaluated_policy
        joint, log_q = latents.log_joint(rows).detach(), latents.log_learned(policy, rows)
        log_p = joint.logsumexp(1)
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)
        sampled = importance_log_likelihood(
            env, policy, reward.data.conditions[rows].to(trainer.device), SAMPLES, generator
        )
        tv = (log_q.exp() - joint.log_softmax(1).exp()).abs().sum(1) / 2
        return {
            "log_likelihood": float(latents.log_likelihood().mean()),
            "truth": truth(reward.data.data),
            "importance_log_likelihood": float(sampled.mean()),
            "exact_log_likelihood_of_these": float(log_p.mean()),
            "elbo_gap": float((log_p - elbo(joint, log_q)).mean()),
            "posterior_tv": float(tv.mean()),
        }

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The points, and where the model has its sixteen places."""
        reward: Any = self.joint(context.env)
        path, plt = folder / "mixture.png", pyplot()
        data = reward.data.data.cpu()
        means = reward.model.means.detach().cpu()
        places = (means[:, None] + reward.model.offsets.cpu()).flatten(0, 1)
        figure, axis = plt.subplots(figsize=(5, 5))
        axis.scatter(*data.T.numpy(), s=2, alpha=0.3, label="data")
        axis.scatter(*places.T.numpy(), marker="+", s=80, color="black", label="learned places")
        axis.scatter(*means.T.numpy(), marker="x", s=80, color="red", label="learned clusters")
        axis.set_aspect("equal")
        axis.legend(loc="upper right")
        figure.savefig(path, dpi=120, bbox_inches="tight")
        plt.close(figure)
        return {"mixture": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {"mixture": "The points, and where the model has its clusters and places."}

    def report(self, context: Context) -> str:
        """Log-likelihood beside that of the truth."""
        numbers = context.numbers
        return (
            f"log-likelihood {numbers['log_likelihood']:.4f} nats a point; of the true means "
            f"{numbers['truth']:.4f}"
        )


def truth(data: Tensor) -> float:
    """Mean log p(x) of points under the true means, in nats."""
    model = PetalMixture(centres().to(data))
    z = torch.cartesian_prod(torch.arange(4), torch.arange(4)).to(data.device)
    x = data.repeat_interleave(16, 0)
    with torch.no_grad():
        joint = model.log_prob(x, z.repeat(len(data), 1))
    return float(joint.view(-1, 16).logsumexp(1).mean())
