"""A graph network for node-by-node problems: one pass over many pieces of different graphs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.graphs.node_subsets import OPEN, PADDING, NodeState, NodeSubsets
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward
from gflow.policies.encoder import StateEncoder
from gflow.policies.heads import Heads
from gflow.policies.told import ConditionLayer, told
from gflow.state import take

Convolution = Callable[[int], nn.Module]
GRAPH_MARK = 0x2545F4914F6CDD1D


@dataclass(frozen=True)
class GraphInputs:
    """The nodes that matter in S states, laid end to end, and the edges among them.

    Shapes: M nodes, E directed edges, N columns of a state.

    Attributes:
        shape: (S, N).
        row: (M,) int64 state of each node.
        place: (M,) int64 entry of each node in the flattened (S, N).
        label: (M,) int64.
        numbers: (M, 4) log(1 + .) of the node's neighbours here, of its `count` and of the nodes
            here, and its neighbours relative to the mean over the state.
        first: (M + 1,) int64 position of the first neighbour of each node.
        target: (E,) int64 neighbours of the nodes in order.
        which: (B,) int64 which of the S states each of B is about, or None if each is its own.
    """

    shape: tuple[int, int]
    row: Tensor
    place: Tensor
    label: Tensor
    numbers: Tensor
    first: Tensor
    target: Tensor
    which: Tensor | None = None

    @property
    def edge_index(self) -> Tensor:
        """(2, E) source and target, for convolutions of other libraries."""
        nodes = torch.arange(len(self.row), device=self.row.device)
        return torch.stack([nodes.repeat_interleave(self.first.diff()), self.target])


def gather_inputs(env: NodeSubsets[Any], states: NodeState, every_node: bool) -> GraphInputs:
    """Nodes and edges that matter in a batch of states.

    Args:
        env: The environment.
        states: S states.
        every_node: Take all nodes; else the undecided ones.
    """
    keep = states.label != PADDING if every_node else states.label == OPEN
    device, shape = keep.device, keep.shape
    place = keep.flatten().nonzero().squeeze(1)
    row, node = place // shape[1], place % shape[1]
    number = torch.empty(keep.numel(), dtype=torch.int64, device=device)
    number[place] = torch.arange(len(place), device=device)

    # Neighbours of node v of a collection are target[pointer[v]] ... target[pointer[v + 1] - 1].
    pointer = env.table("pointer", device, lambda: _pointer(env))
    targets = env.table("targets", device, lambda: env.graphs.local_edges[2])
    v = env.table("offset", device, lambda: env.graphs.offset)[states.graph[row]] + node
    begin, degree = pointer[v], pointer[v + 1] - pointer[v]
    source = torch.arange(len(place), device=device).repeat_interleave(degree)
    shift = begin - (degree.cumsum(0) - degree)
    neighbour = targets[torch.arange(len(source), device=device) + shift[source]]
    neighbour = row[source] * shape[1] + neighbour
    kept = keep.flatten()[neighbour].nonzero().squeeze(1)
    near = torch.bincount(source[kept], minlength=len(place))

    dtype = torch.get_default_dtype()
    here = keep.sum(-1)
    mean = torch.zeros(shape[0], dtype=dtype, device=device).index_add(0, row, near.to(dtype))
    mean = (mean / here.clamp(min=1)).clamp(min=1e-3)
    count = states.count.flatten()[place].clamp(min=0)
    sizes = torch.stack([near, count, here[row]], -1).to(dtype).log1p()
    return GraphInputs(
        shape=(shape[0], shape[1]),
        row=row,
        place=place,
        label=states.label.flatten()[place].long(),
        numbers=torch.cat([sizes, (near / mean[row])[:, None]], -1),
        first=F.pad(near.cumsum(0), (1, 0)),
        target=number[neighbour[kept]],
    )


def distinct_futures(env: NodeSubsets[Any], states: NodeState) -> tuple[Tensor, Tensor]:
    """Groups states of the same graph with the same undecided nodes: their futures are equal.

    Whatever was sampled for one graph begins in the same state, and by a sure policy goes on alike.

    Args:
        env: The environment.
        states: B states.

    Returns:
        (S,) int64 states that stand for all, and (B,) int64 which of them stands for each.
    """
    device = states.label.device

    def marks() -> Tensor:
        """(2, N) random numbers: sums of some are equal for equal sets, and for no others."""
        generator = torch.Generator().manual_seed(0)
        size = (2, states.label.shape[1])
        return torch.randint(-(2**62), 2**62, size, generator=generator)

    mark = env.table("marks", device, marks)
    weight = mark[0] + mark[1] * states.count
    keys = weight.where(states.label == OPEN, 0).sum(-1) + GRAPH_MARK * (states.graph + 1)
    return Distinct(None)(keys)


def _pointer(env: NodeSubsets[Any]) -> Tensor:
    nodes = torch.arange(int(env.graphs.offset[-1]) + 1, device=env.graphs.offset.device)
    return torch.searchsorted(env.graphs.edge_index[0].contiguous(), nodes)


class _NeighbourSum(torch.autograd.Function):
    """Sums over neighbours in an undirected graph; as the matrix is symmetric, so is the gradient.

    `embedding_bag` adds without writing down a row per edge.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(first, target)
        return _add_neighbours(x, first, target)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _add_neighbours(grad.contiguous(), *ctx.saved_tensors), None, None


def _add_neighbours(x: Tensor, first: Tensor, target: Tensor) -> Tensor:
    if not len(target):
        return torch.zeros_like(x)
    return F.embedding_bag(target, x, first, mode="sum", include_last_offset=True)


def neighbour_sum(x: Tensor, first: Tensor, target: Tensor) -> Tensor:
    """(M, D) for each node the sum of the rows of its neighbours, with gradients.

    Args:
        x: (M, D) features.
        first: (M + 1,) int64 position of each node's first neighbour in `target`.
        target: (E,) int64 neighbours; every edge in both directions.
    """
    found: Tensor = _NeighbourSum.apply(x, first, target)
    return found


class Mixing(nn.Module):
    """One round of messages: a node reads itself and its neighbours, and adds.

    Of the neighbours it reads the mean, and the sum in which each is divided among its own
    neighbours. The sum of equal features tells nodes apart whose neighbours have few others from
    those whose neighbours have many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(3 * width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor, inputs: GraphInputs) -> Tensor:
        """(M, D) new features."""
        y: Tensor = self.norm(x)
        degree = inputs.first.diff().clamp(min=1)[:, None].to(y.dtype)
        mean = neighbour_sum(y, inputs.first, inputs.target) / degree
        share = neighbour_sum(y / degree, inputs.first, inputs.target)
        change: Tensor = self.second(F.relu(self.first(torch.cat([y, mean, share], -1))))
        return x + change


class Convolved(nn.Module):
    """One round of messages by a layer of another library, called as ``layer(x, edge_index)``."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(width), layer

    def forward(self, x: Tensor, inputs: GraphInputs) -> Tensor:
        """(M, D) new features."""
        mixed: Tensor = self.layer(self.norm(x), inputs.edge_index)
        return x + F.relu(mixed)


class Trunk(nn.Module):
    """Features of nodes after some rounds of messages.

    Args:
        width: Features of a node.
        depth: Rounds of messages.
        convolution: See `GraphPolicy`.
        layer: Reads the condition of each state, if it has one.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        convolution: Convolution | None = None,
        layer: ConditionLayer | None = None,
    ) -> None:
        super().__init__()
        self.told = layer
        self.embed = nn.Embedding(3, width)
        self.read = nn.Linear(4, width)
        self.rounds = nn.ModuleList(
            Mixing(width) if convolution is None else Convolved(convolution(width), width)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: GraphInputs, condition: Tensor | None = None) -> Tensor:
        """(M, width) normalised features of every node, for conditions (S, C) of the states."""
        x = self.embed(inputs.label) + self.read(inputs.numbers)
        if self.told is not None:
            x = x + self.told(condition)[inputs.row]
        for layer in self.rounds:
            x = layer(x, inputs)
        found: Tensor = self.norm(x)
        return found


class GraphEncoder(StateEncoder):
    """Labelled graphs as vectors: the sum and the mean of the features of all nodes.

    Args:
        width: Features of a node; vectors have twice as many.
        depth: Rounds of messages.
        env: The environment, where its reward reads conditions.
    """

    def __init__(
        self, width: int = 64, depth: int = 3, env: DiscreteEnvironment[Any] | None = None
    ) -> None:
        super().__init__()
        layer = None if env is None else told(env, width, owner="GraphEncoder")
        self.trunk = Trunk(width, depth, layer=layer)
        self.out_features = 2 * width

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(S, D) vectors of S labellings."""
        assert isinstance(env, NodeSubsets)
        inputs = gather_inputs(env, states, every_node=True)
        x = self.trunk(inputs, condition)
        total = x.new_zeros(inputs.shape[0], x.shape[1]).index_add(0, inputs.row, x)
        nodes = torch.bincount(inputs.row, minlength=inputs.shape[0]).clamp(min=1)[:, None]
        return torch.cat([total / 16, total / nodes], -1)


class GraphPolicy(Policy):
    """Messages along the edges; a logit per node, and a log-flow summed over nodes.

    It works on every graph, whichever it was trained on. Where the future depends on the undecided
    nodes alone (independent sets, cliques), it sees only these and the edges among them, so that
    its work shrinks as a labelling proceeds; for a learned backward policy it sees all.

    log F(s) is a sum over nodes. What is won already need not be learned where the objective is
    forward-looking.

    Args:
        env: A node-by-node environment.
        width: Features of a node.
        depth: Rounds of messages.
        backward: "learned", "uniform" or "maxent".
        log_flow: Whether to have a log-flow head.
        scale: Outputs are multiplied by this; about the log-reward that one action is worth.
        convolution: ``width -> layer`` called as ``layer(x, edge_index)``, for example
            ``lambda width: torch_geometric.nn.GATv2Conv(width, width)``; by default `Mixing`.

    Raises:
        IncompatibleError: If the environment is of another kind.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        width: int = 64,
        depth: int = 3,
        backward: Backward = "uniform",
        log_flow: bool = False,
        scale: float = 1.0,
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(env, NodeSubsets):
            raise IncompatibleError(
                f"GraphPolicy reads labelled nodes of graphs, and {env.name} is no NodeSubsets "
                f"environment. Use MLPPolicy, or a policy made for it."
            )
        if width < 1 or depth < 0 or not scale > 0:
            raise ConfigError(
                f"GraphPolicy: need width >= 1, depth >= 0 and scale > 0, got {width}, {depth}, "
                f"{scale}."
            )
        check_backward(env, backward)
        self.backward, self.has_log_flow, self.scale = backward, log_flow, scale
        self.every_node = env.whole_past_counts or backward == "learned"
        self.trunk = Trunk(width, depth, convolution, told(env, width, owner="GraphPolicy"))
        self.hidden = nn.Linear(width, width)
        # Of each node: forward logit, backward logit, share of the log-flow. They read the numbers
        # too, so that rules of degree are learned at once.
        self.head = Heads(width + 4, 1, int(backward == "learned"), log_flow)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def inputs(self, env: Environment[Any], states: Any) -> GraphInputs:
        """Nodes and edges that matter, of states with equal futures once."""
        assert isinstance(env, NodeSubsets)
        if self.every_node or self.trunk.told is not None:  # told apart by their conditions
            return gather_inputs(env, states, every_node=self.every_node)
        rows, which = distinct_futures(env, states)
        return replace(gather_inputs(env, take(states, rows), every_node=False), which=which)

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The backward row of the head."""
        return [(self.head, self.head.backward_rows)] if self.head.num_backward else []

    def read(self, inputs: GraphInputs, condition: Tensor | None = None) -> Tensor:
        """(M, width + 4) what the heads read of every node."""
        x = F.relu(self.hidden(self.trunk(inputs, condition)))
        return torch.cat([x, inputs.numbers], -1)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        inputs = self.inputs(env, states)
        out = self.head.all(self.read(inputs, condition))
        back, log_flow = out.backward_logits, out.log_flow
        if log_flow is not None:
            total = log_flow.new_zeros(inputs.shape[0])
            log_flow = total.index_add(0, inputs.row, log_flow * self.scale)
            log_flow = log_flow if inputs.which is None else log_flow[inputs.which]
        if back is not None:
            back = self._spread(back, inputs)
        return PolicyOutput(self._spread(out.forward_logits, inputs), back, log_flow)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(S, N) the forward row of every node."""
        inputs = self.inputs(env, states)
        return self._spread(self.head.ahead(self.read(inputs, condition)), inputs)

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(S, N) the backward row of every node, or None."""
        if not self.head.num_backward:
            return None
        inputs = self.inputs(env, states)
        return self._spread(self.head.back(self.read(inputs, condition)), inputs)

    def _spread(self, values: Tensor, inputs: GraphInputs) -> Tensor:
        """(B, N) from (M, 1) values at their places; 0 at nodes that were not looked at."""
        rows, width = inputs.shape
        scaled = values.squeeze(1) * self.scale
        spread = values.new_zeros(rows * width).index_put((inputs.place,), scaled)
        spread = spread.view(rows, width)
        return spread if inputs.which is None else spread[inputs.which]
