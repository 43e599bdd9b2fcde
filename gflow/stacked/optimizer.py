"""Adam over the parameters of K runs, each at its own rates."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from gflow.training.trainer import Trainer

EPSILON = 1e-6
"""Added to the norm of a gradient before dividing by it, as torch does."""


class StackedAdam:
    """The optimisers of K trainers as one, with their numbers.

    Moments become views of stacked ones, as parameters did (`gflow.stacked.parameters`), so that
    each trainer's own optimiser can be saved, and goes on, as if it had taken the steps.

    Args:
        trainers: K trainers at one step.
        main: Stacked parameters of the policies.
        own: Stacked parameters of the objectives.
    """

    def __init__(
        self, trainers: Sequence[Trainer], main: Sequence[Tensor], own: Sequence[Tensor]
    ) -> None:
        self.trainers, self.main, self.own = tuple(trainers), list(main), list(own)
        self.clip = [trainer.config.grad_clip for trainer in trainers]
        self._moments: dict[int, tuple[Tensor, Tensor]] = {}
        self.steps: dict[int, Tensor] = {}
        groups = [self.main, self.own] if self.own else [self.main]
        for number, group in enumerate(groups):
            for place, whole in enumerate(group):
                self._take_over(number, place, whole)

    def _take_over(self, group: int, place: int, whole: Tensor) -> None:
        """Stack what the trainers' optimisers remember of a parameter."""
        states = [self._state(trainer, group, place) for trainer in self.trainers]
        if not all(states):
            self._moments[id(whole)] = (torch.zeros_like(whole), torch.zeros_like(whole))
            self.steps[id(whole)] = torch.zeros((), dtype=torch.float32, device=whole.device)
            return
        first, second = (
            torch.stack([state[name] for state in states]) for name in ("exp_avg", "exp_avg_sq")
        )
        self._moments[id(whole)] = (first, second)
        self.steps[id(whole)] = states[0]["step"].clone()

    @staticmethod
    def _state(trainer: Trainer, group: int, place: int) -> dict[str, Any]:
        parameter = trainer.optimizer.param_groups[group]["params"][place]
        found: dict[str, Any] = trainer.optimizer.state.get(parameter, {})
        return found

    def zero(self) -> None:
        """Forget all gradients."""
        for whole in (*self.main, *self.own):
            whole.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of every run down its gradient."""
        self._clip()
        for number, group in enumerate([self.main, self.own]):
            moving = [whole for whole in group if whole.grad is not None]
            if not moving:
                continue
            settings = [self._settings(trainer, number) for trainer in self.trainers]
            if all(other == settings[0] for other in settings):
                self._adam(moving, [self.steps[id(w)] for w in moving], None, settings[0])
                continue
            for run, own in enumerate(settings):
                steps = [self.steps[id(w)].clone() for w in moving]
                self._adam(moving, steps, run, own)
            for whole, taken in zip(moving, steps, strict=True):
                self.steps[id(whole)] = taken

    @staticmethod
    def _settings(trainer: Trainer, group: int) -> dict[str, Any]:
        found = trainer.optimizer.param_groups[group]
        names = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize")
        return {name: found[name] for name in names}

    def _adam(
        self, moving: list[Tensor], steps: list[Tensor], run: int | None, settings: dict[str, Any]
    ) -> None:
        """Torch's Adam on all runs, or on one."""
        moments = [self._moments[id(whole)] for whole in moving]

        def part(values: list[Any]) -> list[Tensor]:
            return values if run is None else [value[run] for value in values]

        adam(
            part(moving),
            part([whole.grad for whole in moving]),
            part([first for first, _ in moments]),
            part([second for _, second in moments]),
            [],
            steps,
            fused=True,
            amsgrad=settings["amsgrad"],
            beta1=settings["betas"][0],
            beta2=settings["betas"][1],
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            eps=settings["eps"],
            maximize=settings["maximize"],
        )

    def _clip(self) -> None:
        """Scale the gradients of each run's policy down to the largest norm that it allows."""
        if not any(self.clip):
            return
        grads = [whole.grad for whole in self.main if whole.grad is not None]
        norms = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads]
        total = torch.linalg.vector_norm(torch.stack(norms, 1), dim=1)
        most = total.new_tensor([clip or torch.inf for clip in self.clip])
        scale = (most / (total + EPSILON)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1)))

    def hand_back(self) -> None:
        """Let each trainer's optimiser have its moments and counts of steps."""
        for number, group in enumerate([self.main, self.own]):
            for place, whole in enumerate(group):
                taken = self.steps[id(whole)]
                if not float(taken):  # never had a gradient: torch remembers nothing then
                    continue
                for run, trainer in enumerate(self.trainers):
                    parameter = trainer.optimizer.param_groups[number]["params"][place]
                    first, second = self._moments[id(whole)]
                    trainer.optimizer.state[parameter] = {
                        "step": taken.clone(),
                        "exp_avg": first[run],
                        "exp_avg_sq": second[run],
                    }
