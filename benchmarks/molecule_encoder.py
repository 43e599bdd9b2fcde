"""One forward pass of `MoleculePolicy` against a network of the same size in PyTorch Geometric.

Run:   python benchmarks/molecule_encoder.py --batch 256 --repeats 30
Takes: about a minute.
Shows: median milliseconds per pass on the same states, measured in turns, and their ratio. The
       PyG network gets its graph either by tensor operations on the batch of states, or from a list
       of `Data` objects, which is how graph code for molecules is commonly written.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from gflow.envs.molecules import MoleculePolicy, Molecules, MoleculeState
from gflow.state import cat, take


class Layer(MessagePassing):  # type: ignore[misc]  # PyG is untyped
    """The round of `MoleculePolicy` on a sparse graph, without the mixing of ports."""

    def __init__(self, width: int) -> None:
        super().__init__(aggr="add")
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(width))
        self.own, self.whole = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.msg, self.update_ = nn.Linear(width, width, bias=False), nn.Linear(width, width)

    def forward(self, h: Tensor, edges: Tensor, ends: Tensor, batch: Tensor, count: int) -> Tensor:
        x = self.norm(h)
        arrived = self.propagate(edges, x=self.send(x), ends=ends * self.scale)
        whole = self.whole(scatter(x, batch, dim_size=count, reduce="mean"))[batch]
        out: Tensor = h + self.update_(F.silu(self.own(x) + self.msg(arrived) + whole))
        return out

    def message(self, x_j: Tensor, ends: Tensor) -> Tensor:
        return F.silu(x_j + ends)


class Sparse(nn.Module):
    """Embeddings, rounds and the forward head of `MoleculePolicy`, on PyG's data layout."""

    def __init__(self, env: Molecules, width: int, depth: int) -> None:
        super().__init__()
        tables = env.tables
        self.env, classes = env, tables.num_orbits
        self.fragments = nn.Embedding(tables.num_fragments, width)
        self.count = nn.Embedding(env.max_fragments + 1, width)
        self.own, self.far = nn.Embedding(classes + 1, width), nn.Embedding(classes + 1, width)
        self.rounds = nn.ModuleList(Layer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.slot = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.new = nn.Linear(width, classes)

    def forward(self, graph: Data) -> Tensor:
        """Logits of all open ports in the batch, one row each."""
        sizes = torch.bincount(graph.batch, minlength=graph.num_graphs)
        around = self.count(sizes)[graph.batch]
        h = self.fragments(graph.x) + around
        ends = self.own(graph.own) + self.far(graph.far)
        for layer in self.rounds:
            h = layer(h, graph.edge_index, ends, graph.batch, graph.num_graphs)
        z = self.norm(h)[graph.open_node] + self.own(graph.open_class)
        scores: Tensor = self.new(self.slot(z))
        return scores[:, self.env.tables.orbit[:-1]]


def to_tensors(env: Molecules, states: MoleculeState) -> Data:
    """A batch of states as one sparse graph, by tensor operations."""
    tables, k = env.tables, env.tables.max_ports
    node = states.fragment >= 0
    number = node.flatten().cumsum(0).view_as(node) - 1
    row, at, port = (states.link >= 0).nonzero(as_tuple=True)
    other = states.link[row, at, port]
    orbit = tables.orbit[tables.port[states.fragment]]
    is_open = env.open_ports(states).view_as(states.link)
    open_row, open_at, open_port = is_open.nonzero(as_tuple=True)
    return Data(
        x=states.fragment[node],
        batch=node.nonzero()[:, 0],
        num_graphs=len(node),
        edge_index=torch.stack([number[row, other // k], number[row, at]]),
        own=orbit[row, at, port],
        far=orbit.flatten(1)[row, other],
        open_node=number[open_row, open_at],
        open_class=orbit[open_row, open_at, open_port],
    )


class Molecule(Data):  # type: ignore[misc]
    """Tells PyG that `open_node` counts nodes."""

    def __inc__(self, key: str, value: object, *args: object) -> int:
        step = self.num_nodes if key == "open_node" else super().__inc__(key, value, *args)
        return int(step)


def to_list(env: Molecules, states: MoleculeState) -> list[Data]:
    """One `Data` object per state."""
    graphs = []
    for i in range(len(states.fragment)):
        graph = to_tensors(env, take(states, torch.tensor([i]))).to_dict()
        del graph["batch"], graph["num_graphs"]
        graphs.append(Molecule(**graph))
    return graphs


def random_states(env: Molecules, count: int) -> MoleculeState:
    """Unfinished states, not empty, from uniformly random moves."""
    states, seen = env.initial(count), []
    for _ in range(env.horizon):
        mask = env.forward_mask(states)
        states = take(states, mask.any(1))
        mask = mask[mask.any(1)]
        if not len(mask):
            break
        seen.append(states)
        states = env.step(states, torch.multinomial(mask.float(), 1).squeeze(1))
    pool = cat(seen[1:])
    return take(pool, torch.randperm(len(pool.fragment))[:count])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    env = Molecules()
    states = random_states(env, args.batch)
    ours = MoleculePolicy(env, args.width, args.depth, backward="uniform")
    sparse = Sparse(env, args.width, args.depth)
    graphs, given = to_list(env, states), to_tensors(env, states)
    runs: dict[str, Callable[[], object]] = {
        "gflow": lambda: ours.forward_logits(env, states),
        "PyG, graph by tensors": lambda: sparse(to_tensors(env, states)),
        "PyG, graph given": lambda: sparse(given),
        "PyG, list of Data": lambda: sparse(Batch.from_data_list(graphs)),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(args.repeats + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    sizes = [sum(p.numel() for p in net.parameters()) for net in (ours, sparse)]
    print(f"{len(states.fragment)} states; parameters: gflow {sizes[0]}, PyG {sizes[1]}")
    base = statistics.median(times["gflow"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:24s} {median:8.2f} ms   {median / base:5.2f} x gflow")


if __name__ == "__main__":
    main()
