"""Hypothesis strategies: environments, lists of actions, batches of trajectories.

    @given(env=random_dags(), data=st.data())
    def test_something(env, data):
        batch = data.draw(trajectories(env))

Values are drawn free and mapped into what is legal; nothing is rejected, so examples shrink well:
towards few states, few transitions, log-rewards of zero.
"""

from typing import Any, Literal, TypeVar

import torch

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import MissingExtraError
from gflow.sampling.sampler import Sampler
from gflow.testing.enumeration import padded
from gflow.testing.table import TableEnvironment
from gflow.trajectories import Trajectories

try:
    from hypothesis import strategies as st
except ImportError as missing:
    raise MissingExtraError("hypothesis", "test", "gflow.testing.strategies") from missing

S = TypeVar("S")
Ending = Literal["forced", "stop", "both", "everywhere"]

ENDINGS: tuple[Ending, ...] = ("forced", "stop", "both", "everywhere")


@st.composite
def random_dags(
    draw: st.DrawFn,
    min_states: int = 3,
    max_states: int = 12,
    endings: tuple[Ending, ...] = ENDINGS,
    duplicates: bool = True,
) -> TableEnvironment:
    """Random pointed acyclic graphs with random log-rewards in [-3, 3].

    Layered (all paths to a state equally long) or not; objects end by force, by a stop, either, or
    everywhere; with or without several actions that lead to one child, declared as such.

    Args:
        draw: Given by Hypothesis.
        min_states: Smallest number of states, at least 2.
        max_states: Largest number of states.
        endings: How objects may end.
        duplicates: Whether a child may be repeated.
    """
    children, stops = _structure(draw, min_states, max_states, endings, duplicates)
    value = draw(_values(len(children)))
    return TableEnvironment(children, value, stops, merge_parents=draw(st.booleans()))


@st.composite
def random_games(
    draw: st.DrawFn,
    players: int = 2,
    chance: bool = False,
    min_states: int = 3,
    max_states: int = 12,
    endings: tuple[Ending, ...] = ENDINGS,
    duplicates: bool = True,
) -> TableEnvironment:
    """Random graphs like `random_dags`, on which players, and perhaps chance, move.

    Args:
        draw: Given by Hypothesis.
        players: How many, at least 2; the rewards of two are opposite, those of more are not.
        chance: Whether some moves may be chance's, which never stops.
        min_states: Smallest number of states, at least 2.
        max_states: Largest number of states.
        endings: How objects may end.
        duplicates: Whether a child may be repeated.
    """
    children, stops = _structure(draw, min_states, max_states, endings, duplicates)
    count = len(children)
    who = [1, -1] if players == 2 else list(range(1, players + 1))
    movers = draw(st.lists(st.sampled_from(who), min_size=count, max_size=count))
    rows: list[list[float]] = [[] for _ in children]
    for s, row in enumerate(children):
        moves = [c >= 0 for c in row]
        if chance and any(moves) and draw(st.integers(0, 3)) == 0:
            movers[s] = CHANCE
            stops = None if stops is None else [*stops[:s], False, *stops[s + 1 :]]
            share = st.lists(st.floats(0.05, 1), min_size=len(row), max_size=len(row))
            rows[s] = [p * move for p, move in zip(draw(share), moves, strict=True)]
    movers[-1] = who[-1]  # an end: it makes the number of players known
    value: Any = draw(_values(count))
    if players > 2:
        others = [draw(_values(count)) for _ in range(players - 1)]
        value = torch.tensor([value, *others], dtype=torch.float64).T
    merge = draw(st.booleans())
    return TableEnvironment(children, value, stops, merge, movers=movers, chance=rows)


def _values(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-3, 3), min_size=count, max_size=count)


def _structure(
    draw: st.DrawFn,
    min_states: int,
    max_states: int,
    endings: tuple[Ending, ...],
    duplicates: bool,
) -> tuple[list[list[int]], list[bool] | None]:
    """Children of each state, and where objects may end by a stop."""
    count = draw(st.integers(min_states, max_states))
    layer = list(range(count))  # every earlier state may be a parent
    if draw(st.booleans()):
        width = draw(st.integers(1, 4))
        layer = [0] + [1 + (s - 1) // width for s in range(1, count)]
    layered = layer[-1] < count - 1
    children: list[list[int]] = [[] for _ in range(count)]
    for s in range(1, count):
        before = [p for p in range(s) if (layer[p] == layer[s] - 1 if layered else p < s)]
        chosen = draw(st.integers(1, 2 ** len(before) - 1))  # bits: at least one parent
        for place, p in enumerate(before):
            if chosen >> place & 1:
                children[p].append(s)
    if duplicates and draw(st.booleans()):
        for p, again in enumerate(draw(st.lists(st.integers(0, 3), max_size=count))):
            if children[p] and again:
                children[p].append(children[p][again % len(children[p])])
    if draw(st.booleans()):  # numbers of actions without meaning in some states
        children = [[-1, *row] if s % 2 else row for s, row in enumerate(children)]
    sinks = [all(c < 0 for c in row) for row in children]
    ending = draw(st.sampled_from(endings))
    some = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    stops = {
        "forced": None,
        "stop": [end or may for end, may in zip(sinks, some, strict=True)],
        "both": [may and not end for end, may in zip(sinks, some, strict=True)],
        "everywhere": [True] * count,
    }[ending]
    return children, stops


@st.composite
def random_trees(
    draw: st.DrawFn,
    movers: tuple[int, ...] = (AGENT, CHANCE),
    max_depth: int = 5,
    max_moves: int = 3,
    max_states: int = 40,
) -> TableEnvironment:
    """Random trees in which the moves at each inner state are somebody's, with log R in [-4, 4].

    By turns or in any order; moves of chance have probabilities of at least 1 percent.

    Args:
        draw: Given by Hypothesis.
        movers: Whose moves there may be (see `gflow.environment.movers`).
        max_depth: Longest trajectory.
        max_moves: Most children of a state.
        max_states: About how many states there are at most.
    """
    turns = draw(st.booleans())
    children: list[list[int]] = [[]]
    depth, kinds = [0], [movers[0] if turns else draw(st.sampled_from(movers))]
    for s in range(max_states):
        if s >= len(children):
            break
        if depth[s] == max_depth or len(children) >= max_states:
            continue
        count = draw(st.integers(0 if s else 1, max_moves))
        children[s] = list(range(len(children), len(children) + count))
        for _ in range(count):
            children.append([])
            depth.append(depth[s] + 1)
            turn = movers[depth[-1] % len(movers)]
            kinds.append(turn if turns else draw(st.sampled_from(movers)))
    chance: list[list[float]] = []
    for s, row in enumerate(children):
        kinds[s] = kinds[s] if row else AGENT
        size = len(row) if kinds[s] == CHANCE else 0
        weight = draw(st.lists(st.integers(1, 30), min_size=size, max_size=size))
        chance.append([one / sum(weight) for one in weight])
    size = len(children)
    value = draw(st.lists(st.floats(-4, 4), min_size=size, max_size=size))
    return TableEnvironment(children, value, movers=kinds, chance=chance)


@st.composite
def hypergrids(draw: st.DrawFn, max_dim: int = 3, max_side: int = 5) -> DiscreteEnvironment[Any]:
    """Hypergrids of every reward and both endings."""
    from gflow.envs.grids import rewards  # the engine itself knows no environment
    from gflow.envs.grids.hypergrid import HyperGrid

    dim = draw(st.integers(1, max_dim))
    side = draw(st.integers(2, max_side))
    kind = draw(
        st.sampled_from(
            ["Corners", "Cosine", "CosineProduct", "Deceptive", "Sparse", "MultiScale", "Landscape"]
        )
    )
    reward: Any
    if kind == "Sparse":
        side = max(side, 3)
        reward = rewards.Sparse(side, epsilon=10.0 ** -draw(st.integers(1, 12)))
    elif kind == "MultiScale":
        reward = rewards.MultiScale(levels=2, base=2)
        side = reward.side
    elif kind == "Landscape":
        dim = 2
        names = draw(st.lists(st.sampled_from(sorted(rewards.LANDSCAPES)), min_size=1, unique=True))
        reward = rewards.Landscape(side, dict.fromkeys(names, 1.0), floor=1e-3)
    elif kind == "CosineProduct":
        reward = rewards.CosineProduct(side)
    else:
        reward = getattr(rewards, kind)(side, r0=draw(st.floats(1e-3, 1.0)))
    return HyperGrid(dim, side, reward, ending=draw(st.sampled_from(["free", "forced"])))


@st.composite
def action_lists(draw: st.DrawFn, env: DiscreteEnvironment[Any]) -> list[int]:
    """Actions of one trajectory from the source to an object, a stop included."""
    states, taken = env.initial(1), []
    while not bool(env.is_terminal(states)[0]):
        legal = env.forward_mask(states)[0].nonzero().flatten().tolist()
        action = draw(st.sampled_from(legal))
        taken.append(action)
        if action == env.stop_action:
            break
        states = env.step(states, torch.tensor([action]))
    return taken


def one_trajectory(env: DiscreteEnvironment[S]) -> st.SearchStrategy[Trajectories[S]]:
    """One whole trajectory, as a batch of one."""
    return trajectories(env, min_size=1, max_size=1)


@st.composite
def trajectories(
    draw: st.DrawFn, env: DiscreteEnvironment[S], min_size: int = 1, max_size: int = 8
) -> Trajectories[S]:
    """Batches of whole trajectories, in general of different lengths."""
    chosen = draw(st.lists(action_lists(env), min_size=min_size, max_size=max_size))
    return Sampler(env).along(*padded(chosen))
