"""Find strong binders with few dockings: learn the energies, dock the most promising, learn again.

Run:   python examples/active_docking.py [--methods active random proxy-only] [--seeds 0 1 2]
           [--receptor FILE.pdbqt --box X Y Z DX DY DZ] [--workers 2]
Takes: a minute on a stand-in for docking; with a receptor, some seconds of a core per docking.
Shows: best energy against number of dockings, of three ways to choose what is docked: the rounds
       (active), molecules of an untrained sampler (random), and a sampler of what the first
       batch taught, which is never told more (proxy-only). A second start goes on.
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gflow import Sampler
from gflow.envs.molecules import Docking, MoleculePolicy, Molecules, Oracle, SurrogateReward
from gflow.envs.molecules.drawn import panel
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.report import similarities
from gflow.metrics import greedy_modes
from gflow.objectives import LogPartitionVariance
from gflow.tasks.pictures import pyplot
from gflow.training import TrainConfig, Trainer
from gflow.training.atomic import write_text
from gflow.training.checkpoint import load_checkpoint, save_checkpoint

Row = dict[str, Any]
METHODS = ("active", "random", "proxy-only")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--first", type=int, default=24, help="random molecules docked at first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, default=12, help="dockings in each round")
    parser.add_argument("--steps", type=int, default=100, help="gradient steps in each round")
    parser.add_argument("--candidates", type=int, default=512, help="drawn from the sampler")
    parser.add_argument("--beta", type=float, default=6.0, help="inverse temperature, mol/kcal")
    parser.add_argument("--kappa", type=float, default=1.0, help="standard deviations added")
    parser.add_argument("--apart", type=float, default=0.6, help="largest similarity in a round")
    parser.add_argument("--max-fragments", type=int, default=4)
    parser.add_argument("--receptor", default="", help="PDBQT; a stand-in for docking if none")
    parser.add_argument("--box", nargs=6, type=float, help="centre and edges in Angstrom")
    parser.add_argument("--exhaustiveness", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that dock")
    parser.add_argument("--out", type=Path, default=Path("runs/active-docking"))
    args = parser.parse_args(words)
    if args.receptor and not args.box:
        parser.error("--receptor needs --box X Y Z DX DY DZ: centre and edges of the pocket")
    return args


def stand_in(smiles: list[str]) -> list[float]:
    """As if energies: large and stiff molecules with aromatic rings bind, in kcal/mol."""
    found, count = [], rdkit("rdkit.Chem.rdMolDescriptors")
    for molecule in map(rdkit().MolFromSmiles, smiles):
        rings = count.CalcNumAromaticRings(molecule)
        turning = count.CalcNumRotatableBonds(molecule)
        found.append(-0.15 * molecule.GetNumHeavyAtoms() - 1.5 * rings + 0.4 * turning)
    return found


def oracle_of(args: argparse.Namespace) -> Oracle:
    """What docks, and remembers in a file."""
    if not args.receptor:
        return Oracle(args.out / "dockings.jsonl", stand_in, {"receptor": "none: a stand-in"})
    box = args.box
    docking = Docking(args.receptor, box[:3], box[3:], exhaustiveness=args.exhaustiveness)
    about = {
        "receptor": hashlib.sha256(Path(args.receptor).read_bytes()).hexdigest(),
        "box": box,
        "exhaustiveness": args.exhaustiveness,
    }
    return Oracle(args.out / "dockings.jsonl", docking.energies, about, args.workers)


def scores_of(energies: Sequence[float]) -> list[float]:
    """What is to be made large: minus the energies; 0 where nothing fits or can be docked."""
    return [0.0 if math.isnan(energy) else max(-energy, 0.0) for energy in energies]


class Search:
    """One method with one seed: its sampler, and the molecules that it had docked, in order."""

    def __init__(self, args: argparse.Namespace, method: str, seed: int, oracle: Oracle) -> None:
        torch.manual_seed(seed)
        self.args, self.method, self.seed, self.oracle = args, method, seed, oracle
        kappa = args.kappa if method == "active" else 0.0
        self.reward = SurrogateReward(lambda states: self.env.smiles(states), kappa=kappa)
        self.env = Molecules(None, self.reward, args.beta, args.max_fragments)
        self.policy = MoleculePolicy(self.env, backward="uniform")
        config = TrainConfig(
            steps=args.steps * args.rounds, batch_size=32, lr=3e-3, epsilon=0.05, grad_clip=10.0
        )
        self.trainer = Trainer(self.env, self.policy, LogPartitionVariance(), config)
        self.docked: list[str] = []
        self.rows: list[Row] = []
        self.seconds = 0.0
        self.path = args.out / "states" / f"{method}-{seed}.pt"
        told = (
            "rounds",
            "methods",
            "seeds",
            "workers",
            "out",
            "receptor",
        )  # may be others in a second start
        self.settings = {key: value for key, value in vars(args).items() if key not in told}
        if self.path.exists():
            state = load_checkpoint(self.path, self.settings)
            self.docked, self.rows, self.seconds = state["docked"], state["rows"], state["seconds"]
            self.trainer.load_state_dict(state["trainer"])

    def round(self) -> None:
        """Learn, train, propose, dock; and write where the search stands."""
        begun, number = time.process_time(), len(self.rows)
        if number and self.method != "random":
            self.learn()
            self.trainer.train(self.args.steps)
        chosen = self.propose(self.args.per_round if number else self.args.first, number)
        self.seconds += time.process_time() - begun
        self.oracle(chosen)
        self.docked += chosen
        self.rows.append(self.row(number))
        state = {"docked": self.docked, "rows": self.rows, "seconds": self.seconds}
        save_checkpoint(self.path, {**state, "trainer": self.trainer.state_dict()}, self.settings)

    def learn(self) -> None:
        """Fit the surrogate: to all dockings, or once to the first."""
        if self.method == "active" or not self.reward.fitted:
            known = self.docked if self.method == "active" else self.docked[: self.args.first]
            self.reward.fit(known, scores_of(self.oracle(known)))

    def propose(self, count: int, number: int) -> list[str]:
        """Molecules that were not docked: the most promising that differ, or as they are drawn."""
        generator = torch.Generator().manual_seed(1000 * self.seed + number)
        drawn = Sampler(self.env).forward(self.policy, self.args.candidates, generator=generator)
        fresh = dict.fromkeys(self.env.smiles(drawn.final_states))
        smiles = [text for text in fresh if text not in set(self.docked)]
        if self.method == "random" or not number:
            return smiles[:count]
        promise = torch.tensor(self.reward.acquisition(smiles))
        apart = greedy_modes(promise, -math.inf, similarities(smiles), self.args.apart)
        order = [*apart, *(row for row in promise.argsort(descending=True).tolist())]
        return [smiles[row] for row in list(dict.fromkeys(order))[:count]]

    def row(self, number: int) -> Row:
        """What is reported of the search as it stands."""
        energies = sorted(e for e in self.oracle(self.docked) if not math.isnan(e))
        cpu = self.seconds + self.oracle.seconds(self.docked)
        return {
            "method": self.method,
            "seed": self.seed,
            "round": number,
            "dockings": len(self.docked),
            "best": energies[0],
            "best_ten": sum(energies[:10]) / len(energies[:10]),
            "cpu_minutes": round(cpu / 60, 2),
        }


def keep(rows: list[Row], out: Path) -> None:
    """The rows so far, in the place of those before."""
    write_text(out / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def report(rows: list[Row], oracle: Oracle, out: Path) -> None:
    """The table, the pictures, and the docked molecules as CSV and SDF."""
    last = {(row["method"], row["seed"]): row for row in rows}
    print("\nmethod      seeds  dockings   best (range)            best ten  CPU minutes")
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for (name, _), row in last.items() if name == method]
        means = {
            key: sum(row[key] for row in mine) / len(mine) for key in mine[0] if key != "method"
        }
        best = [row["best"] for row in mine]
        print(
            f"{method:<10} {len(mine):6d} {means['dockings']:9.0f}   {means['best']:.2f} "
            f"({min(best):.2f} to {max(best):.2f}) {means['best_ten']:10.2f} "
            f"{means['cpu_minutes']:12.2f}"
        )
    curves(rows, out / "dockings.png")
    known = sorted((a.value, s) for s, a in oracle.known.items() if not math.isnan(a.value))
    words = [f"{energy:.2f} kcal/mol" for energy, _ in known[:10]]
    smiles = [text for _, text in known[:10]]
    drawn = panel(smiles, words, list(range(len(smiles))), "")
    drawn.figure.savefig(out / "best.png", bbox_inches="tight")
    oracle.write_csv(out / "dockings.csv")
    with rdkit().SDWriter(str(out / "dockings.sdf")) as writer:
        for energy, text in known:
            molecule = rdkit().MolFromSmiles(text)
            rdkit("rdkit.Chem.rdDepictor").Compute2DCoords(molecule)
            molecule.SetProp("energy", f"{energy:.3f}")
            writer.write(molecule)


def curves(rows: list[Row], path: Path) -> None:
    """Best energy against number of dockings: mean, and the range over seeds."""
    figure, axis = pyplot().subplots(figsize=(5.5, 3.6), layout="constrained")
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        rounds = sorted({row["round"] for row in mine})
        best = [[row["best"] for row in mine if row["round"] == r] for r in rounds]
        places = [max(row["dockings"] for row in mine if row["round"] == r) for r in rounds]
        (line,) = axis.plot(places, [sum(b) / len(b) for b in best], marker="o", label=method)
        low, high = [min(b) for b in best], [max(b) for b in best]
        axis.fill_between(places, low, high, color=line.get_color(), alpha=0.15)
    axis.set_xlabel("dockings")
    axis.set_ylabel("best energy, kcal/mol (lower is better)")
    axis.legend()
    figure.savefig(path, dpi=150)


def main(words: Sequence[str] | None = None) -> list[Row]:
    """Search by each method with each seed, and report."""
    args = arguments(words)
    torch.set_num_threads(1)
    oracle = oracle_of(args)
    rows: list[Row] = []
    for seed in args.seeds:
        for method in args.methods:
            search = Search(args, method, seed, oracle)
            while len(search.rows) <= args.rounds:
                search.round()
                print(json.dumps(search.rows[-1]), flush=True)
                keep(rows + search.rows, args.out)
            rows += search.rows
    oracle.close()
    keep(rows, args.out)
    report(rows, oracle, args.out)
    return rows


if __name__ == "__main__":
    main()
