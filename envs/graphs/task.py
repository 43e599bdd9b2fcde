"""`gflow train mis`."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative, Positive, Probability
from gflow.conditions.draws import ConditionSampler
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import GraphBatch, barabasi_albert, erdos_renyi, rb_graphs
from gflow.envs.graphs.node_subsets import NodeCount
from gflow.envs.graphs.optima import degree_greedy, optimum
from gflow.envs.graphs.policy import GraphEncoder, GraphPolicy
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.sampling.sampler import Sampler
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

NODES = {"small": (20, 40), "medium": (60, 100), "large": (200, 300)}
RB = {  # number of groups, nodes per group
    "small": ((5, 7), (3, 6)),
    "medium": ((10, 14), (5, 8)),
    "large": ((20, 24), (5, 11)),
}


@dataclass(frozen=True)
class IndependentSetTask(Task[IndependentSet]):
    """Independent sets of many random graphs at once; judged on graphs never trained on.

    Attributes:
        files: Your own graphs, to train on and be judged by, instead of random ones: a file each,
            in DIMACS, a list of edges, or a matrix (docs/topics/files.md).
        graphs: Kind of random graph: model RB, Erdos-Renyi or Barabasi-Albert.
        size: 20-40, 60-100 or 200-300 nodes.
        train_graphs: Number of graphs to train on; every batch draws some of them.
        repeat: Trajectories per graph in a batch.
        held_out: Number of graphs to judge by.
        samples: Sets sampled per held-out graph.
        p: Probability of an edge (Erdos-Renyi).
        m: Edges of a new node (Barabasi-Albert).
        beta: Log-reward of a node.
        scale: The policy's outputs are multiplied by this; 0 takes beta.
        graph_seed: Of the training graphs; the held-out ones have the next.
        seconds: Time limit for the exact optimum of a held-out graph.
        width: Features of a node in the graph network.
        depth: Rounds of messages.
    """

    name: ClassVar[str] = "mis"
    summary: ClassVar[str] = "independent sets of many graphs; judged against exact optima"
    train: ClassVar[TrainConfig] = TrainConfig(steps=400, batch_size=32, lr=2e-3, grad_clip=10.0)
    run: ClassVar[RunOptions] = RunOptions(
        eval_every=100, eval_samples=64, checkpoint_every=100, threads=1
    )
    objective: ClassVar[str] = "vargrad"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_reward",
        "mean_size",
        "ratio_to_optimum",
        "best_ratio_to_optimum",
        "ratio_to_greedy",
    )

    files: tuple[str, ...] = ()
    graphs: Literal["rb", "er", "ba"] = "rb"
    size: Literal["small", "medium", "large"] = "small"
    train_graphs: Count = 256
    repeat: Count = 8
    held_out: Count = 20
    samples: Count = 20
    p: Probability = 0.15
    m: Count = 4
    beta: Positive = 10.0
    scale: NotNegative = 0.0
    graph_seed: Natural = 0
    seconds: NotNegative = 20.0
    width: Count = 64
    depth: Count = 3

    def batch_of(self, count: int, seed: int) -> GraphBatch:
        """Random graphs of the kind and size asked for, or those of the files."""
        if self.files:
            return GraphBatch.from_files(self.files)
        generator = torch.Generator().manual_seed(seed)
        nodes = NODES[self.size]
        match self.graphs:
            case "er":
                return erdos_renyi(count, nodes, self.p, generator)
            case "ba":
                return barabasi_albert(count, nodes, self.m, generator)
        groups, group_size = RB[self.size]
        return rb_graphs(count, generator, groups, group_size, nodes=nodes)

    def environment(self) -> IndependentSet:
        """The training graphs."""
        return IndependentSet(
            self.batch_of(self.train_graphs, self.graph_seed), NodeCount(self.beta)
        )

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A graph network."""
        scale = self.scale or self.beta
        return GraphPolicy(env, self.width, self.depth, log_flow=needs.log_flow, scale=scale)

    def encoder(self, env: DiscreteEnvironment[Any], width: int) -> StateEncoder:
        """A graph network of its own."""
        return GraphEncoder(width, self.depth, env)

    def condition(self, env: DiscreteEnvironment[Any]) -> ConditionSampler:
        """Graphs drawn anew for every batch."""
        assert isinstance(env, IndependentSet)
        return GraphDraw(env.turn, self.repeat)

    def rewards(
        self, env: IndependentSet, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """R is exponential in the size of a set, and sizes are reported."""
        return None

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """Held-out graphs with the largest set that was sampled for each."""
        from gflow.envs.graphs.chosen import GRAPHS, chosen_nodes

        env, best, _ = held_out(self)
        policy, trainer = shown.context.policy, shown.context.trainer
        if policy is None:
            return {}
        env, count = env.on(list(range(min(GRAPHS, len(best))))), min(GRAPHS, len(best))
        found = Sampler(env, trainer.config.plan).forward(
            policy,
            self.samples * count,
            generator=torch.Generator(trainer.device).manual_seed(trainer.config.seed),
            device=trainer.device,
        )
        sets = []
        for graph in range(count):
            mine = (found.final_states.graph.cpu() == graph).nonzero()[:, 0]
            inside = found.final_states.label.cpu()[mine] == 1
            largest = inside[int(inside.sum(-1).argmax())]
            size = int(env.graphs.sizes[graph])
            said = f"{int(largest.sum())} of {size} nodes; optimum {int(best[graph])}"
            sets.append((env.graphs.adjacency[graph, :size, :size], largest[:size], said))
        caption = f"The largest of {self.samples} sampled sets on graphs never trained on (black)."
        return {"sets": chosen_nodes(sets, caption)}

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Sizes on the held-out graphs, as numbers and as shares of the optimum."""
        env, best, greedy = held_out(self)
        trainer, policy, count = context.trainer, context.policy, len(best)
        if policy is None:
            return {}
        device = trainer.device
        found = Sampler(env, trainer.config.plan).forward(
            policy,
            self.samples * count,
            generator=torch.Generator(device).manual_seed(trainer.step),
            device=device,
        )
        label = found.final_states.label.cpu()
        size = (label == 1).sum(-1).view(self.samples, count).double()
        return {
            "mean_size": float(size.mean()),
            "mean_optimum": float(best.mean()),
            "ratio_to_optimum": float((size.mean(0) / best).mean()),
            "best_ratio_to_optimum": float((size.amax(0) / best).mean()),
            "ratio_to_greedy": float((size.mean(0) / greedy).mean()),
            "greedy_ratio_to_optimum": float((greedy / best).mean()),
        }

    def report(self, context: Context) -> str:
        """Held-out graphs: the policy beside the greedy rule."""
        n = context.numbers
        if "mean_size" not in n:
            return ""
        kind = "graphs of files" if self.files else "held-out graphs"
        return (
            f"{len(held_out(self)[1])} {kind}, mean size {n['mean_size']:.2f} "
            f"(optimum {n['mean_optimum']:.2f})\n"
            f"  mean of {self.samples:3} samples  {100 * n['ratio_to_optimum']:6.2f} % of the "
            f"optimum\n"
            f"  best of {self.samples:3} samples  {100 * n['best_ratio_to_optimum']:6.2f} %\n"
            f"  greedy by degree     {100 * n['greedy_ratio_to_optimum']:6.2f} %"
        )


@lru_cache(maxsize=4)
def held_out(task: IndependentSetTask) -> tuple[IndependentSet, Tensor, Tensor]:
    """The held-out graphs, their optima and the greedy sizes, (H,) float64 each."""
    graphs = task.batch_of(task.held_out, task.graph_seed + 1)
    env = IndependentSet(graphs)
    numbers = range(len(graphs))
    best = [float(optimum(graphs, g, seconds=task.seconds).value) for g in numbers]
    greedy = (degree_greedy(env, torch.arange(len(graphs))).label == 1).sum(-1).double()
    return env, torch.tensor(best, dtype=torch.float64), greedy
