"""One training step as a function of tensors: sample, evaluate, differentiate, step."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gflow.behaviours.base import Behaviour, Sampling
from gflow.compiled.adam import AdamGroup, adam_, clipped
from gflow.compiled.draws import Draws
from gflow.compiled.inputs import Named, StepInputs, lent
from gflow.compiled.replayed import Layers
from gflow.conditions.draws import ConditionSampler
from gflow.deferred import Deferred, require_finite
from gflow.environment.base import Environment
from gflow.evaluation.anchored import plain_log_reward
from gflow.objective import Objective
from gflow.policies.base import Policy
from gflow.policies.changes import everything_read
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories


@dataclass
class PureStep:
    """A training step that reads nothing by the host and draws nothing itself.

    Attributes:
        env: The environment, listed or not.
        policy: What is asked: the policy, or what shows it a list.
        module: Holds "policy", "objective" and, if there is one, "average".
        objective: The objective.
        behaviour: Collects the batch.
        exploration: How it explores.
        condition: Draws conditions, or None.
        batch_size: Trajectories.
        groups: Names of the parameters of each group of the optimiser, with its settings.
        grad_clip: Largest norm of the gradient of the first group; 0 for any.
        decay: Of the average of the weights.
        generator: Source of randomness, where none is drawn beforehand.
        known: Layers that evaluation need not ask again (`Layers`), and of how many rows.
        names: What is recorded, in the order of the sums; known after the first call.
        checks: What was checked, in the order of `Deferred`'s numbers; likewise.
    """

    env: Environment[Any]
    policy: Policy
    module: nn.Module
    objective: Objective
    behaviour: Behaviour
    exploration: Exploration
    condition: ConditionSampler | None
    batch_size: int
    groups: Sequence[tuple[list[str], dict[str, Any]]]
    grad_clip: float = 0.0
    decay: float = 0.0
    generator: torch.Generator | None = None
    known: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.env, "static")

    def __call__(self, given: StepInputs, draws: Draws) -> Trajectories[Any]:
        """Change `given` in place as one step does; the batch that it was trained on.

        Args:
            given: All that the step reads.
            draws: Random numbers.
        """
        numbers = given.numbers
        device = numbers["failed"].device
        deferred = Deferred(device)
        deferred.names, deferred.step = self.checks, numbers["step"]  # type: ignore[assignment]
        deferred.failed, deferred._where = numbers["failed"], numbers["where"]
        leaves = {name: p.detach().requires_grad_() for name, p in given.parameters.items()}
        held = {**leaves, **given.average}
        names = {id(leaf): name for name, leaf in leaves.items()}
        layers = Layers(self.known, lambda weight: names.get(id(weight)))
        lending = lent(self.module, held, given.buffers)
        with lending, deferred.during(numbers["step"]), draws, layers:  # type: ignore[arg-type]
            batch, loss, recorded = self._loss(device)
            require_finite(loss.detach(), _never, "the loss")
        trained = [name for names, _ in self.groups for name in names]
        found = torch.autograd.grad(loss, [leaves[n] for n in trained], allow_unused=True)
        gradients = {n: g for n, g in zip(trained, found, strict=True) if g is not None}
        with torch.no_grad():
            self._descend(given, gradients, deferred.failed > 0)
            self._follow(given)
            self.names = list(recorded)
            values = [value.detach().double() for value in recorded.values()]
            numbers["sums"][: len(values)].add_(torch.stack(values))
            numbers["failed"].copy_(deferred.failed)
            numbers["where"].copy_(deferred._where)
        return batch

    def sampling(self, device: torch.device) -> Sampling:
        """What the batch is sampled with."""
        return Sampling(
            self.policy,
            self.sampler,
            self.exploration,
            self.condition,
            self.generator,
            device,
        )

    def _loss(self, device: torch.device) -> tuple[Trajectories[Any], Tensor, Named]:
        """The batch, its () loss with gradients, and () numbers to record."""
        forget = getattr(self.policy, "forget", None)
        if forget is not None:
            forget()
        with everything_read():
            batch = self.behaviour.collect(self.sampling(device), self.batch_size)
            terms = self.objective.evaluate(self.env, self.policy, batch)
        loss: Tensor = self.objective(terms)
        if forget is not None:
            forget()
        log_z = self.objective.log_z_estimate(terms).detach()
        recorded: dict[str, Any] = {
            "log_z": log_z.mean(),
            "mean_log_reward": plain_log_reward(self.env, batch).mean(),
            "loss": loss,
            "mean_length": terms.length.double().mean(),
            **self.objective.metrics(terms),
            **self.behaviour.metrics,
        }
        return batch, loss, {n: torch.as_tensor(v, device=device) for n, v in recorded.items()}

    def _descend(self, given: StepInputs, gradients: Named, keep: Tensor) -> None:
        """Adam, unless a check has failed."""
        numbers = given.numbers
        if self.grad_clip:
            main = [name for name in self.groups[0][0] if name in gradients]
            parts = clipped([gradients[name] for name in main], self.grad_clip)
            gradients = gradients | dict(zip(main, parts, strict=True))
        for number, (names, settings) in enumerate(self.groups):
            own = [name for name in names if name in gradients]
            group = AdamGroup(
                numbers["rates"][number, 0],
                numbers["rates"][number, 1],
                settings["weight_decay"],
                settings["betas"],
                settings["eps"],
            )
            tables = (given.parameters, gradients, given.means, given.squares)
            parameters, slopes, means, squares = ([t[name] for name in own] for t in tables)
            adam_(group, parameters, slopes, means, squares, keep)
        numbers["adam"].add_(~keep)

    def _follow(self, given: StepInputs) -> None:
        """Let the average of the weights follow them."""
        for name, slow in given.average.items():
            fast = given.parameters["policy" + name.removeprefix("average")]
            slow.lerp_(fast, 1 - self.decay)


def _never() -> Any:
    raise AssertionError("checks of a pure step are noted, and told when they are read")
