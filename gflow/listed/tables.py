"""All moves of an environment that can be listed, as tables of row numbers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.exact.graph import StateGraph
from gflow.state import take, to_device


@dataclass(frozen=True)
class Tables:
    """Where every move leads, by numbers of states.

    Shapes: N states, A forward actions, P backward actions. What is illegal leads from a state to
    itself, by action 0.

    Attributes:
        states: N states, the source first.
        mask: (N, A) bool legal forward actions.
        child: (N, A) int64 what each action leads to; the state itself for a stop.
        undo: (N, A) int64 backward action that takes a forward one back.
        classes: (N, A) int64 first legal action with the same child, or None if all differ.
        back_mask: (N, P) bool legal backward actions.
        parent: (N, P) int64 what each backward action leads to.
        redo: (N, P) int64 forward action that takes a backward one back.
        back_classes: (N, P) int64 first legal action with the same parent, or None.
        terminal: (N,) bool finished by force.
        can_end: (N,) bool objects.
        mover: (N,) int64 whose move it is, or None if all are the agent's.
    """

    states: Any
    mask: Tensor
    child: Tensor
    undo: Tensor
    classes: Tensor | None
    back_mask: Tensor
    parent: Tensor
    redo: Tensor
    back_classes: Tensor | None
    terminal: Tensor
    can_end: Tensor
    mover: Tensor | None

    def __len__(self) -> int:
        return self.mask.shape[0]

    @staticmethod
    @torch.no_grad()
    def of(graph: StateGraph[Any], device: torch.device | str = "cpu") -> "Tables":
        """The tables of a graph, on a device.

        Raises:
            IncompatibleError: If a move back leads to a state that no move forward reaches.
        """
        env, states = graph.env, graph.states
        mask = env.forward_mask(states)
        moves = mask
        if env.stop_action is not None:
            moves = mask.clone()
            moves[:, env.stop_action] = False
        child, undo = _led(graph, env._step, env.backward_action, moves)
        back_mask = env.backward_mask(states)
        parent = redo = back_mask.long()
        if env.has_backward:
            parent, redo = _led(graph, env._backstep, env.forward_action, back_mask)
        found = Tables(
            states,
            mask,
            child,
            undo,
            env.forward_classes(states),
            back_mask,
            parent,
            redo,
            env.backward_classes(states) if env.has_backward else None,
            env.is_terminal(states),
            graph.can_end,
            env.mover(states),
        )
        held: Any = {
            name: None if value is None else to_device(value, device)
            for name, value in vars(found).items()
        }
        return Tables(**held)


def _led(graph: StateGraph[Any], step: Any, back: Any, moves: Tensor) -> tuple[Tensor, Tensor]:
    """(N, A) rows that moves lead to, and the actions that undo them."""
    rows, actions = moves.nonzero(as_tuple=True)
    reached = torch.arange(len(moves))[:, None].repeat(1, moves.shape[1])
    undo = torch.zeros_like(reached)
    if len(rows):
        left = take(graph.states, rows)
        reached[rows, actions] = graph.rows(step(left, actions))
        undo[rows, actions] = back(left, actions)
    return reached, undo


def size_of(env: DiscreteEnvironment[Any]) -> int:
    """Numbers that the tables hold for each state."""
    return 2 * (env.num_actions + env.num_backward_actions)
