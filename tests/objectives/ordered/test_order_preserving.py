"""Order-preserving objectives: what they read, by hand, and what they learn."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FlowTerms,
    FunctionReward,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.anchored import plain_log_reward
from gflow.objectives import OBJECTIVES, OrderPreserving, Solution
from gflow.objectives.ordered.order import all_pairs, listwise
from gflow.policies.encoder import FeatureEncoder
from gflow.policies.state_value import StateValue
from gflow.rewards.scalarizations import LogSum
from gflow.rewards.vector import VectorReward
from gflow.testing import TableEnvironment, all_trajectories

NAMES = sorted(n for n, kind in OBJECTIVES.items() if kind.solution is Solution.ORDERED)
STOP = HyperGrid(2, 4)
LADDER = TableEnvironment(  # ends by force, ways of length 1 to 4, several parents
    [[1, 2, 6], [2, 3], [3, 4, 5], [5, 6, 4], [6, 5], [], []], [0.1, 0.5, -0.3, 0.9, 0.2, 1.4, -0.6]
)
# Two actions to one child and two ways back to one parent.
FORK = TableEnvironment(
    [[1, 2, 1], [3, 2], [3, 4, 4], [5], [5], []],
    [0.3, -0.4, 0.9, -1.1, 0.2, 0.7],
    stops=[False, True, False, True, False, False],
    merge_parents=False,
)


class Ridge(VectorReward[Tensor]):
    """Both coordinates, less five times the distance from a + b = 4: nobody beats that line."""

    num_scores = 2

    def __init__(self) -> None:
        super().__init__(LogSum(low=-10))

    def scores(self, states: Tensor) -> Tensor:
        x = states.to(torch.get_default_dtype())
        return x - 5 * (x.sum(-1, keepdim=True) - 4).abs()


def scattered(
    env: DiscreteEnvironment[Any], seed: int = 0, backward: Any = "learned"
) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env), backward)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def made(name: str, env: DiscreteEnvironment[Any], **settings: Any) -> OrderPreserving:
    objective = OBJECTIVES[name].build(env, **settings)
    assert isinstance(objective, OrderPreserving)
    return objective


def prepared(name: str, env: DiscreteEnvironment[Any], **settings: Any) -> tuple[Any, ...]:
    objective, policy = made(name, env, **settings), scattered(env)
    walks = all_trajectories(env)
    batch = walks.select(torch.arange(0, len(walks), len(walks) // 12)[:12])
    return objective, policy, batch, objective.evaluate(env, policy, batch)


def test_they_are_the_ones_whose_solution_is_an_order() -> None:
    assert NAMES == ["opdb", "opflsubtb", "opfm", "opsubtb", "optb"]


# ---------------------------------------------------------------------- what they read, by hand


def flow_at(name: str, objective: Any, policy: TabularPolicy, env: Any, state: Tensor) -> float:
    """log F of one state as the tables have it."""
    value = policy.flow_table[policy.graph.rows(state)].item()
    if name == "opflsubtb":
        value += objective.network(env, state).item()
    return float(value)


@pytest.mark.parametrize("env", [STOP, LADDER], ids=["stop", "forced"])
@pytest.mark.parametrize("name", NAMES)
def test_the_implied_rewards_by_hand(name: str, env: DiscreteEnvironment[Any]) -> None:
    """Trajectory by trajectory, in plain loops. Defects: a suffix one too long or short, log P_B
    added, log R read in place of the last flow, a forced end taken for a stop."""
    objective, policy, batch, terms = prepared(name, env)
    assert len(set(batch.length.tolist())) > 2
    columns = objective.rankings(terms)[0]
    for k in range(len(batch)):
        n = int(batch.length[k])
        gain = (terms.log_pf[k, :n] - terms.log_pb[k, :n]).tolist()
        states = [batch.states[batch.state_index[k, t]][None] for t in range(n + 1)]
        if name == "optb":
            wanted = [sum(gain)]
        elif name == "opfm":
            graph, table = policy.graph, policy.forward_table
            end = int(graph.rows(states[n]))
            into = [
                table[p, a].item()
                for p, c, a in zip(graph.parent, graph.child, graph.action, strict=True)
                if int(c) == end
            ]
            stop = [table[end, -1].item()]
            wanted = [math.log(sum(math.exp(x) for x in (stop if batch.stopped[k] else into)))]
        else:
            lengths = [1] if name == "opdb" else range(1, n + 1)
            wanted = [
                flow_at(name, objective, policy, env, states[n - m]) + sum(gain[n - m :])
                for m in lengths
            ]
        assert columns.exists[k].sum() == len(wanted)
        torch.testing.assert_close(columns.rho[k, : len(wanted)].tolist(), wanted)
        implied = objective.implied_log_reward(terms)[k]
        torch.testing.assert_close(implied.item(), wanted[-1])
    torch.testing.assert_close(columns.scores, batch.log_reward[:, None])


@pytest.mark.parametrize("env", [STOP, LADDER], ids=["stop", "forced"])
@pytest.mark.parametrize("name", ["opdb", "opsubtb", "opflsubtb"])
def test_the_inner_balance_by_hand(name: str, env: DiscreteEnvironment[Any]) -> None:
    """Defects: the last transition balanced too, so that log R enters; lengths weighed wrongly."""
    objective, policy, batch, terms = prepared(name, env, lambda_op=0.0, lambda_flow=3.0)
    longest = int(batch.length.max())
    share = 0.7 if name == "opsubtb" else 0.9
    if name != "opdb":
        objective.lam = share
    found: dict[int, list[float]] = {}
    for k in range(len(batch)):
        n = int(batch.length[k])
        gain = (terms.log_pf[k, :n] - terms.log_pb[k, :n]).tolist()
        flow = [
            flow_at(name, objective, policy, env, batch.states[batch.state_index[k, t]][None])
            for t in range(n)
        ]
        for i in range(n):
            for j in range(i + 1, n):
                delta = flow[i] - flow[j] + sum(gain[i:j])
                found.setdefault(j - i, []).append(delta**2)
    if name == "opdb":
        wanted = sum(found[1]) / len(found[1])
    else:
        total = sum(share ** (m - 1) for m in range(1, longest + 1))
        wanted = sum(share ** (m - 1) * sum(v) / len(v) for m, v in found.items()) / total
    torch.testing.assert_close(objective(terms).item(), 3 * wanted)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_has_its_weight(name: str) -> None:
    """The loss is linear in lambda_op, and with one column it is the plain order loss."""
    objective, _, batch, terms = prepared(name, STOP, lambda_op=0.0)
    losses = []
    for value in (0.0, 1.0, 2.0):
        objective.lambda_op = value
        losses.append(objective(terms).item())
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0])
    order = losses[1] - losses[0]
    if name in ("optb", "opdb", "opfm"):
        rho = objective.implied_log_reward(terms)
        torch.testing.assert_close(order, all_pairs(rho, batch.log_reward[:, None]).sum().item())
    if name == "opsubtb":
        wanted, total = 0.0, 0.0
        rho = objective.rankings(terms)[0].rho
        for m in range(1, int(batch.length.max()) + 1):
            long = batch.length >= m
            value = all_pairs(rho[long, m - 1], batch.log_reward[long, None]).sum().item()
            wanted, total = wanted + 0.9 ** (m - 1) * value, total + 0.9 ** (m - 1)
        torch.testing.assert_close(order, wanted / total)


@pytest.mark.parametrize("env", [STOP, LADDER], ids=["stop", "forced"])
def test_differences_of_the_partial_reward_by_hand(env: DiscreteEnvironment[Any]) -> None:
    """Defects: E(s_j) - E(s_i) taken for the gain, a stop taken for a move, the sign of eta."""
    objective, _, batch, terms = prepared("opflsubtb", env)
    differences = objective.rankings(terms)[1]
    i, j = torch.triu_indices(batch.state_index.shape[1], batch.state_index.shape[1], 1).tolist()
    value = objective.network(env, batch.states).tolist()
    true = env.partial_log_reward(batch.states).tolist()
    seen = 0
    for k in range(len(batch)):
        moves = int(batch.length[k]) - int(batch.stopped[k])
        at = batch.state_index[k].tolist()
        for c in range(len(i)):
            assert bool(differences.exists[k, c]) == (j[c] <= moves)
            if j[c] <= moves:
                a, b = at[i[c]], at[j[c]]
                torch.testing.assert_close(differences.rho[k, c].item(), value[b] - value[a])
                torch.testing.assert_close(differences.scores[k, c, 0].item(), true[b] - true[a])
                seen += 1
    assert seen > 20
    lengths = [b - a for a, b in zip(i, j, strict=True)]
    of_length = [0.0] * (max(lengths) + 1)
    occurs = differences.exists.any(0).tolist()
    for m, w, here in zip(lengths, differences.weight.tolist(), occurs, strict=True):
        of_length[m] += w * here
    longest = int((batch.length - batch.stopped.long()).max())
    assert longest > 2
    for m in range(1, longest):
        torch.testing.assert_close(of_length[m + 1] / of_length[m], 0.9)


@pytest.mark.slow
def test_the_partial_reward_learns_the_order_of_the_true_one() -> None:
    torch.manual_seed(0)
    objective, policy, batch, _ = prepared("opflsubtb", LADDER, lambda_op=10.0)
    parameters = [*policy.parameters(), *objective.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)

    def agreement() -> float:
        first, second = objective.rankings(objective.evaluate(LADDER, policy, batch))
        del first
        rho, true = second.rho, second.scores[..., 0]
        right = (rho[:, None] - rho) * (true[:, None] - true) > 0
        known = second.exists[:, None] & second.exists & ((true[:, None] - true).abs() > 1e-6)
        return float(right[known].double().mean())

    before = agreement()
    for _ in range(250):
        optimizer.zero_grad()
        objective(objective.evaluate(LADDER, policy, batch)).backward()
        optimizer.step()
    assert before < 0.7
    assert agreement() > 0.93


# ---------------------------------------------------------------------- the backward regulariser


@pytest.mark.parametrize("env", [STOP, LADDER, FORK], ids=["stop", "forced", "classes"])
def test_the_backward_regulariser_is_zero_for_uniform_policies_only(
    env: DiscreteEnvironment[Any],
) -> None:
    """OP-10. Defects: illegal parents counted, a sum over actions in place of parents, the
    divergence turned round, stops counted as visits."""
    batch = all_trajectories(env)
    graph = enumerate_states(env)
    for policy in (TabularPolicy(graph, "uniform"), TabularPolicy(graph)):
        loss = {value: made("optb", env, lambda_kl=value) for value in (0.0, 2.0)}
        if env is FORK and policy.backward == "learned":
            # Two of three actions into one parent: uniform logits are not uniform over parents.
            continue
        found = [o(o.evaluate(env, policy, batch)).item() for o in loss.values()]
        torch.testing.assert_close(found[1], found[0], atol=1e-12, rtol=0)
    policy = scattered(env)
    found = [o(o.evaluate(env, policy, batch)) for o in loss.values()]
    by_hand, count = 0.0, 0
    log_pb = graph.log_pb(policy)
    for k in range(len(batch)):
        for t in range(1, int(batch.length[k] - batch.stopped[k].long()) + 1):
            row = int(graph.rows(batch.states[batch.state_index[k, t]][None]))
            into = log_pb[graph.child == row]
            n = len(into)
            by_hand += sum(-math.log(n) / n - x / n for x in into.tolist())
            count += 1
    torch.testing.assert_close((found[1] - found[0]).item(), 2 * by_hand / count)
    assert by_hand > 0.1
    (found[1] - found[0]).backward()
    gradient = policy.backward_table.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())
    assert bool((gradient != 0).any())


def test_the_regulariser_alone_makes_the_backward_policy_uniform() -> None:
    policy, batch = scattered(FORK), all_trajectories(FORK)
    objective = made("opdb", FORK, lambda_flow=0.0, lambda_op=0.0, lambda_kl=1.0)
    optimizer = torch.optim.LBFGS([policy.backward_table], max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(objective.evaluate(FORK, policy, batch))
        loss.backward()
        return loss

    optimizer.step(closure)
    graph = policy.graph
    torch.testing.assert_close(graph.log_pb(policy), graph.uniform_log_pb(), atol=1e-4, rtol=0)


# ---------------------------------------------------------------------- orders, groups, symmetry


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["auto", "pairwise", "all_pairs", "listwise"])
def test_gradients_reach_what_is_learned(name: str, order: str) -> None:
    """log F, P_F, P_B and the network; log Z is in no order."""
    objective, policy, _, terms = prepared(name, STOP, order=order)
    objective(terms).backward()
    reads = {"forward_table", "backward_table", "flow_table"}
    reads -= {"flow_table"} if name in ("optb", "opfm") else set()
    reads -= {"backward_table"} if name == "opfm" else set()
    found = {n for n, p in policy.named_parameters() if p.grad is not None and p.grad.any()}
    assert found == reads
    assert all(p.grad is not None and p.grad.any() for p in objective.parameters())


def test_the_automatic_order() -> None:
    """All pairs for a number, the front for several scores."""
    plain, _, batch, terms = prepared("optb", STOP)
    rho = plain.implied_log_reward(terms)
    torch.testing.assert_close(plain(terms), all_pairs(rho, batch.log_reward[:, None]).sum())
    objective, _, batch, terms = prepared("optb", HyperGrid(2, 4, Ridge()))
    assert batch.scores is not None
    rho = objective.implied_log_reward(terms)
    torch.testing.assert_close(objective(terms), listwise(rho, batch.scores).sum())
    assert batch.scores.shape == (12, 2)


def test_only_equal_conditions_are_compared() -> None:
    """Defects: one list for all conditions; a condition that occurs once taken for a list."""
    for name in NAMES:
        objective, _, _, terms = prepared(name, STOP, lambda_flow=0.0)
        condition = torch.tensor([[1.0], [2], [1], [2], [3], [1], [2], [1], [2], [2], [1], [2]])
        together = objective(replace(terms, condition=condition))
        first = torch.arange(terms.log_pf.shape[1]) == 0
        log_pf = terms.log_pf + 5.0 * (condition == 2) * first
        shifted = replace(terms, condition=condition, log_pf=log_pf)
        if name == "optb":  # a constant in one group changes nothing
            torch.testing.assert_close(objective(shifted), together)
            assert abs(objective(replace(shifted, condition=None)) - objective(terms)) > 1e-3
        with pytest.raises(ConfigError, match=r"no condition occurs twice .* of 12\. .*repeat=8"):
            objective(replace(terms, condition=torch.arange(12.0)[:, None]))


def test_pairs_are_drawn_anew_and_resumed() -> None:
    """Defects: a global generator; a state that is not saved."""
    objective, _, _, terms = prepared("optb", STOP, order="pairwise")
    saved = copy.deepcopy(objective.state_dict())
    state = torch.get_rng_state()
    first = [objective(terms).item() for _ in range(4)]
    assert len(set(first)) > 1
    assert torch.equal(torch.get_rng_state(), state)
    again = made("optb", STOP, order="pairwise")
    again.load_state_dict(saved)
    assert [again(terms).item() for _ in range(4)] == first
    other = made("optb", STOP, order="pairwise", generator=torch.Generator().manual_seed(1))
    assert [other(terms).item() for _ in range(4)] != first


class Twice(TableEnvironment):
    """Two objects of equal reward, the second of which is counted three times too often."""

    def log_symmetry(self, states: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, math.log(3.0)])[states]


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_objects_are_ordered_by_their_own_probability(name: str) -> None:
    """The flow of each labelled representation implies a third of the object's reward."""
    env = Twice([[1, 2], [], []], [0.4, 0.7, 0.7])
    objective = made(name, env)
    policy = TabularPolicy(enumerate_states(env))
    terms = objective.evaluate(env, policy, all_trajectories(env))
    assert terms.log_symmetry is not None
    torch.testing.assert_close(terms.scores, torch.full((2, 1), 0.7))
    rho = objective.rankings(terms)[0].rho[:, 0]
    torch.testing.assert_close((rho[1] - rho[0]).item(), math.log(3.0))


class Drawn(TableEnvironment):
    """Two objects of equal reward, the second of which has two finished states."""

    def log_multiplicity(self, states: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, math.log(2.0), math.log(2.0)])[states]


@pytest.mark.parametrize("name", NAMES)
def test_objects_of_several_states_are_ordered_by_their_whole_reward(name: str) -> None:
    """Each state implies its share of the reward, and objects are compared, not shares."""
    env = Drawn([[1, 2, 3], [], [], []], [0.4, 0.7, 0.7, 0.7])
    batch = all_trajectories(env)
    terms = made(name, env).evaluate(env, TabularPolicy(enumerate_states(env)), batch)
    torch.testing.assert_close(terms.scores, torch.full((3, 1), 0.7))
    rho = made(name, env).rankings(terms)[0].rho[:, 0]
    shares = rho - env.log_multiplicity(batch.final_states)
    torch.testing.assert_close(shares, shares[:1].expand(3))
    torch.testing.assert_close(plain_log_reward(env, batch), torch.full((3,), 0.7))


# ---------------------------------------------------------------------- refusals


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"reads no backward policy.*lambda_kl = 0\.1"):
        made("opfm", STOP, lambda_kl=0.1)
    with pytest.raises(ConfigError, match="lam must be positive"):
        made("opsubtb", STOP, lam=0.0)
    plain: FunctionReward[Tensor] = FunctionReward(lambda cells: cells.sum(-1).double())
    forced = HyperGrid(2, 3, plain, ending="forced")
    with pytest.raises(IncompatibleError, match=r"cannot train on HyperGrid: .*LogReward\.partial"):
        made("opflsubtb", forced)
    nameless = HyperGrid(2, 3)
    nameless.feature_sizes = ()
    with pytest.raises(IncompatibleError, match="FeatureEncoder reads categorical features"):
        made("opflsubtb", nameless)
    made("opflsubtb", nameless, network=StateValue(FeatureEncoder(STOP)))
    made("opflsubtb", nameless, encoder=FeatureEncoder(STOP))


def test_terms_from_elsewhere_are_refused_with_the_way_out() -> None:
    batch, policy = all_trajectories(HyperGrid(2, 3)), scattered(HyperGrid(2, 3))
    env = HyperGrid(2, 3)
    plain = made("opsubtb", env).evaluate(env, policy, batch)
    with pytest.raises(IncompatibleError, match=r"own network .*objective\.evaluate"):
        made("opflsubtb", env)(plain)
    with pytest.raises(IncompatibleError, match=r"divergence of P_B.*objective\.evaluate"):
        made("opsubtb", env, lambda_kl=0.5)(plain)


@pytest.mark.parametrize("name", NAMES)
def test_one_trajectory_is_no_order(name: str) -> None:
    objective, policy = made(name, STOP), scattered(STOP)
    batch: Trajectories[Any] = Sampler(STOP).forward(policy, 1)
    terms: FlowTerms = objective.evaluate(STOP, policy, batch)
    with pytest.raises(ConfigError, match="at least 2 trajectories"):
        objective(terms)
