"""Exact answers on environments that can be listed."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.exact.expected import expected_flows
    from gflow.exact.family import TabularFamily
    from gflow.exact.games import (
        adversarial_flows,
        minimax,
        optimal_actions,
        optimal_moves,
        player_flows,
    )
    from gflow.exact.graph import StateGraph, enumerate_states
    from gflow.exact.noisy import realised_flows, stochastic_flows
    from gflow.exact.posterior import posterior_flows
    from gflow.exact.tabular import TabularPolicy

_HOME = {
    "StateGraph": "gflow.exact.graph",
    "TabularFamily": "gflow.exact.family",
    "TabularPolicy": "gflow.exact.tabular",
    "adversarial_flows": "gflow.exact.games",
    "enumerate_states": "gflow.exact.graph",
    "expected_flows": "gflow.exact.expected",
    "minimax": "gflow.exact.games",
    "optimal_actions": "gflow.exact.games",
    "optimal_moves": "gflow.exact.games",
    "player_flows": "gflow.exact.games",
    "posterior_flows": "gflow.exact.posterior",
    "realised_flows": "gflow.exact.noisy",
    "stochastic_flows": "gflow.exact.noisy",
}

__all__ = [
    "StateGraph",
    "TabularFamily",
    "TabularPolicy",
    "adversarial_flows",
    "enumerate_states",
    "expected_flows",
    "minimax",
    "optimal_actions",
    "optimal_moves",
    "player_flows",
    "posterior_flows",
    "realised_flows",
    "stochastic_flows",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
