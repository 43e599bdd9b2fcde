"""What is learned beside the policy: from the same batches, with an optimiser of its own."""

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count
from gflow.checks import checked
from gflow.deferred import Complaint, require_finite
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.memory.rescore import of_now
from gflow.policies.base import Policy
from gflow.shown import in_a_line
from gflow.state import tensors, tree_map
from gflow.trajectories import Trajectories


class Learner(ABC):
    """Learns something else than the policy from every training batch.

    Trainers call `learn` on each batch before the policy's own step; if it changes the reward
    (`LogReward.version`), the batch is scored anew before that and before the next learner. The
    parameters in `module` are this learner's alone: the trainer's optimiser leaves them out, and
    losses of objectives send no gradient into them.

    Attributes:
        module: What is learned.
        optimizer: The optimiser of its parameters.
        grad_clip: Largest norm of the gradient of a step; 0 does not clip.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    grad_clip: float = 0.0

    __repr__ = in_a_line

    @abstractmethod
    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Take whatever steps this learner takes per batch; returns () numbers to log."""

    def descend(self, loss: Tensor, complain: Complaint, what: str) -> None:
        """One step of the optimiser down a () loss, with gradients of its own parameters clipped.

        Args:
            loss: With gradient.
            complain: Raises the error of a loss that is not finite.
            what: Short name of the step.
        """
        require_finite(loss.detach(), complain, what)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.grad_clip:
            own = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(own, self.grad_clip)
        self.optimizer.step()

    def observe(self, loss: Tensor) -> None:  # noqa: B027
        """See the () loss of the batch, without gradient, after the policy's own step."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, apart from `module` where another module holds it."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])


class BatchMemory:
    """The latest `capacity` training batches, as they were.

    When the reward has changed (`LogReward.version`), a batch that is drawn is scored anew.

    Args:
        env: Their environment.
        capacity: Number of batches kept.
    """

    @checked
    def __init__(self, env: Environment[Any], capacity: Count) -> None:
        self.env = env
        self.batches: deque[Trajectories[Any]] = deque(maxlen=capacity)
        self.versions: deque[int] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self.batches)

    def add(self, batch: Trajectories[Any]) -> None:
        """Remember a batch, if it is not empty, forgetting the oldest if there is no room."""
        if len(batch):
            self.batches.append(batch)
            self.versions.append(self.env.reward.version)

    def draw(
        self,
        generator: torch.Generator,
        device: torch.device | str | None = None,
        scored: bool = True,
    ) -> Trajectories[Any]:
        """One of the batches, all equally likely.

        Args:
            generator: Source of the choice.
            device: Where it is wanted: batches read from a checkpoint are on the CPU until then.
                None leaves it where it is.
            scored: Whether its rewards are read, and must be those of the reward as it is.

        Raises:
            ConfigError: If nothing was added yet.
        """
        if not self.batches:
            raise ConfigError("BatchMemory: nothing was added yet, so nothing can be drawn.")
        on = generator.device
        place = int(torch.randint(len(self.batches), (), generator=generator, device=on))
        drawn, version = self.batches[place], self.env.reward.version
        if device is not None and drawn.length.device != torch.device(device):
            drawn = self.batches[place] = drawn.to(device)
        if scored and self.versions[place] != version:
            drawn = self.batches[place] = of_now(self.env, drawn)
            self.versions[place] = version
        return drawn

    def state_dict(self) -> list[dict[str, Any]]:
        """Every batch as plain tensors, and the version of the reward that scored it."""
        return [
            {
                f.name: tensors(batch.states) if f.name == "states" else getattr(batch, f.name)
                for f in fields(batch)
            }
            | {"version": version}
            for batch, version in zip(self.batches, self.versions, strict=True)
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take back what `state_dict` gave."""
        self.batches.clear()
        self.versions.clear()
        for saved in state:
            parts = iter(saved["states"])
            states = tree_map(lambda _: next(parts), self.env.initial(1))  # noqa: B023
            fields = {name: value for name, value in saved.items() if name != "version"}
            self.batches.append(Trajectories(**{**fields, "states": states}))
            self.versions.append(saved["version"])


def parameters_of(learners: list[Learner]) -> set[int]:
    """Identities of the parameters that belong to learners."""
    return {id(p) for learner in learners for p in learner.module.parameters()}


def average_into(average: nn.Module, module: nn.Module, share: float) -> None:
    """``average <- (1 - share) average + share module``, parameter by parameter; buffers copied."""
    mine: list[Tensor] = list(average.parameters())
    with torch.no_grad():
        torch._foreach_lerp_(mine, list(module.parameters()), share)
        for a, b in zip(average.buffers(), module.buffers(), strict=True):
            a.copy_(b)
