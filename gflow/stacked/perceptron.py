"""K perceptrons as one, by a product for each layer: what most environments have as policies."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.policies.base import Policy, PolicyOutput
from gflow.policies.mlp import MLPPolicy
from gflow.stacked.environment import OfRuns
from gflow.stacked.policy import Layout, StackedPolicy


class StackedPerceptrons(StackedPolicy):
    """`StackedPolicy` of K `MLPPolicy`s that are told nothing; `vmap` costs more than small layers.

    Args:
        policies: K perceptrons of one shape.
    """

    def __init__(self, policies: Sequence[MLPPolicy]) -> None:
        super().__init__(policies)
        self.one = [policies[0]]  # a list: its parameters are not this module's
        table = self.stacked["table"]
        first = torch.arange(self.count, device=table.device) * table.shape[1]
        self._offset = (policies[0].offset + first[:, None])[:, None]  # (K, 1, columns)

    def forward(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        x, layout = self._trunk(env, states)
        head = self.one[0].head
        out = layout.gather(self._layer("head", x))
        ahead, end = head.num_forward, head.num_forward + head.num_backward
        flow = None
        if head.num_flows:
            flow = out[:, -1] if head.num_flows == 1 else out[:, -head.num_flows :]
        return PolicyOutput(out[:, :ahead], out[:, ahead:end] if head.num_backward else None, flow)

    def forward_logits(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward rows of the last layers alone."""
        x, layout = self._trunk(env, states)
        return layout.gather(self._layer("head", x, slice(self.one[0].head.num_forward)))

    def backward_logits(
        self, env: Any, states: OfRuns[Any], condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward rows of the last layers alone, or None."""
        head = self.one[0].head
        if not head.num_backward:
            return None
        x, layout = self._trunk(env, states)
        return layout.gather(self._layer("head", x, head.backward_rows))

    def _trunk(self, env: Any, states: OfRuns[Any]) -> tuple[Tensor, Layout]:
        """(K, M, width) activations of the last hidden layers, and where rows are in them."""
        layout, held = Layout(states.run, self.count), self.stacked
        numbers = layout.spread(env.encode(states)) + self._offset
        table = held["table"].flatten(0, 1)
        x = F.embedding_bag(numbers.flatten(0, 1), table, mode="sum")
        x = (x.view(self.count, layout.most, -1) + held["bias"][:, None]).relu_()
        for number in range(len(self.one[0].hidden)):
            x = self._layer(f"hidden.{number}", x).relu_()
        return x, layout

    def _layer(self, name: str, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """(K, M, out) some rows of a linear layer of (K, M, in)."""
        weight, bias = self.stacked[f"{name}.weight"], self.stacked[f"{name}.bias"]
        return torch.baddbmm(bias[:, None, rows], x, weight[:, rows].mT)


def stacked_policy(policies: Sequence[Policy]) -> StackedPolicy:
    """The policies of K runs as one."""
    plain = [p for p in policies if type(p) is MLPPolicy and p.told is None]
    return StackedPerceptrons(plain) if len(plain) == len(policies) else StackedPolicy(policies)
