"""The card of a saved sampler, README.md, as model hubs show it."""

from typing import TYPE_CHECKING, Any

import yaml

from gflow.runs.about import versions
from gflow.tasks.command import command_of
from gflow.tasks.measure import evaluate_run
from gflow.training.json_lines import to_json

if TYPE_CHECKING:
    from gflow.runs.trained import Trained

NAME = "README.md"
SHOWN = 5
"""Objects on a card."""
WIDE = 80
"""Characters of a cell."""


def card_of(trained: "Trained", name: str, needs: dict[str, str], samples: int) -> str:
    """The text of the card: what it samples, how to load it, metrics, examples, settings.

    Args:
        trained: The sampler.
        name: Of the folder.
        needs: What must be passed to load it, with its class.
        samples: Objects drawn to measure it; 0 measures and shows nothing.
    """
    task, objective = trained.config.task, trained.objective
    metrics = evaluate_run(trained.context, samples) if samples else {}
    tags = ["gflownet", "gflow", task.name, objective.name]
    head: dict[str, Any] = {"library_name": "gflow", "tags": list(dict.fromkeys(tags))}
    if metrics:
        head["model-index"] = [_index(name, task.name, metrics)]
    passed = "".join(f", {key}=..." for key in needs)
    lines = [
        "---", yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(), "---", "",
        f"# {name}", "",
        f"A GFlowNet sampler: {_line(task.summary).rstrip('.')}. Trained by {objective.name} for "
        f"{trained.step} steps.", "",
        "## Use", "", "```python", "import gflow", "",
        f'sampler = gflow.from_pretrained("{name}"{passed})',
        "sampler.table(10)  # objects in words, with their rewards",
        "sampler.log_prob(sampler.sample(10))", "```", "",
    ]  # fmt: skip
    if needs:
        made = ", ".join(f"`{key}` (here {value})" for key, value in needs.items())
        lines += [f"What was made in Python has to be passed: {made}.", ""]
    if metrics:
        lines += ["## Metrics", "", f"Of {samples} samples.", "", "| metric | value |", "|---|---|"]
        lines += [f"| {key} | {value:.4g} |" for key, value in metrics.items()]
        lines += ["", "## Samples", "", *_table(trained.table(SHOWN)), ""]
    if not needs:
        lines += ["## Training", "", "```bash", command_of(trained.config), "```", ""]
    used = ", ".join(f"{key} {value}" for key, value in versions().items())
    return "\n".join([*lines, f"Saved by {used}.", ""])


def _index(name: str, task: str, metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics as the front matter of hubs has them."""
    values = [
        {"type": key, "value": float(value)}
        for key, value in metrics.items()
        if abs(value) < float("inf")
    ]
    result = {
        "task": {"type": "sampling", "name": "Sampling in proportion to a reward"},
        "dataset": {"type": task, "name": task},
        "metrics": values,
    }
    return {"name": name, "results": [result]}


def _table(rows: list[dict[str, Any]]) -> list[str]:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return [*lines, *(f"| {' | '.join(_cell(row.get(h, '')) for h in heads)} |" for row in rows)]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDE else text[: WIDE - 1] + "…"
