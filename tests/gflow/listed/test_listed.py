"""Listed environments say what the environments themselves say, and train alike."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, MLPPolicy, evaluate
from gflow.distinct import Distinct
from gflow.envs import StochasticGrid
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.envs.games import Nim
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.env import PrependAppend, VariableLength
from gflow.envs.sequences.rewards import MotifReward
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.exact import enumerate_states
from gflow.listed import Listed, OnList, Shared, listing
from gflow.objectives import OBJECTIVES
from gflow.rewards import FunctionReward, Tempered
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.state import equal_rows, take
from gflow.terms import FlowTerms
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories


def dags() -> Dags:
    source = torch.Generator().manual_seed(0)
    return Dags(3, BGe(erdos_renyi_network(3, 3.0, generator=source).sample(20, source)))


def strings(kind: Any) -> Any:
    return kind("AB", 3, MotifReward("AB", ["AB", "BB"], beta=1.0, floor=0.1))


BUILD: dict[str, Any] = {
    "grid": lambda: HyperGrid(2, 5, Corners(5, 0.05)),
    "forced": lambda: HyperGrid(2, 5, Corners(5, 0.05), ending="forced"),
    "sets": lambda: FixedSizeSets(6, 3, AdditiveEnergy(torch.linspace(-1, 1, 6))),
    "strings": lambda: strings(VariableLength),
    "both_ends": lambda: strings(PrependAppend),
    "bits": lambda: bit_sequences(
        NearModes(plant_modes(8, count=2), word=2, beta=1.0, form="distance"), "any"
    ),
    "dags": dags,
    "nim": lambda: Nim((1, 2, 2)),
    "slippery": lambda: StochasticGrid(2, 4, 0.3),
}
CASES = [
    ("grid", "tb"), ("grid", "db"), ("grid", "subtb"), ("grid", "fm"), ("grid", "mdb"),
    ("forced", "tb"), ("forced", "fm"), ("sets", "fm"), ("sets", "fldb"), ("strings", "db"),
    ("strings", "vargrad"), ("both_ends", "tb"), ("both_ends", "fm"), ("bits", "subtb"),
    ("dags", "mdb"), ("dags", "fm"), ("nim", "aedb"), ("nim", "atb"), ("slippery", "edb"),
]  # fmt: skip


def case(name: str, objective: str) -> tuple[Any, Any, Any]:
    """An environment, a policy that leans somewhere, and an objective."""
    env = BUILD[name]()
    torch.manual_seed(1)
    made = OBJECTIVES[objective].build(env)
    flows = made.needs.flows(env)
    back: Any = "learned" if env.has_backward else "uniform"
    policy: Any
    if isinstance(env, Dags):
        policy = DagPolicy(env, 16, 1, backward=back, log_flow=bool(flows))
    else:
        policy = MLPPolicy(env, 16, 1, backward=back, log_flow=flows)
    return env, policy, made


def assert_equal_terms(one: FlowTerms, two: FlowTerms) -> None:
    """Equal wherever objectives read: within trajectories."""
    mask = one.mask
    for name, value in vars(one).items():
        if not isinstance(value, Tensor):
            continue
        other, inside = getattr(two, name), torch.ones_like(value, dtype=torch.bool)
        if value.dim() > 1 and name not in ("condition", "scores"):
            wide = mask if value.shape[1] == mask.shape[1] else one_more(mask)
            inside = wide.view(*wide.shape, *[1] * (value.dim() - 2)).expand_as(value)
        torch.testing.assert_close(value[inside], other[inside], atol=1e-11, rtol=1e-11)


def one_more(mask: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(mask[:, :1]), mask], 1)


@pytest.mark.parametrize("plan", ["ragged", "static"])
@pytest.mark.parametrize(("name", "objective"), CASES)
def test_terms_losses_and_gradients_are_those_of_the_environment(
    name: str, objective: str, plan: Any
) -> None:
    env, policy, made = case(name, objective)
    home = Listed(enumerate_states(env))
    shared = Shared(policy)
    generator = torch.Generator().manual_seed(3)
    batch = Sampler(home, plan).forward(shared, 12, generator=generator)
    assert batch.states is home.all
    found: list[list[Tensor]] = []
    losses = []
    own = home.unlisted(batch)
    for where, who, what in ((env, policy, own), (home, shared, batch)):
        terms = made.evaluate(where, who, what)
        loss = made(terms)
        losses.append((loss, terms))
        weights = [*policy.parameters(), *made.parameters()]
        grads = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
        found.append([torch.zeros(()) if g is None else g for g in grads])
    assert_equal_terms(losses[0][1], losses[1][1])
    torch.testing.assert_close(losses[0][0], losses[1][0], atol=1e-11, rtol=1e-11)
    assert float(losses[0][0].detach()) > 1e-3
    assert any(float(g.abs().max()) > 1e-6 for g in found[0])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("name", BUILD)
def test_walks_of_the_list_are_walks_of_the_environment(name: str) -> None:
    """Actions drawn on the list are repeated by the environment: states, rewards and undoing."""
    env, policy, _ = case(name, "aedb" if name == "nim" else "edb" if name == "slippery" else "tb")
    home = Listed(enumerate_states(env), whole=False)
    walk = Sampler(home, "static").forward(
        OnList(policy), 30, generator=torch.Generator().manual_seed(0)
    )
    own = home.unlisted(walk)
    again = Sampler(env).along(walk.actions, walk.length)
    assert torch.equal(own.stopped, again.stopped)
    torch.testing.assert_close(own.log_reward, again.log_reward)
    going = again.moves
    width = going.shape[1]
    assert bool(equal_rows(own.final_states, again.final_states).all())
    assert torch.equal(
        own.backward_actions[:, :width][going], again.backward_actions[:, :width][going]
    )


@pytest.mark.parametrize("name", ["grid", "forced", "sets", "both_ends", "dags"])
def test_walks_back_are_walks_back_of_the_environment(name: str) -> None:
    env, policy, _ = case(name, "tb")
    graph = enumerate_states(env)
    home = Listed(graph)
    rows = graph.objects[torch.arange(20) % len(graph.objects)]
    batch = Sampler(home, "static").backward(
        Shared(policy), rows, generator=torch.Generator().manual_seed(0)
    )
    own = home.unlisted(batch)
    again = Sampler(env).along(batch.actions, batch.length)
    assert bool(equal_rows(again.final_states, take(graph.states, rows)).all())
    torch.testing.assert_close(
        evaluate(home, Shared(policy), batch).log_pb,
        evaluate(env, policy, own).log_pb,
    )


def test_frequencies_on_the_list_are_the_exact_distribution() -> None:
    env, policy, _ = case("grid", "tb")
    graph = enumerate_states(env)
    home = Listed(graph)
    batch = Sampler(home, "static").forward(
        Shared(policy), 40_000, generator=torch.Generator().manual_seed(0)
    )
    last = batch.states[batch.state_index.gather(1, batch.length[:, None]).squeeze(1)]
    seen = torch.bincount(last, minlength=len(graph))[graph.objects] / 40_000
    exact = graph.terminal_distribution(policy).exp()
    assert float((seen - exact).abs().sum()) / 2 < 0.02


def test_exploration_is_that_of_the_environment() -> None:
    """Wholly uniform moves from a policy that would never leave the source."""
    env, policy, _ = case("grid", "tb")
    with torch.no_grad():
        policy.head.bias[env.stop_action] += 50
    home = Listed(enumerate_states(env))
    for exploration, least in ((Exploration(), 0.99), (Exploration(epsilon=1.0), 0.25)):
        batch = Sampler(home, "static").forward(
            Shared(policy),
            4000,
            exploration=exploration,
            generator=torch.Generator().manual_seed(0),
        )
        at_once = float((batch.length == 1).double().mean())
        assert at_once == pytest.approx(1.0 if least > 0.9 else 1 / 3, abs=0.03)


def test_a_changed_reward_is_looked_up_anew() -> None:
    scale = [1.0]
    env = HyperGrid(2, 4, FunctionReward(lambda states: scale[0] * states.sum(-1).double()))
    home = Listed(enumerate_states(env))
    before = home.target_log_reward(home.all)
    scale[0] = 2.0
    assert torch.equal(home.target_log_reward(home.all), before)
    env.reward.version += 1
    torch.testing.assert_close(home.target_log_reward(home.all), 2 * before)


def trained(env: DiscreteEnvironment[Any], shares: bool) -> tuple[Trainer, list[Tensor]]:
    """A trainer after some steps of given batches: those that it draws where it shares."""
    torch.manual_seed(0)
    trainer = Trainer(
        env, MLPPolicy(env, 16, 1), OBJECTIVES["tb"].build(env), TrainConfig(batch_size=16, lr=0.01)
    )
    assert trainer._sharing is not None
    weights: list[Tensor] = []
    for _ in range(5):
        batch = trainer._sharing.collect(trainer.sampling, 16)
        if not shares:  # the same trajectories in the engine's ordinary way
            batch = trainer._sharing.env.unlisted(batch)
        trainer.descend(batch)
        weights = [p.detach().clone() for p in trainer.policy.parameters()]
    return trainer, weights


def test_steps_that_share_a_pass_are_the_ordinary_ones() -> None:
    env = HyperGrid(2, 5, Corners(5, 0.05))
    one, two = trained(env, True)[1], trained(env, False)[1]
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-9)


def test_functions_of_users_are_asked_in_every_step() -> None:
    """They may count, draw or fail, also within another reward; tables would ask them once."""
    asked: list[int] = []

    def count(states: Tensor) -> Tensor:
        asked.append(len(states))
        return states.sum(-1).double()

    for reward in (FunctionReward(count), Tempered(FunctionReward(count), 2.0)):
        env = HyperGrid(2, 5, reward)
        objective = OBJECTIVES["tb"].build(env)
        trainer = Trainer(env, MLPPolicy(env, 8), objective, TrainConfig(batch_size=16))
        asked.clear()
        trainer.train(3)
        assert len(asked) == 3
        assert sum(asked) == 48


def test_who_is_listed() -> None:
    grid = HyperGrid(2, 8)
    small = listing(grid, 16, small=True)
    assert small is not None
    assert small.whole
    assert listing(grid, 4, small=True) is None  # 64 states for 4 trajectories
    few = listing(grid, 4)
    assert few is not None
    assert not few.whole
    assert listing(HyperGrid(8, 20), 16) is None  # too many states
    assert listing(bit_sequences(NearModes(plant_modes(120, count=2), 8, 1.0)), 16) is None


def test_callbacks_see_states_and_not_rows() -> None:
    env = HyperGrid(2, 5, Corners(5, 0.05))
    seen: list[Trajectories[Any]] = []
    torch.manual_seed(0)
    trainer = Trainer(
        env,
        MLPPolicy(env, 8, 1),
        OBJECTIVES["tb"].build(env),
        TrainConfig(batch_size=16),
        callbacks=[lambda _, batch, __: seen.append(batch)],
    )
    trainer.train(2)
    assert seen[0].final_states.shape == (16, 2)
    torch.testing.assert_close(seen[1].log_reward, env.target_log_reward(seen[1].final_states))


def test_keys_are_rows() -> None:
    home = Listed(enumerate_states(HyperGrid(2, 4)))
    rows, groups = Distinct(home.num_keys)(home.key(torch.tensor([3, 1, 3])))
    assert rows.tolist() == [0, 1]
    assert groups.tolist() == [0, 1, 0]
