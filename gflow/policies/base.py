"""Policies: what a network says about states, before any mask."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, IncompatibleError
from gflow.masking import representatives
from gflow.trajectories import Trajectories

Backward = Literal["learned", "uniform", "maxent"]

Session = Callable[[Any, Tensor], Tensor]
"""(L live states, (L,) their rows in ascending order) to (L, A) forward logits, step after step of
one forward rollout, so that what was computed for earlier states can be remembered."""


@dataclass(frozen=True)
class PolicyOutput:
    """Raw outputs of a policy for N states.

    Attributes:
        forward_logits: (N, A) logits, which flow matching reads as log edge flows.
        backward_logits: (N, P) logits, or None if the backward policy is fixed.
        log_flow: (N,) log F(s), or None if the policy has no such head.
    """

    forward_logits: Tensor
    backward_logits: Tensor | None = None
    log_flow: Tensor | None = None


class Policy(nn.Module, ABC):
    """Maps states to raw outputs; the environment turns them into distributions.

    Attributes:
        backward: "learned" (a head), "uniform" over parents, or "maxent": P_B(s|s') = n(s)/n(s').
        has_log_flow: Whether `forward` returns a log-flow.
    """

    backward: Backward = "learned"
    has_log_flow: bool = False

    @abstractmethod
    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads at once, for training.

        Args:
            env: The environment; most policies read ``env.encode(states)``.
            states: N states.
            condition: (N, C) conditions, or None.
        """

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head alone, for sampling; overridden where that is cheaper."""
        output: PolicyOutput = self(env, states, condition)
        return output.forward_logits

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head alone, or None; overridden where that is cheaper."""
        output: PolicyOutput = self(env, states, condition)
        return output.backward_logits

    def zero_backward_head(self) -> None:
        """Zero the last layer of a learned backward head, so that P_B starts uniform over actions.

        Raises:
            IncompatibleError: If the policy cannot.
        """
        raise IncompatibleError(
            f"{type(self).__name__} cannot start with a uniform backward policy: it has no learned "
            f"backward head, or defines no `zero_backward_head`."
        )

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """What samples one forward rollout of `count` rows with a memory, or None for none.

        Rows that end are dropped, and never come back. Equal states are not shared then, because
        each row has a memory of its own.
        """
        return None

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the N stored states of whole trajectories, in the order of the store.

        Overridden where states of a trajectory share work, such as prefixes of one sequence.

        Args:
            env: The environment.
            trajectories: B trajectories.
            condition: (N, C) the condition of each stored state, or None.
        """
        output: PolicyOutput = self(env, trajectories.states, condition)
        return output


class BackwardNetwork(Protocol):
    """What gives P_B: every policy does, and modules that give nothing else.

    Attributes:
        backward: As of `Policy`.
    """

    backward: Backward

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) logits of N states, or None for fixed kinds."""


def backward_scores(
    env: DiscreteEnvironment[Any], policy: BackwardNetwork, states: Any, learned: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The backward policy at N states: (N, P) logits, (N, P) mask, and classes or None.

    The one place that knows the three kinds. Fixed kinds speak of parents, so equivalent actions
    leave only the first of their class.

    Args:
        env: The environment.
        policy: Says which kind.
        states: N states.
        learned: (N, P) logits of the policy's head, if it has one.
    """
    mask, classes = env.backward_mask(states), env.backward_classes(states)
    if policy.backward == "learned":
        if learned is None:
            raise IncompatibleError(
                f"{type(policy).__name__} declares a learned backward policy and returned no "
                f"backward logits."
            )
        return learned, mask, classes
    if classes is not None:
        mask = representatives(mask, classes)
    logits = env.max_entropy_logits(states) if policy.backward == "maxent" else None
    if logits is None:
        logits = torch.zeros(mask.shape, device=mask.device)
    return logits, mask, classes


def check_backward(env: DiscreteEnvironment[Any], backward: str) -> None:
    """Refuse a backward policy that the environment cannot give.

    Raises:
        ConfigError: Unknown name.
        IncompatibleError: "maxent" where the environment cannot count trajectories.
    """
    if backward not in ("learned", "uniform", "maxent"):
        raise ConfigError(f"backward must be learned, uniform or maxent, got {backward!r}.")
    if (
        backward == "maxent"
        and type(env).max_entropy_logits is DiscreteEnvironment.max_entropy_logits
    ):
        raise IncompatibleError(
            f"{env.name} cannot count its trajectories (it defines no `max_entropy_logits`), so "
            f"the maximum-entropy backward policy is not available. Use backward='uniform' or "
            f"'learned'."
        )


class MLPPolicy(Policy):
    """A multi-layer perceptron over categorical features.

    The first layer is a sum of embeddings, one per feature, which equals a matrix product with
    concatenated one-hot codes and costs a fraction of it. One trunk carries all heads.

    Args:
        env: Gives the sizes of inputs and heads.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        backward: "learned", "uniform" or "maxent".
        log_flow: Whether to have a log-flow head (detailed balance, sub-trajectory balance).
        condition_encoder: Module mapping the condition (N, C) to features, with `out_features`;
            by default the condition as it is.
        generator: For the initial weights.

    Raises:
        IncompatibleError: If the environment declares no `feature_sizes`.
    """

    offset: Tensor

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        width: int = 256,
        depth: int = 2,
        backward: Backward = "learned",
        log_flow: bool = False,
        condition_encoder: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not env.feature_sizes:
            raise IncompatibleError(
                f"MLPPolicy reads categorical features, and {env.name} declares none. Set "
                f"`feature_sizes` (one number per column of `encode`), or use a policy made for it."
            )
        if width < 1 or depth < 1:
            raise ConfigError(f"MLPPolicy: width and depth must be positive, got {width}, {depth}.")
        check_backward(env, backward)
        self.backward = backward
        self.has_log_flow = log_flow
        self.num_actions = env.num_actions
        self.num_backward = env.num_backward_actions if backward == "learned" else 0
        sizes = torch.tensor(env.feature_sizes)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        bound = len(env.feature_sizes) ** -0.5
        table = torch.empty(int(sizes.sum()), width)
        self.table = nn.Parameter(table.normal_(0, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))
        self.condition_encoder = condition_encoder
        self.condition_layer: nn.Linear | None = None
        if env.condition_dim:
            read = getattr(condition_encoder, "out_features", env.condition_dim)
            self.condition_layer = linear(read, width, generator, bias=False)
        self.hidden: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth - 1))
        outputs = self.num_actions + self.num_backward + log_flow
        self.head = linear(width, outputs, generator)

    def trunk(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, width) activations of the last hidden layer, from what the environment encodes."""
        x = F.embedding_bag(features + self.offset, self.table, mode="sum") + self.bias
        if self.condition_layer is not None:
            if condition is None:
                raise ConfigError("MLPPolicy: this policy is conditional and got no condition.")
            read = self.condition_encoder(condition) if self.condition_encoder else condition
            x = x + self.condition_layer(read)
        x = F.relu(x)
        for layer in self.hidden:
            x = F.relu(F.linear(x, layer.weight, layer.bias))
        return x

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        out = self.head(self.trunk(env.encode(states), condition))
        a, p = self.num_actions, self.num_backward
        return PolicyOutput(
            out[:, :a],
            out[:, a : a + p] if p else None,
            out[:, -1] if self.has_log_flow else None,
        )

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward rows of the head alone."""
        x, a = self.trunk(env.encode(states), condition), self.num_actions
        if a == self.head.out_features:
            return F.linear(x, self.head.weight, self.head.bias)
        return F.linear(x, self.head.weight[:a], self.head.bias[:a])

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward rows of the head alone."""
        if not self.num_backward:
            return None
        x = self.trunk(env.encode(states), condition)
        rows = slice(self.num_actions, self.num_actions + self.num_backward)
        return F.linear(x, self.head.weight[rows], self.head.bias[rows])

    def zero_backward_head(self) -> None:
        """Zero the backward rows of the head; see `Policy.zero_backward_head`."""
        if not self.num_backward:
            super().zero_backward_head()
        rows = slice(self.num_actions, self.num_actions + self.num_backward)
        zero_rows(self.head, rows)


def zero_rows(layer: nn.Linear, rows: slice) -> None:
    """Zero weights and biases of some outputs of a linear layer."""
    with torch.no_grad():
        layer.weight[rows] = 0.0
        if layer.bias is not None:
            layer.bias[rows] = 0.0


def linear(
    inputs: int, outputs: int, generator: torch.Generator | None, bias: bool = True
) -> nn.Linear:
    """A linear layer with PyTorch's own initial law, drawn from a generator if one is given."""
    if generator is None:
        return nn.Linear(inputs, outputs, bias=bias)
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    bound = inputs**-0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer
