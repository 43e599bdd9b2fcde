"""When an environment is listed: by explicit rules, never as a surprise."""

from typing import Any

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.exact.graph import enumerate_states
from gflow.listed.env import Listed
from gflow.listed.tables import size_of

WHOLE_KEYS = 8
"""With at most this many states per trajectory, policies are asked once for all states."""

WHOLE_MOST = 512
"""More states than this are never all shown to a policy in every step."""

TABLE_STATES = 200_000
"""More states than this are not listed."""

TABLE_NUMBERS = 8_000_000
"""Nor are tables made of more numbers than this: 64 MB."""

SPARSE = 1 << 26
"""Environments whose keys range further are not searched for a list of states."""


def no_list(env: Environment[Any]) -> str | None:
    """Why an environment is not listed whatever its size, or None."""
    if not isinstance(env, DiscreteEnvironment):
        return "its moves have densities"
    kind = type(env)
    own = [
        name
        for name in ("law", "forward_law", "backward_law", "known_log_z")
        if getattr(kind, name) is not getattr(DiscreteEnvironment, name)
    ]
    if own:
        return f"it defines {own[0]} itself"
    if not env.has_keys or env.num_keys is None:
        return "its states have no keys of a known range"
    if env.source_reads_condition:
        return "each trajectory starts where its condition says"
    return None


def whole(states: int, count: int) -> bool:
    """Whether `count` trajectories are worth a pass over all of so many states."""
    return states <= min(WHOLE_KEYS * count, WHOLE_MOST)


def listing(
    env: Environment[Any], count: int, device: Any = "cpu", small: bool = False
) -> Listed | None:
    """The environment as tables, or None if it is not listed.

    Args:
        env: Any environment.
        count: Trajectories in a batch.
        device: Where the tables are to be.
        small: Only if policies are then asked once for all states.
    """
    if no_list(env) is not None:
        return None
    assert isinstance(env, DiscreteEnvironment)
    assert env.num_keys is not None
    if env.num_keys > SPARSE or (small and not whole(env.num_keys, count)):
        return None
    most = min(TABLE_STATES, TABLE_NUMBERS // size_of(env))
    if env.num_keys > most and env.num_actions * env.num_actions > most:
        return None  # the second level alone may be too many
    try:
        graph = enumerate_states(env, limit=most)
        return Listed(graph, device, whole(len(graph), count) and not env.condition_dim)
    except IncompatibleError:  # more states than that, or a cycle
        return None
