"""The maximum-entropy backward policy where nothing counts trajectories: their number, learned."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Rate, Share
from gflow.checks import checked
from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward, require_numbered
from gflow.errors import IncompatibleError
from gflow.learner import Learner
from gflow.masking import representatives
from gflow.policies.base import Backward, Policy
from gflow.state import batch_size, take
from gflow.trajectories import Trajectories


@dataclass(frozen=True)
class Parents:
    """The distinct parents of N states.

    Attributes:
        parents: U parents; equal ones of different states once, where they can be told.
        place: (E,) int64 row in `parents` of each pair of a state and one of its parents.
        owner: (E,) int64 state of each pair.
        action: (E,) int64 backward action of each pair.
        shape: N and P.
        of: (U,) int64 a state whose condition each parent has.
    """

    parents: Any
    place: Tensor
    owner: Tensor
    action: Tensor
    shape: tuple[int, int]
    of: Tensor


class TrajectoryCount(nn.Module):
    r"""log n(s), n counting the trajectories from s0 to s, as a network; its P_B goes by n.

    n(s0) = 1 is pinned and :math:`n(s') = \sum_s n(s)` over the parents s of s'. The
    maximum-entropy backward policy is P_B(s | s') = n(s) / n(s'), here normalised over the parents
    of s', so that it is a distribution whatever the network says. Parents are counted as states:
    equivalent backward actions share one.

    Args:
        network: A policy for one environment, whose log-flow head is read as log n.

    Raises:
        IncompatibleError: If it has no such head.
    """

    backward: Backward = "learned"

    def __init__(self, network: Policy) -> None:
        super().__init__()
        if not network.has_log_flow:
            raise IncompatibleError(
                f"TrajectoryCount reads log n(s) from a log-flow head, and this "
                f"{type(network).__name__} has none. Build it with log_flow=True."
            )
        self.network = network
        self._distinct: Distinct | None = None

    def log_count(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N,) log n of states; 0 at s0."""
        value = self.network(env, states, condition).log_flow
        found: Tensor = value.where(~env.is_initial(states), 0.0)
        return found

    def _parents(self, env: Environment[Any], states: Any) -> Parents:
        """The parents of N states."""
        env = require_numbered(env, "TrajectoryCount", "Use backward='learned' or 'separate'.")
        require_backward(env, "TrajectoryCount looks at parents", "Use backward='uniform'.")
        mask, classes = env.backward_mask(states), env.backward_classes(states)
        if classes is not None:
            mask = representatives(mask, classes)
        owner, action = mask.nonzero(as_tuple=True)
        parents = env._backstep(take(states, owner), action)
        place = torch.arange(len(owner), device=mask.device)
        of = owner
        if env.has_keys and not env.condition_dim and len(owner):
            if self._distinct is None:
                self._distinct = Distinct(env.num_keys)
            first, place = self._distinct(env.key(parents))
            parents, of = take(parents, first), owner[first]
        count, actions = mask.shape
        return Parents(parents, place, owner, action, (count, actions), of)

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, P) log n of each parent, at the first of the actions that lead to it; -inf elsewhere.

        Rows without parents are zero.
        """
        found = self._parents(env, states)
        given = None if condition is None else condition[found.of]
        if batch_size(found.parents):
            value = self.log_count(env, found.parents, given)
        else:
            value = torch.zeros(0, device=found.place.device)
        logits = value.new_full(found.shape, -torch.inf)
        logits = logits.index_put((found.owner, found.action), value[found.place])
        has_parents = torch.zeros(found.shape[0], dtype=torch.bool, device=logits.device)
        has_parents[found.owner] = True
        return logits.masked_fill(~has_parents[:, None], 0.0)


class CountRegression(Learner):
    r"""Fits log n by :math:`(\log n(s') - \mathrm{logsumexp}_s \log n(s))^2` on visited states.

    Args:
        count: What to fit; this learner's alone.
        lr: Learning rate of its Adam.
        decay: The rate is multiplied by it after every batch.
        steps: Gradient steps per batch.

    Reference:
        Mohammadpour et al., Maximum entropy GFlowNets with soft Q-learning, 2024,
        https://arxiv.org/abs/2312.14331
    """

    @checked
    def __init__(
        self, count: TrajectoryCount, lr: Rate = 1e-3, decay: Share = 1.0, steps: Count = 1
    ) -> None:
        self.module = self.count = count
        self.optimizer = torch.optim.Adam(count.parameters(), lr=lr)
        self.decay, self.steps = decay, steps

    def residual(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N,) log n(s') - logsumexp over the parents; 0 at s0."""
        value = self.count.log_count(env, states, condition)
        parents = self.count.backward_logits(env, states, condition)
        return (value - parents.logsumexp(-1)).where(~env.is_initial(states), 0.0)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Gradient steps on the states of a batch; returns the last mean squared residual."""
        condition = batch.condition_of_states
        loss = torch.zeros(())
        for _ in range(self.steps):
            loss = self.residual(env, batch.states, condition).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        for group in self.optimizer.param_groups:
            group["lr"] *= self.decay
        return {"backward_loss": loss.detach()}
