"""How likely is this part of a picture? A sampler of digits that answers for any pixels.

Run:   python examples/train_marginals.py [--steps 1000] [--out inpainting.png]
Takes: a minute on one CPU core. Needs the extras `continuous` and `plot`.
Shows: bits a pixel of test pictures, by conditionals in a random order and at once by the marginal
       network. Then a question to the latter: is it this lower half of a picture or another that
       goes with the upper half? Guessing is right in half of the cases; expect 0.8. A picture of
       upper halves that are completed, each in an order of its own.
"""

import argparse
import math
from pathlib import Path

import torch

from gflow.envs.marginals import Digits
from gflow.envs.marginals.pictures import inpainting
from gflow.marginals import AnyOrderFit, BesideData, MarginalChains, MarginalPolicy, SharedSites
from gflow.marginals.orders import random_orders
from gflow.objectives import MarginalConsistency
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train, ask and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("inpainting.png"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    digits = Digits()
    env, places = digits.environment(), digits.places
    policy = MarginalPolicy(env, SharedSites(places, symbols=2))
    train, test = (policy.sites.write(part) for part in (digits.data.train, digits.data.test))

    # Conditionals learn from pictures, in the first half of the steps. Marginals are to agree with
    # them at parts of pictures, and of what chains of their own visit.
    fit = AnyOrderFit(policy, train, steps=2 * args.steps, each=4, batch_size=64)
    half_life = max(1, args.steps // 4)
    trainer = Trainer(
        env,
        policy,
        MarginalConsistency(env),
        TrainConfig(args.steps, batch_size=128, lr=2e-3, lr_half_life=half_life, seed=args.seed),
        behaviour=BesideData(env, train, inner=MarginalChains()),
        learners=[fit],
    )
    nothing = env.initial(1)
    part = max(1, args.steps // 6)
    while trainer.step < args.steps:
        trainer.train(min(part, args.steps - trainer.step))
        one_by_one = policy.log_likelihood(test, generator=torch.Generator().manual_seed(0))
        at_once = policy.marginal(test)
        bits = [-float(value.mean()) / places / math.log(2) for value in (one_by_one, at_once)]
        print(
            f"step {trainer.step:5d}  fitted {fit.taken:5d}  bits a pixel: in a random order "
            f"{bits[0]:.3f}  at once {bits[1]:.3f}",
            flush=True,
        )

    # Every state is a question: what is known in it, whatever is not.
    upper = test.clone()
    upper[:, places // 2 :] = nothing[0, 0]
    mine = policy.conditional(test, evidence=upper)
    other = torch.cat([upper[:, : places // 2], test.roll(1, 0)[:, places // 2 :]], 1)
    theirs = policy.conditional(other, evidence=upper)
    right = (mine > theirs).double().mean()
    print(f"the lower half that goes with the upper one is the likelier in {float(right):.3f}")

    generator = torch.Generator().manual_seed(args.seed)
    order = random_orders(20, places, generator)
    given = upper[:20]
    found = policy.sample(given, order, generator)
    rank = (order.argsort(1) + places * (given != nothing)).argsort(1).argsort(1)
    rows = {"given": given}
    for share in (0.25, 0.5, 0.75):
        seen = (given != nothing) | (rank < share * places / 2)
        rows[f"{share:.0%} filled"] = found.where(seen, nothing)
    rows |= {"filled": found, "true": test[:20]}
    shown = {name: policy.sites.read(states) for name, states in rows.items()}
    print(f"picture: {inpainting(shown, (8, 8), args.out)}")


if __name__ == "__main__":
    main()
