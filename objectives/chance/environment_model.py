"""A learned model of chance: what it did where, and how likely each of its moves is."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.state import take
from gflow.trajectories import Trajectories


class ChanceNetwork(nn.Module):
    """P_psi(move | e): logits of the moves of chance from an encoding of its state.

    A state of chance says what the agent chose, so that the encoding holds both.

    Args:
        encoder: Encodes states.
        actions: A, number of actions.
        width: Units of the layer between.
    """

    @checked
    def __init__(self, encoder: StateEncoder, actions: Count, width: Count = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.hidden = nn.Linear(encoder.out_features, width)
        self.head = nn.Linear(width, actions)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) logits at N states of chance, for conditions (N, C) or None."""
        x = F.relu(self.encoder(env, states, condition))
        logits: Tensor = self.head(F.relu(self.hidden(x)))
        return logits


def learned_law(
    env: DiscreteEnvironment[Any], model: nn.Module, states: Any, condition: Tensor | None
) -> Categorical:
    """What a model says of the moves of chance at N states, over those that are legal."""
    return env.forward_law(states, model(env, states, condition))


class EnvironmentModel(Learner):
    r"""Fits a model of chance to what chance did in each training batch, by one step per batch.

    .. math:: \ell = - \frac{1}{n} \sum_{e \to s'} \log P_\psi(s' \mid e)

    over the n moves of chance in the batch. The best fit is how often each followed, which is the
    environment's own law only in trajectories that this environment has made: not in those that
    were walked back, or searched for a better end.

    Args:
        model: (N, A) logits of ``model(env, states, condition)``.
        lr: Learning rate.
    """

    @checked
    def __init__(self, model: nn.Module, lr: Rate = 1e-3) -> None:
        self.module = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step; `model_loss`, the mean -log P_psi of what chance did before it."""
        loss = self.loss(env, batch)
        if loss is None:
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"model_loss": loss.detach()}

    def loss(self, env: Environment[Any], batch: Trajectories[Any]) -> Tensor | None:
        """() cross-entropy of the moves of chance in a batch; None where nothing is chance's."""
        mover = env.mover(batch.states)
        if mover is None:
            return None
        index = batch.state_index[:, :-1]
        moved = (mover == CHANCE)[index] & batch.mask
        visited, rows = torch.unique(index[moved], return_inverse=True)
        if not len(visited):
            return None
        given = batch.condition_of_states
        at = None if given is None else given[visited]
        law = learned_law(env, self.module, take(batch.states, visited), at)  # type: ignore[arg-type]
        return -law.log_prob(batch.actions[moved], rows).mean()
