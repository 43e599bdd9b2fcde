"""Backward policies fitted by maximum likelihood to the trajectories that were sampled."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Probability, Rate, Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward
from gflow.evaluation.evaluate import log_pb
from gflow.learner import BatchMemory, Learner, average_into
from gflow.policies.base import BackwardNetwork, Policy
from gflow.trajectories import Trajectories


def negative_log_likelihood(
    env: Environment[Any], network: BackwardNetwork, batch: Trajectories[Any]
) -> Tensor:
    """() minus the mean log P_B(trajectory | object) of whole trajectories.

    Raises:
        IncompatibleError: If the environment defines no moves back.
    """
    require_backward(env, "A backward policy is fitted to moves back", "Use backward='uniform'.")
    return -log_pb(env, network, batch).sum(-1).mean()


class _Likelihood(Learner):
    """What fits by likelihood share: an Adam of their own whose rate decays with every batch."""

    @checked
    def __init__(self, network: BackwardNetwork, lr: Rate, decay: Share) -> None:
        assert isinstance(network, nn.Module)
        self.network: Any = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=lr)
        self.decay = decay

    def _ascend(self, env: Environment[Any], batch: Trajectories[Any]) -> Tensor:
        loss = negative_log_likelihood(env, self.network, batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _decay(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] *= self.decay


class PessimisticBackward(_Likelihood):
    """P_B by maximum likelihood on the latest batches, so that it prefers the trajectories seen.

    Objects hardly visited then get little flow from trajectories that were never taken. The policy
    must use `network` with gradients stopped (``SplitPolicy(..., detached=True)``).

    Args:
        env: The environment.
        network: The backward network, part of the policy.
        lr: Learning rate of its Adam.
        decay: The rate is multiplied by it after every batch.
        batches: Number of batches remembered.
        steps: Gradient steps per batch, each on one of those remembered.

    Reference:
        Jang et al., Pessimistic Backward Policy for GFlowNets, 2024,
        https://arxiv.org/abs/2405.16012
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        network: BackwardNetwork,
        lr: Rate = 1e-3,
        decay: Share = 1.0,
        batches: Count = 20,
        steps: Count = 8,
    ) -> None:
        super().__init__(network, lr, decay)
        self.module, self.steps = self.network, steps
        self.memory = BatchMemory(env, batches)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Remember the batch, then take `steps` steps; returns the last loss."""
        self.memory.add(batch.whole)
        if not len(self.memory):
            return {}
        loss = torch.zeros(())
        for _ in range(self.steps):
            old = self.memory.draw(generator, batch.length.device, scored=False)
            loss = self._ascend(env, old)
        self._decay()
        return {"backward_loss": loss}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and the batches remembered."""
        return {**super().state_dict(), "memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])


class LikelihoodBackward(_Likelihood):
    """Trajectory likelihood maximisation: one step per batch, and a slow copy that the policy uses.

    The copy is ``target``; the policy reads it with gradients stopped
    (``SplitPolicy(..., learner.target, detached=True)``).

    Args:
        network: The backward network as it starts. It becomes the target; what is fitted is a copy.
        lr: Learning rate of Adam.
        decay: The rate is multiplied by it after every batch.
        tau: After each step the target comes nearer to what was fitted by this share.

    Reference:
        Gritsaev et al., Optimizing Backward Policies in GFlowNets via Trajectory Likelihood
        Maximization, 2024, https://arxiv.org/abs/2410.15474
    """

    @checked
    def __init__(
        self, network: BackwardNetwork, lr: Rate = 1e-3, decay: Share = 1.0, tau: Probability = 0.25
    ) -> None:
        super().__init__(copy.deepcopy(network), lr, decay)
        assert isinstance(network, nn.Module)
        self.target: Any = network
        self.target.requires_grad_(False)
        self.module = nn.ModuleDict({"fitted": self.network, "target": self.target})
        self.tau = tau

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step on the batch, then one of the target; returns the loss before the step."""
        whole = batch.whole
        if not len(whole):
            return {}
        loss = self._ascend(env, whole)
        self._decay()
        average_into(self.target, self.network, self.tau)
        return {"backward_loss": loss}
