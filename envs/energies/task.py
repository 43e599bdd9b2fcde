"""`gflow train ebgfn`."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.data import BackwardReplay
from gflow.bounds import Count, Natural, NotNegative, Probability, Rate
from gflow.energies.learner import Accept, ContrastiveStep, Start
from gflow.energies.networks import EnergyNetwork, IsingEnergy, PerceptronEnergy, site_log_prob
from gflow.energies.policy import ConditionalSites, RandomOrderPolicy
from gflow.energies.reward import EnergyReward, energy_of
from gflow.envs.energies.densities import DENSITIES
from gflow.envs.energies.ising_data import ising_couplings, ising_samples
from gflow.envs.energies.metrics import hamming_mmd, neg_log_rmse, nll, true_nll
from gflow.envs.energies.pictures import couplings_picture, plane_picture
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import WIDEST_STRIP, IsingReward
from gflow.errors import ConfigError
from gflow.learner import Learner
from gflow.marginals.networks import ResidualSites
from gflow.marginals.policy import MarginalPolicy
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

COMPARED = 1000
"""Data, and objects, whose kernels are compared at most."""


@dataclass(frozen=True)
class EBGFNTask(Task[EnergyModel]):
    """An energy learned from data together with the sampler that it is sampled with (EB-GFN).

    Attributes:
        data: Spins of a lattice, whose couplings are to be found, or a density of the plane, its
            points written as bits in Gray code.
        samples: Data.
        data_seed: Of the data.
        rows: Of the lattice.
        columns: Of the lattice.
        coupling: sigma of the lattice, a torus: each edge contributes 2 sigma s_i s_j.
        bits: Of each coordinate of the plane.
        energy: Pairwise couplings (ising), a perceptron, or what fits the data (auto).
        order: In which sites are filled: learned in both directions, or random, values alone being
            learned.
        acceptance: How candidates in place of data are judged; none for fresh objects.
        start: Where chains of candidates begin: at data, or where they were (chains).
        share: Of each batch that goes back from data by P_B (with the behaviour on_policy).
        warmup: Steps over which the number of moves back and forth rises to all.
        moves: That number at the end; 0 for all sites.
        energy_lr: Learning rate of the energy.
        energy_half_life: Steps in which it halves; 0 keeps it.
        energy_batch: Data, and candidates, of a step of the energy.
        energy_width: Units of the perceptron's hidden layers.
        energy_depth: Its hidden layers.
        base: Add it to a density with independent sites that fits the data.
        sparsity: Price of couplings, in units of correlations; 0 for none.
        knee: Couplings beyond it are priced by their logarithm; 0 for none.
        gradient_penalty: Weight of squared slopes of the energy at data.
        energy_l2: Weight of squared energies.
        width: Units of the sampler's hidden layers.
        depth: Its hidden layers.
        tested: Further data, of which likelihoods are measured.
        nll_samples: Trajectories for each of these.
    """

    name: ClassVar[str] = "ebgfn"
    summary: ClassVar[str] = (
        "energies learned from data with their sampler: Ising couplings, planes"
    )
    train: ClassVar[TrainConfig] = TrainConfig(steps=1000, batch_size=32, log_z_lr=0.1)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=250, eval_samples=500)
    refuses_conditions: ClassVar[str] = (
        "its energy is learned with the sampler of one reward. Leave --condition out."
    )
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "energy_gap",
        "energy_acceptance",
        "energy_moves",
        "neg_log_rmse",
        "nll",
        "true_nll",
        "mmd",
        "tv",
    )

    data: Literal[
        "ising",
        "2spirals",
        "8gaussians",
        "circles",
        "moons",
        "pinwheel",
        "swissroll",
        "checkerboard",
    ] = "ising"
    samples: Count = 2000
    data_seed: int = 0
    rows: Count = 4
    columns: Count = 4
    coupling: float = 0.1
    bits: Count = 16
    energy: Literal["auto", "ising", "perceptron"] = "auto"
    order: Literal["learned", "random"] = "learned"
    acceptance: Accept = "metropolis"
    start: Start = "data"
    share: Probability = 0.5
    warmup: Natural = 500
    moves: Natural = 0
    energy_lr: Rate = 1e-3
    energy_half_life: Natural = 0
    energy_batch: Count = 128
    energy_width: Count = 256
    energy_depth: Count = 3
    base: bool = False
    sparsity: NotNegative = 0.0
    knee: NotNegative = 0.0
    gradient_penalty: NotNegative = 0.0
    energy_l2: NotNegative = 0.0
    width: Count = 256
    depth: Count = 2
    tested: Count = 200
    nll_samples: Count = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = self._kind
        if kind == "perceptron" and (self.sparsity or self.knee):
            raise ConfigError(
                "ebgfn: sparsity and knee are prices of couplings, and a perceptron has none. Use "
                "energy=ising, or gradient_penalty and energy_l2."
            )
        if kind == "ising" and self.base:
            raise ConfigError("ebgfn: base belongs to the perceptron: set energy=perceptron.")
        if self.acceptance == "none" and (self.start == "chains" or self.moves):
            raise ConfigError(
                "ebgfn: fresh objects (acceptance=none) know no chains and no moves back and "
                "forth. Use acceptance=metropolis, or leave start and moves out."
            )
        if self.knee and not self.sparsity:
            raise ConfigError("ebgfn: knee bends the price that sparsity sets: set sparsity too.")

    @property
    def _kind(self) -> str:
        if self.energy != "auto":
            return self.energy
        return "ising" if self.data == "ising" else "perceptron"

    # ------------------------------------------------------------------ data

    @cached_property
    def lattice(self) -> IsingReward:
        """The lattice of spins."""
        return IsingReward(self.rows, self.columns, self.coupling)

    @cached_property
    def _drawn(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.data_seed)
        count = self.samples + self.tested
        if self.data == "ising":
            return ising_samples(self.lattice, count, generator)
        plane = DENSITIES[self.data]
        return plane.code(self.bits).encode(plane.points(count, generator))

    def training_data(self) -> Tensor:
        """(samples, N) values 1 and 2."""
        return self._drawn[: self.samples]

    def test_data(self) -> Tensor:
        """(tested, N) further ones."""
        return self._drawn[self.samples :]

    # ------------------------------------------------------------------ parts

    def environment(self) -> EnergyModel:
        """Sites, with a fresh energy."""
        sites = self.rows * self.columns if self.data == "ising" else 2 * self.bits
        network: EnergyNetwork
        if self._kind == "ising":
            network = IsingEnergy(sites, self.sparsity, self.knee)
        else:
            base = site_log_prob(self.training_data(), 2) if self.base else None
            network = PerceptronEnergy(sites, 2, self.energy_width, self.energy_depth, base)
        return EnergyModel(EnergyReward(network), sites, 2)

    def policy(self, env: EnergyModel, needs: Needs) -> Policy:
        """A perceptron with heads of actions and of deletions, or conditionals alone."""
        if self.order == "learned":
            return MLPPolicy(env, self.width, self.depth, "learned", log_flow=needs.flows(env))
        if needs.log_flow:
            network = ResidualSites(env.sites, env.values, self.width, self.depth)
            return MarginalPolicy(env, network)
        return RandomOrderPolicy(
            env, ConditionalSites(env.sites, env.values, self.width, self.depth)
        )

    def log_z(self, env: EnergyModel) -> float:
        """That of the energy as it is at first: even, or the base less its constant."""
        if not self.base:
            return env.sites * math.log(2)
        return -float(site_log_prob(self.training_data(), 2).mean(1).sum())

    def behaviour(self, env: EnergyModel, chosen: Behaviour) -> Behaviour:
        """A share of trajectories that end in data."""
        if not self.share or not isinstance(chosen, OnPolicy):
            return chosen
        return BackwardReplay(env, self.training_data(), self.share)

    def learners(self, env: EnergyModel, policy: Policy) -> list[Learner]:
        """The step of the energy."""
        reward = _reward(env)
        return [
            ContrastiveStep(
                reward,
                torch.optim.Adam(reward.network.parameters(), self.energy_lr),
                self.training_data(),
                accept=self.acceptance,
                warmup=self.warmup,
                most=self.moves,
                count=self.energy_batch,
                start=self.start,
                gradient_penalty=self.gradient_penalty,
                l2=self.energy_l2,
                half_life=self.energy_half_life,
            )
        ]

    # ------------------------------------------------------------------ what it came to

    def rewards(
        self, env: EnergyModel, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Log R is minus an energy, and that is reported."""
        return None

    def describe(self, env: EnergyModel, objects: Any) -> list[str]:
        """Rows of + and -, or the point."""
        if self.data == "ising":
            rows = ["".join("-+"[v - 1] for v in row) for row in objects.tolist()]
            size = self.columns
            return [" ".join(r[i : i + size] for i in range(0, len(r), size)) for r in rows]
        points = DENSITIES[self.data].code(self.bits).decode(objects)
        return [f"({x:.4f}, {y:.4f})" for x, y in points.tolist()]

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Couplings against the true ones, likelihoods of test data, and distances from data."""
        trainer, env = context.trainer, context.env
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)
        test = self.test_data().to(trainer.device)
        policy = trainer.evaluated_policy
        numbers = {
            "nll": nll(env, policy, test, self.nll_samples, generator),
            "mmd": hamming_mmd(objects[:COMPARED], self._drawn[:COMPARED].to(objects.device)),
        }
        if self.data != "ising":
            return numbers
        network = _reward(env).network
        if isinstance(network, IsingEnergy):
            truth = ising_couplings(self.lattice)
            numbers["neg_log_rmse"] = neg_log_rmse(network.couplings.cpu(), truth)
        if min(self.rows, self.columns) <= WIDEST_STRIP:
            numbers["true_nll"] = true_nll(self.lattice, test)
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Couplings beside the true ones, or data, sampler and density of the plane."""
        network, trainer = _reward(context.env).network, context.trainer
        if self.data == "ising":
            if not isinstance(network, IsingEnergy):
                return {}
            path = folder / "couplings.png"
            couplings_picture(ising_couplings(self.lattice), network.couplings, path)
            return {"couplings": path}
        generator = torch.Generator(trainer.device).manual_seed(0)
        samples = trainer.sampler.forward(
            trainer.evaluated_policy, COMPARED, generator=generator, device=trainer.device
        ).final_states
        path = folder / "density.png"
        code = DENSITIES[self.data].code(self.bits)
        plane_picture(self.training_data(), samples, network, code, path)
        return {"density": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "couplings": "True couplings of the spins and those of the learned energy.",
            "density": "Data, samples and the learned energy in the plane.",
        }

    def report(self, context: Context) -> str:
        """Likelihood of test data; couplings."""
        numbers = context.numbers
        if "nll" not in numbers:
            return ""
        said = f"test data: {numbers['nll']:.3f} nats each under the sampler, at most"
        if "true_nll" in numbers:
            said += f" (under the truth {numbers['true_nll']:.3f})"
        if "neg_log_rmse" in numbers:
            said += f"; couplings: -log RMSE {numbers['neg_log_rmse']:.2f}"
        return said


def _reward(env: EnergyModel) -> EnergyReward:
    found = energy_of(env.reward)
    assert found is not None
    return found
