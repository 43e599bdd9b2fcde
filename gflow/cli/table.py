"""Which objective can train on which environment from which behaviour, and why not."""

from typing import Any

from gflow.behaviours.base import Behaviour
from gflow.errors import IncompatibleError
from gflow.objective import NO_MARGINALS, Objective
from gflow.objectives import OBJECTIVES
from gflow.tasks.options import RunConfig, objective_of
from gflow.tasks.parts import BEHAVIOURS, GUESSED, Part, part_options
from gflow.tasks.registry import importable
from gflow.tasks.signature import REQUIRED, options_of
from gflow.tasks.task import Task

Refusals = dict[tuple[str, str], str | None]
"""(objective, behaviour) to the reason against it, or None."""


def marks() -> dict[str, str]:
    """A letter for each behaviour, for the table: its first that is free."""
    found: dict[str, str] = {}
    for name in BEHAVIOURS:
        free = [c for c in (*name, *"abcdefghijklmnopqrstuvwxyz") if c not in found.values()]
        found[name] = next(c for c in free if c.isalpha())
    return found


def refusals(cls: type[Task[Any]]) -> Refusals:
    """For each objective and behaviour why they cannot train on a task, or None if they can."""
    task, env = cls(), cls.cheap()
    conditional = task.condition(env) is not None
    found: Refusals = {}
    for name in OBJECTIVES:
        try:
            objective = build_objective(task, env, name)
            objective.check(env, conditional=conditional)
        except IncompatibleError as error:
            text = str(error)
            reason = text.split(": ", 1)[1] if f"train on {env.name}: " in text else text
            found |= {(name, behaviour): reason for behaviour in BEHAVIOURS}
            continue
        for behaviour in BEHAVIOURS:
            made = behaviour_of(behaviour)
            none = not task.has_marginals
            first = NO_MARGINALS if none and objective.needs.marginals else None
            last = NO_MARGINALS if none and made.needs_marginals else None
            found[name, behaviour] = first or made.refusal(env, objective) or last
    task.close(env)
    return found


def behaviour_of(name: str) -> Behaviour:
    """A behaviour with its default settings."""
    behaviour: Behaviour = Part.of("behaviour", name).build()
    return behaviour


def build_objective(task: Task[Any], env: Any, name: str) -> Objective:
    """An objective with its default settings; log Z starts at 0, which costs nothing to find."""
    guessed = [o.name for o in part_options("objective", name) if o.name in GUESSED]
    settings = dict.fromkeys(guessed, 0.0)
    return RunConfig.of(task, objective=objective_of(task, name, **settings)).build_objective(env)


def show() -> str:
    """The whole table, and the reasons against what it rules out."""
    tasks, broken = importable()
    lines = ["environments"]
    lines += [f"  {name:<16} {cls.summary}" for name, cls in tasks.items()]
    lines += [f"  {name:<16} ({reason})" for name, reason in broken.items()]
    for title, known in (("objectives", OBJECTIVES), ("behaviours", BEHAVIOURS)):
        lines.append(title)
        for name, kind in known.items():
            lines.append(f"  {name:<16} {(kind.__doc__ or '').splitlines()[0]}")
    letters = marks()
    legend = ", ".join(f"{mark} {name}" for name, mark in letters.items())
    lines.append(f"which go together ({legend})")
    wide = 1 + max(len(name) for name in OBJECTIVES)
    lines.append(" " * 18 + "".join(f"{name:>{wide}}" for name in OBJECTIVES))
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for task, cls in tasks.items():
        if any(option.default is REQUIRED for option in options_of(cls)):
            lines.append(f"  {task:<16}   depends on options that must be given")
            continue
        found = refusals(cls)
        cells = []
        for objective in OBJECTIVES:
            against = {b: found[objective, b] for b in BEHAVIOURS}
            cells.append("".join(letters[b] if against[b] is None else "-" for b in BEHAVIOURS))
            for behaviour, reason in against.items():
                if reason is not None:
                    what = "" if len(set(against.values())) == 1 else f" with {behaviour}"
                    reasons.setdefault((objective, what, reason), []).append(task)
        lines.append(f"  {task:<16}" + "".join(f"{cell:>{wide}}" for cell in cells))
    lines.append("why not")
    alike: dict[tuple[str, str], list[str]] = {}
    for (objective, what, reason), names in reasons.items():
        everywhere = len(set(names)) == len(tasks)
        where = "" if everywhere else f" on {', '.join(dict.fromkeys(names))}"
        alike.setdefault((what + where, reason), []).append(objective)
    for (case, reason), objectives in alike.items():
        lines.append(f"  {', '.join(objectives)}{case}: {reason}")
    return "\n".join(lines)
