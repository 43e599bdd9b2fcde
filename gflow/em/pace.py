"""When the model takes a step: after so many steps of the sampler, or when it is good enough."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gflow.bounds import Count, Part
from gflow.checks import check_finite, checked
from gflow.errors import ConfigError


class Pace(ABC):
    """Says before each step of the sampler how many steps the model takes."""

    @abstractmethod
    def due(self) -> int:
        """How many steps of the model are due now; asked once a step of the sampler."""

    def observe(self, loss: Tensor) -> None:  # noqa: B027
        """Hear the () loss of a step of the sampler."""

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """() numbers to log; none by default."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What later answers depend on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""


class Every(Pace):
    """`times` steps of the model after every `steps` steps of the sampler.

    Args:
        steps: Of the sampler.
        times: Steps of the model.
    """

    @checked
    def __init__(self, steps: Count = 1, times: Count = 1) -> None:
        self.steps, self.times, self.passed = steps, times, 0

    def due(self) -> int:
        """`times` after every `steps`."""
        before, self.passed = self.passed, self.passed + 1
        return self.times if before and before % self.steps == 0 else 0

    def state_dict(self) -> dict[str, Any]:
        """Steps of the sampler so far."""
        return {"passed": self.passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.passed = state["passed"]


class Threshold(Pace):
    r"""One step of the model whenever the sampler's smoothed loss lies below a threshold.

    The average starts at the first loss, a, and moves by :math:`a \leftarrow \beta a + (1 - \beta)
    \ell`: started at zero it would open the way before the sampler has learned anything. The
    threshold falls from `start` to `end` in equal steps, one with each step of the model, while the
    model becomes worth a better sampler.

    Args:
        start: Threshold at first.
        end: Threshold at last.
        over: Steps of the model in between.
        smoothing: beta.

    Raises:
        ConfigError: If the threshold would rise.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576
    """

    @checked
    def __init__(self, start: float, end: float, over: Count, smoothing: Part = 0.9) -> None:
        check_finite("Threshold", start=start, end=end)
        if end > start:
            raise ConfigError(
                f"Threshold: it falls while training goes on, so `end` must be at most `start`, "
                f"got {start} to {end}."
            )
        self.start, self.end, self.over, self.smoothing = start, end, over, smoothing
        self.taken = 0
        self.smoothed: Tensor | None = None

    @property
    def level(self) -> float:
        """The threshold now."""
        return self.start + (self.end - self.start) * min(1.0, self.taken / self.over)

    def observe(self, loss: Tensor) -> None:
        """Move the average."""
        loss = loss.detach()
        before = loss.clone() if self.smoothed is None else self.smoothed.to(loss.device)
        self.smoothed = before.lerp(loss, 1 - self.smoothing)

    def due(self) -> int:
        """One if the average lies below the threshold; none before there is an average."""
        if self.smoothed is None or not bool(self.smoothed < self.level):
            return 0
        self.taken += 1
        return 1

    @property
    def metrics(self) -> dict[str, Tensor]:
        """The average and the threshold."""
        if self.smoothed is None:
            return {}
        level = self.smoothed.new_tensor(self.level)
        return {"smoothed_loss": self.smoothed, "threshold": level}

    def state_dict(self) -> dict[str, Any]:
        """Steps taken, and the average."""
        return {"taken": self.taken, "smoothed": self.smoothed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.taken, self.smoothed = state["taken"], state["smoothed"]
