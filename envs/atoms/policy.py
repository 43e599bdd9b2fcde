"""A graph network over atoms whose outputs depend on the structure alone."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.atoms.canonical import resistance
from gflow.envs.atoms.env import Atoms
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward
from gflow.policies.heads import Heads
from gflow.policies.told import told


@dataclass(frozen=True)
class AtomInputs:
    """What the network reads of S molecules.

    Attributes:
        kind: (S, N) int64 kinds of atoms, 0 for none.
        free: (S, N) int64 hydrogens of each atom.
        joined: (S, 3, N, N) 1 for each bond, by its order.
        resistance: (S, N, N) see `gflow.envs.atoms.canonical.resistance`.
    """

    kind: Tensor
    free: Tensor
    joined: Tensor
    resistance: Tensor


class AtomPolicy(Policy):
    """Messages over bonds, in dense tensors; a logit per atom, and per pair of atoms.

    Numbers of atoms are not read, so equivalent actions get equal probabilities, which the counting
    of `Atoms` needs. Pairs are told apart by their two atoms and the resistance between them.

    Shapes: S molecules, N atoms, K kinds, D = `width`.

    Args:
        env: An `Atoms` environment.
        width: Features per atom.
        depth: Rounds of message passing.
        backward: "learned" or "uniform".
        log_flow: Whether to have a log-flow head.

    Raises:
        IncompatibleError: If the environment is of another kind.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        width: int = 64,
        depth: int = 4,
        backward: Backward = "uniform",
        log_flow: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(env, Atoms):
            raise IncompatibleError(
                f"AtomPolicy reads atoms and bonds, and {env.name} is no Atoms environment. "
                f"Use MLPPolicy, or a policy made for it."
            )
        if width < 1 or depth < 0:
            raise ConfigError(
                f"AtomPolicy: need width >= 1 and depth >= 0, got {width} and {depth}."
            )
        check_backward(env, backward)
        self.backward, self.has_log_flow = backward, log_flow
        self.kind = nn.Embedding(len(env.kinds) + 1, width)
        self.free = nn.Embedding(int(env.constants(torch.device("cpu"))[2].max()) + 1, width)
        self.count = nn.Embedding(env.max_atoms + 1, width)
        self.told = told(env, width, owner="AtomPolicy")
        self.rounds = nn.ModuleList(_Round(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.grow = _head(width, 3 * len(env.kinds))
        self.whole = _head(2 * width, 1 + log_flow)  # the logit of stopping, and the log-flow
        self.sums, self.products = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.near = nn.Linear(2, width, bias=False)
        learned = backward == "learned"
        self.pair = Heads(width, 3, int(learned))  # three orders of a new bond, and the removal
        self.leaf = _head(width, 1) if learned else None
        i, j = env.constants(torch.device("cpu"))[0].clone()
        self.register_buffer("i", i, persistent=False)
        self.register_buffer("j", j, persistent=False)

    i: Tensor
    j: Tensor

    def inputs(self, env: Environment[Any], states: Any) -> AtomInputs:
        """Atoms, bonds by order, and resistances."""
        assert isinstance(env, Atoms)
        dtype = torch.get_default_dtype()
        order = torch.arange(1, 4, device=states.kind.device)[:, None, None]
        joined = (states.bond[:, None] == order).to(dtype)
        return AtomInputs(states.kind, env.free(states), joined, resistance(states.bond).to(dtype))

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        atoms, pairs, whole = self._trunk(env, states, condition)
        bonds, ends = self.pair.all(pairs), self.whole(whole)
        back = None
        if self.leaf is not None:
            assert bonds.backward_logits is not None
            back = torch.cat([self.leaf(atoms).squeeze(2), bonds.backward_logits.squeeze(2)], 1)
        log_flow = ends[:, 1] if self.has_log_flow else None
        return PolicyOutput(self._ahead(atoms, bonds.forward_logits, ends), back, log_flow)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(S, A) the forward heads alone."""
        atoms, pairs, whole = self._trunk(env, states, condition)
        return self._ahead(atoms, self.pair.ahead(pairs), self.whole(whole))

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The last layers of removing an atom, and a bond."""
        if self.leaf is None:
            return []
        last = self.leaf[-1]
        assert isinstance(last, nn.Linear)
        return [(last, slice(None)), (self.pair, self.pair.backward_rows)]

    def _ahead(self, atoms: Tensor, bonds: Tensor, ends: Tensor) -> Tensor:
        """(S, A) new atoms, new bonds, and the stop."""
        return torch.cat([self.grow(atoms).flatten(1), bonds.flatten(1), ends[:, :1]], 1)

    def _trunk(
        self, env: Environment[Any], states: Any, condition: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features of atoms (S, N, D), of pairs (S, pairs, D), and of the whole (S, 2 D)."""
        inputs = self.inputs(env, states)
        exists = (inputs.kind > 0)[..., None]  # (S, N, 1)
        count = exists.sum(1).clamp(min=1)  # (S, 1)
        around = self.count(exists.sum((1, 2)))  # (S, D)
        if self.told is not None:
            around = around + self.told(condition)
        h = self.kind(inputs.kind) + self.free(inputs.free) + around[:, None]
        for layer in self.rounds:
            h = layer(h, inputs.joined, exists, count)
        x = self.norm(h)
        mean = (x * exists).sum(1) / count
        return x, self._pairs(x, inputs), torch.cat([mean, around], 1)

    def _pairs(self, x: Tensor, inputs: AtomInputs) -> Tensor:
        """(S, pairs, D) features of pairs of atoms, the same whichever comes first."""
        i, j = self.i, self.j
        bonded = inputs.joined.sum(1)[:, i, j]
        near = torch.stack([inputs.resistance[:, i, j], bonded], -1)
        y, z = self.sums(x), self.products(x)
        return F.silu(y[:, i] + y[:, j] + z[:, i] * z[:, j] + self.near(near))


class _Round(nn.Module):
    """One round: what neighbours send over bonds of each order, and the mean of all atoms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.send = nn.Linear(width, 3 * width, bias=False)
        self.whole = nn.Linear(width, width, bias=False)
        self.update = nn.Linear(width, width)

    def forward(self, h: Tensor, joined: Tensor, exists: Tensor, count: Tensor) -> Tensor:
        """(S, N, D) new features."""
        x = self.norm(h)
        sent = self.send(x).unflatten(2, (3, -1)).transpose(1, 2)  # (S, 3, N, D)
        arrived = (joined @ sent).sum(1)
        whole = self.whole((x * exists).sum(1) / count)[:, None]
        updated: Tensor = h + self.update(F.silu(self.own(x) + arrived + whole))
        return updated


def _head(inputs: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(inputs, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, inputs), nn.SiLU(), last)
