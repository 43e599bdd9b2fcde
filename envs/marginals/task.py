"""`gflow train marginals`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour
from gflow.behaviours.marginal_chains import MarginalChains
from gflow.bounds import Count, Natural, NotNegative, Positive, Rate
from gflow.environment.base import Environment
from gflow.envs.marginals.problem import HOME, Parts, Problem, Unknown, named_problem, problem_class
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError
from gflow.learner import Learner
from gflow.marginals import (
    AnyOrderFit,
    BesideData,
    ConvolutionSites,
    MarginalPolicy,
    ResidualSites,
    SharedSites,
    SiteNetwork,
    Sites,
    TransformerSites,
)
from gflow.marginals.orders import random_orders
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

DRAWN = 500
"""Objects of pictures."""

MEASURED = 100
"""Test objects that likelihoods are measured with."""

OPTIONS = ("side", "coupling", "field", "length", "target", "tau", "density", "bits")
"""Options of problems; None leaves what the problem has."""

LINEAR = 2000
"""Places times symbols up to which perceptrons of energies have a linear part."""

SINGLE = ("db", "marginal_consistency", "marginal_divergence", "marginal_matching")
"""Objectives whose batches are single moves, unless another behaviour is given."""


@dataclass(frozen=True)
class MarginalsTask(Task[Environment[Any]]):
    """A sampler that says how likely every part of an object is: a marginalization model.

    Learned from data in two stages: the conditionals of all orders by maximum likelihood, then the
    marginals that agree with them. Learned from an energy by both together.

    Attributes:
        task: What of: digits, text, smiles and densities are data, ising is an energy, selfies is
            an energy and, with learn_from=data, the molecules that it is about.
        learn_from: auto takes the energy where there is one, and the data elsewhere.
        side: Of the lattice, for ising.
        coupling: sigma of ising; each edge contributes 2 sigma s_i s_j to log R.
        field: b of ising.
        length: Of a text, or of the longest molecule, for text, smiles and selfies.
        target: The log P that is wanted, for selfies.
        tau: Temperature of the distance from it.
        density: 2spirals, 8gaussians, circles, moons, pinwheel, swissroll or checkerboard.
        bits: Of each coordinate of densities.
        network: residual perceptrons, one for each or shared, a transformer, or convolutions for
            pictures and lattices; auto takes the shared one for pictures of data, the transformer
            for other data, convolutions for lattices, and one for each for other energies.
        width: Units or features; 0 for 256, 256, 64 and 32 in this order, 16 for lattices.
        depth: Blocks or layers; 3 by default, and none for convolutions of lattices.
        heads: Attention heads of the transformer, and of convolutions, which may have 0.
        fit_steps: Steps that fit the conditionals to data.
        fit_each: So many of them before each step of the marginals, until all are taken.
        fit_batch: Objects of such a step.
        fit_lr: Learning rate of them at first; it falls to zero along half a cosine.
        data_share: Share of the moves on which marginals are fitted that lead to data; the others
            lead to what the model samples.
    """

    name: ClassVar[str] = "marginals"
    summary: ClassVar[str] = "how likely is a part? Ising spins, digits, text, molecules"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1000, batch_size=64, lr=1e-3, log_z_lr=0.1, lr_half_life=300, grad_clip=10.0
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=250, eval_samples=64)
    objective: ClassVar[str] = "marginal_matching"
    has_marginals: ClassVar[bool] = True
    refuses_conditions: ClassVar[str] = (
        "marginals are of one distribution. Leave --condition out, or fix the temperature in R."
    )
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "fit_bits",
        "nll",
        "nll_in_order",
        "disagreement",
        "consistency",
        "mean_log_reward",
        "log_z",
        "log_z_error",
        "kl_sampled",
        "valid",
        "unique",
        "mmd",
    )

    task: Literal["ising", "digits", "text", "smiles", "selfies", "densities"] = "ising"
    learn_from: Literal["auto", "data", "energy"] = "auto"
    side: Count | None = None
    coupling: float | None = None
    field: float | None = None
    length: Count | None = None
    target: float | None = None
    tau: Positive | None = None
    density: str | None = None
    bits: Count | None = None
    network: Literal["auto", "residual", "shared", "transformer", "convolution"] = "auto"
    width: Natural = 0
    depth: Natural | None = None
    heads: Natural = 4
    fit_steps: Count = 2000
    fit_each: Count = 10
    fit_batch: Count = 64
    fit_lr: Rate = 1e-3
    data_share: NotNegative = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = problem_class(self.task)
        known = {field.name for field in fields(kind)}
        asked = {name for name in OPTIONS if getattr(self, name) is not None}
        if asked - known:
            name = min(asked - known)
            raise ConfigError(
                f"MarginalsTask: {self.task} has no {name}. It has "
                f"{', '.join(sorted(known)) or 'no options'}; leave {name} out."
            )
        if not 0 < self.data_share <= 1:
            raise ConfigError(
                f"MarginalsTask: data_share must be above 0 and at most 1, got {self.data_share}."
            )
        _source(self.task, self.learn_from)

    @classmethod
    def default_parts(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Single moves, and the loss for what is learned from, unless another one is given."""
        parts = super().default_parts(given)
        task, source = given.get("task", "ising"), given.get("learn_from", "auto")
        if task in HOME and _source(task, source) == "data":
            parts["objective"] = "marginal_consistency"
        if (given.get("objective") or parts["objective"]) in SINGLE:
            parts["behaviour"] = "marginal_chains"
        return parts

    @property
    def problem(self) -> Problem:
        """What is learned of."""
        asked = {name: getattr(self, name) for name in OPTIONS}
        return named_problem(self.task, **{k: v for k, v in asked.items() if v is not None})

    @property
    def source(self) -> Literal["data", "energy"]:
        """What it is learned from."""
        return _source(self.task, self.learn_from)

    @property
    def data(self) -> Parts | None:
        """The data, where these are learned from."""
        return self.problem.data if self.source == "data" else None

    def environment(self) -> Environment[Any]:
        """The places of the problem; nothing is known of the reward where data are learned from."""
        problem = self.problem
        if self.source == "energy":
            return problem.environment()
        return AnyOrder(problem.alphabet, problem.places, Unknown())

    def site_network(self) -> SiteNetwork:
        """A fresh network."""
        problem, kind = self.problem, self.network
        places, symbols = problem.places, len(problem.alphabet)
        picture = problem.picture_shape
        if kind == "auto":
            of_data: Any = "transformer" if picture is None else "shared"
            of_energy: Any = "residual" if picture is None else "convolution"
            kind = of_energy if self.source == "energy" else of_data
        lattice = picture is not None and problem.periodic
        local = kind == "convolution" and lattice
        depth = (0 if local else 3) if self.depth is None else self.depth
        if kind == "residual":
            linear = self.source == "energy" and places * symbols <= LINEAR
            return ResidualSites(places, symbols, self.width or 256, depth, linear)
        if kind == "shared":
            return SharedSites(places, symbols, self.width or 256, depth)
        if kind == "transformer":
            return TransformerSites(places, symbols, self.width or 64, depth, self.heads)
        if picture is None:
            raise ConfigError(
                f"MarginalsTask: convolutions are for pictures, and objects of {self.task} are "
                f"none. Set network to transformer or residual."
            )
        width, around = self.width or (16 if local else 32), lattice and min(picture) > 1
        return ConvolutionSites(*picture, symbols, width, depth, self.heads, around)

    def policy(self, env: Environment[Any], needs: Needs) -> MarginalPolicy:
        """Marginals and conditionals."""
        return MarginalPolicy(env, self.site_network())

    def learners(self, env: Environment[Any], policy: Policy) -> list[Learner]:
        """What fits the conditionals to data."""
        data = self.data
        if data is None:
            return []
        assert isinstance(policy, MarginalPolicy)
        return [
            AnyOrderFit(
                policy,
                policy.sites.write(data.train),
                self.fit_steps,
                self.fit_each,
                self.fit_batch,
                self.fit_lr,
            )
        ]

    def behaviour(self, env: Environment[Any], chosen: Behaviour) -> Behaviour:
        """What the options choose, beside moves on the way to data."""
        data = self.data
        if data is None:
            return chosen
        if not isinstance(chosen, MarginalChains):
            raise ConfigError(
                f"MarginalsTask: marginals of data are fitted on single moves, and the behaviour "
                f"{chosen.name} gives others. Leave --behaviour and --objective out, or learn from "
                f"an energy."
            )
        return BesideData(env, Sites(env).write(data.train), self.data_share, chosen)

    def log_z(self, env: Environment[Any]) -> float:
        """Log of the number of objects: Z if all rewards were 1."""
        return self.problem.places * math.log(len(self.problem.alphabet))

    def has_exact_law(self, env: Environment[Any]) -> bool:
        """Of an energy; nothing is known of the law of data."""
        return self.source == "energy"

    def rewards(
        self, env: Environment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Log R is minus an energy, and that is reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Likelihood of test objects by marginals and by conditionals; what the sample is like."""
        policy, problem = context.policy, self.problem
        assert isinstance(policy, MarginalPolicy)
        numbers = problem.measure(policy.sites.read(objects))
        generator = torch.Generator().manual_seed(0)
        data, scale = self.data, problem.places * math.log(2)
        if data is not None:
            rows = policy.sites.write(data.test[:MEASURED].to(objects.device))
            marginal, order = policy.marginal(rows), policy.log_likelihood(rows, 1, generator)
            numbers["nll"] = -float(marginal.mean()) / scale
            numbers["nll_in_order"] = -float(order.mean()) / scale
        else:
            marginal = policy.marginal(objects)
            order = policy.log_likelihood(objects, 1, generator)
            log_z = context.env.log_partition()
            if log_z is not None:
                numbers["kl_sampled"] = log_z + float(
                    sampled_gap(context.env, policy, generator, objects)
                )
        numbers["disagreement"] = float((marginal - order).abs().mean()) / problem.places
        return numbers

    def describe(self, env: Environment[Any], objects: Any) -> list[str]:
        """As the problem shows them."""
        return self.problem.show(Sites(env).read(objects))

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Pictures of a sample."""
        policy = context.policy
        assert isinstance(policy, MarginalPolicy)
        nothing = context.env.initial(DRAWN, next(policy.parameters()).device)
        drawn = policy.sample(nothing, generator=torch.Generator().manual_seed(0))
        return self.problem.pictures(policy.sites.read(drawn).cpu(), folder)

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "lattices": "Samples; +1 is black, -1 white.",
            "digits": "Digits that were sampled.",
            "density": "Histograms of the data and of samples in the plane.",
            "molecules": "Molecules that were sampled.",
            "log_p": "Histogram of the partition coefficients of samples.",
        }


@torch.no_grad()
def sampled_gap(
    env: Environment[Any], policy: MarginalPolicy, generator: torch.Generator, objects: Tensor
) -> Tensor:
    """() mean of log p less log R of as many samples, along the orders that they are drawn in."""
    count, places = objects.shape
    order = random_orders(count, places, generator, objects.device)
    drawn = policy.sample(env.initial(count, objects.device), order, generator)
    said = policy.along(policy.sites.read(drawn), order)
    return (said.double() - env.log_reward(drawn).double()).mean()


def _source(task: str, learn_from: str) -> Literal["data", "energy"]:
    """What a problem is learned from.

    Raises:
        ConfigError: If it does not have that.
    """
    kind = problem_class(task)
    has_energy, has_data = (getattr(kind, n) is not getattr(Problem, n) for n in ("energy", "data"))
    if learn_from == "auto":
        return "energy" if has_energy else "data"
    if (learn_from == "energy" and not has_energy) or (learn_from == "data" and not has_data):
        other = "data" if learn_from == "energy" else "energy"
        raise ConfigError(f"{task} has no {learn_from}: it is learned from {other}.")
    return "data" if learn_from == "data" else "energy"
