"""`gflow train phylogeny`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, NotNegative
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.phylogeny.alignments import Alignment
from gflow.envs.phylogeny.env import Forest, Parsimony, Phylogeny
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

GUESSES = 100
"""Random trees from which the scale of rewards is guessed."""

WRITTEN = 1000
"""Trees sampled at the end of a run, of which the best distinct ones are written."""


@dataclass(frozen=True)
class PhylogenyTask(Task[Phylogeny]):
    """Phylogenetic trees of aligned sequences, by parsimony.

    Attributes:
        alignment: File of aligned nucleotides in FASTA, PHYLIP, NEXUS or JSON
            (docs/topics/files.md); if empty, sequences are made up that evolved along a random
            tree.
        ambiguous: Take an alignment of which most letters are ambiguity codes.
        taxa: Sequences to make up.
        sites: Length of made-up sequences.
        mutation: Probability that a made-up site is drawn anew along a branch.
        alignment_seed: Of made-up sequences.
        scale: Mutations per unit of log-reward; small values prefer the best trees.
        baseline: Mutations of a tree of reward 1; if not given, of the best of 100 random trees.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "phylogeny"
    summary: ClassVar[str] = "phylogenetic trees of an alignment, by parsimony"
    train: ClassVar[TrainConfig] = TrainConfig(steps=2000, batch_size=64, lr_half_life=1000)
    run: ClassVar[RunOptions] = RunOptions(threads=1)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_mutations",
        "fewest_mutations",
        "unique",
        "log_z",
        "log_z_error",
        "elbo",
    )
    exact_limit: ClassVar[int] = 1_000_000  # of keys; six leaves have 5,000 states

    alignment: str = ""
    ambiguous: bool = False
    taxa: Count = 6
    sites: Count = 60
    mutation: NotNegative = 0.3
    alignment_seed: Natural = 0
    scale: NotNegative = 4.0
    baseline: float | None = None
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "maxent"

    def environment(self) -> Phylogeny:
        """Trees over the taxa of the alignment."""
        if self.alignment:
            found = Alignment.from_file(self.alignment, self.ambiguous)
        else:
            found = Alignment.simulate(self.taxa, self.sites, self.mutation, self.alignment_seed)
        baseline = self.baseline
        if baseline is None:
            reward = Parsimony(found)
            baseline = float(reward.mutations(random_trees(Phylogeny(reward), GUESSES)).min())
        return Phylogeny(Parsimony(found, baseline, self.scale))

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env, self.width, self.depth, own_backward(self.backward), log_flow=needs.log_flow
        )

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of trees, and the mean log-reward of random ones."""
        assert isinstance(env, Phylogeny)
        trees = sum(math.log(k) for k in range(3, 2 * env.leaves - 2, 2))
        return trees + float(env.log_reward(random_trees(env, GUESSES)).mean())

    def rewards(
        self, env: Phylogeny, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """R is exponential in the number of mutations, and these are reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Mutations of the sampled trees, and how many of these are distinct."""
        found = _mutations(context.env, objects)
        return {
            "mean_mutations": float(found.mean()),
            "fewest_mutations": float(found.min()),
            "unique": len(set(context.env.show(objects))) / len(found),
        }

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Write the best distinct trees, with their mutations in front, in Newick format."""
        lines = [f"[{mutations:g}] {tree}" for tree, mutations in self.trees(context)]
        (folder / "trees.nwk").write_text("\n".join(lines) + "\n")
        return {}

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """The two sampled trees of fewest mutations."""
        from gflow.envs.phylogeny.draw import tree_of, trees_picture

        env, states = shown.env, shown.objects
        lines, mutations = env.show(states), _mutations(env, states).tolist()
        rows = {line: number for number, line in reversed(list(enumerate(lines)))}
        order = sorted(rows.values(), key=lambda row: (mutations[row], lines[row]))[:2]
        trees = [
            (
                tree_of(states.into[row].tolist(), states.made[row].tolist(), list(env.names)),
                f"{mutations[row]:g} mutations",
            )
            for row in order
        ]
        caption = f"The most parsimonious trees of {shown.count} samples."
        return {"trees": trees_picture(trees, caption)}

    def report(self, context: Context) -> str:
        """The three best trees."""
        lines = [f"best trees of {WRITTEN} samples (trees.nwk)"]
        lines += [f"  {mutations:g} mutations  {tree}" for tree, mutations in self.trees(context)]
        return "\n".join(lines[:4])

    def trees(self, context: Context) -> list[tuple[str, float]]:
        """Up to a hundred distinct sampled trees and their mutations, fewest first."""
        trainer, env, policy = context.trainer, context.env, context.policy
        if policy is None:
            return []
        batch = context.sampler.forward(
            policy,
            WRITTEN,
            generator=torch.Generator(trainer.device).manual_seed(trainer.step),
            device=trainer.device,
        )
        states = batch.final_states
        pairs = zip(env.show(states), _mutations(env, states).tolist(), strict=True)
        return sorted(dict(pairs).items(), key=lambda pair: (pair[1], pair[0]))[:100]


def random_trees(env: Phylogeny, count: int) -> Forest:
    """Trees of which each join was drawn uniformly; always the same ones."""
    generator = torch.Generator().manual_seed(0)
    states = env.initial(count)
    for _ in range(env.horizon):
        legal = env.forward_mask(states).to(torch.float32)
        states = env.step(states, torch.multinomial(legal, 1, generator=generator).squeeze(1))
    return states


def _mutations(env: DiscreteEnvironment[Any], states: Forest) -> Tensor:
    assert isinstance(env.reward, Parsimony)
    return env.reward.mutations(states).double()
