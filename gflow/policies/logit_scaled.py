"""Logit scaling: a policy that is told nothing, sharper or flatter by the condition."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.policies.told import ConditionLayer
from gflow.trajectories import Trajectories


class LogitScaled(Policy):
    r"""Forward logits :math:`g(c)\, \text{score}(s, s')`, clipped, with g > 0 a network of c.

    The scores, and P_B, are those of a policy that reads no temperature. At the solution of
    another temperature logits are not in proportion where rewards come from several objects, so
    that this fits all temperatures as well as one multiple per temperature can, and no better.

    Args:
        policy: Gives the scores; of a condition it reads what comes before the last entry.
        env: The conditional environment.
        width: Units of the two layers of g.
        clip: Largest size of a scaled logit.

    Raises:
        IncompatibleError: If moves have densities.

    Reference:
        Kim et al., Learning to scale logits for temperature-conditional GFlowNets, 2023,
        https://arxiv.org/abs/2310.02823
    """

    def __init__(
        self, policy: Policy, env: Environment[Any], width: int = 32, clip: float = 20.0
    ) -> None:
        super().__init__()
        if not env.numbered:
            raise IncompatibleError(
                f"LogitScaled multiplies logits, and moves of {env.name} have densities. Let the "
                f"network read the condition: --condition-reads layer."
            )
        self.policy, self.clip, self.backward = policy, clip, policy.backward
        self.inner = env.condition_dim - 1
        self.first = ConditionLayer(env, width, owner="LogitScaled")
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def scale(self, condition: Tensor | None) -> Tensor:
        """(N, 1) the multiples for conditions (N, C)."""
        return F.softplus(self.rest(self.first(condition)))

    def _inner(self, condition: Tensor | None) -> Tensor | None:
        return condition[:, : self.inner] if condition is not None and self.inner else None

    def _scaled(self, logits: Tensor, scale: Tensor) -> Tensor:
        return (scale * logits).clamp(-self.clip, self.clip)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Scaled forward logits, and backward logits; see `Policy.forward`."""
        scale = self.scale(condition)
        output: PolicyOutput = self.policy(env, states, self._inner(condition))
        return PolicyOutput(self._scaled(output.forward_logits, scale), output.backward_logits)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) scaled forward logits."""
        scale = self.scale(condition)
        return self._scaled(self.policy.forward_logits(env, states, self._inner(condition)), scale)

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) those of the policy, as they are."""
        return self.policy.backward_logits(env, states, self._inner(condition))

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Those of the policy."""
        return self.policy.backward_layers()

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """The memory of a rollout of the policy, its answers scaled."""
        scale = self.scale(condition)
        session = self.policy.begin(env, count, self._inner(condition))
        if session is None:
            return None
        return lambda states, rows: self._scaled(session(states, rows), scale[rows])

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the stored states; the policy shares work as it can."""
        scale = self.scale(condition)
        output = self.policy.of_trajectories(env, trajectories, self._inner(condition))
        return PolicyOutput(self._scaled(output.forward_logits, scale), output.backward_logits)
