"""The network is a function of the structure."""

from typing import TYPE_CHECKING, Any

import pytest
import torch

from gflow.envs.molecules import MoleculePolicy, Molecules
from gflow.envs.molecules.layout import Dense
from gflow.errors import ConfigError, IncompatibleError
from gflow.state import cat, take

if TYPE_CHECKING:
    from tests.envs.molecules.conftest import Relabel, Walk, WorldOf


def make(env: Molecules, **kwargs: Any) -> MoleculePolicy:
    generator = torch.Generator().manual_seed(0)
    return MoleculePolicy(env, width=16, log_flow=True, generator=generator, **kwargs)


@pytest.mark.parametrize("name", ["square", "ambiguous"])
@pytest.mark.parametrize("seed", [0, 1])
def test_outputs_do_not_depend_on_labels(
    name: str, seed: int, request: pytest.FixtureRequest, walk: "Walk", relabel: "Relabel"
) -> None:
    env: Molecules = request.getfixturevalue(name)
    states = cat(walk(env, 30, seed=6))
    other, node, port = relabel(env, states, seed)
    policy = make(env)
    a, b = policy(env, states), policy(env, other)
    torch.testing.assert_close(a.log_flow, b.log_flow)
    there = b.backward_logits.gather(1, node)
    filled = states.fragment >= 0
    torch.testing.assert_close(a.backward_logits[filled], there[filled])
    k, q = env.tables.max_ports, env.tables.num_ports
    slots, slots_there = env.open_slots(states), env.open_slots(other)
    logits, logits_there = (
        a.forward_logits.unflatten(1, (-1, q)),
        b.forward_logits.unflatten(1, (-1, q)),
    )
    compared = 0
    for row in range(len(slots)):
        for rank, slot in enumerate(slots[row].tolist()):
            if slot == slots.shape[0] or slot >= env.max_fragments * k:
                continue
            i, p = divmod(slot, k)
            target = int(node[row, i] * k + port[row, i, p])
            rank_there = slots_there[row].tolist().index(target)
            torch.testing.assert_close(logits[row, rank], logits_there[row, rank_there])
            compared += 1
    assert compared > 30


def test_symmetric_ports_of_a_new_fragment_get_equal_logits(
    square: Molecules, walk: "Walk"
) -> None:
    logits = make(square)(square, walk(square, 20)[2]).forward_logits.unflatten(
        1, (-1, square.tables.num_ports)
    )
    orbit = square.tables.orbit[:-1]
    for a in range(len(orbit)):
        for b in range(a):
            apart = float((logits[..., a] - logits[..., b]).detach().abs().max())
            assert apart < 1e-12 if orbit[a] == orbit[b] else apart > 1e-4


def test_equivalent_actions_get_equal_logits(square: Molecules, world_of: "WorldOf") -> None:
    """Actions that add the same leaf to the same child, up to symmetry, look the same.

    Leaves that a symmetry of the child exchanges are those from which the tree looks the same.
    """
    world = world_of(square)
    logits = make(square)(square, world.states).forward_logits
    rows, actions = square.forward_mask(world.states).nonzero(as_tuple=True)
    here = take(world.states, rows)
    there, leaf = square.step(here, actions), square.backward_action(here, actions)
    view = square.canonical(there).seen.gather(1, leaf[:, None]).squeeze(1)
    values = logits[rows, actions]
    groups: dict[tuple[int, int], list[float]] = {}
    for row, seen, value in zip(rows.tolist(), view.tolist(), values.tolist(), strict=True):
        groups.setdefault((row, seen), []).append(value)
    several = [group for group in groups.values() if len(group) > 1]
    assert len(several) > 100
    for group in several:
        assert max(group) - min(group) < 1e-9


def test_neighbouring_and_opposite_ports_are_told_apart(square: Molecules) -> None:
    """On the square with two substituents the structure decides, not only the number of them."""
    q = square.tables.num_ports
    ring = square.tables.fragment_of.tolist().index(3)
    start = square.step(square.initial(3), torch.full((3,), ring))
    one = square.step(start, torch.zeros(3, dtype=torch.int64))
    two = square.step(one, torch.tensor([0, q, 2 * q]))
    keys = square.key(two)
    assert len(keys.unique()) == 2
    flow = make(square)(square, two).log_flow
    equal = (flow[:, None] - flow[None]).abs() < 1e-9
    assert torch.equal(equal, keys[:, None] == keys[None])


def test_gradients_reach_every_parameter(ambiguous: Molecules, walk: "Walk") -> None:
    policy = make(ambiguous)
    out = policy(ambiguous, cat(walk(ambiguous, 30)))
    total = out.forward_logits.square().mean() + out.backward_logits.square().mean()
    (total + out.log_flow.square().mean()).backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("name", ["square", "ambiguous"])
def test_both_layouts_compute_the_same(
    name: str, request: pytest.FixtureRequest, walk: "Walk", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The padded layout of GPUs, run on the CPU; absent actions and nodes may differ."""
    env: Molecules = request.getfixturevalue(name)
    states = cat(walk(env, 30, seed=7))
    policy = make(env)
    packed = policy(env, states)
    monkeypatch.setattr("gflow.envs.molecules.policy.Packed", Dense)
    dense = policy(env, states)
    legal, leaves = env.forward_mask(states), env.backward_mask(states)
    torch.testing.assert_close(packed.forward_logits[legal], dense.forward_logits[legal])
    torch.testing.assert_close(packed.backward_logits[leaves], dense.backward_logits[leaves])
    torch.testing.assert_close(packed.log_flow, dense.log_flow)


def test_single_heads_agree_with_all_heads(ambiguous: Molecules, walk: "Walk") -> None:
    states = walk(ambiguous, 10)[2]
    policy = make(ambiguous)
    out = policy(ambiguous, states)
    torch.testing.assert_close(policy.forward_logits(ambiguous, states), out.forward_logits)
    torch.testing.assert_close(policy.backward_logits(ambiguous, states), out.backward_logits)
    uniform = make(ambiguous, backward="uniform")
    assert uniform(ambiguous, states).backward_logits is None
    assert out.forward_logits.shape == (10, ambiguous.num_actions)


def test_complaints(ambiguous: Molecules) -> None:
    with pytest.raises(ConfigError, match="got 0, 3"):
        MoleculePolicy(ambiguous, width=0)
    with pytest.raises(IncompatibleError, match="cannot count its trajectories"):
        MoleculePolicy(ambiguous, backward="maxent")
