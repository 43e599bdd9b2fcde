"""A graph network over trees of fragments whose outputs depend on the structure alone."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.molecules.env import Molecules, MoleculeState
from gflow.envs.molecules.layout import Dense, Layout, Packed
from gflow.errors import ConfigError
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward
from gflow.policies.told import told


class MoleculePolicy(Policy):
    """Message passing between fragments, in tensors of the whole batch.

    The network knows a port only by its class under the symmetries of its fragment, and two ports
    of one fragment by the class of the pair; node numbers are not read. So the logits are a
    function of the structure, which the counting of `Molecules` needs, and equivalent actions
    get equal probabilities.

    Shapes: B states, N nodes, K ports, R open ports, Q ports of the vocabulary, D = `width`.

    Args:
        env: Gives vocabulary and sizes.
        width: Features per fragment.
        depth: Rounds of message passing.
        backward: "learned" or "uniform".
        log_flow: Whether to have a log-flow head.
        generator: For the initial weights.
    """

    def __init__(
        self,
        env: Molecules,
        width: int = 64,
        depth: int = 3,
        backward: Backward = "learned",
        log_flow: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ConfigError(
                f"MoleculePolicy: width and depth must be positive, got {width}, {depth}."
            )
        check_backward(env, backward)
        self.backward, self.has_log_flow = backward, log_flow
        tables = env.tables
        self.nodes, self.classes = env.max_fragments, tables.num_orbits
        orbit = tables.orbit[tables.port]  # (V+1, K)
        fragment_of = torch.zeros(self.classes, dtype=torch.int64)
        fragment_of[tables.orbit[:-1]] = tables.fragment_of
        for name, constant in [
            ("orbit", orbit),
            ("pair", tables.pair),
            ("expand", tables.orbit[:-1].clone()),
            ("class_fragment", fragment_of),
        ]:
            self.register_buffer(name, constant, persistent=False)
        self.fragments = nn.Embedding(tables.num_fragments + 1, width)
        self.count = nn.Embedding(env.max_fragments + 1, width)
        self.still_open = nn.Embedding(env.max_fragments + 1, width)
        self.own = nn.Embedding(self.classes + 1, width)  # the port on this side
        self.far = nn.Embedding(self.classes + 1, width)  # the port on the other side, or none
        self.told = told(env, width, owner="MoleculePolicy")
        self.rounds = nn.ModuleList(_Round(width, tables.num_pairs) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.source = nn.Parameter(torch.zeros(width))
        self.slot_pairs = nn.Parameter(torch.zeros(tables.num_pairs, 1))
        self.slot = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.new = nn.Embedding(self.classes, width)
        self.new_fragment = nn.Linear(width, width)
        self.new_bias = nn.Parameter(torch.zeros(self.classes))
        self.leaf = nn.Linear(width, 1) if backward == "learned" else None
        self.flow: nn.Module | None = None
        if log_flow:
            self.flow = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))
        self._reset(generator)

    orbit: Tensor
    pair: Tensor
    expand: Tensor
    class_fragment: Tensor

    def _reset(self, generator: torch.Generator | None) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.5, generator=generator)
            elif isinstance(module, _Round):
                nn.init.normal_(module.pairs, std=0.5, generator=generator)
        nn.init.normal_(self.slot_pairs, std=0.5, generator=generator)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        h, around, layout = self._trunk(states, condition)
        flow = None
        if self.flow is not None:
            flow = self.flow(torch.cat([layout.mean(h), around], 1)).squeeze(1)
        return PolicyOutput(
            self._forward_head(h, around, layout), self._backward_head(h, layout), flow
        )

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(B, A) the forward head alone."""
        return self._forward_head(*self._trunk(states, condition))

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B, N) the backward head alone, or None if the backward policy is uniform."""
        if self.leaf is None:
            return None
        h, _, layout = self._trunk(states, condition)
        return self._backward_head(h, layout)

    def _trunk(
        self, states: MoleculeState, condition: Tensor | None
    ) -> tuple[Tensor, Tensor, Layout]:
        """Vectors of the nodes and of the trees, and the layout."""
        kind = Packed if states.fragment.device.type == "cpu" else Dense
        layout = kind(states.fragment, states.link, self.orbit, self.pair, self.classes)
        room = layout.still_open.clamp(max=self.nodes)
        around = self.count(layout.count) + self.still_open(room)  # (B, D)
        if self.told is not None:
            around = around + self.told(condition)
        ends = self.own(layout.own) + self.far(layout.far)
        h = self.fragments(layout.fragment) + layout.spread(around)
        for layer in self.rounds:
            h = layer(h, ends, layout)
        return self.norm(h), around, layout

    def _forward_head(self, h: Tensor, around: Tensor, layout: Layout) -> Tensor:
        """(B, R*Q) logits: open ports times ports of the vocabulary, tied within classes."""
        # An open port is its node, its class, and what hangs at the other ports of the node,
        # told apart by their place relative to it.
        ports = layout.among(layout.behind(h), self.slot_pairs) + self.own(layout.own)
        z = self.slot(layout.open_ports(ports, self.source, around))
        new = self.new.weight + self.new_fragment(self.fragments(self.class_fragment))  # (O, D)
        new = (new * new.shape[1] ** -0.5).index_select(0, self.expand)
        logits = F.linear(z, new, self.new_bias.index_select(0, self.expand))
        return layout.by_rank(logits, self.nodes - 1).flatten(1)

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The only layer of the backward head."""
        return [] if self.leaf is None else [(self.leaf, slice(None))]

    def _backward_head(self, h: Tensor, layout: Layout) -> Tensor | None:
        return None if self.leaf is None else layout.by_node(self.leaf(h).squeeze(-1))


class _Round(nn.Module):
    """One round: neighbours behind ports, ports of one fragment among each other, the whole."""

    def __init__(self, width: int, num_pairs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(width))
        self.pairs = nn.Parameter(torch.zeros(num_pairs, 1))
        self.whole = nn.Linear(width, width, bias=False)
        self.own = nn.Linear(width, width)
        self.message = nn.Linear(width, width, bias=False)
        self.update = nn.Linear(width, width)

    def forward(self, h: Tensor, ends: Tensor, layout: Layout) -> Tensor:
        """Nodes from nodes."""
        x = self.norm(h)
        ports = torch.addcmul(layout.behind(self.send(x)), ends, self.scale)
        arrived = layout.collect(F.silu(layout.among(ports, self.pairs)))
        whole = layout.spread(self.whole(layout.mean(x)))
        hidden = self.own(x) + self.message(arrived) + whole
        updated: Tensor = h + self.update(F.silu(hidden))
        return updated
