"""`gflow train dags`."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.dags.data import erdos_renyi_network, normalize, read_edges, read_table
from gflow.envs.dags.env import DENSE_KEYS, Dags, dag_states
from gflow.envs.dags.guide import CompletionGuide, DeltaGuide
from gflow.envs.dags.local_scores import DeterminantScore
from gflow.envs.dags.metrics import (
    Marginals,
    edge_auroc,
    edge_average_precision,
    expected_edges,
    expected_shd,
)
from gflow.envs.dags.policy import DagPolicy, Guide
from gflow.envs.dags.scores import BIC, BGe, LinearGaussian, erdos_renyi_prior, fair_prior
from gflow.errors import ConfigError
from gflow.policies.base import Policy
from gflow.rewards.base import LogReward
from gflow.rewards.wrappers import Tempered, Wrapper
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class DagsTask(Task[Dags]):
    """Causal graphs in proportion to their posterior probability, given data.

    Attributes:
        data: Table of observations (CSV, TSV; docs/topics/files.md), one column a variable;
            simulated if empty.
        true_edges: Table with columns cause and effect, or a matrix of 0 and 1, to compare with;
            needs `data`.
        log: Take logarithms of the data of the file.
        variables: Variables of the simulated network.
        edges: Its expected number of edges, and that of the Erdős-Rényi prior.
        rows: Rows of simulated data.
        noise_std: Standard deviation of the simulated noise.
        data_seed: Of the simulation.
        score: Marginal likelihood (bge, linear_gaussian) or criterion (bic).
        prior: Prior over graphs.
        max_parents: Largest number of parents of a variable; 0 for no limit.
        beta: Inverse temperature of the posterior.
        guide: What the policy knows from the start: that every graph can be completed and what
            each edge changes (completion), the latter alone (delta), or nothing.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "dags"
    summary: ClassVar[str] = "causal graphs from data; BGe and BIC; exact posterior to 5 variables"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1500, batch_size=128, lr=3e-3, lr_half_life=500, epsilon=0.1, epsilon_steps=1000
    )
    run: ClassVar[RunOptions] = RunOptions(eval_every=500, eval_samples=2000, threads=1)
    objective: ClassVar[str] = "mdb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_log_score",
        "top_log_score",
        "expected_shd",
        "auroc",
        "edge_correlation",
        "log_z_error",
    )
    exact_limit: ClassVar[int] = 2 ** (DENSE_KEYS * (DENSE_KEYS - 1))

    data: str = ""
    true_edges: str = ""
    log: bool = False
    variables: Count = 5
    edges: NotNegative = 5.0
    rows: Count = 100
    noise_std: Positive = 0.1**0.5
    data_seed: Natural = 0
    score: Literal["bge", "bic", "linear_gaussian"] = "bge"
    prior: Literal["uniform", "erdos_renyi", "fair"] = "uniform"
    max_parents: Natural = 0
    beta: Positive = 1.0
    guide: Literal["completion", "delta", "none"] = "completion"
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "uniform"

    @classmethod
    def cheap(cls) -> DiscreteEnvironment[Any]:
        """Three variables."""
        return cls(variables=3, edges=2.0).environment()

    def observations(self) -> tuple[Tensor, Tensor | None]:
        """(rows, d) data and (d, d) bool true graph, or None if nobody knows it."""
        return _observations(self)

    def modular_score(self) -> DeterminantScore:
        """The score before the temperature."""
        data, _ = self.observations()
        d = data.shape[1]
        log_prior = None
        if self.prior == "erdos_renyi":
            log_prior = erdos_renyi_prior(d, self.edges)
        elif self.prior == "fair":
            log_prior = fair_prior(d)
        match self.score:
            case "bge":
                return BGe(data, log_prior)
            case "bic":
                return BIC(data, log_prior)
            case "linear_gaussian":
                return LinearGaussian(data, log_prior, noise_variance=self.noise_std**2)
        raise ConfigError(f"There is no score {self.score!r}; known: bge, bic, linear_gaussian.")

    def environment(self) -> Dags:
        """The graphs."""
        score = self.modular_score()
        reward: LogReward[Any] = score if self.beta == 1 else Tempered(score, self.beta)
        return Dags(score.variables, reward, self.max_parents or None)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron over the adjacency, guided by the score."""
        assert isinstance(env, Dags)
        guide: Guide | None = None
        if self.guide != "none":
            kind = CompletionGuide if self.guide == "completion" else DeltaGuide
            guide = kind(_score_of(env), self.beta)
        return DagPolicy(
            env, self.width, self.depth, own_backward(self.backward), needs.log_flow, guide
        )

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """The log-reward of a complete graph: the right order of magnitude."""
        assert isinstance(env, Dags)
        complete = torch.ones(1, env.variables, env.variables).triu(1).bool()
        return float(env.reward(dag_states(complete)))

    def rewards(self, env: Dags, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """Scores are probabilities of data sets: their logarithms are reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Marginals against the exact ones, and graphs against the true one."""
        graphs = objects.adjacency.cpu()
        got = Marginals.of(graphs)
        score = _score_of(context.env)(objects)
        numbers = {
            "expected_edges": expected_edges(graphs),
            "mean_log_score": float(score.double().mean()),  # relative to no edges
            "top_log_score": float(score.max()),
        }
        exact = self._exact_marginals(context)
        if exact is not None:
            numbers |= {f"{k}_correlation": v for k, v in got.correlations(exact).items()}
        truth = self.observations()[1]
        if truth is not None:
            numbers["expected_shd"] = expected_shd(graphs, truth)
            if 0 < int(truth.sum()) < len(truth) * (len(truth) - 1):
                numbers["auroc"] = edge_auroc(got.edge, truth)
                numbers["average_precision"] = edge_average_precision(got.edge, truth)
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Edge marginals, learned and exact (or true), as tables and as a picture."""
        from gflow.tasks.pictures import heatmaps

        trainer, policy = context.trainer, context.policy
        if policy is None:
            return {}
        generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
        batch = context.sampler.forward(policy, 2000, generator=generator, device=trainer.device)
        grids = {"learned": Marginals.of(batch.final_states.adjacency.cpu()).edge}
        exact = self._exact_marginals(context)
        if exact is not None:
            grids["exact"] = exact.edge
        truth = self.observations()[1]
        if truth is not None:
            grids["true graph"] = truth.double()
        names = self._names(len(grids["learned"]))
        for name, grid in grids.items():
            file = folder / f"edges_{name.replace(' ', '_')}.csv"
            with file.open("w", newline="", encoding="utf-8") as stream:
                table = csv.writer(stream, lineterminator="\n")
                table.writerow(names)
                table.writerows([f"{value:.6f}" for value in row] for row in grid.tolist())
        path = folder / "edges.png"
        heatmaps(grids, path, ("cause", "effect"), names)
        return {"edges": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "edges": "Probability of each edge: learned, and exact or true where known.",
        }

    def report(self, context: Context) -> str:
        """The likeliest edges."""
        names = self._names(context.env.variables)
        best = context.best
        if best is None or not len(best):
            return ""
        graph = best.states.adjacency[int(best.log_reward.argmax())]
        edges = [f"{names[i]} -> {names[j]}" for i, j in graph.nonzero().tolist()]
        return (
            f"Best graph found (log-score {float(best.log_reward.max()):.2f} above no edges): "
            + (", ".join(edges) or "no edges")
        )

    def _names(self, variables: int) -> list[str]:
        return read_table(self.data)[0] if self.data else [f"x{i}" for i in range(variables)]

    @staticmethod
    def _exact_marginals(context: Context) -> Marginals | None:
        graph = context.graph
        if graph is None:
            return None
        return Marginals.of(graph.states.adjacency[graph.objects], graph.log_target())


@lru_cache(maxsize=4)
def _observations(task: DagsTask) -> tuple[Tensor, Tensor | None]:
    if task.data:
        names, table = read_table(task.data)
        truth = read_edges(task.true_edges, names) if task.true_edges else None
        return normalize(table, task.log, names), truth
    if task.true_edges:
        raise ConfigError("true_edges names the edges of a data file: pass --data as well.")
    if task.rows < 1:
        raise ConfigError(f"rows must be at least 1, got {task.rows}.")
    generator = torch.Generator().manual_seed(task.data_seed)
    network = erdos_renyi_network(task.variables, task.edges, task.noise_std, generator=generator)
    return network.sample(task.rows, generator), network.adjacency


def _score_of(env: DiscreteEnvironment[Any]) -> DeterminantScore:
    reward = env.reward
    while isinstance(reward, Wrapper):  # temperatures
        reward = reward.reward
    assert isinstance(reward, DeterminantScore)
    return reward
