"""Trajectories that come from elsewhere: the same terms as if they had been sampled here."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    FunctionReward,
    MLPPolicy,
    Needs,
    Sampler,
    Trajectories,
    evaluate,
)
from gflow.envs import HyperGrid
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.policy import BoxPolicy
from gflow.envs.sequences.env import Autoregressive, PrependAppend, VariableLength
from gflow.envs.sets.sets import FixedSizeSets
from gflow.errors import IllegalActionError, IncompatibleError, ShapeError
from gflow.memory.replay import ReplayBuffer
from gflow.metrics.bounds import elbo
from gflow.rewards.wrappers import TemperatureConditional
from gflow.state import take


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


REWARD: FunctionReward[Tensor] = FunctionReward(
    lambda s: s.to(torch.get_default_dtype()).sum(-1) / 3
)


class Tempered(HyperGrid):
    condition_dim = 1


ENVIRONMENTS = {
    "stops and walls": HyperGrid(2, 4),
    "forced": Autoregressive("abc", 3, REWARD),
    "both": VariableLength("ab", 3, REWARD),
    "two ways back": PrependAppend("ab", 3, REWARD),
    "sets": FixedSizeSets(5, 2),
    "conditional": Tempered(2, 4, TemperatureConditional(HyperGrid(2, 4).reward)),
}
NEEDS = Needs(log_flow=True)


def sampled(env: Any, count: int = 12) -> tuple[Any, Trajectories[Any]]:
    torch.manual_seed(0)
    policy = MLPPolicy(env, 8, log_flow=True)
    condition = torch.rand(count, 1, generator=seeded(1)) if env.condition_dim else None
    return policy, Sampler(env).forward(policy, count, condition=condition, generator=seeded(2))


def listed(batch: Trajectories[Any], copy: bool) -> tuple[Any, list[Tensor]]:
    """Paths one by one; with the copy of the state behind a stop, or without."""
    size = batch.length + 1 - (0 if copy else batch.stopped.long())
    states = [take(batch.states, batch.state_index[b, : size[b]]) for b in range(len(batch))]
    return states, [batch.actions[b, : batch.length[b]] for b in range(len(batch))]


def assert_same(env: Any, policy: Any, one: Trajectories[Any], other: Trajectories[Any]) -> None:
    for name in ("length", "stopped", "complete", "from_source", "log_reward"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None and b is None) or torch.equal(a, b), name
    assert torch.equal(one.actions, other.actions)
    assert torch.equal(one.backward_actions, other.backward_actions)
    mine, theirs = evaluate(env, policy, one, NEEDS), evaluate(env, policy, other, NEEDS)
    for name in ("log_pf", "log_pb", "log_flow"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name))


@pytest.mark.parametrize("form", ["list", "short list", "padded", "short padded"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_paths_say_what_the_sampler_said(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env: Any = ENVIRONMENTS[name]
    policy, batch = sampled(env)

    def forbidden(self: Any, states: Any, actions: Any) -> Any:
        raise AssertionError("nothing is stepped")

    monkeypatch.setattr(type(env), "_step", forbidden)
    monkeypatch.setattr(type(env), "_backstep", forbidden)
    known = {"condition": batch.condition}
    if "list" in form:
        states, actions = listed(batch, copy=form == "list")
        again = Trajectories.from_paths(env, states, actions, **known)
    else:
        padded = take(batch.states, batch.state_index)
        if form == "short padded" and bool(batch.stopped.all()):
            padded = padded[:, :-1]
        garbage = batch.actions.where(batch.mask, 7)
        again = Trajectories.from_paths(env, padded, garbage, batch.length, **known)
    assert_same(env, policy, again, batch)
    if batch.condition is None:
        visited = take(batch.states, batch.state_index.unique())
        assert again.num_states == len(env.key(visited).unique()), "each state is stored once"
    else:
        torch.testing.assert_close(
            again.condition_of_states,
            batch.condition[again.owner],
        )


def test_rewards_that_are_known_are_not_asked_for() -> None:
    class Silent(HyperGrid):
        def __init__(self) -> None:
            super().__init__(2, 4)

    env = Silent()
    _, batch = sampled(env)
    states, actions = listed(batch, True)
    asked: list[int] = []

    def told(states: Tensor) -> Tensor:
        asked.append(len(states))
        return torch.zeros(len(states))

    env.reward = FunctionReward(told)
    again = Trajectories.from_paths(env, states, actions, log_reward=batch.log_reward)
    assert not asked
    assert torch.equal(again.log_reward, batch.log_reward)
    assert Trajectories.from_paths(env, states, actions).log_reward.tolist() == [0.0] * 12
    assert asked == [12]


def test_moves_with_densities_need_no_numbers_but_the_stop() -> None:
    env = Box(delta=0.3)
    policy = BoxPolicy(env, 16, 1, log_flow=True, generator=seeded())
    batch = Sampler(env).forward(policy, 20, generator=seeded(1))
    states, actions = listed(batch, True)
    again = Trajectories.from_paths(env, states, actions)
    assert torch.equal(again.length, batch.length)
    assert torch.equal(again.stopped, batch.stopped)
    mine, theirs = (evaluate(env, policy, b, NEEDS) for b in (again, batch))
    for name in ("log_pf", "log_pb", "log_flow", "log_reward"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name))


def test_parts_of_trajectories_are_their_terms() -> None:
    env = VariableLength("ab", 3, REWARD)
    policy, batch = sampled(env, 40)
    begin = (torch.rand(40, generator=seeded(3)) * batch.length).long()
    end = begin + 1 + (torch.rand(40, generator=seeded(4)) * (batch.length - begin)).long()
    part = batch.part(begin, end)
    assert 5 < int((begin == 0).sum()) < 35
    assert torch.equal(part.from_source, begin == 0)  # type: ignore[arg-type]
    assert torch.equal(part.complete, end == batch.length)  # type: ignore[arg-type]
    whole, some = evaluate(env, policy, batch, NEEDS), evaluate(env, policy, part, NEEDS)
    for b in range(40):
        i, j = int(begin[b]), int(end[b])
        for name in ("log_pf", "log_pb"):
            mine, theirs = getattr(some, name)[b, : j - i], getattr(whole, name)[b, i:j]
            torch.testing.assert_close(mine, theirs)
        torch.testing.assert_close(some.log_flow[b, : j - i + 1], whole.log_flow[b, i : j + 1])  # type: ignore[index]
    # The same from states and actions alone, as single transitions too.
    states, actions = listed(part, True)
    again = Trajectories.segments(env, states, actions)
    done = part.complete
    assert done is not None
    torch.testing.assert_close(again.log_reward[done], part.log_reward[done])
    again_terms = evaluate(env, policy, again, NEEDS)
    for name in ("log_pf", "log_pb", "log_flow"):
        torch.testing.assert_close(getattr(again_terms, name), getattr(some, name))
    one = part.part(torch.zeros(40, dtype=torch.int64), torch.ones(40, dtype=torch.int64))
    before, after = one.states_at(0), one.states_at(1)
    single = Trajectories.transitions(env, before, one.actions[:, 0], after)
    assert_same(env, policy, single, Trajectories.segments(env, *listed(one, False)))


def test_flags_travel_with_their_trajectories() -> None:
    env = HyperGrid(2, 4)
    _, batch = sampled(env)
    zero = torch.zeros(12, dtype=torch.int64)
    first = batch.length > 1
    part = batch.part(zero.where(~first, 1), batch.length)
    joined = Trajectories.join([batch, part])
    expected = torch.cat([torch.ones(12, dtype=torch.bool), ~first])
    assert torch.equal(joined.from_source, expected)  # type: ignore[arg-type]
    assert torch.equal(joined.select(torch.tensor([3, 14])).from_source, expected[[3, 14]])  # type: ignore[arg-type]
    assert torch.equal(part.truncate(part.length - 1).from_source, ~first)  # type: ignore[arg-type]
    assert Trajectories.join([batch, batch]).from_source is None
    terms = evaluate(env, sampled(env)[0], joined)
    assert torch.equal(terms.from_source, expected)  # type: ignore[arg-type]
    with pytest.raises(IncompatibleError, match=r"trajectory \d+ begins elsewhere than at the so"):
        elbo(terms)


def test_a_memory_of_actions_takes_what_begins_at_the_source() -> None:
    env = HyperGrid(2, 4)
    _, batch = sampled(env)
    part = batch.part((batch.length - 1).clamp(max=1), batch.length)
    kept = int((batch.length == 1).sum())
    actions, objects = ReplayBuffer(env, 50), ReplayBuffer(env, 50, rebuild="backward")
    actions.add(part)
    objects.add(part)
    assert (len(actions), len(objects)) == (kept, 12)


def test_what_does_not_fit_is_refused() -> None:
    env = HyperGrid(2, 4)
    _, batch = sampled(env)
    states, actions = listed(batch, True)
    take_paths = Trajectories.from_paths
    short: Any = [s[:1] for s in states]
    with pytest.raises(ShapeError, match=r"path \d+ has 1 states and actions of shape"):
        take_paths(env, short, actions)
    with pytest.raises(ShapeError, match="12 paths of states came with 11 of actions"):
        take_paths(env, states, actions[1:])
    with pytest.raises(ShapeError, match="there are no paths"):
        take_paths(env, [], [])
    with pytest.raises(ShapeError, match="whole numbers, got torch.float64"):
        take_paths(env, states, [a.double() for a in actions])
    padded = take(batch.states, batch.state_index)
    with pytest.raises(ShapeError, match=r"every length must lie in 1 \.\.\. "):
        take_paths(env, padded, batch.actions, batch.length + 20)
    with pytest.raises(ShapeError, match=r"`actions` \(B, T\)"):
        take_paths(env, padded, batch.actions[:5], batch.length)
    with pytest.raises(ShapeError, match=r"`log_reward` must be \(12,\)"):
        take_paths(env, states, actions, log_reward=torch.zeros(3))


def test_what_is_illegal_is_named() -> None:
    env = HyperGrid(2, 4)
    path = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 1]])
    right = torch.tensor([0, 1, 2])
    Trajectories.from_paths(env, [path], [right])
    with pytest.raises(IllegalActionError, match=r"path 0 does not run to its end.*\(1, 1\)"):
        Trajectories.from_paths(env, [path[:3]], [right[:2]])
    with pytest.raises(IllegalActionError, match=r"path 1 does not begin at the source.*\(1, 0\)"):
        Trajectories.from_paths(env, [path, path[1:]], [right, right[1:]])
    with pytest.raises(IllegalActionError, match="action 2 of path 0 at time 1 is illegal"):
        Trajectories.from_paths(env, [path], [torch.tensor([0, 2, 2])])
    with pytest.raises(IllegalActionError, match="action 9 of path 0 at time 0 is illegal"):
        Trajectories.from_paths(env, [path], [torch.tensor([9, 1, 2])])
    with pytest.raises(IllegalActionError, match="the move back 1 of path 0 at time 0 is illegal"):
        Trajectories.from_paths(env, [path], [torch.tensor([1, 1, 2])])
    trusted = Trajectories.from_paths(env, [path], [torch.tensor([1, 1, 2])], check=False)
    assert trusted.actions.tolist() == [[1, 1, 2]]
    edge = torch.tensor([[3, 0], [3, 0]])
    with pytest.raises(IllegalActionError, match=r"action 0 of path 0 at time 0.*\(3, 0\)"):
        Trajectories.segments(env, [edge], [torch.tensor([0])])


def test_states_of_nowhere_are_refused_and_not_looked_up() -> None:
    env = HyperGrid(1, 4)
    before = torch.tensor([[1], [3]])
    with pytest.raises(IllegalActionError, match=r"action 0 of path 1 at time 0 is illegal at"):
        Trajectories.transitions(env, before, torch.tensor([0, 0]), before + 1)
    for beyond in (9, -2):
        after = torch.tensor([[2], [beyond]])
        with pytest.raises(
            IllegalActionError, match=rf"\({beyond}\) has the key {beyond}, outside"
        ):
            Trajectories.transitions(env, before - 1, torch.tensor([0, 0]), after, check=False)
