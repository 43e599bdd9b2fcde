"""EB-GFN: couplings of Ising lattices from 2000 samples, and densities of the plane as 32 bits.

Run:   python benchmarks/ebgfn.py
       python benchmarks/ebgfn.py --problems ising4 --methods fresh data chains --seconds 60
Takes: for each line as long as --seconds says, of one core, and a little more to measure. Lines are
       written to --out as they come; started again, only what is missing is done.
Shows: for lattices, tori of sides 4 and 9, -log of the root mean squared error over all entries of
       J, where log p(s) = s^T J s and J = sigma A, so that an edge contributes 2 sigma s s'; and
       -log p of further samples in nats under the sampler, by 20 trajectories each, beside what
       they have under the truth, exactly. For planes the same, and the squared maximum mean
       discrepancy with the kernel exp(-0.1 Hamming), without bias, beside that of as many exact
       samples.

The methods differ in where the negatives of the energy's step come from:

    fresh     the sampler as it is
    data      K moves back and forth from data, accepted by Metropolis, K rising to all over the
              first third of the steps
    chains    the same from where the chains were, with at most 16 moves; they never begin anew
    sparse    chains, and a price of couplings (sparsity 0.06, knee 0.02)
    random    the same with 4 moves, and a sampler of random order

and beside them, for lattices, pseudo-likelihood (Besag 1975), without and with that price, and for
planes bits that are independent. Published by Zhang et al. 2022 (arXiv 2202.01361): -log RMSE 5.7
for side 9 and sigma -0.1, 6.1 for side 10 and sigma 0.1; NLL 20.050 of 2spirals, 19.982 of
8gaussians, on codes that are like these and not the same.
"""

import argparse
import csv
import math
import time
from pathlib import Path
from typing import Any

import torch
from curves import table
from torch import Tensor

from gflow.energies import EnergyReward, IsingEnergy, site_log_prob
from gflow.envs.energies.densities import DENSITIES
from gflow.envs.energies.ising_data import ising_couplings
from gflow.envs.energies.metrics import hamming_mmd, neg_log_rmse, nll, true_nll
from gflow.envs.energies.task import EBGFNTask
from gflow.runs.build import build_context
from gflow.tasks.options import RunConfig
from gflow.training.config import TrainConfig

LATTICES: dict[str, dict[str, Any]] = {
    "ising4": {"rows": 4, "columns": 4, "coupling": 0.1},
    "ising9": {"rows": 9, "columns": 9, "coupling": -0.1},
}
PRICE = {"sparsity": 0.06, "knee": 0.02}
METHODS: dict[str, dict[str, Any]] = {
    "fresh": {"acceptance": "none"},
    "data": {},
    "chains": {"start": "chains", "moves": 16, "warmup": 0},
    "sparse": {"start": "chains", "moves": 16, "warmup": 0, **PRICE},
    "random": {"order": "random", "start": "chains", "moves": 4, "warmup": 0, **PRICE},
}
COLUMNS = (
    "problem", "method", "seed", "-log RMSE", "NLL", "true NLL", "MMD", "MMD of data", "acceptance",
    "steps", "seconds",
)  # fmt: skip
TESTED = 500
SAMPLES = 20
COMPARED = 2000


def task_of(problem: str, method: str, seed: int, pace: dict[str, Any]) -> EBGFNTask:
    """What is trained."""
    options: dict[str, Any] = {
        "samples": 2000,
        "tested": COMPARED,
        "data_seed": seed,
        "energy_batch": 256,
    }
    if problem in LATTICES:
        options |= {**LATTICES[problem], "energy_lr": 3e-3}
    else:
        options |= {"data": problem, "samples": 50_000, "energy_lr": 1e-3}
    return EBGFNTask(**{**options, **METHODS[method], **pace})


def fit(problem: str, method: str, seed: int, seconds: float, batch: int) -> dict[str, Any]:
    """One line: train for so long, and measure."""
    train = TrainConfig(batch_size=batch, lr=1e-3, log_z_lr=0.1, seed=seed)
    pace: dict[str, Any] = {}
    probe = trainer_of(task_of(problem, method, seed, pace), train)
    start = time.process_time()
    probe.train(5)
    steps = max(20, int(seconds / ((time.process_time() - start) / 5) / 1.5))
    # Steps cost more as K rises; what is planned is reached early or not at all.
    pace = {"energy_half_life": steps // 5}
    if method == "data":
        pace["warmup"] = steps // 3
    task = task_of(problem, method, seed, pace)
    trainer = trainer_of(task, train)
    start = time.process_time()
    while time.process_time() - start < seconds and trainer.step < 2 * steps:
        record = trainer.train(10)
    spent = time.process_time() - start
    env, policy, data = trainer.env, trainer.policy, task.test_data()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        samples = trainer.sampler.forward(policy, COMPARED, generator=generator).final_states
        value = nll(env, policy, data[:TESTED], SAMPLES, generator)
    found = {
        "NLL": value,
        "MMD": hamming_mmd(samples, data),
        "MMD of data": hamming_mmd(task.training_data()[:COMPARED], data),
        "acceptance": record.get("energy_acceptance", math.nan),
        "steps": trainer.step,
        "seconds": spent,
    }
    reward = env.reward
    assert isinstance(reward, EnergyReward)
    if isinstance(reward.network, IsingEnergy):
        found["-log RMSE"] = neg_log_rmse(reward.network.couplings, ising_couplings(task.lattice))
        found["true NLL"] = true_nll(task.lattice, data[:TESTED])
    elif problem == "8gaussians":
        found["true NLL"] = gaussians_nll(data[:TESTED])
    return found


def trainer_of(task: EBGFNTask, train: TrainConfig) -> Any:
    """The trainer, with fresh networks."""
    torch.manual_seed(train.seed)
    return build_context(RunConfig.of(task, train)).trainer


def pseudo_likelihood(problem: str, method: str, seed: int) -> dict[str, Any]:
    """Each spin by a logistic regression on the others, with one symmetric J."""
    task = task_of(problem, "data", seed, {})
    price: dict[str, Any] = PRICE if method.endswith("sparse") else {}
    network = IsingEnergy(task.rows * task.columns, **price)
    spins = network.features(task.training_data())
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    start, steps = time.process_time(), 600
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * 0.5 ** (step / 100)
        optimizer.zero_grad()
        around = 4 * spins @ network.couplings
        # Its gradient by J_ij is about twice that of the likelihood, and so is the price.
        loss = torch.nn.functional.softplus(-spins * around).sum(1).mean() + 2 * network.penalty()
        loss.backward()
        optimizer.step()
    truth = ising_couplings(task.lattice)
    return {
        "-log RMSE": neg_log_rmse(network.couplings, truth),
        "true NLL": true_nll(task.lattice, task.test_data()[:TESTED]),
        "steps": steps,
        "seconds": time.process_time() - start,
    }


def independent(problem: str, seed: int) -> dict[str, Any]:
    """Bits by themselves: what any energy must beat."""
    task = task_of(problem, "data", seed, {})
    log_p = site_log_prob(task.training_data(), 2)
    data = task.test_data()[:TESTED]
    value = -log_p[torch.arange(data.shape[1]), data - 1].sum(1).mean()
    return {"NLL": float(value)}


def gaussians_nll(values: Tensor) -> float:
    """Mean of -log p of codes of 8gaussians under the truth, in nats."""
    code = DENSITIES["8gaussians"].code()
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    centres = torch.stack([angle.cos(), angle.sin()], 1) * math.sqrt(8)
    square = (code.decode(values).double()[:, None] - centres).square().sum(2)
    log_p = (-square / (2 * 0.125)).logsumexp(1) - math.log(8 * 2 * math.pi * 0.125)
    return -float(log_p.mean()) - 2 * math.log(2 * code.reach / 2**code.bits)


def lines(args: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Problem, method and seed of every line."""
    found = []
    for problem in args.problems:
        lattice = problem in LATTICES
        beside = ("pseudo", "pseudo sparse") if lattice else ("independent",)
        methods = [m for m in args.methods if lattice or "sparsity" not in METHODS[m]]
        found += [(problem, m, s) for m in (*beside, *methods) for s in range(args.seeds)]
    return found


def line(problem: str, method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One line of the table."""
    if method.startswith("pseudo"):
        return pseudo_likelihood(problem, method, seed)
    if method == "independent":
        return independent(problem, seed)
    return fit(problem, method, seed, args.seconds, args.batch)


def main() -> None:
    """Do what is missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*LATTICES, *DENSITIES]
    parser.add_argument(
        "--problems", nargs="+", choices=known, default=[*LATTICES, "2spirals", "8gaussians"]
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["data", "sparse"])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--batch", type=int, default=32, help="trajectories of a step")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/ebgfn.csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    done: dict[tuple[str, str, str], dict[str, Any]] = {}
    if args.out.exists():
        with args.out.open(newline="") as file:
            for row in csv.DictReader(file):
                done[row["problem"], row["method"], row["seed"]] = row
    for problem, method, seed in lines(args):
        key = (problem, method, str(seed))
        if key in done:
            continue
        found = line(problem, method, seed, args)
        row = {"problem": problem, "method": method, "seed": seed, **found}
        done[key] = {name: shown(row.get(name, "")) for name in COLUMNS}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        fresh = not args.out.exists()
        with args.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(done[key])
        print("  ".join(f"{k} {v}" for k, v in done[key].items() if v != ""), flush=True)
    rows = [done[p, m, str(s)] for p, m, s in lines(args)]
    table([list(COLUMNS), *[[str(row[name]) for name in COLUMNS] for row in rows]])


def shown(value: Any) -> str:
    """A number as it stands in the table."""
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.4g}"


if __name__ == "__main__":
    main()
