"""What is in sets and bags: how often each item, learned against exact."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture, Shown


def mean_counts(counts: Tensor, weights: Tensor | None = None) -> Tensor:
    """(n,) mean of (B, n) counts, weighted by (B,) probabilities if there are any."""
    counts = counts.double().cpu()
    return counts.mean(0) if weights is None else weights.double().cpu() @ counts


def items_picture(
    shown: Shown, value: str, names: Sequence[str] = (), exact: Tensor | None = None
) -> Picture:
    """Bars of what is learned for each item, dashes across where the target has it.

    Args:
        shown: The run; objects are (B, n) counts.
        value: Name of the axis of values.
        names: Of the items; their numbers by default.
        exact: (n,) exact values, if known without a list of all objects.
    """
    learned = mean_counts(shown.objects)
    if exact is None and shown.target is not None:
        exact = mean_counts(*shown.target)
    count = len(learned)
    figure, axis = pyplot().subplots(figsize=(min(14.0, max(4.5, 0.28 * count + 1.4)), 3.2))
    places = torch.arange(count).numpy()
    axis.bar(places, learned.numpy(), width=0.7, color="tab:blue", alpha=0.6, label="learned")
    if exact is not None:
        axis.scatter(places, exact.numpy(), marker="_", s=160, color="black", lw=2, label="target")
    step = max(1, -(-count // 40))
    labels = list(names) or [str(i) for i in range(count)]
    axis.set_xticks(places[::step], labels[::step])
    axis.set_xlabel("item")
    axis.set_ylabel(value)
    axis.set_ylim(0, None)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    figure.tight_layout()
    said = f"{value.capitalize()} of each item in {shown.count} learned samples (bars)"
    return Picture(
        figure, said + (" and under the exact target (dashes)." if exact is not None else ".")
    )
