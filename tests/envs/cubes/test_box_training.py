"""What can train on a box, and what is refused, with the reason."""

from typing import Any

import pytest
import torch

from gflow import FunctionReward
from gflow.behaviours.base import Behaviour, Incomplete, OnPolicy, Sampling
from gflow.behaviours.branching import Branching
from gflow.behaviours.exact_samples import ExactSamples
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.cubes.base import UnitCube
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.cube import Cube
from gflow.envs.cubes.policy import BoxPolicy, PointEncoder
from gflow.envs.cubes.rewards import CubeReward, InnerDisk
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import OBJECTIVES
from gflow.sampling.sampler import Sampler
from gflow.source import Source
from gflow.training.trainer import TrainConfig, Trainer

REFUSED = {
    "fm": "it sums over all parents and children of a state",
    "opfm": "it sums over all parents and children of a state",
    "mdb": "it needs an environment in which every state may stop",
    "msubtb": "known only where moves are numbered",
    "adjoint": "steers no process whose bridges are known",
    "kl": "its gradient goes through the samples",
    "gafn": "it adds bonuses to probabilities of moves",
    **dict.fromkeys(("atb", "adb", "asubtb"), "it is for games of two players"),
    **dict.fromkeys(
        ("marginal_consistency", "marginal_divergence", "marginal_matching"), "it trains marginals"
    ),
    "aedb": "it has a flow for each player of a game",
    **dict.fromkeys(
        ("edb", "sgfn", "naive_realised", "naive_intended"), "it tells moves of chance by their"
    ),
}
TRAINED = [name for name in OBJECTIVES if name not in REFUSED]
SAMPLED = [name for name in TRAINED if OBJECTIVES[name].learns_from == Source.TARGET]


def trainer(
    env: UnitCube,
    objective: str,
    behaviour: Behaviour | None = None,
    backward: Any = "learned",
    **config: Any,
) -> Trainer:
    torch.manual_seed(0)
    settings = {"encoder": PointEncoder(env, 16)} if objective in ("led", "opflsubtb") else {}
    loss = OBJECTIVES[objective].build(env, **settings)
    policy = BoxPolicy(env, 24, 1, backward=backward, log_flow=loss.needs.log_flow)
    plan = TrainConfig(batch_size=24, lr=1e-3, log_z_lr=0.02, **config)
    return Trainer(env, policy, loss, plan, behaviour=behaviour)


def check_falls(found: Trainer, steps: int = 12) -> None:
    """The loss of one fixed batch falls, and whole steps go through."""
    batch = found.sample()
    losses = []
    for _ in range(steps):
        torch.manual_seed(1)
        value, _terms = found.descend(batch)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    record = found.train(3)
    assert all(value == value for value in record.values())


@pytest.mark.parametrize("objective", TRAINED)
@pytest.mark.parametrize("make", [Box, lambda: Cube(3)], ids=["box", "cube"])
def test_objectives_train(objective: str, make: Any) -> None:
    if objective in SAMPLED:  # which learn from exact samples alone
        check_falls(trainer(make(), objective, ExactSamples()))
    else:
        check_falls(trainer(make(), objective, epsilon=0.1))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["tb", "db"])
@pytest.mark.parametrize(
    "behaviour",
    [
        LocalSearch(3, "random", "metropolis"),
        LocalSearch(3, 2, "greedy", "resampled"),
        Branching(4),
        ExactSamples(share=0.5),
        OnPolicy(),
    ],
    ids=["search", "resampled", "branching", "exact", "on_policy"],
)
def test_behaviours_train(objective: str, behaviour: Behaviour) -> None:
    found = trainer(Box(), objective, behaviour, trajectory_epsilon=0.2)
    check_falls(found)
    if isinstance(behaviour, LocalSearch):
        rates = [found.train_step()["acceptance"] for _ in range(8)]
        assert 0 < sum(rates) < 8


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["kept", "resampled"])
@pytest.mark.parametrize("make", [lambda: Box(delta=0.5), lambda: Cube(2, min_step=0.3)])
def test_local_search_keeps_the_law(make: Any, prefix: Any) -> None:
    """Chains that start in exact objects stay in their law, whatever the policy: lengths change,
    and with them what densities are per."""
    env = make()
    generator = torch.Generator().manual_seed(0)
    policy = BoxPolicy(env, 16, 1, generator=generator)
    sampler, count = Sampler(env), 6000
    current = sampler.backward(
        policy, env.objects(env.reward.sample(count, generator)), generator=generator
    )
    sampling = Sampling(policy, sampler, generator=generator)
    search = LocalSearch(1, "random", "metropolis", prefix)
    moved = torch.zeros(count, dtype=torch.bool)
    for _ in range(6):
        revision = search.revise(sampling, current)
        current, moved = revision.following, moved | revision.accepted
    assert float(moved.double().mean()) > 0.3
    points = current.final_states
    cell = (points * 4).long().clamp(max=3)
    seen = torch.bincount(cell[:, 0] * 4 + cell[:, 1], minlength=16).double()
    law = env.reward.cell_distribution(4).flatten() * count
    assert float(((seen - law) ** 2 / law).sum()) < 45  # 15 degrees of freedom
    seen = torch.bincount(env.reward.region(points), minlength=3).double()
    law = env.reward.region_distribution() * count
    assert float(((seen - law) ** 2 / law).sum()) < 18  # 2 degrees of freedom


@pytest.mark.parametrize("objective", ["db", "subtb", "fldb", "flsubtb", "led"])
def test_incomplete_trajectories_train(objective: str) -> None:
    check_falls(trainer(Box(), objective, Incomplete(0.5)))


@pytest.mark.parametrize("backward", ["learned", "uniform"])
def test_replay_goes_back_from_objects(backward: Any) -> None:
    found = trainer(
        Box(), "tb", backward=backward, replay=200, replay_rebuild="backward", replay_draw="rank"
    )
    found.train(4)
    batch = found.sample()
    assert len(batch) == 24
    assert bool(found.env.is_initial(batch.states_at(0)).all())
    check_falls(found)


def test_exact_objects_are_those_of_the_reward() -> None:
    env = Cube(3)
    assert isinstance(env.reward, CubeReward)
    drawn = env.exact_objects(50, torch.Generator().manual_seed(2))
    assert torch.equal(drawn, env.reward.sample(50, torch.Generator().manual_seed(2)))
    for other in (Box(InnerDisk(0.25)), Box(FunctionReward(lambda x: -x.sum(-1)))):
        assert not other.has_exact_objects
        with pytest.raises(IncompatibleError, match=r"no exact samples|cannot draw"):
            other.exact_objects(5)


def test_replay_of_actions_is_refused_when_the_trainer_is_made() -> None:
    with pytest.raises(IncompatibleError, match="replay_rebuild='backward'"):
        trainer(Box(), "tb", replay=100)


@pytest.mark.parametrize("objective", REFUSED)
def test_what_sums_over_neighbours_is_refused(objective: str) -> None:
    with pytest.raises(IncompatibleError, match=REFUSED[objective]):
        trainer(Box(), objective)


def test_exploration_by_noise_or_temperature_is_refused() -> None:
    refused: list[dict[str, Any]] = [{"noise": 0.1}, {"temperature": 2.0}]
    for settings in refused:
        with pytest.raises(IncompatibleError, match="It takes epsilon or trajectory_epsilon"):
            trainer(Box(), "tb", **settings)


def test_the_source_has_parameters_of_its_own() -> None:
    env = Box()
    policy = BoxPolicy(env, 16, 2, log_flow=True, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[0.0, 0.0], [0.5, 0.25], [0.0, 0.25]])
    output = policy(env, points)
    assert torch.equal(output.forward_logits[0], policy.source)
    assert policy.source_flow is not None
    assert torch.equal(output.log_flow[0], policy.source_flow)
    output.forward_logits[1:].sum().backward(retain_graph=True)
    assert policy.source.grad is not None
    assert not bool(policy.source.grad.any())
    output.log_flow[0].backward()
    assert policy.source_flow.grad is not None
    assert float(policy.source_flow.grad) == 1.0


def test_waves_are_read_beside_the_coordinates() -> None:
    env = Cube(3)
    plain, waves = (BoxPolicy(env, 8, 1, frequencies=f).ahead.hidden[0] for f in (0, 4))
    assert (plain.in_features, waves.in_features) == (3, 27)
    policy = BoxPolicy(env, 8, 1, frequencies=2, generator=torch.Generator().manual_seed(0))
    policy.ahead.hidden[0].weight.data[:, :3] = 0.0  # the waves alone
    a, b = policy.ahead((torch.tensor([[0.25, 0.5, 0.75], [0.26, 0.5, 0.75]]), None))
    assert float((a - b).detach().abs().max()) > 1e-4


@pytest.mark.parametrize("make", [Box, lambda: Cube(2), lambda: Cube(4)])
def test_policies_start_nearly_even(make: Any) -> None:
    """In its densities a fresh policy is not far from the law that explores, nor P_B from even."""
    env = make()
    generator = torch.Generator().manual_seed(0)
    policy = BoxPolicy(env, 32, 2, generator=generator)
    batch = Sampler(env).forward(policy, 500, generator=generator)
    rows, times = batch.moves.nonzero(as_tuple=True)
    before, after = (batch.states[batch.state_index[rows, times + k]] for k in (0, 1))
    with torch.no_grad():
        output = policy(env, before)
        mine = env.forward_law(before, output.forward_logits).log_prob(after)
        even = env.exploration_law(before).log_prob(after)
        assert float((mine - even).abs().mean()) < 0.25 * env.dim + 0.3
        mine = env.backward_law(after, policy(env, after).backward_logits).log_prob(before)
        even = env.backward_law(after).log_prob(before)
        assert float((mine - even).abs().mean()) < 0.25 * env.dim
        policy.zero_backward_head()
        raw = policy.backward_logits(env, after)
        assert raw is not None
        start = env.even_outputs()[2]
        assert start is not None
        assert torch.equal(raw, start.expand_as(raw))
    with pytest.raises(IncompatibleError, match="no learned backward head"):
        BoxPolicy(env, 8, 1, backward="uniform").zero_backward_head()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"width": 0}, "width and depth must be positive"),
        ({"frequencies": -1}, "frequencies must not be negative"),
        ({"backward": "maxent"}, "backward must be learned or uniform"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        BoxPolicy(Box(), **settings)
