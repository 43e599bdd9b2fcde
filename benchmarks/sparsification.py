"""What order-preserving trajectory balance learns on a total order: theory against training.

Run:   python benchmarks/sparsification.py
Takes: about 20 seconds on one core.
Shows: two tables. First, ten ranked objects, log R^ bounded to [-log gamma, log gamma], neighbours
       compared: the learned gaps and the probability of the best next to the closed form, whose
       gaps are 2 log gamma / 9. Expect equality to three digits. Second, sets of three out of five
       without a bound, all pairs compared: the probability of the best as training goes on, and the
       gamma that the closed form needs for the same. Expect both to rise: time plays the bound.

The mathematics is in Chen & Mauch, Order-Preserving GFlowNets, 2024,
https://arxiv.org/abs/2310.00386. A chain of neighbours with minimum n log(1 + gamma^(-2/n)) at
r_i = gamma^(2i/n - 1) is what their bound on the learned reward gives.
"""

import argparse
import math

import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, TabularPolicy, enumerate_states
from gflow.envs.sets.sets import FixedSizeSets
from gflow.objectives import OrderPreservingTrajectoryBalance
from gflow.objectives.ordered.order import pairwise
from gflow.testing import TableEnvironment, all_trajectories

OBJECTS = 10
GAMMAS = (2.0, 10.0, 100.0, 1e4)
STEPS = (0, 100, 500, 1000, 2000, 4000)


def closed_form(gamma: float, count: int = OBJECTS) -> Tensor:
    """(count,) log R^ of ranked objects under the bound, neighbours compared."""
    place = torch.arange(count, dtype=torch.float64)
    return (2 * place / (count - 1) - 1) * math.log(gamma)


def learned(gamma: float, steps: int) -> tuple[Tensor, float]:
    """(count,) log R^ and the loss, trained by Adam that is projected on the bound."""
    env = TableEnvironment(
        [list(range(1, OBJECTS + 1)), *([] for _ in range(OBJECTS))],
        [0.0, *(0.1 * i for i in range(OBJECTS))],
    )
    policy = TabularPolicy(enumerate_states(env), "uniform")
    objective = OrderPreservingTrajectoryBalance()
    batch = all_trajectories(env)  # one for each object, in the order of the table
    partner = torch.arange(1, OBJECTS + 1).clamp(max=OBJECTS - 1)
    optimizer = torch.optim.Adam([policy.forward_table], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    bound = math.log(gamma)
    for _ in range(steps):
        optimizer.zero_grad()
        terms = objective.evaluate(env, policy, batch)
        assert terms.scores is not None
        share = pairwise(objective.implied_log_reward(terms), terms.scores, partner)
        loss = (OBJECTS - 1) * share.sum()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            policy.forward_table.clamp_(-bound, bound)
    rho = objective.implied_log_reward(objective.evaluate(env, policy, batch)).detach()
    # log P_F is normalised and the bound is not: compare with the middle at zero.
    return rho - (rho[0] + rho[-1]) / 2, float(loss.detach())


def bounded(steps: int) -> float:
    """Print the first table; the largest error of log R^."""
    print(f"{OBJECTS} ranked objects, log R^ within [-log gamma, log gamma], neighbours compared")
    print("   gamma   learned gaps     closed   loss       closed     p(best)  closed")
    worst = 0.0
    for gamma in GAMMAS:
        rho, loss = learned(gamma, steps)
        theory = closed_form(gamma)
        gap, n = rho.diff(), OBJECTS - 1
        least = n * math.log1p(gamma ** (-2 / n))
        worst = max(worst, float((rho - theory).abs().max()))
        print(
            f"{gamma:8g}   {float(gap.min()):.4f}..{float(gap.max()):.4f}   "
            f"{2 * math.log(gamma) / n:.4f}   {loss:.6f}   {least:.6f}   "
            f"{float(rho.softmax(0)[-1]):.4f}   {float(theory.softmax(0)[-1]):.4f}"
        )
    print(f"largest error of a learned log R^: {worst:.1e}\n")
    return worst


def equivalent_gamma(best: float) -> float:
    """The bound under which the closed form gives the best object this probability."""
    low, high = 0.0, 60.0  # log gamma
    for _ in range(80):
        middle = (low + high) / 2
        share = float(closed_form(math.exp(middle)).softmax(0)[-1])
        low, high = (middle, high) if share < best else (low, middle)
    return math.exp(low)


def ranked_sets(seed: int) -> DiscreteEnvironment[Tensor]:
    """Sets of three out of five, each with a reward of its own."""
    table = torch.randn(32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    places = 2 ** torch.arange(5)
    return FixedSizeSets(5, 3, FunctionReward(lambda sets: table[(sets * places).sum(-1)]))


def unbounded(seed: int, steps: tuple[int, ...]) -> list[float]:
    """Print the second table; p(best) at each of `steps`."""
    env = ranked_sets(seed)
    graph, batch = enumerate_states(env), all_trajectories(env)
    objective, policy = OrderPreservingTrajectoryBalance(), TabularPolicy(graph, "uniform")
    optimizer = torch.optim.Adam([policy.forward_table], lr=1e-2)
    target = graph.log_target()
    rows = graph.rows(batch.final_states)
    print("sets of 3 out of 5, no bound, all pairs of the 60 trajectories compared")
    print("    step   p(best)   gamma of the same   in order   spread of log R^ within an object")
    found = []
    for step in range(max(steps) + 1):
        terms = objective.evaluate(env, policy, batch)
        if step in steps:
            learned = graph.terminal_distribution(policy)
            rho = objective.implied_log_reward(terms).detach()
            spread = torch.stack([rho[rows == row].std() for row in rows.unique()]).mean()
            better = target[:, None] > target
            right = ((learned[:, None] > learned + 1e-12) & better).sum() / better.sum()
            found.append(float(learned[target.argmax()].exp()))
            print(
                f"{step:8d}   {found[-1]:.3f}     {equivalent_gamma(found[-1]):12.4g}"
                f"        {float(right):.3f}      {float(spread):.3f}"
            )
        optimizer.zero_grad()
        objective(terms).backward()
        optimizer.step()
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="of training under the bound")
    parser.add_argument("--seed", type=int, default=0, help="of the rewards of the sets")
    parser.add_argument("--longest", type=int, default=STEPS[-1], help="steps without a bound")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    bounded(args.steps)
    unbounded(args.seed, tuple(step for step in STEPS if step <= args.longest))


if __name__ == "__main__":
    main()
