"""A latent-variable model of your own: coins of three kinds, fitted by GFlowNet-EM.

Run:   python examples/custom_em.py [--steps 1500]
Takes: about ten seconds on one CPU core. The model is a torch module with `log_prob(x, z)`; an
       environment builds z. Prints the log-likelihood beside what exact EM reaches from there, and
       the kinds that were found; the true ones are 50 % with p = 0.1, 30 % with 0.5, 20 % with 0.9.
"""

import argparse

import torch
from torch import Tensor, nn

from gflow import MLPPolicy, TrainConfig, Trainer
from gflow.em import DataEncoder, Every, ExactEM, JointReward, LatentModel, ListedLatents, MStep
from gflow.environment import with_reward
from gflow.envs.sequences.env import AnyOrder
from gflow.objectives import TrajectoryBalance


class TwoCoins(LatentModel):
    """Ten throws of each of two coins; which of three kinds each coin is, nobody has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.randn(3))

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        logit = self.head[z]
        throws = x * logit - 10 * nn.functional.softplus(logit)
        return (throws + self.weight.log_softmax(0)[z]).sum(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    torch.manual_seed(0)
    kind = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 800, replacement=True).view(400, 2)
    data = torch.binomial(torch.full((400, 2), 10.0), torch.tensor([0.1, 0.5, 0.9])[kind])

    model = TwoCoins()
    reward = JointReward(model, data)
    env = with_reward(AnyOrder("abc", 2, reward), reward, condition_dim=1)
    read = [DataEncoder(reward.data) for _ in range(2)]
    policy = MLPPolicy(env, 64, condition_encoder=read[0])
    objective = TrajectoryBalance(condition_dim=1, condition_encoder=read[1])
    step = MStep(reward, torch.optim.Adam(model.parameters(), 0.02), Every(3))
    steps, rows = parser.parse_args().steps, reward.data.sampler()
    config = TrainConfig(steps=steps, batch_size=64, lr=1e-2, log_z_lr=1e-2, epsilon=0.1)
    Trainer(env, policy, objective, config, condition=rows, learners=[step]).train()

    learned = ListedLatents(env, reward).log_likelihood().mean()
    print(f"log-likelihood {learned:.4f} after {step.steps} M-steps")
    found = zip(model.weight.softmax(0), model.head.sigmoid(), strict=True)
    print("kinds of coins:", ", ".join(f"{w:.0%} with p = {p:.2f}" for w, p in found))
    exact = ExactEM(ListedLatents(env, reward), torch.optim.Adam(model.parameters(), 0.02))
    print(f"log-likelihood {[exact.step() for _ in range(200)][-1]:.4f} by exact EM from there")
