"""Local search: its chains against kernels written out in full, its batches against their parts.

The kernel between trajectories is summed over all numbers of transitions kept, from laws written
here by hand; only the acceptance is asked of the library. Sampled rounds are then compared to it.
"""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.behaviours.acceptance import LogRatio
from gflow.behaviours.backtracking import FixedSteps, RandomSteps
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.testing import TableEnvironment, all_trajectories, sample_environments
from gflow.testing.strategies import random_dags

SETS = FixedSizeSets(5, 3, AdditiveEnergy(torch.tensor([0.3, -0.8, 1.1, -0.2, 0.6])))
INTEGERS = TableEnvironment(
    [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5], [5], []],
    [0.2, -0.9, 0.7, -0.3, 1.1, 0.4],
    stops=[True] * 6,
)
"""0 ... 5 with steps +1, +2, +3 and a stop everywhere: trajectories of different lengths."""
GRID = HyperGrid(2, 3)
"""Ends by stopping; the length of a trajectory is a function of its object."""
TWINS = sample_environments()[-1]
"""Several actions with one child, forward and backward; ends by force and by stopping."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    """Random P_F and P_B."""
    policy = TabularPolicy(enumerate_states(env))
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


@cache
def perfect(env: DiscreteEnvironment[Any]) -> TabularPolicy:
    """P_F that solves the environment for a random P_B."""
    graph = enumerate_states(env)
    return TabularPolicy.solved(graph, graph.exact_flows(graph.log_pb(scattered(env))))


# ---------------------------------------------------------------------- kernels in full


def keep_law(steps: int | float | str, kept: int, length: int) -> float:
    """q(c | n), written once more."""
    if isinstance(steps, str):
        return 1 / length if kept < length else 0.0
    undone = steps if isinstance(steps, int) else math.ceil(steps * length - 1e-9)
    return float(kept == max(length - undone, 0))


class Kernel:
    """All pairs of trajectories of an environment and the rounds that lead from one to the other.

    Attributes:
        target: (N,) R(x) P_B(t | x) / Z.
        proposal: (W,) probability of each round: a trajectory, a number kept, a candidate.
    """

    def __init__(
        self, env: DiscreteEnvironment[Any], policy: TabularPolicy, search: LocalSearch
    ) -> None:
        self.search = search
        self.sampling = Sampling(policy, Sampler(env))
        self.all = all_trajectories(env)
        with torch.no_grad():
            self.terms = evaluate(env, policy, self.all)
        keys = env.key(self.all.states)[self.all.state_index].tolist()
        length = self.all.length.tolist()
        steps = {RandomSteps: lambda b: "random", FixedSteps: lambda b: b.steps}.get(
            type(search.backtracking), lambda b: b.fraction
        )(search.backtracking)
        log_pf = self.terms.log_pf.tolist()
        rounds = []
        for i, n in enumerate(length):
            for j, m in enumerate(length):
                for c in range(min(n, m)):
                    if keys[i][: c + 1] != keys[j][: c + 1]:
                        break
                    p = keep_law(steps, c, n)
                    if p:
                        rounds.append((i, c, j, p * math.exp(sum(log_pf[j][c:m]))))
        start, keep, end, proposal = zip(*rounds, strict=True)
        self.start, self.keep, self.end = (torch.tensor(x) for x in (start, keep, end))
        self.proposal = torch.tensor(proposal)
        weight = self.all.log_reward + self.terms.log_pb.where(self.terms.mask, 0.0).sum(-1)
        self.target = weight.softmax(0)
        self.objects, self.object = torch.unique(
            env.key(self.all.final_states), return_inverse=True
        )

    def ratio(self) -> LogRatio:
        """The library's log-ratio of every round."""
        current, candidate = self.all.select(self.start), self.all.select(self.end)
        return self.search.log_ratio(self.sampling, current, candidate, self.keep)

    def matrix(self, ratio: LogRatio | None = None) -> Tensor:
        """(N, N) probabilities of one round; the filter reads another ratio if one is given."""
        gain = (self.all.log_reward[self.end] - self.all.log_reward[self.start]).double()
        given = self.ratio if ratio is None else lambda: ratio
        p = self.search.filter.probability(lambda: gain, given)
        size = len(self.all)
        found = torch.zeros(size, size).index_put(
            (self.start, self.end), self.proposal * p, accumulate=True
        )
        return found + torch.diag(1 - found.sum(-1))

    def of_objects(self, ratio: LogRatio | None = None) -> tuple[Tensor, Tensor]:
        """(X,) R / Z and (X, X) the resampled round: a trajectory to x by P_B, a round, x'."""
        log_pb = self.terms.log_pb.where(self.terms.mask, 0.0).sum(-1)
        size, rows = len(self.objects), torch.arange(len(self.all))
        back = torch.zeros(size, len(rows)).index_put((self.object, rows), log_pb.exp())
        member = (self.object[:, None] == torch.arange(size)).double()
        value = torch.zeros(size).index_put((self.object,), self.all.log_reward)
        return value.softmax(0), back @ self.matrix(ratio) @ member


def error(law: Tensor, kernel: Tensor) -> float:
    """Largest difference between the flow from one state to another and the flow back."""
    torch.testing.assert_close(kernel.sum(-1), torch.ones(len(kernel)))
    assert bool((kernel > -1e-12).all())
    flow = law[:, None] * kernel
    return float((flow - flow.T).abs().max())


EXACT = ["metropolis", "barker"]


@pytest.mark.parametrize("accept", EXACT)
@pytest.mark.parametrize("steps", [1, 2, 3, 0.5, "random"])
def test_ls1_exact_filters_are_reversible_on_sets(accept: str, steps: Any) -> None:
    """The 10 x 10 kernel of sets of 3 out of 5, random P_F and P_B.

    Guards against ratios taken per pair of objects instead of per pair of paths, a missing P_B or
    reward, signs. Fails if `LogRatio.total` loses a part.
    """
    kernel = Kernel(SETS, scattered(SETS), LocalSearch(steps=steps, accept=accept))
    law, matrix = kernel.of_objects()
    assert len(law) == 10
    assert error(law, matrix) < 1e-12
    assert error(kernel.target, kernel.matrix()) < 1e-12
    assert float((law @ matrix - law).abs().max()) < 1e-12


def test_ls2_the_inverted_ratio_is_not_reversible() -> None:
    """Forward and backward swapped, as in one released code: the harness must see it."""
    kernel = Kernel(SETS, scattered(SETS), LocalSearch(steps=2, accept="metropolis"))
    right = kernel.ratio()
    inverted = replace(right, forward=-right.forward, backward=-right.backward)
    law, matrix = kernel.of_objects(inverted)
    assert error(law, matrix) > 1e-3
    assert error(kernel.target, kernel.matrix(inverted)) > 1e-3
    stationary = torch.linalg.matrix_power(matrix, 4096)[0]
    assert float((stationary - law).abs().sum()) / 2 > 0.05


def test_a_greedy_search_does_not_sample() -> None:
    law, matrix = Kernel(SETS, scattered(SETS), LocalSearch(steps=2)).of_objects()
    stationary = torch.linalg.matrix_power(matrix, 4096)[0]
    assert float((stationary - law).abs().sum()) / 2 > 0.4


@pytest.mark.parametrize("steps", [1, 2, 3, "random"])
def test_ls3_a_perfect_policy_is_always_accepted(steps: Any) -> None:
    """r = 1 for every round; the kernel without a filter is then reversible too.

    Guards against any mismatch between what is built and what is evaluated. Fails if `log_ratio`
    also sums what was kept of one trajectory only, or leaves out the last transition.
    """
    kernel = Kernel(SETS, perfect(SETS), LocalSearch(steps=steps, accept="metropolis"))
    torch.testing.assert_close(kernel.ratio().total, torch.zeros(len(kernel.keep)))
    chance = kernel.search.filter.probability(lambda: torch.ones(0), kernel.ratio)
    torch.testing.assert_close(chance, torch.ones_like(chance))
    bare = Kernel(SETS, perfect(SETS), LocalSearch(steps=steps, accept="none"))
    assert error(*bare.of_objects()) < 1e-12
    assert error(bare.target, bare.matrix()) < 1e-12


@pytest.mark.parametrize("env", [INTEGERS, GRID, TWINS], ids=["integers", "grid", "twins"])
def test_ls3_where_lengths_differ_only_the_lengths_are_left(env: DiscreteEnvironment[Any]) -> None:
    kernel = Kernel(env, perfect(env), LocalSearch(accept="metropolis"))
    ratio = kernel.ratio()
    rest = ratio.reward + ratio.forward + ratio.backward
    torch.testing.assert_close(rest, torch.zeros_like(rest))
    n, m = kernel.all.length[kernel.start], kernel.all.length[kernel.end]
    torch.testing.assert_close(ratio.keep, (n / m).log())


# ---------------------------------------------------------------------- LS-4: lengths differ


def test_ls4_the_integers_are_the_instance_of_the_catalogue() -> None:
    assert len(all_trajectories(INTEGERS)) == 1 + 1 + 2 + 4 + 7 + 13
    assert bool((all_trajectories(INTEGERS).length >= 1).all())


@pytest.mark.parametrize("accept", EXACT)
@pytest.mark.parametrize("env", [INTEGERS, GRID, TWINS], ids=["integers", "grid", "twins"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9, 0.4, "random"])
def test_ls4_reversible_for_every_distribution_of_steps(
    steps: Any, env: DiscreteEnvironment[Any], accept: str
) -> None:
    """(a) fixed K, rejected unless the new end has K transitions; (c) random K over trajectories.

    Guards against the missing |t| / |t'| and against fixed K without rejection. Fails if
    `log_ratio` leaves out `keep`.
    """
    kernel = Kernel(env, scattered(env), LocalSearch(steps=steps, accept=accept))
    assert error(kernel.target, kernel.matrix()) < 1e-12
    law, matrix = kernel.of_objects()
    assert error(law, matrix) < 1e-12
    torch.testing.assert_close(law @ matrix, law)


def test_ls4_a_new_end_of_another_length_is_rejected() -> None:
    """Variant (a), said as a rule: with s_c not the source, exactly K transitions must follow."""
    kernel = Kernel(INTEGERS, scattered(INTEGERS), LocalSearch(steps=2, accept="metropolis"))
    chance = kernel.ratio().total.clamp(max=0).exp()
    follows = kernel.all.length[kernel.end] - kernel.keep
    inner = kernel.keep > 0
    assert bool((chance[inner & (follows != 2)] == 0).all())
    assert bool((chance[inner & (follows == 2)] > 0).all())
    assert bool((chance[~inner & (follows > 2)] == 0).all())  # its own two back end elsewhere
    assert bool((chance[~inner & (follows <= 2)] > 0).all())


def test_ls4_random_steps_where_the_object_fixes_the_length() -> None:
    """Variant (b): r n(x) / n(x') over objects, on a grid, where n(x) is its depth and the stop."""
    kernel = Kernel(GRID, scattered(GRID), LocalSearch(accept="metropolis", prefix="resampled"))
    depth = kernel.all.final_states.sum(-1) + 1
    assert torch.equal(depth, kernel.all.length)
    torch.testing.assert_close(kernel.ratio().keep, (depth[kernel.start] / depth[kernel.end]).log())
    assert error(*kernel.of_objects()) < 1e-12


@pytest.mark.parametrize(("steps", "least"), [(2, 5e-3), ("random", 1e-3)])
def test_ls4_without_the_distribution_of_steps_it_is_wrong(steps: Any, least: float) -> None:
    """Negative: plain fixed K, and random K without |t| / |t'|."""
    kernel = Kernel(INTEGERS, scattered(INTEGERS), LocalSearch(steps=steps, accept="metropolis"))
    right = kernel.ratio()
    plain = replace(right, keep=torch.zeros_like(right.keep))
    assert error(kernel.target, kernel.matrix(plain)) > least
    assert error(*kernel.of_objects(plain)) > least / 5


@pytest.mark.slow
@settings(max_examples=25)
@given(
    env=random_dags(max_states=6),
    steps=st.sampled_from([1, 2, 0.5, "random"]),
    accept=st.sampled_from(EXACT),
)
def test_reversible_on_any_graph(env: TableEnvironment, steps: Any, accept: str) -> None:
    """Any kind of end, equal actions, lengths: joint and marginal distribution are the target's."""
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=seeded())
    kernel = Kernel(env, policy, LocalSearch(steps=steps, accept=accept))
    assert error(kernel.target, kernel.matrix()) < 1e-12
    law, matrix = kernel.of_objects()
    assert error(law, matrix) < 1e-12


# ---------------------------------------------------------------------- sampled rounds


def chi_square_limit(degrees: int) -> float:
    """99.99 % point of chi-square, by Wilson and Hilferty."""
    cube = 1 - 2 / (9 * degrees) + 3.719 * math.sqrt(2 / (9 * degrees))
    return degrees * cube**3


def assert_law(counts: Tensor, law: Tensor) -> None:
    assert bool((counts[law < 1e-12] == 0).all())
    expected = law * counts.sum()
    few = expected < 5
    pairs = [(counts[~few], expected[~few])]
    if bool(few.any()) and float(expected[few].sum()) > 1e-6:
        pairs.append((counts[few].sum()[None], expected[few].sum()[None]))
    seen, wanted = (torch.cat(x) for x in zip(*pairs, strict=True))
    statistic = float(((seen - wanted).square() / wanted).sum())
    assert statistic < chi_square_limit(max(len(seen) - 1, 1))


def codes(env: DiscreteEnvironment[Any], batch: Trajectories[Any], width: int) -> Tensor:
    """(B,) a number for each trajectory, from the states it passes."""
    keys = env.key(batch.states)[batch.state_index] + 1
    time = torch.arange(keys.shape[1])
    keys = keys.where(time <= batch.length[:, None], 0)
    radix = int(keys.max()) + 2 if env.num_keys is None else env.num_keys + 2
    assert radix**width < 2**62
    return (keys * radix**time).sum(-1)


@pytest.mark.parametrize(
    ("env", "steps", "accept", "prefix", "plan"),
    [
        (SETS, 2, "metropolis", "kept", "ragged"),
        (SETS, "random", "barker", "resampled", "ragged"),
        (INTEGERS, "random", "metropolis", "kept", "ragged"),
        (INTEGERS, 2, "metropolis", "kept", "static"),
        (INTEGERS, "random", "metropolis", "resampled", "static"),
        (GRID, 3, "barker", "kept", "auto"),
        (TWINS, "random", "metropolis", "kept", "auto"),
        (TWINS, 1, "greedy", "kept", "static"),
        (GRID, 0.5, "none", "resampled", "auto"),
    ],
    ids=lambda v: v if isinstance(v, str) else getattr(v, "name", str(v)),
)
def test_a_sampled_round_is_distributed_as_the_kernel_says(
    env: DiscreteEnvironment[Any], steps: Any, accept: str, prefix: Any, plan: Any
) -> None:
    """Where 20 000 chains that start in one trajectory are after a round, by chi-square.

    Guards against suffixes that start elsewhere, draws of K with another distribution, accepted
    chains that are not followed, and trajectories by P_B that are not. Fails if `revise` follows
    the candidate always.
    """
    search = LocalSearch(steps=steps, accept=accept, prefix=prefix)
    policy = scattered(env)
    kernel = Kernel(env, policy, search)
    matrix, width = kernel.matrix(), kernel.all.state_index.shape[1]
    known = codes(env, kernel.all, width)
    assert len(known.unique()) == len(known)
    if prefix == "resampled":
        log_pb = kernel.terms.log_pb.where(kernel.terms.mask, 0.0).sum(-1)
        same = kernel.object[:, None] == kernel.object
        matrix = (same * log_pb.exp()) @ matrix
    sampling = Sampling(policy, Sampler(env, plan), generator=seeded(3))
    row = int(kernel.all.length.argmax())
    current = kernel.all.select(torch.full((20_000,), row))
    revision = search.revise(sampling, current)
    found = codes(env, revision.following, width)
    order = known.argsort()
    place = order[torch.searchsorted(known[order], found).clamp(max=len(known) - 1)]
    assert torch.equal(known[place], found)
    assert_law(torch.bincount(place, minlength=len(known)).double(), matrix[row])


def test_chains_stay_in_the_target() -> None:
    """From exact objects, five rounds later: still R / Z, although the policy is far from it."""
    graph = enumerate_states(INTEGERS)
    policy = scattered(INTEGERS)
    sampler, generator = Sampler(INTEGERS), seeded(5)
    law = graph.log_target().exp()
    objects = graph.states[graph.objects[torch.multinomial(law, 20_000, True, generator=generator)]]
    sampling = Sampling(policy, sampler, generator=generator)
    current = sampler.backward(policy, objects, generator=generator)
    search = LocalSearch(accept="metropolis")
    for _ in range(5):
        current = search.revise(sampling, current).following
    place = graph.rows(current.final_states)
    counts = torch.bincount(place, minlength=len(graph))[graph.objects].double()
    assert_law(counts, law)


# ---------------------------------------------------------------------- LS-7 and LS-8


@pytest.mark.slow
@settings(max_examples=25)
@given(
    env=random_dags(max_states=8), seed=st.integers(0, 99), steps=st.sampled_from([1, 2, "random"])
)
def test_ls7_greedy_never_falls(env: TableEnvironment, seed: int, steps: Any) -> None:
    """Along each chain R rises where it changes.

    Fails if `Greedy` accepts what is worse, or equal.
    """
    policy = TabularPolicy(enumerate_states(env))
    sampling = Sampling(policy, Sampler(env), generator=seeded(seed))
    search = LocalSearch(steps=steps)
    current = sampling.fresh(16)
    for _ in range(4):
        revision = search.revise(sampling, current)
        before, after = current.log_reward, revision.following.log_reward
        assert bool((after >= before).all())
        assert torch.equal(revision.accepted, revision.candidate.log_reward > before)
        assert torch.equal(after > before, revision.accepted)
        current = revision.following


def test_ls8_every_number_of_steps_is_drawn_alike() -> None:
    """K uniform in 1 ... n. Fails if `RandomSteps` draws from n - 1 or n + 1 values."""
    for n in (1, 2, 3, 7):
        length = torch.full((8000,), n)
        keep = RandomSteps().keep(length, seeded(n))
        assert_law(torch.bincount(n - keep, minlength=n + 1)[1:].double(), torch.full((n,), 1 / n))


@pytest.mark.parametrize("env", [SETS, INTEGERS, TWINS], ids=["sets", "integers", "twins"])
def test_ls8_beyond_the_depth_it_is_an_independent_resample(env: DiscreteEnvironment[Any]) -> None:
    """Every row of the unfiltered kernel is the law of fresh trajectories, and so are samples.

    Fails if `FixedSteps` does not stop at the source.
    """
    policy, search = scattered(env), LocalSearch(steps=9, accept="none")
    kernel = Kernel(env, policy, search)
    fresh = kernel.terms.log_pf.where(kernel.terms.mask, 0.0).sum(-1).exp()
    torch.testing.assert_close(kernel.matrix(), fresh.expand(len(fresh), -1))
    sampling = Sampling(policy, Sampler(env), generator=seeded(6))
    current = kernel.all.select(torch.zeros(20_000, dtype=torch.int64))
    objects = search.revise(sampling, current).following.final_states
    graph = policy.graph
    counts = torch.bincount(graph.rows(objects), minlength=len(graph))[graph.objects].double()
    assert_law(counts, graph.terminal_distribution(policy).exp())
