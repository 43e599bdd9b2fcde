"""Check every environment on an instance small enough to enumerate, and train on it.

Run:   python benchmarks/environments.py           the contract of all environments
       python benchmarks/environments.py --train   and training, towards distributions known exactly
       python benchmarks/environments.py --train --only tfbind --steps 6000 --batch 256 --width 256
Takes: a few seconds on one core; with --train five minutes.
Shows: the instance, its numbers of states, transitions and objects, and what `check_env` found; for
       each of two objectives the total variation between the policy's distribution and the exact
       one before and after training, and how log-probability then correlates with log-reward over
       all objects. Where chance moves, no policy samples in proportion to the reward, and nothing
       is trained.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FunctionReward,
    MLPPolicy,
    Objective,
    Policy,
    enumerate_states,
)
from gflow.envs.architectures.data import synthetic_architectures
from gflow.envs.architectures.env import ArchitectureReward, Architectures
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags
from gflow.envs.dags.scores import BGe
from gflow.envs.games import Connect4, Nim, Pig, TicTacToe
from gflow.envs.grammar import Forest, NeuralGrammar, Parser
from gflow.envs.grammar.scores import log_joint
from gflow.envs.graphs.dominating_set import DominatingSet
from gflow.envs.graphs.independent_set import Clique, IndependentSet, MaxCut
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.small_graphs import LabelledGraphs, SmallGraphs
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.noise import StochasticGrid, TokenNoise, WithNoise
from gflow.envs.pairs.composition import Product, Stack
from gflow.envs.phylogeny.alignments import Alignment
from gflow.envs.phylogeny.env import Parsimony, Phylogeny
from gflow.envs.proofs import (
    FixedTactics,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    RecordedChecker,
)
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.envs.sequences.rewards import MotifReward
from gflow.envs.sequences.rna import DesignReward, rna_binding, rna_design
from gflow.envs.sequences.tfbind import load_e_scores, synthetic_e_scores, tf_binding
from gflow.envs.sets.bags import Bags, Substructures
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets, PairwiseEnergy
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward, PairwiseModel, lattice_edges
from gflow.errors import MissingExtraError
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import (
    DetailedBalance,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.testing import BrokenEnvironmentError, check_env
from gflow.training.trainer import TrainConfig, Trainer

LIMIT = 100_000
"""All states of an instance are checked up to this many."""


@dataclass(frozen=True)
class Entry:
    """An instance of an environment.

    Attributes:
        name: For `--only`.
        instance: What it is, in a few words.
        make: Builds it; may raise `MissingExtraError`.
        second: The objective to train with after trajectory balance.
        steps: Gradient steps of each objective.
    """

    name: str
    instance: str
    make: Callable[[], DiscreteEnvironment[Any]]
    second: type[Objective] = DetailedBalance
    steps: int = 500


def noise(*shape: int) -> Tensor:
    """The same standard normal numbers each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def counts_of(symbol: int) -> FunctionReward[Tensor]:
    """log R = how often a symbol occurs in a sequence."""
    return FunctionReward(lambda s: (s == symbol).sum(-1).to(torch.get_default_dtype()))


def triangles(graphs: LabelledGraphs) -> Tensor:
    """log R = number of triangles."""
    joined = (graphs.edge > 0).to(torch.get_default_dtype())
    return (joined @ joined @ joined).diagonal(dim1=1, dim2=2).sum(-1) / 6


def house() -> GraphBatch:
    """A square with a roof and a chimney."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (3, 4), (4, 5)]
    return GraphBatch.from_edges([6], [edges])


def proofs() -> DiscreteEnvironment[Any]:
    """Sequences of at most four tactics, by what Coq said of them once."""
    checker = RecordedChecker()
    tree = ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 4)
    return ProofEnv(tree, PosteriorReward(tree, error=5.0))


def molecules() -> DiscreteEnvironment[Any]:
    """Ports that are alike and ports that are not, so that symmetry corrections matter."""
    from gflow.envs.molecules import Molecules, Vocabulary

    pieces = ["*C", "*O*", "*c1ccc(*)cc1", "*c1cc(*)cc(*)c1"]
    return Molecules(Vocabulary.from_fragments(pieces), "qed", beta=4.0, max_fragments=5)


def atoms() -> DiscreteEnvironment[Any]:
    """Rings, multiple bonds and symmetric molecules."""
    from gflow.envs.atoms.env import Atoms

    return Atoms("qed", beta=4.0, max_atoms=4, kinds=("C", "O"))


def reactions() -> DiscreteEnvironment[Any]:
    """Products of one reaction and of two, some of both, by up to six routes."""
    from gflow.envs.reactions import Reactions, read_templates

    names = ("amide", "Schotten", "Suzuki", "Chan-Lam", "Boc")
    templates = [t for t in read_templates() if t.name.startswith(names)]
    acids, amines = ["O=C(O)c1ccccc1", "O=C(Cl)c1ccccc1"], ["C1CNCCN1", "Nc1ccc(Br)cc1"]
    blocks = [*acids, *amines, "CC(C)(C)OC(=O)N1CCNCC1", "OB(O)c1ccccc1"]
    return Reactions("qed", 4.0, templates, blocks, max_steps=2)


def synthetic_tf_binding() -> DiscreteEnvironment[Any]:
    """A made-up landscape, through a file in the format of the public tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.txt"
        synthetic_e_scores(path)
        return tf_binding(load_e_scores(path), "left_to_right")


def architectures() -> DiscreteEnvironment[Any]:
    """Cells by a made-up accuracy."""
    return Architectures(ArchitectureReward(synthetic_architectures(), "short", beta=8.0))


def pairwise_sets() -> DiscreteEnvironment[Any]:
    """Items that attract or repel."""
    matrix = noise(8, 8)
    return FixedSizeSets(8, 4, PairwiseEnergy(noise(8), (matrix + matrix.T) / 2))


def potts() -> DiscreteEnvironment[Any]:
    """A lattice of three colours with random couplings."""
    edges = lattice_edges(2, 2, periodic=False)
    return EnergyModel(PairwiseModel(noise(4, 3), edges, noise(len(edges), 3, 3) / 2))


def parser() -> DiscreteEnvironment[Any]:
    """The trees of one sentence under a random grammar."""
    grammar = NeuralGrammar(2, 2, 3, width=4, generator=torch.Generator().manual_seed(0))
    rules = grammar.rules().detached()
    reward: FunctionReward[Forest] = FunctionReward(
        lambda forest: log_joint(rules, forest), partial=True
    )
    return Parser(torch.tensor([[0, 2, 1, 0]]), reward, nonterminals=2)


def bayesian_dags() -> DiscreteEnvironment[Any]:
    """The posterior over causal structures given 20 rows of data."""
    source = torch.Generator().manual_seed(0)
    network = erdos_renyi_network(4, 4.0, generator=source)
    return Dags(4, BGe(network.sample(20, source)))


def bits() -> DiscreteEnvironment[Any]:
    """Two bits a word, four modes."""
    modes = plant_modes(8, count=4)
    return bit_sequences(NearModes(modes, word=2, beta=1.0, form="distance"))


ENTRIES = [
    Entry("hypergrid", "8x8, ends anywhere", HyperGrid, ModifiedDetailedBalance, 1000),
    Entry("hypergrid-forced", "8x8, ends at the edge", lambda: HyperGrid(ending="forced")),
    Entry("landscapes", "8x8, branin and currin", lambda: landscape_grid(side=8)),
    Entry("molecules", "4 fragments, up to 5, QED^4", molecules),
    Entry("atoms", "C and O, up to 4, QED^4", atoms, SubTrajectoryBalance, 1000),
    Entry("reactions", "6 blocks, 5 templates, 2 steps, QED^4", reactions, SubTrajectoryBalance),
    Entry(
        "autoregressive",
        "4 symbols, length 5",
        lambda: Autoregressive("ABCD", 5, counts_of(0)),
        SubTrajectoryBalance,
    ),
    Entry(
        "variable-length",
        "3 symbols, up to 5",
        lambda: VariableLength("ABC", 5, MotifReward("ABC", ["AB", "CC"], beta=1.0, floor=0.1)),
        ModifiedDetailedBalance,
        1000,
    ),
    Entry("prepend-append", "3 symbols, length 5", lambda: PrependAppend("ABC", 5, counts_of(0))),
    Entry(
        "any-order",
        "3 symbols, length 4",
        lambda: AnyOrder("ABC", 4, counts_of(0)),
        SubTrajectoryBalance,
    ),
    Entry("bits", "8 bits, words of 2, 4 modes", bits),
    Entry("tfbind", "all 8-mers, made-up scores", synthetic_tf_binding, SubTrajectoryBalance, 1500),
    Entry(
        "rna-binding",
        "length 5",
        lambda: rna_binding(5, beta=1.0, floor=0.01),
        SubTrajectoryBalance,
        1500,
    ),
    Entry(
        "rna-design",
        "target (((...)))",
        lambda: rna_design(DesignReward("(((...)))", beta=2.0)),
        SubTrajectoryBalance,
        1000,
    ),
    Entry("architectures", "all cells, made-up scores", architectures, SubTrajectoryBalance, 1500),
    Entry("sets", "4 of 8 items", lambda: FixedSizeSets(8, 4, AdditiveEnergy(noise(8)))),
    Entry("sets-pairwise", "4 of 8 items", pairwise_sets, SubTrajectoryBalance),
    Entry(
        "bags",
        "6 of 3 letters",
        lambda: Bags(3, 6, Substructures(3, 6, 4, 0.3, base=1.0)),
    ),
    Entry(
        "ising",
        "2x3 spins",
        lambda: EnergyModel(IsingReward(2, 3, 0.3, 0.2)),
        SubTrajectoryBalance,
        1000,
    ),
    Entry("energy", "2x2 sites, 3 values", potts),
    Entry("parser", "4 words, 2 labels", parser),
    Entry(
        "product",
        "3x3 grid, 2 of 4 items",
        lambda: Product(HyperGrid(2, 3), FixedSizeSets(4, 2, AdditiveEnergy(noise(4)))),
        SubTrajectoryBalance,
    ),
    Entry(
        "stack",
        "3x3 grid, then 3 spins",
        lambda: Stack(HyperGrid(2, 3), EnergyModel(IsingReward(1, 3, 0.3, 0.2))),
    ),
    Entry(
        "with-noise",
        "4 letters, length 4, alpha 0.3",
        lambda: WithNoise(Autoregressive("ACGT", 4, counts_of(1)), TokenNoise(0.3)),
    ),
    Entry("stochastic-grid", "5x5, stick 0.25", lambda: StochasticGrid(2, 5)),
    Entry("tictactoe", "3x3", TicTacToe),
    Entry("connect4", "4x3, 3 in a row", lambda: Connect4(4, 3, 3)),
    Entry("nim", "heaps of 1, 3 and 5", Nim),
    Entry("pig", "6 points, 4 sides, 3 turns", Pig),
    Entry(
        "phylogeny",
        "5 leaves, 12 columns",
        lambda: Phylogeny(Parsimony(Alignment.simulate(5, 12, 0.3), 12, 2)),
        SubTrajectoryBalance,
    ),
    Entry("dags", "4 variables, BGe of 20 rows", bayesian_dags, ModifiedDetailedBalance, 1000),
    Entry("proofs", "a theorem and 5 tactics, recorded", proofs),
    Entry("independent-set", "graph of 6 nodes", lambda: IndependentSet(house())),
    Entry("clique", "graph of 6 nodes", lambda: Clique(house()), SubTrajectoryBalance),
    Entry("max-cut", "graph of 6 nodes", lambda: MaxCut(house())),
    Entry("dominating-set", "graph of 6 nodes", lambda: DominatingSet(house())),
    Entry(
        "small-graphs",
        "up to 4 nodes, triangles",
        lambda: SmallGraphs(4, FunctionReward(triangles), min_nodes=0),
        ModifiedDetailedBalance,
    ),
]


@dataclass(frozen=True)
class Row:
    """What was found for an entry.

    Attributes:
        states: Number of states.
        transitions: Number of transitions, stops excluded.
        objects: Number of objects.
        check: What `check_env` says.
        passed: Whether it found nothing, having looked at everything.
    """

    states: int
    transitions: int
    objects: int
    check: str
    passed: bool


def check(env: DiscreteEnvironment[Any]) -> Row:
    """Enumerate an instance and test the contract on all of its states and transitions."""
    graph = enumerate_states(env, LIMIT)
    states, transitions = len(graph), len(graph.parent)
    passed = False
    try:
        found = check_env(env, limit=LIMIT)
        passed = found.exhaustive and found.num_states == states
        verdict = "all passed" if passed else f"saw {found.num_states} states"
    except BrokenEnvironmentError as error:
        verdict = f"broken: {', '.join(sorted({finding.rule for finding in error.findings}))}"
    return Row(states, transitions, len(graph.objects), verdict, passed)


@dataclass(frozen=True)
class Effort:
    """How to train; each instance has its own number of steps unless one is given for all."""

    steps: int | None = None
    batch: int = 64
    width: int = 64
    learning_rate: float = 5e-3
    epsilon: float = 0.1


def policy_for(env: DiscreteEnvironment[Any], log_flow: bool, width: int = 64) -> Policy:
    """A perceptron, or for molecules of fragments, which are no list of categories, their own."""
    if env.feature_sizes:
        return MLPPolicy(env, width=width, log_flow=log_flow, backward="uniform")
    from gflow.envs.molecules import MoleculePolicy, Molecules

    assert isinstance(env, Molecules)
    return MoleculePolicy(env, width=32, depth=2, log_flow=log_flow, backward="uniform")


def train(
    graph: StateGraph[Any], objective: Objective, steps: int, effort: Effort
) -> tuple[float, float, float]:
    """Total variation to the target before and after training, and the final correlation."""
    torch.manual_seed(0)
    env = graph.env
    policy = policy_for(env, objective.needs.log_flow, effort.width)
    config = TrainConfig(
        steps,
        batch_size=effort.batch,
        lr=effort.learning_rate,
        lr_half_life=steps // 4,
        epsilon=effort.epsilon,
    )
    trainer = Trainer(env, policy, objective, config)
    target = graph.log_target()
    before = float(total_variation(graph.terminal_distribution(policy), target))
    trainer.train()
    learned = graph.terminal_distribution(policy)
    correlation = float(torch.stack([learned, target]).corrcoef()[0, 1])
    return before, float(total_variation(learned, target)), correlation


def trained(env: DiscreteEnvironment[Any], entry: Entry, effort: Effort) -> list[str]:
    """One cell for each of two objectives: its name and the numbers of `train`."""
    graph = enumerate_states(env, LIMIT)
    cells = []
    for objective in (TrajectoryBalance(), entry.second()):
        before, after, correlation = train(graph, objective, effort.steps or entry.steps, effort)
        name = SHORT[type(objective)]
        cells.append(f"{name:6}{before:.3f} -> {after:.3f}, r {correlation:.3f}")
    return cells


SHORT: dict[type[Objective], str] = {
    TrajectoryBalance: "TB",
    DetailedBalance: "DB",
    SubTrajectoryBalance: "SubTB",
    ModifiedDetailedBalance: "MDB",
}


def main() -> None:
    """Parse the command line, check, train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--train", action="store_true", help="train on every instance, too")
    parser.add_argument(
        "--steps", type=int, help="of each training, in place of the instance's own"
    )
    parser.add_argument("--batch", type=int, default=Effort.batch)
    parser.add_argument("--width", type=int, default=Effort.width, help="of the perceptron")
    parser.add_argument("--lr", type=float, default=Effort.learning_rate)
    parser.add_argument("--epsilon", type=float, default=Effort.epsilon)
    args = parser.parse_args()
    effort = Effort(args.steps, args.batch, args.width, args.lr, args.epsilon)
    torch.set_num_threads(1)
    print(
        f"{'environment':17}{'class':16}{'instance':29}{'states':>7}{'transitions':>12}"
        f"{'objects':>8}  {'check_env':12}" + "  total variation, correlation (steps)" * args.train
    )
    start, failed = time.perf_counter(), False
    for entry in ENTRIES:
        if entry.name not in args.only:
            continue
        try:
            env = entry.make()
        except MissingExtraError as missing:
            print(f"{entry.name:17}skipped: {missing}")
            continue
        row = check(env)
        failed |= not row.passed
        cells = (
            [*trained(env, entry, effort), f"({args.steps or entry.steps})"]
            if args.train and not env.has_movers
            else []
        )
        line = (
            f"{entry.name:17}{type(env).__name__:16}{entry.instance:29}{row.states:7,}"
            f"{row.transitions:12,}{row.objects:8,}  {row.check:12}"
        )
        print("  ".join([line, *cells]), flush=True)
    print(f"{time.perf_counter() - start:.0f} seconds")
    if failed:
        sys.exit("an environment breaks its contract or was not checked in whole")


if __name__ == "__main__":
    main()
