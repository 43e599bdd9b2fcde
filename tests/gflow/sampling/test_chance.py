"""Moves of chance: drawn from the environment's own law, scored by it, and no network asked."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Exploration, MLPPolicy, Needs, TabularPolicy, enumerate_states, evaluate
from gflow.behaviours.acceptance import LogRatio
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.environment.base import Environment
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density, gaussian_log_prob
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import IllegalActionError, IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.memory.replay import ReplayBuffer
from gflow.metrics import total_variation
from gflow.objectives import FlowMatching, TrajectoryBalance
from gflow.policies.base import Policy, PolicyOutput
from gflow.rewards.base import FunctionReward
from gflow.sampling.sampler import Sampler
from gflow.testing.slipping import SlippingGrid
from gflow.training.trainer import TrainConfig, Trainer

ICE = SlippingGrid(2, 3, slip=0.2)
GRAPH = enumerate_states(ICE)
WILD = Exploration(epsilon=1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(graph: StateGraph[Any] = GRAPH, seed: int = 0) -> TabularPolicy:
    """Logits far from uniform, at chance's states too, where they must not count."""
    policy = TabularPolicy(graph, "uniform")
    with torch.no_grad():
        noise = torch.randn(policy.forward_table.shape, generator=seeded(seed))
        policy.forward_table.copy_(2 * noise)
    return policy


def by_hand(policy: TabularPolicy) -> dict[tuple[int, ...], float]:
    """Probability of each cell, by recursion over single moves written out."""
    found: dict[tuple[int, ...], float] = {}

    def walk(cell: tuple[int, int], p: float) -> None:
        state = torch.tensor([[*cell, 0]])
        logits = policy.forward_table[policy.graph.rows(state)][0].tolist()
        room = [i for i in (0, 1) if cell[i] < 2]
        total = sum(math.exp(logits[i]) for i in [*room, 2])
        found[cell] = found.get(cell, 0.0) + p * math.exp(logits[2]) / total
        for said in room:
            weight = {i: 0.8 if i == said else 0.2 for i in room}
            for i in room:
                there = (cell[0] + (i == 0), cell[1] + (i == 1))
                share = weight[i] / sum(weight.values())
                walk(there, p * math.exp(logits[said]) / total * share)

    walk((0, 0), 1.0)
    return found


def test_the_exact_distribution_mixes_the_moves_of_chance_in() -> None:
    policy = scattered()
    wanted = by_hand(policy)
    cells = GRAPH.states[GRAPH.objects][:, :-1].tolist()
    found = GRAPH.terminal_distribution(policy).exp()
    torch.testing.assert_close(found, torch.tensor([wanted[tuple(c)] for c in cells]).double())
    torch.testing.assert_close(found.sum(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("plan", ["ragged", "static"])
@pytest.mark.parametrize("share", [None, True, False])
@pytest.mark.parametrize("explored", [False, True], ids=["plain", "explored"])
def test_objects_have_the_exact_distribution_whatever_the_plan(
    plan: Any, share: bool | None, explored: bool
) -> None:
    """Exploring turns the agent's moves uniform and leaves those of chance alone."""
    policy = scattered()
    options: dict[str, Any] = {"exploration": WILD} if explored else {}
    batch = Sampler(ICE, plan, share).forward(policy, 20_000, generator=seeded(1), **options)
    counts = torch.bincount(GRAPH.rows(batch.final_states), minlength=len(GRAPH))[GRAPH.objects]
    meant = TabularPolicy(GRAPH, "uniform") if explored else policy
    exact = GRAPH.terminal_distribution(meant)
    noise = (exact.exp() * (1 - exact.exp()) / 20_000).sqrt()
    off = (counts / 20_000 - exact.exp()).abs() / noise
    assert float(off.max()) < 5, f"{float(off.max())} standard deviations"


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration(temperature=5.0),
        Exploration(stop_bias=3.0),
        Exploration(trajectory_epsilon=1.0),
        Exploration(epsilon=0.5),
        Exploration(other=scattered(seed=9), other_weight=1.0),
    ],
    ids=["temperature", "stop_bias", "trajectory", "epsilon", "other"],
)
def test_no_exploration_changes_chance(exploration: Exploration) -> None:
    batch = Sampler(ICE).forward(scattered(), 20_000, exploration=exploration, generator=seeded(2))
    states, steps = batch.states[batch.state_index[:, :-1]], batch.mask
    open_to = steps & (states[..., -1] > 0) & (states[..., :-1] < 2).all(-1)
    slips = batch.actions[open_to] != states[..., -1][open_to] - 1
    assert float(slips.double().mean()) == pytest.approx(0.2, abs=0.015)


def test_terms_hold_the_log_probabilities_of_chance_and_send_no_gradient_there() -> None:
    policy = scattered()
    batch = Sampler(ICE).forward(policy, 300, generator=seeded(3))
    terms = evaluate(ICE, policy, batch, Needs(mover=True))
    assert terms.mover is not None
    states = batch.states[batch.state_index[:, :-1]]
    cells, said = states[..., :-1], states[..., -1]
    chance = batch.mask & (said > 0)
    assert torch.equal(terms.mover, torch.where(chance, CHANCE, AGENT))
    alone = (cells < 2).sum(-1) == 1  # where one axis is left nothing can slip
    kept = torch.where(batch.actions == said - 1, 0.8, 0.2)
    wanted = torch.where(alone, torch.ones(()), kept).log()
    torch.testing.assert_close(terms.log_pf[chance], wanted[chance].to(terms.log_pf.dtype))
    policy.forward_table.grad = None
    terms.log_pf.sum().backward()
    gradient = policy.forward_table.grad
    assert gradient is not None
    turn = GRAPH.states[:, -1] > 0
    assert bool((gradient[turn] == 0).all())
    assert bool((gradient[~turn] != 0).any())
    assert evaluate(ICE, policy, batch).mover is None, "only where it is asked for"


def test_weights_of_trajectories_have_the_mean_z() -> None:
    """E[R P_B / P_F] = Z with the moves of chance in P_F: the terms are those of one measure."""
    ice = SlippingGrid(2, 2, slip=0.3)
    graph = enumerate_states(ice)
    policy = scattered(graph)
    total = 0.0
    sampler = Sampler(ice)
    for moves in itertools.product(range(3), repeat=5):
        for length in (1, 3, 5):
            actions = torch.tensor([moves])
            if actions[0, length - 1] != 2 or any(actions[0, length:].tolist()):
                continue
            try:
                batch = sampler.along(actions, torch.tensor([length]))
            except IllegalActionError:
                continue
            terms = evaluate(ice, policy, batch)
            total += math.exp(float((terms.log_weight + terms.log_pf.sum(-1)).detach()))
    log_z = math.log(sum(math.exp(float(r)) for r in graph.log_reward()[graph.objects]))
    assert math.log(total) == pytest.approx(log_z)


def test_walks_along_given_actions_and_replay_repeat_what_chance_did() -> None:
    policy = scattered()
    sampler = Sampler(ICE)
    batch = sampler.forward(policy, 50, generator=seeded(4))
    again = sampler.along(batch.actions, batch.length)
    assert torch.equal(again.final_states, batch.final_states)
    one, two = (evaluate(ICE, policy, b).log_pf.sum(-1) for b in (batch, again))
    torch.testing.assert_close(one, two)
    memory = ReplayBuffer(ICE, 100)
    memory.add(batch)
    drawn = memory.sample(sampler, 20, seeded(5), "cpu", policy)
    known = {tuple(row) for row in batch.actions.tolist()}
    width = batch.actions.shape[1]
    padded = torch.nn.functional.pad(drawn.actions, (0, width - drawn.actions.shape[1]))
    assert {tuple(row) for row in padded.tolist()} <= known, "the very moves, slips included"


def test_trajectories_drawn_backward_end_where_they_should() -> None:
    objects = GRAPH.states[GRAPH.objects]
    batch = Sampler(ICE).backward(scattered(), objects, generator=seeded(6))
    assert torch.equal(batch.final_states, objects)
    assert bool((batch.states_at(0) == 0).all())
    again = Sampler(ICE).along(batch.actions, batch.length)
    assert torch.equal(again.final_states, objects)


def test_local_search_takes_the_moves_of_chance_into_its_ratio() -> None:
    """log r = [log w(t') - log w(t)] of whole trajectories, whose kept parts cancel."""
    policy = scattered()
    search = LocalSearch(iterations=1, steps=2, accept="metropolis")
    sampling = Sampling(policy, Sampler(ICE), generator=seeded(7))
    current = sampling.fresh(64)
    revision = search.revise(sampling, current)
    ratio: LogRatio = search.log_ratio(sampling, current, revision.candidate, revision.keep)
    old, new = (evaluate(ICE, policy, b).log_weight for b in (current, revision.candidate))
    whole = (ratio.reward + ratio.backward + ratio.forward).to(old.dtype)
    kept_pb = [
        evaluate(ICE, policy, b)
        .log_pb.where(torch.arange(b.actions.shape[1]) < revision.keep[:, None], 0.0)
        .sum(-1)
        for b in (current, revision.candidate)
    ]
    torch.testing.assert_close(whole, new - old - (kept_pb[1] - kept_pb[0]))


def test_what_chooses_all_probabilities_itself_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="whose probabilities no policy can choose"):
        GRAPH.exact_flows()
    with pytest.raises(IncompatibleError, match="FlowMatching cannot train on SlippingGrid.*not"):
        FlowMatching().check(ICE)
    TrajectoryBalance().check(ICE)


def test_movers_without_a_law_of_chance_say_what_is_missing() -> None:
    class Lawless(SlippingGrid):
        chance_law = Environment.chance_law  # type: ignore[assignment]

    with pytest.raises(IncompatibleError, match="gives moves to chance.*Define `chance_law"):
        Sampler(Lawless()).forward(MLPPolicy(Lawless(), width=4), 4)


def test_a_policy_trains_against_chance() -> None:
    """Only the agent's moves can be learned: what is reached comes nearer to the target."""
    torch.manual_seed(0)
    policy = MLPPolicy(ICE, width=32, backward="uniform")
    before = total_variation(GRAPH.terminal_distribution(policy), GRAPH.log_target())
    config = TrainConfig(steps=80, batch_size=32, lr=1e-2, log_z_lr=0.1)
    Trainer(ICE, policy, TrajectoryBalance(), config).train()
    after = total_variation(GRAPH.terminal_distribution(policy), GRAPH.log_target())
    assert float(after) < 0.6 * float(before)


class Step(Density[Tensor]):
    """(N, 2) positions and times, the position moved by a Gaussian step."""

    def __init__(self, start: Tensor, mean: Tensor, by: int) -> None:
        self.start, self.mean, self.by = start, mean, by

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, None]:
        z = torch.randn(self.mean.shape, generator=generator)
        return torch.cat(
            [self.mean + (1 + noise**2) ** 0.5 * z, self.start[:, 1:] + self.by], 1
        ), None

    def log_prob(self, states: Tensor) -> Tensor:
        return gaussian_log_prob(states[:, :1], self.mean, torch.ones_like(self.mean))


class Gusts(ContinuousEnvironment[Tensor]):
    """Two steps on the line: the agent's, then one of the wind, whose mean is 5."""

    horizon, fixed_length, num_outputs, takes_noise = 2, True, 1, True

    def __init__(self) -> None:
        self.reward = FunctionReward(lambda states: -states[:, 0].square())

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.zeros(batch_size, 2, device=device)

    def is_terminal(self, states: Tensor) -> Tensor:
        return states[:, 1] == 2

    def is_initial(self, states: Tensor) -> Tensor:
        return states[:, 1] == 0

    def forward_law(self, states: Tensor, outputs: Tensor) -> Step:
        return Step(states, states[:, :1] + outputs, +1)

    def backward_law(self, states: Tensor, outputs: Tensor | None = None) -> Step:
        return Step(states, torch.zeros_like(states[:, :1]), -1)

    def mover(self, states: Tensor) -> Tensor:
        return torch.where(states[:, 1] == 1, CHANCE, AGENT)

    def chance_law(self, states: Tensor) -> Step:
        return Step(states, states[:, :1] + 5.0, +1)


class Steer(Policy):
    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor([[-3.0]]))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        return PolicyOutput(self.shift.expand(len(states), 1))


def test_densities_of_chance_are_drawn_and_scored() -> None:
    env, policy = Gusts(), Steer()
    loud = Exploration(noise=3.0)
    batch = Sampler(env).forward(policy, 4000, exploration=loud, generator=seeded(8))
    first, last = batch.states_at(1)[:, 0], batch.states_at(2)[:, 0]
    assert float(first.mean()) == pytest.approx(-3.0, abs=0.25)
    assert float(first.var()) == pytest.approx(10.0, abs=1.0)
    assert float((last - first).mean()) == pytest.approx(5.0, abs=0.1)
    assert float((last - first).var()) == pytest.approx(1.0, abs=0.1), "noise is the agent's alone"
    terms = evaluate(env, policy, batch, Needs(mover=True))
    assert terms.mover is not None
    assert terms.mover[0].tolist() == [AGENT, CHANCE]
    gust = -0.5 * (last - first - 5).square() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(terms.log_pf[:, 1], gust)
    (gradient,) = torch.autograd.grad(terms.log_pf[:, 1].sum(), policy.shift, allow_unused=True)
    assert gradient is None or float(gradient) == 0.0
