"""Balance with bonuses for new states, against exact sums; and the novelty that gives them."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch

from gflow import (
    DiscreteEnvironment,
    MLPPolicy,
    Sampler,
    TrainConfig,
    Trainer,
    enumerate_states,
)
from gflow.envs import HyperGrid
from gflow.envs.cubes.box import Box
from gflow.envs.grids.rewards import Corners
from gflow.errors import IncompatibleError
from gflow.exact.tabular import TabularPolicy
from gflow.objectives import GenerativeAugmentation, TrajectoryBalance
from gflow.objectives.exploration.novelty import Novelty, RandomDistillation
from gflow.outcomes import OutcomeConditioned
from gflow.policies.encoder import FeatureEncoder
from gflow.testing import TableEnvironment, check_objective
from gflow.testing.enumeration import all_trajectories
from gflow.testing.solve import minimise

DIAMOND = TableEnvironment(
    [[1, 2], [3, 4], [3], [4, 5], [], []], [0.0, 0.3, 0.0, 0.5, 1.0, -0.4],
    stops=[False, True, False, True, False, False],
)  # fmt: skip
ENVS: dict[str, DiscreteEnvironment[Any]] = {
    "stops": HyperGrid(2, 3, Corners(3, 0.1)),
    "forced": HyperGrid(2, 4, Corners(4, 0.1), ending="forced"),
    "both": DIAMOND,
}
FORMS: tuple[Literal["trajectory", "transition"], ...] = ("trajectory", "transition")


def made(env: DiscreteEnvironment[Any], form: Any = "trajectory", scale: float = 2.0) -> Any:
    torch.manual_seed(0)
    return GenerativeAugmentation.build(env, width=8, scale=scale, form=form)


@pytest.mark.parametrize("name", ENVS)
def test_exact_flows_are_sums_over_trajectories(name: str) -> None:
    """F(s0) = sum of R + b over objects and of b over moves on the way; paths multiply weights."""
    env = ENVS[name]
    objective, graph = made(env), enumerate_states(env)
    flows = objective.exact_flows(graph)
    bonus = objective.novelty(env, graph.states)
    assert float(bonus.min()) > 0.1
    total = (graph.log_reward().exp() + bonus)[graph.objects].sum()
    forced = env.is_terminal(graph.states)
    total = total + bonus[graph.child][~forced[graph.child]].sum()
    assert flows.log_z == pytest.approx(float(total.log()), abs=1e-12)
    # Each path: the product of P_B + b / F on the way, times R + b at its end, over Z.
    log_pb, law = graph.uniform_log_pb().exp(), torch.zeros(len(graph))
    for path in every_path(graph):
        end = int(graph.child[path[-1]]) if path else 0
        if not bool(graph.can_end[end]):
            continue
        weight = graph.log_reward().exp()[end] + bonus[end]
        for edge in path:
            child = int(graph.child[edge])
            extra = 0.0 if bool(forced[child]) else bonus[child] / flows.log_flow[child].exp()
            weight = weight * (log_pb[edge] + extra)
        law[end] += weight / total
    assert float(law.sum()) == pytest.approx(1.0)
    reached = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    assert torch.allclose(reached, law[graph.objects], atol=1e-12)
    assert float((reached - graph.log_target().exp()).abs().sum()) > 0.1


def every_path(graph: Any, at: int = 0) -> list[list[int]]:
    """Lists of transitions from a state, the empty one first."""
    found: list[list[int]] = [[]]
    for edge in (graph.parent == at).nonzero().squeeze(1).tolist():
        found += [[edge, *rest] for rest in every_path(graph, int(graph.child[edge]))]
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ENVS)
def test_residuals_vanish_at_exact_flows_and_nowhere_near(name: str, form: Any) -> None:
    env = ENVS[name]
    objective, graph = made(env, form), enumerate_states(env)
    edge = torch.randn(len(graph.parent), generator=torch.Generator().manual_seed(1))
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    flows = objective.exact_flows(graph, edge - total[graph.child])
    if objective.log_z is not None:
        objective.log_z.value.data.fill_(flows.log_z)
    policy = TabularPolicy.solved(graph, flows)
    batch = all_trajectories(env, 1000)
    residual = objective.residual(objective.evaluate(env, policy, batch)).detach()
    assert residual.shape[0] == len(batch)
    assert float(residual.abs().max()) < 1e-9
    assert torch.allclose(
        objective.log_z_estimate(objective.evaluate(env, policy, batch)).detach(),
        torch.full((len(batch),), flows.log_z),
    )
    policy.flow_table.data[1] += 0.5
    moved = objective.residual(objective.evaluate(env, policy, batch)).detach()
    through = (batch.state_index == graph.rows(batch.states).tolist().index(1)).any(1)
    through &= batch.length > 1 if name == "stops" else True
    assert bool((moved.abs().reshape(len(batch), -1).amax(1) > 1e-3)[through].all())


@pytest.mark.parametrize("form", FORMS)
def test_it_keeps_the_contract_of_objectives(form: Any) -> None:
    checked = check_objective(lambda: made(ENVS["stops"], form), ENVS["stops"], solve=False)
    assert checked.environments == 1


@pytest.mark.parametrize("name", ENVS)
def test_balanced_transitions_fix_all_flows(name: str) -> None:
    env = ENVS[name]
    objective, graph = made(env, "transition"), enumerate_states(env)
    flows = objective.exact_flows(graph)
    policy, batch = TabularPolicy(graph, "uniform"), all_trajectories(env, 1000)
    loss = minimise(
        lambda: objective(objective.evaluate(env, policy, batch)),
        list(policy.parameters()),
        400,
        1e-12,
    )
    assert loss < 1e-10
    reached = graph.terminal_distribution(policy).exp()
    exact = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    assert torch.allclose(reached, exact, atol=1e-4)
    inner = ~env.is_terminal(graph.states)
    assert torch.allclose(policy.flow_table[inner], flows.log_flow[inner], atol=1e-3)


def test_without_bonuses_it_is_trajectory_balance() -> None:
    env = ENVS["both"]
    objective, plain = made(env, scale=1e-300), TrajectoryBalance()
    policy = TabularPolicy(enumerate_states(env))
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    batch = all_trajectories(env, 1000)
    one = objective.residual(objective.evaluate(env, policy, batch))
    two = plain.residual(plain.evaluate(env, policy, batch))
    assert torch.allclose(one, two, atol=1e-12)
    one.square().sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in policy.parameters())


# ---------------------------------------------------------------------- novelty


def test_novelty_goes_where_one_has_been_and_stays_elsewhere() -> None:
    torch.manual_seed(1)
    env = HyperGrid(2, 8, Corners(8, 0.1))
    novelty = Novelty(FeatureEncoder(env, 32), 32, 16, scale=1.0)
    graph = enumerate_states(env)
    before = novelty(env, graph.states)
    assert float(before.min()) > 0.1
    one, other = (part.state_dict()["table"] for part in (novelty.encoder, novelty.still))
    assert not torch.equal(one, other)
    assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)
    still = [p.clone() for p in [*novelty.still.parameters(), *novelty.still_head.parameters()]]
    learner, generator = RandomDistillation(novelty, lr=1e-2), torch.Generator()
    half = graph.states[(graph.states[:, 0] < 4) & (graph.states[:, 1] < 4)]
    actions = torch.full((len(half), 1), env.num_actions - 1)
    batch = Sampler(env).along(actions, torch.ones(len(half), dtype=torch.int64))
    batch = replace(batch, states=half, state_index=torch.arange(len(half))[:, None].expand(-1, 2))
    record = {}
    for _ in range(300):
        record = learner.learn(env, MLPPolicy(env, 4), batch, generator)
    after = novelty(env, graph.states)
    seen = (graph.states < 4).all(-1)
    assert float((after / before)[seen].max()) < 0.2
    assert float((after / before)[(graph.states >= 4).all(-1)].mean()) > 0.4
    assert float(record["novelty"]) == pytest.approx(float(after[seen].mean()), rel=0.5)
    now = [*novelty.still.parameters(), *novelty.still_head.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(still, now, strict=True))
    novelty.scale = 0.5
    assert torch.allclose(novelty(env, graph.states), after / 2)


def trainer(seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    env = HyperGrid(2, 4, Corners(4, 0.1))
    policy = MLPPolicy(env, 32, log_flow=1)
    objective = GenerativeAugmentation.build(env, width=16, scale=0.1, lr=5e-3)
    config = TrainConfig(batch_size=16, lr=0.01, log_z_lr=0.1)
    return Trainer(env, policy, objective, config)


def test_training_resumes_to_the_same_numbers() -> None:
    whole, begun = trainer(), trainer()
    records = [whole.train_step(record=True) for _ in range(6)]
    assert {"novelty", "novelty_loss"} <= set(records[0])
    for _ in range(3):
        begun.train_step(record=True)
    resumed = trainer(1)
    resumed.load_state_dict(begun.state_dict())
    assert [resumed.train_step(record=True) for _ in range(3)] == records[3:]


@pytest.mark.slow
def test_as_novelty_goes_the_reward_is_what_is_left() -> None:
    made = trainer()
    graph, objective = enumerate_states(made.env), made.objective
    assert isinstance(objective, GenerativeAugmentation)
    before = objective.novelty(made.env, graph.states)
    made.train(300)
    after = objective.novelty(made.env, graph.states)
    assert float((after / before).max()) < 0.2
    law = graph.terminal_distribution(made.policy).exp()
    assert float((law - graph.log_target().exp()).abs().sum() / 2) < 0.15


@pytest.mark.slow
def test_new_states_are_sought() -> None:
    """Where reward is scarce more cells are visited than by balance alone."""

    def cells(build: Any) -> int:
        torch.manual_seed(0)
        env = HyperGrid(2, 16, Corners(16, 1e-4))
        policy = MLPPolicy(env, 64, log_flow=1)
        seen: set[int] = set()
        run = Trainer(
            env,
            policy,
            build(env),
            TrainConfig(batch_size=16, lr=1e-3, log_z_lr=0.1),
            callbacks=[lambda t, batch, r: seen.update(env.key(batch.final_states).tolist())],
        )
        run.train(200)
        return len(seen)

    sought = cells(lambda env: GenerativeAugmentation.build(env, width=64, scale=0.05))
    assert sought > 2 * cells(TrajectoryBalance.build)


@pytest.mark.parametrize(
    ("env", "match"),
    [
        (Box(), "moves have densities"),
        (OutcomeConditioned(HyperGrid(2, 3)), "bonuses change it"),
    ],
)
def test_where_bonuses_mean_nothing_it_is_refused(env: Any, match: str) -> None:
    assert match in str(GenerativeAugmentation.refusal(env))


def test_environments_without_features_need_an_encoder() -> None:
    env = HyperGrid(2, 3)
    env.feature_sizes = ()
    with pytest.raises(IncompatibleError, match="without `feature_sizes`"):
        GenerativeAugmentation.build(env)
