"""A forward policy and a separate backward network, joined to one policy."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.policies.base import Backward, BackwardNetwork, Policy, PolicyOutput, Session
from gflow.trajectories import Trajectories


class SplitPolicy(Policy):
    """P_F and log F of one policy, P_B of another network.

    Args:
        ahead: Gives forward logits and log-flows; its own backward policy is not used.
        back: Gives backward logits: any policy with a learned backward head, or a module of its
            own kind such as `TrajectoryCount`.
        detached: Let losses of objectives send no gradient into `back`, which is then learned by
            something else (see `gflow.backward.fits`).

    Raises:
        IncompatibleError: If `back` has no learned backward logits.
    """

    backward: Backward = "learned"

    def __init__(self, ahead: Policy, back: BackwardNetwork, detached: bool = False) -> None:
        super().__init__()
        if back.backward != "learned":
            raise IncompatibleError(
                f"SplitPolicy takes P_B from a learned head, and this {type(back).__name__} has "
                f"backward={back.backward!r}. Build it with backward='learned'; for a fixed "
                f"backward policy no second network is needed."
            )
        assert isinstance(back, nn.Module)
        self.ahead = ahead
        self.back: Any = back
        self.detached = detached
        self.has_log_flow = ahead.has_log_flow

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        output: PolicyOutput = self.ahead(env, states, condition)
        return self._joined(output, env, states, condition)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) of the forward policy alone."""
        return self.ahead.forward_logits(env, states, condition)

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) of the backward network alone, without gradient if `detached`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            logits: Tensor | None = self.back.backward_logits(env, states, condition)
        return logits

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """The rollout memory of the forward policy, if it has one."""
        return self.ahead.begin(env, count, condition)

    @property
    def shares_work(self) -> bool:
        """As of the forward policy."""
        return self.ahead.shares_work

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the stored states; the forward policy shares work as it can."""
        output = self.ahead.of_trajectories(env, trajectories, condition)
        return self._joined(output, env, trajectories.states, condition)

    def _joined(
        self, output: PolicyOutput, env: Environment[Any], states: Any, condition: Tensor | None
    ) -> PolicyOutput:
        back = self.backward_logits(env, states, condition)
        return PolicyOutput(output.forward_logits, back, output.log_flow)
