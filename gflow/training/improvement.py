"""Whether a metric has improved: what early stopping and best checkpoints ask."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from gflow.bounds import Count, NotNegative
from gflow.checks import checked
from gflow.errors import ConfigError

Goal = Literal["auto", "min", "max"]

SMALL = (
    "loss", "tv", "l1", "mean_l1", "jsd", "kl", "log_z_error", "marginal_tv", "eubo",
    "nearest_mode", "mean_mutations", "w2", "sinkhorn", "igd", "gd_plus", "igd_plus",
)  # fmt: skip
"""Metrics that are better where they are smaller, and their kin (`tv_at_2`)."""
LARGE = (
    "reward", "score", "elbo", "ess", "unique", "modes", "coverage", "pearson", "spearman",
    "accuracy", "optimal", "success", "hypervolume", "solved", "diversity", "best", "top",
    "log_prob",
)  # fmt: skip
"""Words in the names of metrics that are better where they are larger."""


class Improvement:
    """The best value of a metric so far, and for how many reports there was no better one.

    Args:
        metric: Its name.
        goal: Whether small or large values are good; "auto" by its name.
        min_delta: What an improvement must be more than.

    Raises:
        ConfigError: If the name says no goal.

    Attributes:
        best: The best value; NaN before the first.
        step: When that was.
        waited: Reports since.
    """

    @checked
    def __init__(self, metric: str, goal: Goal = "auto", min_delta: NotNegative = 0.0) -> None:
        self.metric, self.min_delta = metric, min_delta
        self.sign = -1.0 if (goal_of(metric) if goal == "auto" else goal) == "min" else 1.0
        self.best, self.step, self.waited = math.nan, -1, 0

    def better(self, step: int, numbers: Mapping[str, float]) -> bool:
        """Take a report; whether it is better than all before.

        A value that is no number is never better.

        Raises:
            ConfigError: If the metric is not among them.
        """
        if self.metric not in numbers:
            raise ConfigError(
                f"There is no metric {self.metric!r} to watch; reports have "
                f"{', '.join(sorted(numbers))}."
            )
        value = float(numbers[self.metric])
        gain = self.sign * (value - self.best)
        if not math.isnan(value) and (math.isnan(self.best) or gain > self.min_delta):
            self.best, self.step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    def again(self) -> None:
        """Wait anew from here."""
        self.waited = 0

    def state_dict(self) -> dict[str, Any]:
        """The best value and the waiting."""
        return {"best": self.best, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.best, self.step, self.waited = state["best"], state["step"], state["waited"]

    def __repr__(self) -> str:
        goal = "min" if self.sign < 0 else "max"
        return f"Improvement({self.metric!r}, {goal!r}, best {self.best:.6g} at step {self.step})"


def goal_of(metric: str) -> Literal["min", "max"]:
    """Whether small or large values of a metric are good, by its name.

    Raises:
        ConfigError: If the name does not say.
    """
    name = metric.partition("_at_")[0]
    if name in SMALL or name.endswith(("_loss", "_error", "_distance")):
        return "min"
    if any(word in name for word in LARGE):
        return "max"
    raise ConfigError(
        f"Whether {metric!r} should be small or large is not known by its name: say the goal, min "
        f"or max (goal= in Python, --stop-goal and --best-goal on the command line)."
    )


class Patience(Improvement):
    """An `Improvement` that gives up.

    Args:
        metric: Its name.
        patience: Reports without an improvement after which it does.
        goal: As of `Improvement`.
        min_delta: As of `Improvement`.
    """

    def __init__(
        self, metric: str, patience: Count = 10, goal: Goal = "auto", min_delta: NotNegative = 0.0
    ) -> None:
        super().__init__(metric, goal, min_delta)
        self.patience = patience

    def spent(self, step: int, numbers: Mapping[str, float]) -> str:
        """Take a report; why to stop, empty if not."""
        self.better(step, numbers)
        if self.waited < self.patience:
            return ""
        return (
            f"{self.metric} has not improved for {self.waited} reports (best {self.best:.6g} at "
            f"step {self.step})"
        )
