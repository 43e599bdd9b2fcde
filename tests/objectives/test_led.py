"""Learned energy decomposition: what is exact, what is nearly so, and how potentials are fitted."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import (
    MLPPolicy,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
)
from gflow.environment.base import Environment
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sets.sets import FixedSizeSets, PairwiseEnergy, SetReward
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    LearnedEnergyDecomposition,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.objectives.potential import PairPotential, Potential, PotentialFit, potential_loss
from gflow.policies.encoder import FeatureEncoder
from gflow.testing import all_trajectories, minimise
from gflow.training.trainer import TrainConfig, Trainer


class TablePotential(Potential):
    """One number per transition of an enumerable environment."""

    def __init__(self, graph: StateGraph[Any], values: Tensor) -> None:
        super().__init__()
        table = torch.zeros(len(graph), len(graph), dtype=torch.float64)
        table[graph.parent, graph.child] = values.double()
        self.graph, self.table = graph, nn.Parameter(table)

    def forward(self, env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
        rows = self.graph.rows(trajectories.states)[trajectories.state_index]
        return self.table[rows[:, :-1], rows[:, 1:]].where(trajectories.moves, 0.0)


class TerminalEnergy(SetReward):
    """Random energies of finished sets that no sum over items explains; random inside as well."""

    def __init__(self, items: int, seed: int) -> None:
        self.num_items = items
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(2**items, generator=generator).double()
        self.table[0] = 0.0  # E(s0) = 0: potentials must sum to E(x)

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return -self.table[(states.long() * 2 ** torch.arange(self.num_items)).sum(-1)]


def sets(seed: int = 0) -> FixedSizeSets:
    return FixedSizeSets(5, 3, TerminalEnergy(5, seed))


def exact_potential(graph: StateGraph[Any]) -> Tensor:
    """(E,) differences of a state function that is E(x) at objects and 0 at s0."""
    energy = -graph.env.partial_log_reward(graph.states).double()
    return energy[graph.child] - energy[graph.parent]


def noise(count: int, seed: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)).double()


def led(potential: Potential, base: Any, mode: Any) -> LearnedEnergyDecomposition:
    return LearnedEnergyDecomposition(potential, base, mode)


def solve(
    objective: LearnedEnergyDecomposition, graph: StateGraph[Any], most: int = 800
) -> TabularPolicy:
    policy, batch = TabularPolicy(graph, "uniform"), all_trajectories(graph.env)
    minimise(
        lambda: objective(objective.evaluate(graph.env, policy, batch)), policy.parameters(), most
    )
    return policy


def closed_form(graph: StateGraph[Any], potential: Tensor) -> Tensor:
    """(X,) log of the law proportional to E_{P_B}[exp(-sum phi)], by backward recursion."""
    flow = torch.full((len(graph),), -torch.inf, dtype=torch.float64)
    flow[graph.objects] = 0.0
    edge = graph.uniform_log_pb() - potential
    for edges in reversed(graph.levels):
        for e in edges.tolist():
            s, c = graph.parent[e], graph.child[e]
            flow[s] = torch.logaddexp(flow[s], flow[c] + edge[e])
    log_pf = flow[graph.child] + edge - flow[graph.parent]
    stop = torch.full((len(graph),), -torch.inf, dtype=torch.float64)
    stop[graph.objects] = 0.0
    return graph.terminal_log_prob(log_pf, stop)


def distance(law: Tensor, graph: StateGraph[Any]) -> float:
    return float(total_variation(law, graph.log_target()))


# ---------------------------------------------------------------------- LED-1


@pytest.mark.parametrize("mode", ["none", "redistribute", "terminal"])
@pytest.mark.parametrize(
    ("base", "looking"),
    [
        (DetailedBalance(), ForwardLookingDetailedBalance()),
        (SubTrajectoryBalance(), ForwardLookingSubTrajectoryBalance()),
    ],
    ids=["db", "subtb"],
)
def test_led1_exact_potentials_are_forward_looking_energies(
    mode: str, base: Any, looking: Any
) -> None:
    """Guards against the sign of phi: it sums to E = -log R, not to log R."""
    env = sets()
    graph = enumerate_states(env)
    policy = TabularPolicy(graph)
    with torch.no_grad():
        for seed, parameter in enumerate(policy.parameters()):
            parameter.copy_(noise(parameter.numel(), seed).view_as(parameter))
    batch = all_trajectories(env)
    objective = led(TablePotential(graph, exact_potential(graph)), base, mode)
    got = objective.residual(objective.evaluate(env, policy, batch))
    wanted = looking.residual(looking.evaluate(env, policy, batch))
    torch.testing.assert_close(got, wanted)
    wrong = led(TablePotential(graph, -exact_potential(graph)), base, "none")
    off = wrong.residual(wrong.evaluate(env, policy, batch)) - wanted
    assert float(off.detach().abs().max()) > 0.1


def test_led1_when_the_loss_of_the_potentials_is_zero() -> None:
    moves = torch.tensor([[True, True, True, False]])
    energy = torch.tensor([6.0])
    uneven, even = torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[2.0, 2.0, 2.0, 9.0]])
    assert float(potential_loss(uneven, moves, energy)) == 0
    assert float(potential_loss(uneven + 0.3 * moves, moves, energy)) == pytest.approx(0.09)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert float(potential_loss(even, moves, energy, 0.5, generator)) == 0
    dropped = [float(potential_loss(uneven, moves, energy, 0.5, generator)) for _ in range(20)]
    assert max(dropped) >= 0.25


# ---------------------------------------------------------------------- LED-2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "redistribute", "terminal"])
@pytest.mark.parametrize("base", [DetailedBalance(), SubTrajectoryBalance()], ids=["db", "subtb"])
def test_led2_an_exact_decomposition_has_the_policy_of_detailed_balance(
    base: Any, mode: str
) -> None:
    graph = enumerate_states(sets(1))
    policy = solve(led(TablePotential(graph, exact_potential(graph)), base, mode), graph)
    wanted = graph.exact_flows().log_pf
    torch.testing.assert_close(graph.log_pf(policy)[0].exp(), wanted.exp(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("mode", ["none", "redistribute", "terminal"])
def test_led2_log_f_of_the_source_is_log_z(mode: str) -> None:
    """The source has no energy, so that its F~ is its F: the total flow."""
    graph = enumerate_states(sets(4))
    exact = exact_potential(graph)
    objective = led(TablePotential(graph, exact), SubTrajectoryBalance(), mode)
    terms = objective.evaluate(graph.env, solve(objective, graph), all_trajectories(graph.env))
    found = objective.log_z_estimate(terms)
    wanted = torch.full_like(found, graph.exact_flows().log_z)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_mean_gap_is_the_mean_unexplained_energy() -> None:
    """By hand, of whole trajectories with transitions; whatever else is in the batch."""
    env = sets(3)
    graph = enumerate_states(env)
    rough = exact_potential(graph) + noise(len(graph.parent), 1)
    objective = led(TablePotential(graph, rough), DetailedBalance(), "redistribute")
    batch = all_trajectories(env).select(torch.arange(5))
    raw = objective.potential(env, batch).detach()
    gaps = [
        abs(-float(batch.log_reward[k]) - sum(raw[k, : int(batch.length[k])].tolist()))
        for k in range(5)
    ]
    terms = objective.evaluate(env, TabularPolicy(graph), batch)
    found = objective.metrics(terms)
    assert found.keys() == {"mean_gap"}
    assert float(found["mean_gap"]) == pytest.approx(sum(gaps) / 5)
    assert min(gaps) > 0.01
    cut = objective.evaluate(
        env, TabularPolicy(graph), batch.truncate(torch.tensor([3, 1, 3, 2, 3]))
    )
    assert float(objective.metrics(cut)["mean_gap"]) == pytest.approx(
        (gaps[0] + gaps[2] + gaps[4]) / 3
    )


def test_trajectories_that_were_cut_have_no_gap_to_share() -> None:
    """Their end is not known, so redistributing does there what the terminal correction does."""
    env = sets(3)
    graph = enumerate_states(env)
    rough = TablePotential(graph, exact_potential(graph) + noise(len(graph.parent), 1))
    batch = all_trajectories(env).select(torch.arange(6))
    cut = batch.truncate(torch.tensor([3, 1, 3, 2, 3, 1]))
    ended = torch.tensor([True, False, True, False, True, False])
    found = []
    for mode in ("redistribute", "terminal"):
        objective = led(rough, DetailedBalance(), mode)
        terms = objective.evaluate(env, TabularPolicy(graph), cut)
        found.append(objective.residual(terms).detach())
    torch.testing.assert_close(found[0][~ended], found[1][~ended])
    assert float((found[0] - found[1])[ended].abs().min()) > 1e-3


def test_the_base_is_the_one_that_was_asked_for() -> None:
    built = {base: LearnedEnergyDecomposition.build(sets(), base=base) for base in ("db", "subtb")}
    assert type(built["db"].base) is DetailedBalance
    assert type(built["subtb"].base) is SubTrajectoryBalance
    other = LearnedEnergyDecomposition.build(sets(), base="subtb", lam=0.3).base
    assert isinstance(other, SubTrajectoryBalance)
    assert other.lam == 0.3
    batch, graph = all_trajectories(sets()), enumerate_states(sets())
    for base, shape in (("db", (60, 3)), ("subtb", (60, 6))):
        terms = built[base].evaluate(sets(), TabularPolicy(graph), batch)
        assert built[base].residual(terms).shape == shape


# ---------------------------------------------------------------------- LED-3, LED-4


@pytest.mark.slow
def test_led3_uncorrected_potentials_sample_what_they_say() -> None:
    """And not R: potentials must fit, or the residual must enter."""
    graph = enumerate_states(sets(2))
    potential = exact_potential(graph) + 0.7 * noise(len(graph.parent), 5)
    policy = solve(led(TablePotential(graph, potential), DetailedBalance(), "none"), graph)
    law = graph.terminal_distribution(policy)
    torch.testing.assert_close(law, closed_form(graph, potential), atol=1e-6, rtol=0)
    assert distance(law, graph) > 0.02


@pytest.mark.parametrize(("seed", "epsilon"), [(3, 0.2), (5, 1.0)])
def test_led4_small_gaps_make_small_errors(seed: int, epsilon: float) -> None:
    """Sums that are off by at most epsilon move the solution by no more than the bound."""
    graph = enumerate_states(sets(seed))
    steps = 3
    wobble = 2 * torch.rand(len(graph.parent), generator=torch.Generator().manual_seed(seed)) - 1
    potential = TablePotential(graph, exact_potential(graph) + epsilon / steps * wobble.double())
    objective, batch = led(potential, DetailedBalance(), "none"), all_trajectories(graph.env)
    terms = objective.evaluate(graph.env, TabularPolicy(graph), batch)
    assert 0 < float(objective.metrics(terms)["mean_gap"]) <= epsilon
    error = distance(graph.terminal_distribution(solve(objective, graph, 200)), graph)
    assert epsilon / 100 < error <= (math.exp(2 * epsilon) - 1) / 2


# ---------------------------------------------------------------------- LED-5


def spent(objective: LearnedEnergyDecomposition, env: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """(B, T) potentials as they enter the flows, and E(x)."""
    graph = enumerate_states(env)
    policy = TabularPolicy(graph)  # its log-flows are zero
    terms = objective.evaluate(env, policy, batch)
    flow = objective.credited(terms).log_flow
    assert flow is not None
    return -flow.diff(dim=-1).detach(), -batch.log_reward


def test_led5_redistribution_makes_sums_exact_and_leaves_exact_ones_alone() -> None:
    env = sets(3)
    graph = enumerate_states(env)
    exact = exact_potential(graph)
    batch = all_trajectories(env)
    rough = exact + noise(len(exact), 1)
    given_, energy = spent(led(TablePotential(graph, rough), None, "redistribute"), env, batch)
    torch.testing.assert_close(given_.sum(-1), energy)
    raw = TablePotential(graph, rough)(env, batch).detach()
    gap = (energy - raw.sum(-1)) / batch.length
    torch.testing.assert_close(given_, raw + gap[:, None])  # every transition the same share
    alike, _ = spent(led(TablePotential(graph, exact), None, "redistribute"), env, batch)
    torch.testing.assert_close(alike, TablePotential(graph, exact)(env, batch).detach())
    few = batch.select(torch.tensor([7, 3]))
    some, _ = spent(led(TablePotential(graph, rough), None, "redistribute"), env, few)
    torch.testing.assert_close(some, given_[[7, 3]])  # whoever else is in the batch


def test_led5_the_terminal_correction_goes_into_the_last_transition() -> None:
    env = sets(3)
    graph = enumerate_states(env)
    rough = exact_potential(graph) + noise(len(graph.parent), 1)
    batch = all_trajectories(env)
    given_, energy = spent(led(TablePotential(graph, rough), None, "terminal"), env, batch)
    raw = TablePotential(graph, rough)(env, batch).detach()
    torch.testing.assert_close(given_[:, :-1], raw[:, :-1])
    torch.testing.assert_close(given_.sum(-1), energy)
    plain, _ = spent(led(TablePotential(graph, rough), None, "none"), env, batch)
    torch.testing.assert_close(plain, raw)


# ---------------------------------------------------------------------- LED-6


@pytest.mark.slow
def test_led6_redistribution_reduces_the_bias_of_noisy_potentials() -> None:
    """On average over noise, and not to zero: the sums are right, the parts are not."""
    errors: dict[str, list[float]] = {"none": [], "redistribute": []}
    for seed in range(20):
        graph = enumerate_states(sets(seed))
        potential = exact_potential(graph) + 0.5 * noise(len(graph.parent), 100 + seed)
        for mode, found in errors.items():
            objective = led(TablePotential(graph, potential), DetailedBalance(), mode)
            found.append(distance(graph.terminal_distribution(solve(objective, graph, 300)), graph))
    plain, shared = (sum(v) / len(v) for v in errors.values())
    assert 0.005 < shared < 0.6 * plain


# ---------------------------------------------------------------------- LED-7


def test_led7_the_last_potential_is_dropped_like_the_others() -> None:
    """It is kept by force where all would go: 7/16 of all sums leave it out, 9/16 hold it."""
    moves = torch.ones(2000, 4, dtype=torch.bool)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(2000, 4)
    loss = potential_loss(last, moves, torch.zeros(2000), 0.5, torch.Generator().manual_seed(0))
    assert abs(float((loss == 0).double().mean()) - 7 / 16) < 0.05
    assert abs(float((loss == 1).double().mean()) - 2 / 16) < 0.04  # alone: by draw, or by force


def test_led7_one_potential_is_always_kept_and_keeping_all_is_deterministic() -> None:
    moves = torch.ones(500, 4, dtype=torch.bool)
    moves[:, 3] = torch.arange(500) % 2 == 0
    potential, energy = torch.arange(4.0).expand(500, 4), torch.zeros(500)
    generator = torch.Generator().manual_seed(0)
    value = potential_loss(potential, moves, energy, 0.01, generator)
    last = moves.sum(-1) - 1.0  # nearly always all are dropped, and the last one is kept
    assert float((value == last.square()).double().mean()) > 0.9
    every = potential_loss(potential, moves, energy)
    torch.testing.assert_close(every, (potential * moves).sum(-1).div(moves.sum(-1)).square())


def test_led7_flows_send_no_gradient_into_potentials() -> None:
    env = HyperGrid(2, 4, Corners(4, 0.05))
    policy = MLPPolicy(env, 16, log_flow=True)
    batch = Sampler(env).forward(policy, 8)
    for mode in ("none", "redistribute", "terminal"):
        objective = LearnedEnergyDecomposition.build(env, residual=mode)
        objective(objective.evaluate(env, policy, batch)).backward()
        assert all(p.grad is None for p in objective.parameters())
        assert all(p.grad is not None for p in policy.parameters())


# ---------------------------------------------------------------------- LED-8


def test_led8_pairs_never_straddle_trajectories_and_stops_have_no_potential() -> None:
    """Guards against pairs made by shifting one list of states over the whole batch."""
    env = HyperGrid(2, 5, Corners(5, 0.05))
    generator = torch.Generator().manual_seed(0)
    batch = Sampler(env).forward(TabularPolicy(enumerate_states(env)), 12, generator=generator)
    assert len(set(batch.length.tolist())) > 2
    potential = PairPotential(FeatureEncoder(env, 8), 8)
    together = potential(env, batch).detach()
    for row in range(len(batch)):
        alone = potential(env, batch.select(torch.tensor([row]))).detach()
        length = int(batch.length[row])
        torch.testing.assert_close(alone[0], together[row, :length])
        assert bool((together[row, length - int(batch.stopped[row]) :] == 0).all())
    moved = together[batch.moves]
    assert bool((moved != 0).all())


def test_trajectories_that_stop_at_once_are_anchored_at_their_reward() -> None:
    """They have no transition that could carry the energy, in whatever mode."""
    env = HyperGrid(1, 3, Corners(3, 0.2))
    graph = enumerate_states(env)
    stop = Sampler(env).along(torch.tensor([[env.stop_action]]), torch.tensor([1]))
    for mode in ("none", "redistribute", "terminal"):
        objective = led(TablePotential(graph, torch.ones(len(graph.parent))), None, mode)
        flow = objective.credited(objective.evaluate(env, TabularPolicy(graph), stop)).log_flow
        assert flow is not None
        torch.testing.assert_close(flow[0, 1], stop.log_reward[0])


# ---------------------------------------------------------------------- the fit


@pytest.mark.slow
def test_potentials_learn_to_sum_to_the_energy_and_training_finds_the_target() -> None:
    """The whole loop on a non-additive energy, against the exact law."""
    generator = torch.Generator().manual_seed(0)
    interaction = torch.randn(7, 7, generator=generator).double()
    reward = PairwiseEnergy(noise(7, 1), (interaction + interaction.T) / 2)
    env = FixedSizeSets(7, 3, reward)
    torch.manual_seed(0)
    policy = MLPPolicy(env, 64, log_flow=True)
    objective = LearnedEnergyDecomposition.build(env, width=64, steps=4, memory=20, dropout=0.0)
    config = TrainConfig(steps=400, batch_size=32, lr=3e-3, epsilon=0.3)
    trainer = Trainer(env, policy, objective, config)
    first = trainer.train_step()
    last = trainer.train()
    assert last["mean_gap"] < 0.2 * first["mean_gap"]
    assert last["potential_loss"] < first["potential_loss"]
    graph = enumerate_states(env)
    assert distance(graph.terminal_distribution(policy), graph) < 0.08


def test_the_fit_resumes_to_the_same_numbers() -> None:
    env = sets(4)

    def trainer() -> Trainer:
        torch.manual_seed(1)
        objective = LearnedEnergyDecomposition.build(env, width=16, steps=2, memory=3)
        policy = MLPPolicy(env, 16, log_flow=True)
        return Trainer(env, policy, objective, TrainConfig(steps=12, batch_size=8))

    whole = trainer()
    wanted = whole.train()
    early, late = trainer(), trainer()
    early.train(6)
    late.load_state_dict(early.state_dict())
    assert late.train(6) == wanted
    for a, b in zip(late.objective.parameters(), whole.objective.parameters(), strict=True):
        assert torch.equal(a, b)


def test_mistakes_are_refused() -> None:
    env = sets()
    with pytest.raises(ValueError, match="residual must be one of none, redistribute, terminal"):
        LearnedEnergyDecomposition.build(env, residual="some")
    with pytest.raises(ValueError, match="TrajectoryBalance is neither"):
        led(TablePotential(enumerate_states(env), torch.zeros(1)), TrajectoryBalance(), "none")
    with pytest.raises(ValueError, match=r"PotentialFit: dropout must lie in \[0, 1\), got 1"):
        PotentialFit(env, PairPotential(FeatureEncoder(env)), dropout=1.0)
