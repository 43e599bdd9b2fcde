"""Ising lattices by six samplers at equal time of a core: likelihood, and distance to the truth.

Run:   python benchmarks/marginals_ising.py
       python benchmarks/marginals_ising.py --side 30 --methods mam-matching --chains 48 --test 64
Takes: --seconds of one core for each method and seed, and half of that again to measure.
Shows: at sigma .1 and b .2 on a torus, the negative log-likelihood of spins that were drawn from
       the lattice itself, in bits per spin (`nll`; by one pass of the marginals where there are
       some, which need not be normalised, and `in order`: by conditionals along one order), KL from
       the sampler to the lattice in nats, along the orders that it draws in (less log Z where that
       is not known), what marginals say of log Z, and time of the log-likelihood of 16 lattices.
       `entropy` is what no model is below. Liu et al. print, for 10 x 10: .79 and .06 nats for the
       fixed order, .78 and .52 for a GFlowNet of learned order, .80 and .92 for MaM; .835 bits for
       MaM on 30 x 30, where the others did not scale.

mam is the paper's loss for energies (divergence and self-consistency), mam-matching its off-policy
form on the same chains (marginal_matching), any-order trajectory balance of the same network on
its own samples, arm the conditionals of the same network row by row, arm-mlp a perceptron that
writes so, both trained by vargrad on their own samples (whose gradient is that of REINFORCE for KL
with the mean of the others as baseline), learned-order a perceptron by trajectory balance with a
backward policy that is learned; its likelihood is a weighted bound of ten trajectories.

The network is a convolution around the torus without blocks: it is told which spins are neighbours,
and nothing of the energy. --network residual is told nothing.
"""

import argparse
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from curves import spread, table
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler, evaluate
from gflow.environment.base import Environment
from gflow.envs.energies.ising_data import ising_samples
from gflow.envs.sequences.env import Autoregressive
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import WIDEST_STRIP, IsingReward
from gflow.marginals import (
    ConvolutionSites,
    MarginalChains,
    MarginalPolicy,
    ResidualSites,
    SiteNetwork,
)
from gflow.marginals.orders import random_orders
from gflow.metrics import log_likelihood
from gflow.objective import Objective
from gflow.objectives import (
    LogPartitionVariance,
    MarginalDivergence,
    MarginalMatching,
    TrajectoryBalance,
)
from gflow.policies.base import Policy, PolicyOutput
from gflow.terms import Needs
from gflow.training import TrainConfig, Trainer

METHODS = ("mam", "mam-matching", "any-order", "arm", "arm-mlp", "learned-order")
COLUMNS = ("nll", "in order", "kl", "log z", "ms of 16", "steps")
RATES = {"arm-mlp": 2e-3, "learned-order": 2e-3}
"""Learning rates of perceptrons; of the others, 5e-3."""
CHUNK = 16
"""Trajectories of which all states are seen at once."""


class InOrder(Policy):
    """The conditionals of a network, place after place."""

    backward = "uniform"

    def __init__(self, network: SiteNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Logits of the next place."""
        known = (states < self.network.symbols).sum(1).clamp(max=self.network.places - 1)
        return PolicyOutput(self.network.logits(states)[torch.arange(len(states)), known])


def network_of(energy: IsingReward, args: argparse.Namespace) -> SiteNetwork:
    """Marginals and conditionals of the spins."""
    if args.network == "residual":
        return ResidualSites(energy.sites, 2, args.width, args.depth)
    return ConvolutionSites(energy.height, energy.width, 2, args.channels, 0, periodic=True)


def trainer_of(method: str, energy: IsingReward, args: argparse.Namespace, seed: int) -> Trainer:
    """Everything of a method, untrained."""
    torch.manual_seed(seed)
    env: Any = EnergyModel(energy)
    lr = args.lr or RATES.get(method, 5e-3)
    whole = TrainConfig(1, args.batch, lr=lr, log_z_lr=0.1, seed=seed, grad_clip=10.0)
    guess = energy.sites * math.log(2)
    if method in ("arm", "arm-mlp"):
        env = Autoregressive("-+", energy.sites, FunctionReward(lambda s: energy(s + 1)))
        mlp = MLPPolicy(env, args.width, args.depth) if method == "arm-mlp" else None
        return Trainer(env, mlp or InOrder(network_of(energy, args)), LogPartitionVariance(), whole)
    if method == "learned-order":
        return Trainer(env, MLPPolicy(env, args.width, args.depth), TrajectoryBalance(guess), whole)
    marginals = MarginalPolicy(env, network_of(energy, args))
    if method == "any-order":
        return Trainer(env, marginals, TrajectoryBalance(guess), whole)
    single = TrainConfig(1, args.chains, lr=lr, seed=seed, grad_clip=10.0)
    objective: Objective = (MarginalDivergence if method == "mam" else MarginalMatching)(env)
    chains = MarginalChains(erase=args.erase)
    return Trainer(env, marginals, objective, single, behaviour=chains)


def train(trainer: Trainer, seconds: float) -> None:
    """Steps for so much time of a core, the learning rate falling along half a cosine."""
    began, first = time.process_time(), [g["lr"] for g in trainer.optimizer.param_groups]
    while (used := time.process_time() - began) < seconds:
        factor = (1 + math.cos(math.pi * used / seconds)) / 2
        trainer.schedule.base_lrs = [lr * factor for lr in first]
        trainer.train(5)


@torch.no_grad()
def gaps(trainer: Trainer, count: int) -> Tensor:
    """(count,) log p of what is sampled, along the way it was drawn, less its log R."""
    policy, env, generator = trainer.policy, trainer.env, torch.Generator().manual_seed(1)
    if isinstance(policy, MarginalPolicy):
        order = random_orders(count, policy.sites.places, generator)
        drawn = policy.sample(env.initial(count), order, generator)
        said = policy.along(policy.sites.read(drawn), order)
        return said.double() - env.log_reward(drawn).double()
    found = []
    for _ in range(count // CHUNK):
        batch = Sampler(env).forward(policy, CHUNK, generator=generator)
        terms = evaluate(env, policy, batch, Needs())
        forward, backward = terms.log_pf.double().sum(1), terms.log_pb.double().sum(1)
        found.append(forward - backward - batch.log_reward.double())
    return torch.cat(found)


@torch.no_grad()
def measure(trainer: Trainer, energy: IsingReward, test: Tensor, count: int) -> dict[str, float]:
    """Numbers of a trained method."""
    policy, env, generator = trainer.policy, trainer.env, torch.Generator().manual_seed(1)
    scale = energy.sites * math.log(2)
    by_order: Callable[[Tensor], Tensor]
    one_pass: Callable[[Tensor], Tensor]
    log_z = math.nan
    if isinstance(policy, MarginalPolicy):
        marginals = policy

        def by_order(states: Tensor) -> Tensor:
            return marginals.log_likelihood(states, 1, generator)

        one_pass = by_order
        if not isinstance(trainer.objective, TrajectoryBalance):
            one_pass = marginals.marginal
            log_z = float(marginals.log_scale())
            if isinstance(trainer.objective, MarginalDivergence):  # where it is held says nothing
                log_z = float((energy(test).double() - marginals.marginal(test).double()).mean())
    else:
        shift = 0 if isinstance(env, EnergyModel) else 1
        each = 10 if isinstance(env, EnergyModel) else 1

        def by_order(states: Tensor) -> Tensor:
            asked = states - shift
            return log_likelihood(env, policy, asked, each, generator=generator).log_prob

        one_pass = by_order
    began = time.process_time()
    one_pass(test[:16])
    passed = time.process_time() - began
    numbers = {
        "nll": -float(one_pass(test).mean()) / scale,
        "in order": -float(by_order(test).mean()) / scale,
        "kl": float(gaps(trainer, count).mean()),
        "log z": log_z,
        "ms of 16": 1000 * passed,
        "steps": float(trainer.step),
    }
    if min(energy.height, energy.width) <= WIDEST_STRIP:
        numbers["kl"] += energy.exact.log_z
    return numbers


def main() -> None:
    """Parse the command line, train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--side", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120.0, help="of a core, for each line")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="whole trajectories of a step")
    parser.add_argument("--chains", type=int, default=256, help="single moves of a step")
    parser.add_argument("--erase", type=int, default=5, help="places that a chain draws anew")
    parser.add_argument("--network", choices=("convolution", "residual"), default="convolution")
    parser.add_argument("--channels", type=int, default=16, help="of the convolution")
    parser.add_argument("--width", type=int, default=256, help="of perceptrons")
    parser.add_argument("--depth", type=int, default=2, help="of perceptrons")
    parser.add_argument("--lr", type=float, help="by default 5e-3, and 2e-3 of perceptrons")
    parser.add_argument("--test", type=int, default=992, help="lattices to measure with")
    parser.add_argument("--sweeps", type=int, default=50, help="of Gibbs, where they are wide")
    parser.add_argument("--out", type=Path, help="write every line to this CSV file, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    energy = IsingReward(args.side, args.side, 0.1, 0.2)
    test = ising_samples(energy, args.test, torch.Generator().manual_seed(0), args.sweeps)
    if args.side <= WIDEST_STRIP:
        bits = energy.exact.entropy / energy.sites / math.log(2)
        print(f"{energy}: log Z {energy.exact.log_z:.3f}, entropy {bits:.4f} bits per spin")
    rows, lines = [["method", *COLUMNS]], [["method", "seed", *COLUMNS]]
    for method in args.methods:
        found: dict[str, list[float]] = {name: [] for name in COLUMNS}
        for seed in range(args.seeds):
            trainer = trainer_of(method, energy, args, seed)
            train(trainer, args.seconds)
            numbers = measure(trainer, energy, test, args.test)
            for name in COLUMNS:
                found[name].append(numbers[name])
            lines.append([method, str(seed), *(f"{numbers[name]:.4g}" for name in COLUMNS)])
            print("  " + "  ".join(lines[-1]), flush=True)
        said = ("" if math.isnan(found[name][0]) else spread(found[name]) for name in COLUMNS)
        rows.append([method, *said])
    table(rows)
    if args.out:
        with args.out.open("w", newline="") as file:
            csv.writer(file).writerows(lines)


if __name__ == "__main__":
    main()
