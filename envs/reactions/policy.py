"""A network over fingerprints, which compares what a route needs with blocks and templates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.molecules.extras import rdkit
from gflow.envs.reactions.chemist import Remembered
from gflow.envs.reactions.env import MOLECULE, Reactions
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward
from gflow.policies.told import told

BITS, RADIUS = 1024, 2
"""Of the fingerprints."""

ABSENT = -1e10
"""The logit of a last step that there is not."""


@dataclass(frozen=True)
class RouteInputs:
    """What the network reads of S states.

    Attributes:
        bits: (S, BITS) uint8 counts of the circular fingerprint of the molecule; zeros in s0.
        kind: (S,) int64 what the state is.
        steps: (S,) int64 reactions so far.
        slot: (S,) int64 1 + the slot that is chosen, or 0.
        block: (S,) int64 1 + the other block that is chosen, or 0.
        products: (J, BITS) uint8 fingerprints of J products between which there is a choice.
        place: (J,) int64 row, and (J,) number of the product, as ``row * max_outcomes + number``.
    """

    bits: Tensor
    kind: Tensor
    steps: Tensor
    slot: Tensor
    block: Tensor
    products: Tensor
    place: Tensor


class ReactionPolicy(Policy):
    """Logits of blocks, slots and products as inner products with what the state asks for.

    Blocks and products are told by their fingerprints, blocks and slots by learned vectors as well,
    so that much is shared between similar blocks. A learned backward policy scores each last step
    by its slot, its block and its first reactant.

    Shapes: S states, D = `width`, P last steps.

    Args:
        env: A `Reactions` environment.
        width: Units of each layer.
        depth: Hidden layers.
        backward: "learned", "uniform" or "maxent".
        log_flow: Whether to have a log-flow head.

    Raises:
        IncompatibleError: If the environment is of another kind.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        width: int = 128,
        depth: int = 2,
        backward: Backward = "uniform",
        log_flow: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(env, Reactions):
            raise IncompatibleError(
                f"ReactionPolicy reads molecules with reactions, and {env.name} is no Reactions "
                f"environment. Use MLPPolicy, or a policy made for it."
            )
        if width < 1 or depth < 1:
            raise ConfigError(
                f"ReactionPolicy: need width and depth of at least 1, got {width} and {depth}."
            )
        check_backward(env, backward)
        self.backward, self.has_log_flow = backward, log_flow
        self.read = nn.Linear(BITS, width)
        self.kind, self.steps = nn.Embedding(4, width), nn.Embedding(env.max_steps + 1, width)
        self.slot = nn.Embedding(env.num_slots + 1, width)
        self.block = nn.Embedding(env.num_blocks + 1, width)
        self.told = told(env, width, owner="ReactionPolicy")
        layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.SiLU())]
        self.body = nn.Sequential(nn.SiLU(), *layers)
        self.asks = _zero(nn.Linear(width, 3 * width))  # of blocks, slots and products
        self.ends = _zero(nn.Linear(width, 1 + log_flow))
        self.slots = nn.Parameter(torch.randn(env.num_slots, width) / width**0.5)
        self.blocks = nn.Parameter(torch.randn(env.num_blocks, width) / width**0.5)
        self.likeness = nn.Linear(BITS, width, bias=False)
        learned = backward == "learned"
        self.undoes = _zero(nn.Linear(width, 2 * width)) if learned else None
        self.prints = Remembered(fingerprint, env.lab.capacity)
        own = np.stack([self.prints[smiles] for smiles in env.chemist.blocks])
        self.register_buffer("own", torch.from_numpy(own), persistent=False)

    own: Tensor

    def inputs(self, env: Reactions, states: Tensor) -> RouteInputs:
        """Fingerprints and choices."""
        views = env.read(states)
        device, none = states.device, np.zeros(BITS, dtype=np.uint8)
        prints = [none if v.node is None else self.prints[v.node.smiles] for v in views]
        several = [
            (row * env.max_outcomes + number, self.prints[smiles])
            for row, view in enumerate(views)
            for number, smiles in enumerate(view.products if len(view.products) > 1 else ())
        ]
        products = np.stack([bits for _, bits in several]) if several else none[None][:0]
        steps = [0 if view.node is None else view.node.steps for view in views]
        numbers = [[v.kind, s, v.slot + 1, v.block + 1] for v, s in zip(views, steps, strict=True)]
        kind, count, slot, block = torch.tensor(numbers, device=device).view(-1, 4).unbind(1)
        return RouteInputs(
            torch.from_numpy(np.stack(prints) if prints else none[None][:0]).to(device),
            kind,
            count,
            slot,
            block,
            torch.from_numpy(products).to(device),
            torch.tensor([place for place, _ in several], dtype=torch.int64, device=device),
        )

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        assert isinstance(env, Reactions)
        inputs = self.inputs(env, states)
        h, ends = self._body(inputs, condition)
        log_flow = ends[:, 1] if self.has_log_flow else None
        return PolicyOutput(
            self._ahead(env, inputs, h, ends), self._back(env, states, inputs, h), log_flow
        )

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(S, A) the forward heads alone."""
        assert isinstance(env, Reactions)
        inputs = self.inputs(env, states)
        return self._ahead(env, inputs, *self._body(inputs, condition))

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """What last steps are compared with."""
        return [] if self.undoes is None else [(self.undoes, slice(None))]

    def _body(self, inputs: RouteInputs, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._fingerprint(self.read, inputs.bits) + self.kind(inputs.kind)
        x = x + self.steps(inputs.steps) + self.slot(inputs.slot) + self.block(inputs.block)
        if self.told is not None:
            x = x + self.told(condition)
        h = self.body(x)
        return h, self.ends(h)

    def _fingerprint(self, layer: nn.Linear, bits: Tensor) -> Tensor:
        read: Tensor = layer(bits.to(layer.weight.dtype).log1p())
        return read

    def _keys(self) -> Tensor:
        """(n, D) what is known of each block."""
        return self.blocks + self._fingerprint(self.likeness, self.own)

    def _ahead(self, env: Reactions, inputs: RouteInputs, h: Tensor, ends: Tensor) -> Tensor:
        """(S, A) blocks, slots, products, and the stop."""
        for_blocks, for_slots, for_products = self.asks(h).chunk(3, 1)
        blocks, slots = for_blocks @ self._keys().T, for_slots @ self.slots.T
        made = h.new_zeros(len(h) * env.max_outcomes)
        if len(inputs.place):
            near = self._fingerprint(self.likeness, inputs.products)
            asked = for_products[inputs.place // env.max_outcomes]
            made = made.index_put((inputs.place,), (asked * near).sum(1))
        return torch.cat([blocks, slots, made.view(len(h), -1), ends[:, :1]], 1)

    def _back(
        self, env: Reactions, states: Tensor, inputs: RouteInputs, h: Tensor
    ) -> Tensor | None:
        """(S, P) last steps by slot and block, and by what reacted."""
        if self.undoes is None:
            return None
        last, before = self.undoes(h).chunk(2, 1)
        given = [
            (
                row * env.max_ways + at,
                way.slot,
                way.block,
                self.prints[env.lab.at(way.before).smiles],
            )
            for row, view in enumerate(env.read(states))
            if view.kind == MOLECULE and view.node is not None
            for at, way in enumerate(view.node.ways)
        ]
        out = h.new_full((len(h), env.max_ways), ABSENT)
        out[:, 0] = 0.0  # the only way back from a choice
        out = out.flatten()
        if given:
            place, slot, block = torch.tensor([g[:3] for g in given], device=h.device).unbind(1)
            bits = torch.from_numpy(np.stack([g[3] for g in given])).to(h.device)
            other = self._keys()[block.clamp(min=0)] * (block >= 0)[:, None]
            row = place // env.max_ways
            near = self._fingerprint(self.likeness, bits)
            value = (last[row] * (self.slots[slot] + other)).sum(1) + (before[row] * near).sum(1)
            out = out.index_put((place,), value)
        return out.view(len(h), -1)


def fingerprint(smiles: str) -> Any:
    """(BITS,) uint8 counts of the circular fragments of a molecule."""
    generator = _generator()
    counts = generator.GetCountFingerprintAsNumPy(rdkit().MolFromSmiles(smiles))
    return counts.clip(0, 255).astype(np.uint8)


def _generator() -> Any:
    return rdkit("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(RADIUS, fpSize=BITS)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
