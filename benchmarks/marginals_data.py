"""Marginals of digits, text and molecules: in any order, distilled, and in one fixed order.

Run:   python benchmarks/marginals_data.py --problems digits text smiles
       python benchmarks/marginals_data.py --problems digits --network convolution
Takes: minutes of one core for each problem; CPU seconds of each fit are printed.
Shows: test NLL in bits for each place of
           fixed    a causal transformer that writes from left to right, exact
           AO-S     the conditionals of any order, along one random order
           AO-E     their ensemble: the mean of p over several orders
           MaM      the marginal network, by one pass
       beside the numbers of parameters; how well MaM follows AO-E on test objects of which places
       are erased and drawn again (Spearman, Pearson, mean over items); seconds for log p of 16
       objects by either; and what is made of samples: of SMILES the shares that RDKit takes for
       molecules, of different ones and of new ones among these. With --folder, pictures of samples.

All see the same training objects, and keep the weights that were best on validation objects. The
fixed order is trained by maximum likelihood, as a GFlowNet on the tree of prefixes. Conditionals of
any order are the first stage (`AnyOrderFit`), marginals the second (`MarginalConsistency`, half on
data and half on chains), with the conditionals as they are.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from curves import table
from torch import Tensor, nn

from gflow import Sampler
from gflow.behaviours import BackwardReplay
from gflow.envs.marginals import Parts, Problem, named_problem
from gflow.envs.sequences.env import Autoregressive
from gflow.marginals import (
    Agreement,
    AnyOrderFit,
    BesideData,
    ConvolutionSites,
    MarginalChains,
    MarginalPolicy,
    SharedSites,
    SiteNetwork,
    TransformerSites,
    agreement,
    one_conditional,
    transitions,
)
from gflow.metrics import log_likelihood
from gflow.objectives import MarginalConsistency, MaximumLikelihood
from gflow.policies.transformer import CausalTransformer
from gflow.training import TrainConfig, Trainer

OPTIONS: dict[str, dict[str, Any]] = {"text": {"length": 50}, "smiles": {"length": 30}}
"""Of problems whose objects would be large for one core."""
ERASE = {"digits": (10, 25, 45), "text": (10, 20, 30, 40), "smiles": (6, 12, 18)}
THRESHOLD = {"digits": 1.0, "text": 2.0, "smiles": 1.0}
"""Nats between objects that are compared."""
CHECKS = 10


@dataclass
class Fixed:
    """What writes from left to right."""

    env: Autoregressive
    policy: CausalTransformer

    def bits(self, symbols: Tensor) -> float:
        """Mean NLL of (N, D) symbols for each place."""
        found = log_likelihood(self.env, self.policy, symbols, 1).log_prob
        return float(-found.mean()) / self.env.length / math.log(2)

    def sample(self, count: int) -> Tensor:
        """(count, D) symbols."""
        generator = torch.Generator().manual_seed(0)
        found: Tensor = (
            Sampler(self.env).forward(self.policy, count, generator=generator).final_states
        )
        return found


@dataclass
class AnyOrderModel:
    """Marginals and conditionals."""

    policy: MarginalPolicy

    def log_prob(self, symbols: Tensor, orders: int) -> Tensor:
        """(N,) by conditionals along so many orders; by the marginal network for none."""
        states = self.policy.sites.write(symbols)
        if not orders:
            return self.policy.marginal(states)
        return self.policy.log_likelihood(states, orders, torch.Generator().manual_seed(0))

    def bits(self, symbols: Tensor, orders: int) -> float:
        """Mean NLL for each place."""
        return float(-self.log_prob(symbols, orders).mean()) / symbols.shape[1] / math.log(2)

    def sample(self, count: int) -> Tensor:
        """(count, D) symbols, each in an order of its own."""
        sites, generator = self.policy.sites, torch.Generator().manual_seed(0)
        nothing = sites.write(torch.full((count, sites.places), sites.symbols))
        return sites.read(self.policy.sample(nothing, generator=generator))


def best_of(module: nn.Module, error: Callable[[], float], advance: Callable[[], object]) -> None:
    """Advance so many times, and go back to the weights of the smallest error."""
    best, kept = math.inf, copy.deepcopy(module.state_dict())
    for _ in range(CHECKS):
        advance()
        found = error()
        if found < best:
            best, kept = found, copy.deepcopy(module.state_dict())
    module.load_state_dict(kept)


def fit_fixed(made: Problem, parts: Parts, args: argparse.Namespace) -> Fixed:
    """A transformer fitted to training objects in the order of the places."""
    env = Autoregressive(made.alphabet, made.places, made.environment().reward)
    torch.manual_seed(args.seed)
    policy = CausalTransformer(env, args.width, args.depth, args.heads)
    config = TrainConfig(
        steps=args.fixed_steps,
        batch_size=args.batch,
        lr=args.lr,
        lr_half_life=max(1, args.fixed_steps // 5),
        seed=args.seed,
    )
    data = BackwardReplay(env, parts.train, share=1.0)
    trainer = Trainer(env, policy, MaximumLikelihood(), config, behaviour=data)
    fixed = Fixed(env, policy)
    best_of(
        policy,
        lambda: fixed.bits(parts.validation),
        lambda: trainer.train(max(1, args.fixed_steps // CHECKS)),
    )
    return fixed


def network_of(made: Problem, args: argparse.Namespace) -> SiteNetwork:
    """The network that the options name."""
    places, symbols = made.places, len(made.alphabet)
    if args.network == "convolution":
        if made.picture_shape is None:
            raise SystemExit(f"--network convolution is for pictures, and {made.name} has none.")
        return ConvolutionSites(*made.picture_shape, symbols, args.width // 2, args.depth)
    if args.network == "shared":
        return SharedSites(places, symbols, 2 * args.width, args.depth)
    return TransformerSites(places, symbols, args.width, args.depth, args.heads)


def fit_conditionals(
    policy: MarginalPolicy, trainer: Trainer, fit: AnyOrderFit, parts: Parts
) -> None:
    """The first stage; the trainer takes one step of its own for each check."""
    fit.each = max(1, fit.steps // CHECKS)

    def error() -> float:
        with torch.no_grad():
            rows = parts.validation.repeat(4, 1)
            return float(fit.loss(rows, torch.Generator().manual_seed(1)).mean())

    best_of(policy.network.conditional_part, error, lambda: trainer.train(1))
    fit.taken = fit.steps


def fit_marginals(policy: MarginalPolicy, trainer: Trainer, steps: int, parts: Parts) -> None:
    """The second stage."""

    def error() -> float:
        generator = torch.Generator().manual_seed(1)
        batch = transitions(trainer.env, policy.sites, parts.validation.repeat(4, 1), generator)
        with torch.no_grad():
            terms = trainer.objective.evaluate(trainer.env, policy, batch)
        return float(trainer.objective.residual(terms).square().mean())

    best_of(policy, error, lambda: trainer.train(max(1, steps // CHECKS)))


def fit_any_order(made: Problem, parts: Parts, args: argparse.Namespace) -> AnyOrderModel:
    """Both stages, with the CPU seconds of each."""
    torch.manual_seed(args.seed)
    env = made.environment()
    policy = MarginalPolicy(env, network_of(made, args))
    train = policy.sites.write(parts.train)
    fit = AnyOrderFit(policy, train, args.fit_steps, 1, args.batch, args.lr)
    config = TrainConfig(
        batch_size=args.batch, lr=args.lr, lr_half_life=max(1, args.steps // 5), seed=args.seed
    )
    chains = BesideData(env, train, inner=MarginalChains(erase=4, restart=500))
    trainer = Trainer(
        env, policy, MarginalConsistency(env), config, behaviour=chains, learners=[fit]
    )
    for name, advance in (
        ("conditionals", lambda: fit_conditionals(policy, trainer, fit, parts)),
        ("marginals", lambda: fit_marginals(policy, trainer, args.steps, parts)),
    ):
        began = time.process_time()
        advance()
        print(f"  {name}: {time.process_time() - began:.0f} s", flush=True)
    return AnyOrderModel(policy)


def seconds(function: Callable[[], object], rounds: int) -> float:
    """The shortest of so many calls, in seconds of one core."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        function()
        found.append(time.process_time() - began)
    return min(found)


def agree(model: AnyOrderModel, name: str, test: Tensor, args: argparse.Namespace) -> Agreement:
    """The marginal network beside the ensemble, on objects like those of the test."""
    generator = torch.Generator().manual_seed(args.seed)
    states = model.policy.sites.write(test[: args.items])
    each = args.draws
    return agreement(
        model.policy, states, ERASE[name], each, THRESHOLD[name], args.orders, generator
    )


def measure(name: str, args: argparse.Namespace) -> None:
    """All of one problem."""
    made = named_problem(name, **OPTIONS.get(name, {}))
    parts = made.data
    if parts is None:
        raise SystemExit(f"{name} has no objects to learn from.")
    print(
        f"{name}: {len(parts.train)} training objects of {made.places} places, "
        f"{len(made.alphabet)} symbols",
        flush=True,
    )
    test = parts.test[: args.test]
    began = time.process_time()
    fixed = fit_fixed(made, parts, args)
    print(f"  fixed order: {time.process_time() - began:.0f} s", flush=True)
    model = fit_any_order(made, parts, args)
    policy = model.policy
    sizes = {
        "fixed": count(fixed.policy),
        "AO": count(policy.network.conditional_part),
        "MaM": count(policy),
    }
    bits = {
        "fixed": fixed.bits(test),
        "AO-S": model.bits(test, 1),
        "AO-E": model.bits(test, args.orders),
        "MaM": model.bits(test, 0),
    }
    table([["model", "test bits a place"], *([key, f"{value:.4f}"] for key, value in bits.items())])
    print("  parameters: " + ", ".join(f"{key} {value:,}" for key, value in sizes.items()))
    found = agree(model, name, parts.test, args)
    print(
        f"  MaM beside AO-E on {found.items} items: Spearman {found.spearman:.3f}, Pearson "
        f"{found.pearson:.3f}; mean difference {found.gap:.2f} nats",
        flush=True,
    )
    with torch.no_grad():
        states = policy.sites.write(test).repeat(20, 1)
        estimate = one_conditional(policy, states, generator=torch.Generator().manual_seed(0))
    deviation = float(estimate.view(20, -1).std(0).square().mean().sqrt())
    mean = -float(estimate.mean()) / made.places / math.log(2)
    print(
        f"  one conditional (ARM-MC): {mean:.4f} bits a place, standard deviation "
        f"{deviation:.1f} nats for one object"
    )
    sixteen = parts.test[:16]
    one = seconds(lambda: model.log_prob(sixteen, 0), 20)
    many = seconds(lambda: model.log_prob(sixteen, args.orders), 2)
    print(f"  log p of 16 objects: MaM {one:.2e} s, AO-E {many:.2e} s, {many / one:.0f} times")
    for label, sample in (("fixed", fixed.sample), ("any order", model.sample)):
        objects = sample(args.samples)
        if numbers := made.measure(objects):
            said = ", ".join(f"{key} {value:.3f}" for key, value in numbers.items())
            print(f"  {label} sample: {said}")
        if made.picture_shape is None:
            print("\n".join(f"    {text}" for text in made.show(objects[:5])))
        if args.folder:
            folder = Path(args.folder) / f"{name}-{label.replace(' ', '-')}"
            folder.mkdir(parents=True, exist_ok=True)
            made.pictures(objects, folder)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in module.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    names = sorted(ERASE)
    parser.add_argument("--problems", nargs="+", choices=names, default=names, metavar="NAME")
    networks = ("transformer", "convolution", "shared")
    parser.add_argument("--network", choices=networks, default="transformer")
    for flag, default, text in (
        ("--fixed-steps", 2000, "steps of the fixed order"),
        ("--fit-steps", 2000, "steps of conditionals of any order"),
        ("--steps", 2000, "steps of marginals"),
        ("--width", 64, "features of a place"),
        ("--depth", 3, "layers"),
        ("--heads", 4, "attention heads"),
        ("--batch", 64, "objects of a step"),
        ("--orders", 5, "orders of the ensemble"),
        ("--test", 100, "test objects"),
        ("--items", 16, "test objects for correlations"),
        ("--draws", 6, "objects drawn near each, for each number of erased places"),
        ("--samples", 500, "objects sampled"),
        ("--seed", 0, "seed"),
    ):
        parser.add_argument(flag, type=int, default=default, help=text)
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of all fits")
    parser.add_argument("--folder", default="", help="where to put pictures of samples")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.problems:
        measure(name, args)


if __name__ == "__main__":
    main()
