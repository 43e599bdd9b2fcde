"""Rules about ends: finished states, promises about them, and the longest path."""

import torch
from torch import Tensor

from gflow.state import batch_size
from gflow.testing.discrete.explore import Explored
from gflow.testing.probe import Probe


def check_ends(probe: Probe, found: Explored) -> None:
    """States without actions are finished, finished ones have none, and promises are kept."""
    env, findings, states = probe.env, probe.findings, found.states
    mask = probe.call("forward_mask", states)
    terminal = probe.call("is_terminal", states)
    alive = mask.any(1)

    def first(rows: Tensor) -> str:
        return probe.show(states, int(rows.nonzero()[0]))

    stuck = ~alive & ~terminal
    if bool(stuck.any()):
        findings.add(
            "stuck-state",
            f"No action is legal in {first(stuck)}, and `is_terminal` does not call it finished.",
            "Allow an action there in `forward_mask`, or make `is_terminal` true.",
        )
    both = alive & terminal
    if bool(both.any()):
        row = int(both.nonzero()[0])
        findings.add(
            "terminal-has-actions",
            f"{probe.show(states, row)} is terminal and allows the actions "
            f"{mask[row].nonzero().flatten().tolist()}.",
            "Forbid all actions where `is_terminal` is true. A state that *may* be the last one is "
            "not terminal: it allows `stop_action`.",
        )
    if not env.has_forced_terminals and bool(terminal.any()):
        findings.add(
            "broken-promise",
            f"has_forced_terminals is False, and {first(terminal)} is finished by force.",
            "Let every object end by `stop_action`, or set has_forced_terminals = True.",
        )
    if env.every_state_stops:
        stops = mask[:, env.stop_action] if env.stop_action is not None else alive & ~alive
        if not bool(stops.all()):
            findings.add(
                "broken-promise",
                f"every_state_stops is True, and {first(~stops)} does not allow the stop action.",
                "Allow `stop_action` in every state, or set every_state_stops = False.",
            )
    ends = terminal if env.stop_action is None else terminal | mask[:, env.stop_action]
    if not bool(ends.any()):
        findings.add(
            "no-object",
            f"None of the {batch_size(states)} states found is terminal or allows a stop.",
            "Walks must end in objects: check `is_terminal`, `forward_mask` and `stop_action`.",
        )
    empty = ~probe.call("backward_mask", states).any(1)  # noted by `check_undoing`
    initial = probe.call("is_initial", states)
    initial[0] = False
    if not env.has_backward:  # s0 is the first of the states, which differ
        empty = torch.zeros_like(empty)
    if bool((initial & ~empty).any()):
        findings.add(
            "initial-state",
            f"`is_initial` is true for {first(initial & ~empty)}, which is not s0.",
            "`is_initial` must be true at s0 only.",
        )


def check_horizon(probe: Probe, found: Explored) -> None:
    """The graph is acyclic and no trajectory is longer than `horizon`."""
    env, longest = probe.env, found.longest
    if found.exhaustive:
        depth = torch.zeros(batch_size(found.states), dtype=torch.int64)
        for _ in range(len(depth) + 1):
            longer = depth.scatter_reduce(0, found.child, depth[found.parent] + 1, "amax")
            if torch.equal(longer, depth):
                break
            depth = longer
        else:
            row = int(depth.argmax())
            probe.findings.add(
                "cycle",
                f"The state {probe.show(found.states, row)} can be reached from itself.",
                "States must form an acyclic graph; if a move may be taken back, count the moves "
                "in the state.",
            )
            return
        mask = probe.call("forward_mask", found.states)
        stops = mask[:, env.stop_action] if env.stop_action is not None else mask.any(1) & False
        longest = found.longest = int((depth + stops).max())
    if longest > env.horizon:
        probe.findings.add(
            "horizon-too-small",
            f"There is a trajectory of {longest} transitions, stops included, and horizon = "
            f"{env.horizon}.",
            f"Set horizon = {longest}; longer trajectories would be cut off.",
        )
