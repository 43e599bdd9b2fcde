"""Potentials: learned energy differences of transitions, and how they are fitted."""

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Bounds, Count, Natural, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.learner import BatchMemory, Learner
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.trajectories import Trajectories


class Potential(nn.Module, ABC):
    """phi(s -> s'), an energy difference for each transition of trajectories."""

    @abstractmethod
    def forward(self, env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
        """(B, T) potentials; zero for stops and after the end."""


class PairPotential(Potential):
    """A network of the two states of a transition.

    The states are encoded once each; the pair is a layer over both encodings.

    Args:
        encoder: Encodes states.
        width: Units of the layer over the pair.
    """

    @checked
    def __init__(self, encoder: StateEncoder, width: Count = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.before = nn.Linear(encoder.out_features, width)
        self.after = nn.Linear(encoder.out_features, width, bias=False)
        self.head = nn.Linear(width, 1)

    def forward(self, env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
        """(B, T) potentials of the pairs on each trajectory."""
        given = trajectories.condition_of_states
        x = F.relu(self.encoder(env, trajectories.states, given))
        before, after = self.before(x), self.after(x)  # (N, width) each
        rows, times = trajectories.moves.nonzero(as_tuple=True)
        index = trajectories.state_index
        pair = F.relu(before[index[rows, times]] + after[index[rows, times + 1]])
        value: Tensor = self.head(pair).squeeze(-1)
        return value.new_zeros(trajectories.moves.shape).index_put((rows, times), value)


def potential_loss(
    potential: Tensor,
    moves: Tensor,
    energy: Tensor,
    keep: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""(B,) how far the potentials are from summing to the energy of the object.

    .. math:: \ell(\tau) = \Bigl(\frac{E(x)}{T} - \frac{1}{C} \sum_t z_t \phi(s_t \to s_{t+1})
              \Bigr)^2, \quad z_t \sim \mathrm{Bernoulli}(keep), \quad C = \sum_t z_t

    with T the number of transitions that are not stops. If all would be dropped the last is kept.
    Dropping regularises: it pushes the potentials of a trajectory towards each other. Trajectories
    without transitions have nothing to fit.

    Args:
        potential: (B, T) phi.
        moves: (B, T) bool transitions that exist and are not stops.
        energy: (B,) E(x) = -log R(x).
        keep: Probability with which each potential is kept.
        generator: Source of the dropping.

    Reference:
        Jang et al., Learning Energy Decompositions for Partial Inference of GFlowNets, 2024,
        https://arxiv.org/abs/2310.03301
    """
    kept = moves
    if keep < 1:
        coin = torch.rand(moves.shape, generator=generator, device=moves.device) < keep
        kept = moves & coin
        steps = torch.arange(moves.shape[1], device=moves.device)
        last = steps == moves.sum(-1, keepdim=True) - 1
        kept = kept | (last & ~kept.any(-1, keepdim=True))
    mean = potential.where(kept, 0.0).sum(-1) / kept.sum(-1).clamp(min=1)
    share = energy.to(potential.dtype) / moves.sum(-1).clamp(min=1)
    return (share - mean).square().where(moves.any(-1), 0.0)


class PotentialFit(Learner):
    """Fits potentials to the energies of objects, on batches drawn from the latest ones.

    Args:
        env: The environment.
        potential: What to fit.
        lr: Learning rate.
        steps: Gradient steps per training batch.
        memory: Number of batches remembered.
        dropout: Probability with which a potential is left out of a sum.

    Reference:
        Jang et al., Learning Energy Decompositions for Partial Inference of GFlowNets, 2024,
        https://arxiv.org/abs/2310.03301
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        potential: Potential,
        lr: Rate = 1e-3,
        steps: Natural = 8,
        memory: Count = 300,
        dropout: Annotated[float, Bounds(0, 1, open_high=True)] = 0.1,
    ) -> None:
        self.module = self.potential = potential
        self.optimizer = torch.optim.Adam(potential.parameters(), lr=lr)
        self.steps, self.keep = steps, 1 - dropout
        self.memory = BatchMemory(env, memory)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Some steps on remembered batches; the loss of the last."""
        self.memory.add(batch.whole)
        if not len(self.memory):
            return {}
        loss = torch.zeros(())
        for _ in range(self.steps):
            old = self.memory.draw(generator, batch.length.device)
            energy = -old.log_reward
            value = self.potential(env, old)
            loss = potential_loss(value, old.moves, energy, self.keep, generator).mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return {"potential_loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        """The potential, its optimiser and the remembered batches."""
        return {**super().state_dict(), "memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])
