"""Discrete autoencoders of handwritten digits: GFlowNet-EM, and what else fits the same decoder.

Run:   python benchmarks/digits.py                            codes on 2 x 2 cells: all is exact
       python benchmarks/digits.py --side 4 --methods gfn vae vq --checks 6
       python benchmarks/digits.py --seconds 60 --seeds 5
Takes: for each line as long as --seconds says, of one core, and a little more to measure.
Shows: minus log p(x) of test pictures in nats, mean and standard deviation over seeds, after equal
       CPU time, of the weights that were best on validation pictures: exact, a sum over all codes,
       where there are at most 65,536; else by importance sampling from what the method has for a
       posterior. Where codes are listed, also how far that is from the exact posterior of the
       decoder (KL, mean over test pictures), and what the fit to training pictures is. A picture of
       test digits as each method gives them back, and of what its model makes up.

scikit-learn's 1,797 digits of 8 x 8 pixels, black where half of the ink is; 1,300 to train, 200 to
validate, 297 of other writers to test. K codes for each cell; one decoder (a perceptron of two
hidden layers) and one prior for all. The methods:

    exact       ascends log p(x) itself, summed over all codes; only where they can be listed
    gfn         GFlowNet-EM: VarGrad for the sampler, the decoder on its codes, sleep at every step
    gfn-tb      the same by trajectory balance with a network for log Z(x)
    gfn-greedy  the decoder on the likeliest codes
    wake-sleep  the sampler learns from dreams alone
    vae         mean-field posterior by the gradient of the evidence bound
    vae-ar      the sampler of gfn, by that gradient
    vq          vector quantisation; its prior is fitted to its codes, and where these are too many
                to list, a sampler to its posterior afterwards (in as much time again): the lower of
                what that says and of what one code for each picture says, both being too high
"""

import argparse
import copy
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from curves import spread, table
from torch import Tensor

from gflow import Objective, Sampler
from gflow.behaviours.base import Behaviour
from gflow.conditions.draws import TableCondition
from gflow.em import Dreams, JointReward, MStep, Sleep
from gflow.em.learner import GREEDY
from gflow.envs.codes.baselines import fit_autoencoder
from gflow.envs.codes.data import PIXELS, binary_digits, split
from gflow.envs.codes.env import codes
from gflow.envs.codes.metrics import bound, nll, posterior_gap
from gflow.envs.codes.model import CodeModel, Decoder
from gflow.envs.codes.pictures import gallery
from gflow.envs.codes.policy import CodePolicy, picture_encoder
from gflow.envs.codes.prior import PRIORS
from gflow.envs.codes.vq import QuantisedAutoencoder, fit_prior, fit_quantised
from gflow.envs.sequences.env import Autoregressive
from gflow.learner import Learner
from gflow.objectives import LogPartitionVariance, MaximumLikelihood, TrajectoryBalance
from gflow.training import TrainConfig, Trainer

METHODS = ("exact", "gfn", "gfn-tb", "gfn-greedy", "wake-sleep", "vae", "vae-ar", "vq")
HEAD = ("codes", "prior", "method", "test NLL", "train NLL", "KL(q, p)", "steps")
VALIDATION = 200
SHOWN = 20


@dataclass
class Fit:
    """One method at work.

    Attributes:
        env: Codes; its reward holds the model.
        rows: Training pictures.
        advance: Takes so many steps.
        policy: What the method has for a posterior; None if nothing can be sampled from.
        quantised: The encoder of vector quantisation.
        steps: Taken so far.
    """

    env: Autoregressive
    rows: Tensor
    advance: Callable[[int], object]
    policy: CodePolicy | None = None
    quantised: QuantisedAutoencoder | None = None
    steps: int = 0

    @property
    def reward(self) -> JointReward:
        """The reward, which holds model and pictures."""
        reward: Any = self.env.reward
        assert isinstance(reward, JointReward)
        return reward

    @property
    def model(self) -> CodeModel:
        """The model."""
        assert isinstance(self.reward.model, CodeModel)
        return self.reward.model

    def likeliest(self, rows: Tensor) -> Tensor:
        """(R, L) the codes that the method gives pictures."""
        if self.quantised is not None:
            return self.quantised.codes(self.reward.data.rows(rows))
        if self.policy is None:
            joint = self.model.log_joint(self.reward.data.rows(rows))
            return self.model.every_code()[joint.argmax(1)]
        greedy = Sampler(self.env).forward(
            self.policy, len(rows), exploration=GREEDY, condition=rows
        )
        codes_of: Tensor = greedy.final_states
        return codes_of

    def value(self, rows: Tensor, samples: int) -> float:
        """Mean of minus log p(x), or of the best that is known to lie above it."""
        with torch.no_grad():
            if self.model.listable or self.policy is not None:
                generator = torch.Generator().manual_seed(0)
                policy: Any = self.policy
                return float(nll(self.env, policy, rows, samples, generator).mean())
            return float(bound(self.env, rows, self.likeliest(rows)).mean())

    def held(self) -> list[Any]:
        """The modules whose weights are all that was learned."""
        parts = (self.model, self.policy, self.quantised)
        return [part for part in parts if part is not None]


def start(method: str, seed: int, args: argparse.Namespace) -> Fit:
    """The method with fresh networks."""
    torch.manual_seed(seed)
    side, k = args.side, args.symbols
    decoder = Decoder(side**2, k, PIXELS, embedding=args.embedding)
    model = CodeModel(decoder, PRIORS[args.prior](side, k))
    reward = JointReward(model, binary_digits())
    env = codes(side**2, k, reward)
    rows = split(reward.data.conditions)[0][:-VALIDATION]
    generator = torch.Generator().manual_seed(seed)
    if method == "exact":
        return Fit(env, rows, ascent(model, reward.data.rows(rows), generator, args))
    if method == "vq":
        return quantised(env, rows, generator, args)
    policy = CodePolicy(env, reward.data, autoregressive=method != "vae")
    if method.startswith("vae"):
        told = TableCondition(rows)
        optimizer = None

        def climb(steps: int) -> None:
            nonlocal optimizer
            optimizer = fit_autoencoder(
                env, policy, told, generator, steps, args.batch // args.repeat, args.repeat,
                args.lr, args.model_lr, optimizer=optimizer,
            )  # fmt: skip

        return Fit(env, rows, climb, policy)
    return Fit(env, rows, em(method, env, policy, rows, seed, args).train, policy)


def ascent(
    model: CodeModel, images: Tensor, generator: torch.Generator, args: argparse.Namespace
) -> Callable[[int], None]:
    """Steps up the exact log p(x)."""
    optimizer = torch.optim.Adam(model.parameters(), args.model_lr)

    def climb(steps: int) -> None:
        for _ in range(steps):
            x = images[torch.randint(len(images), (64,), generator=generator)]
            optimizer.zero_grad()
            (-model.log_marginal(x).mean()).backward()
            optimizer.step()

    return climb


def em(
    method: str,
    env: Autoregressive,
    policy: CodePolicy,
    rows: Tensor,
    seed: int,
    args: argparse.Namespace,
    frozen: bool = False,
) -> Trainer:
    """GFlowNet-EM or wake-sleep; the E-step alone if the model is frozen."""
    reward: Any = env.reward
    objective: Objective = LogPartitionVariance()
    behaviour: Behaviour = Sleep(reward, MaximumLikelihood())
    repeat = args.repeat
    if method == "gfn-tb":
        encoder = picture_encoder(reward.data, 128, 64)
        start = -PIXELS * math.log(2)
        objective = TrajectoryBalance(start, condition_dim=1, condition_encoder=encoder)
    elif method == "wake-sleep":
        objective, behaviour, repeat = MaximumLikelihood(), Dreams(reward), 1
    learners: list[Learner] = []
    told, count = TableCondition(rows), args.batch // args.repeat
    modules: dict[Any, Any] = {reward.model: "fresh" if method == "wake-sleep" else "batch"}
    if method == "gfn-greedy":
        modules = {reward.model.decoder: "greedy", reward.model.prior: "fresh"}
    for module, latents in modules.items():
        if frozen or not list(module.parameters()):
            continue
        optimizer = torch.optim.Adam(module.parameters(), args.model_lr)
        own: dict[str, Any] = {} if latents == "batch" else {"rows": told, "count": count}
        learners.append(MStep(reward, optimizer, latents=latents, **own))
    config = TrainConfig(1, args.batch, lr=args.lr, log_z_lr=args.lr, seed=seed)
    return Trainer(
        env, policy, objective, config,
        condition=TableCondition(rows, repeat), behaviour=behaviour, learners=learners,
        record_every=100,
    )  # fmt: skip


def quantised(
    env: Autoregressive, rows: Tensor, generator: torch.Generator, args: argparse.Namespace
) -> Fit:
    """Vector quantisation, whose prior is fitted to the codes after every few steps."""
    reward: Any = env.reward
    model, images = reward.model, reward.data.rows(rows)
    autoencoder = QuantisedAutoencoder(model.decoder, args.side**2, PIXELS)
    optimizer = None

    def climb(steps: int) -> None:
        nonlocal optimizer
        optimizer = fit_quantised(
            autoencoder, images, generator, steps, 64, args.model_lr, optimizer=optimizer
        )
        with torch.no_grad():
            z = autoencoder.codes(images)
        fit_prior(model.prior, z, generator, steps)

    return Fit(env, rows, climb, quantised=autoencoder)


def line(method: str, seed: int, args: argparse.Namespace) -> tuple[Fit, list[float]]:
    """Train one method, take back its best weights, and measure them: NLLs, KL, steps."""
    fit = start(method, seed, args)
    train, test = fit.rows, split(fit.reward.data.conditions)[1]
    validation = split(fit.reward.data.conditions)[0][-VALIDATION:]
    best, kept, spent, at = math.inf, [], 0.0, 0
    for check in range(1, args.checks + 1):
        began = time.process_time()
        while spent + time.process_time() - began < args.seconds * check / args.checks:
            fit.advance(25)
            fit.steps += 25
        spent += time.process_time() - began
        value = fit.value(validation, args.samples // 10)
        print(f"  {method:10} seed {seed}  step {fit.steps:6}  validation {value:.3f}", flush=True)
        if value < best:
            best, at = value, fit.steps
            kept = [copy.deepcopy(part.state_dict()) for part in fit.held()]
    for part, state in zip(fit.held(), kept, strict=True):
        part.load_state_dict(state)
    upper = math.inf
    if fit.quantised is not None and not fit.model.listable:
        upper = fit.value(test, 1)
        print(f"  {method:10} seed {seed}  test, one code each: {upper:.3f}", flush=True)
        fit.policy = CodePolicy(fit.env, fit.reward.data)
        trainer = em("gfn", fit.env, fit.policy, fit.rows, seed, args, frozen=True)
        began = time.process_time()
        while time.process_time() - began < args.seconds:
            trainer.train(25)
    found = [min(upper, fit.value(test, args.samples)), math.nan, math.nan, float(at)]
    if fit.model.listable:
        found[1] = fit.value(train, 1)
        if fit.policy is not None:
            found[2] = float(posterior_gap(fit.env, fit.policy, test)[0].mean())
    return fit, found


def shown(name: str, fit: Fit, rows: Tensor) -> dict[str, Tensor]:
    """Pictures as a method gives them back, and what its model makes up."""
    with torch.no_grad():
        back = fit.model.decoder(fit.likeliest(rows)).sigmoid()
        z = fit.model.prior.sample(len(rows), torch.Generator().manual_seed(0))
        made = fit.model.decoder(z).sigmoid()
        return {f"{name}: given back": back, f"{name}: made up": made}


def main() -> None:
    """Parse the command line, train, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--side", type=int, default=2)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--prior", choices=sorted(PRIORS), default="uniform")
    parser.add_argument("--embedding", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU time of each line")
    parser.add_argument("--checks", type=int, default=20, help="looks at validation pictures")
    parser.add_argument("--samples", type=int, default=1000, help="codes per picture, not listed")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=4, help="trajectories per picture")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--model-lr", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("digits.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods = [m for m in args.methods if m != "exact" or args.symbols**args.side**2 <= 2**16]
    found: dict[str, list[list[float]]] = {method: [] for method in methods}
    rows: dict[str, Tensor] = {}
    for seed in range(args.seeds):
        for method in methods:
            fit, numbers = line(method, seed, args)
            found[method].append(numbers)
            print(f"  {method:10} seed {seed}  test {numbers[0]:.3f}", flush=True)
            if not seed:
                test = split(fit.reward.data.conditions)[1]
                few = test[:: len(test) // SHOWN][:SHOWN]
                rows = rows or {"test": fit.reward.data.rows(few)}
                rows |= shown(method, fit, few)
    cells = [list(HEAD)]
    for method, seeds in found.items():
        nlls, trains, kls, steps = (list(column) for column in zip(*seeds, strict=True))
        known = [spread(c, ".3f") if not math.isnan(c[0]) else "-" for c in (trains, kls)]
        grid = f"{args.side}x{args.side}, {args.symbols}"
        measured = [spread(nlls, ".3f"), *known, spread(steps, ".0f")]
        cells.append([grid, args.prior, method, *measured])
    table(cells)
    gallery(rows, args.out)
    with args.out.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows(cells)


if __name__ == "__main__":
    main()
