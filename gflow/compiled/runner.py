"""Training steps that run as one graph: compiled, or captured on a GPU."""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gflow.compiled.adam import corrections
from gflow.compiled.draws import Draws
from gflow.compiled.inputs import StepInputs
from gflow.compiled.refusal import refusal
from gflow.compiled.replayed import Probe
from gflow.compiled.step import PureStep
from gflow.compiled.trace import traced
from gflow.errors import IncompatibleError
from gflow.listed.policy import OnList, Shared
from gflow.listed.rule import listing
from gflow.state import tensors, tree_map
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer


class CompiledStep:
    """The steps of a trainer as calls of one graph.

    The graph samples, evaluates, differentiates and takes the step of Adam, on tensors of the
    policy, the objective and the optimiser as they are, in place. What it draws is drawn before it
    from the trainer's generator; what is recorded is summed in it.

    Args:
        trainer: Whose steps.

    Raises:
        IncompatibleError: If they cannot be one graph, with the reason and what to do.
    """

    def __init__(self, trainer: "Trainer") -> None:
        self.trainer = trainer
        self.what = (
            f"{type(trainer.objective).__name__} on {trainer.env.name} with "
            f"{type(trainer.policy).__name__}"
        )
        reason = refusal(trainer)
        if reason is not None:
            raise IncompatibleError(f"{self.what} cannot be compiled: {reason}.")
        self.module = nn.ModuleDict({"policy": trainer.policy, "objective": trainer.objective})
        if trainer.average is not None:
            self.module["average"] = trainer.average
        self.listed = listing(trainer.env, trainer.count, trainer.device)
        self.step = self._pure()
        self.seconds, self.steps, self.done = 0.0, 0, 0
        self._call: Callable[[], list[Tensor]] | None = None

    def _pure(self) -> PureStep:
        """The step as a function of tensors."""
        t = self.trainer
        policy = t.policy
        if self.listed is not None:
            policy = (Shared if self.listed.whole else OnList)(policy)
        name_of = {id(p): name for name, p in self.module.named_parameters()}
        groups = [
            ([name_of[id(p)] for p in group["params"]], group) for group in t.optimizer.param_groups
        ]
        return PureStep(
            t.env if self.listed is None else self.listed,
            policy,
            self.module,
            t.objective,
            t.behaviour,
            t.exploration,
            t.condition,
            t.count,
            groups,
            t.config.grad_clip,
            t.config.ema,
        )

    # ------------------------------------------------------------------ running

    def __call__(self) -> Trajectories[Any] | None:
        """One step; the trajectories of its batch if somebody looks at them."""
        if self._call is None:
            self._prepare()
        assert self._call is not None
        given = self.inputs
        for kind, numbers in given.draws.items():
            if len(numbers):
                fill = numbers.uniform_ if kind == "uniform" else numbers.normal_
                fill(generator=self.trainer.generator)
        given.numbers["step"].fill_(self.trainer.step)
        self._set_rates()
        found = self._call()
        self.steps += 1
        return self._batch(found) if self.trainer.callbacks else None

    def sums(self) -> tuple[dict[str, float], int]:
        """Sums of what was recorded since they were last asked for, and of how many steps."""
        if not self.steps:
            return {}, 0
        values, steps = self.inputs.numbers["sums"].tolist(), self.steps
        self.inputs.numbers["sums"].zero_()
        self.steps = 0
        return dict(zip(self.step.names, values, strict=False)), steps

    def failure(self) -> tuple[int, str] | None:
        """Step and name of the first check that failed, or None."""
        if self._call is None:
            return None
        code = int(self.inputs.numbers["where"])
        if code < 0:
            return None
        self.inputs.numbers["where"].fill_(-1)
        self.inputs.numbers["failed"].zero_()
        self.done = int(self.inputs.numbers["adam"])
        return code // 64, self.step.checks[code % 64]

    def _set_rates(self) -> None:
        self.done += 1
        groups = self.trainer.optimizer.param_groups
        rates = [corrections(group["lr"], group["betas"], self.done) for group in groups]
        self.inputs.numbers["rates"].copy_(torch.tensor(rates, dtype=torch.float64))

    def _batch(self, flat: list[Tensor]) -> Trajectories[Any]:
        """The batch that the graph gave, of the environment itself."""
        rest = iter(flat)
        states = self._some.states
        held: dict[str, Any] = {
            name: None if value is None else next(rest)
            for name, value in vars(self._some).items()
            if name != "states"
        }
        if self.listed is not None and self.listed.whole:
            return self.listed.unlisted(Trajectories(states=self.listed.all, **held))
        states = tree_map(lambda _: next(rest), states)
        batch = Trajectories(states=states, **held)
        return batch if self.listed is None else self.listed.unlisted(batch)

    # ------------------------------------------------------------------ preparing

    def _prepare(self) -> None:
        """Dry run, trace, compile; says so if it takes long."""
        began = time.monotonic()
        self._dry_run()
        flat = self.inputs.flat()
        graph = traced(self._flat, flat, self.what)
        given = [*flat, *graph.constants]
        print(
            f"Compiling a training step of {len(graph.module.graph.nodes)} operations ...",
            file=sys.stderr,
            flush=True,
        )
        self._call = self._built(graph.module, given)
        self.seconds = time.monotonic() - began
        print(f"... done in {self.seconds:.0f} s.", file=sys.stderr, flush=True)

    def _built(self, module: Any, given: list[Tensor]) -> Callable[[], list[Tensor]]:
        """What runs the graph on the tensors that it was traced for."""
        from torch._inductor import config, standalone_compile

        # What calls the kernels is C++, too, on a CPU: in Python it takes longer than many kernels.
        calls = {"cpp_wrapper": self.trainer.device.type == "cpu"}
        with warnings.catch_warnings(), _quiet("torch._inductor.ir"), config.patch(calls):
            warnings.simplefilter("ignore")
            compiled: Any = standalone_compile(
                module, [*given], dynamic_shapes="from_example_inputs", options={}
            )
        return lambda: list(compiled(*given) or ())

    def _flat(self, *flat: Tensor) -> list[Tensor]:
        """The step as a function of flat tensors; what callbacks will look at is returned."""
        given = self.inputs.filled(list(flat))
        draws = Draws(given.draws["uniform"], given.draws["normal"])
        batch = self.step(given, draws)
        if not self.trainer.callbacks:
            return []
        parts = [v for n, v in vars(batch).items() if n != "states" and v is not None]
        if self.listed is None or not self.listed.whole:
            parts += tensors(batch.states)
        return [part.clone() for part in parts]

    def _dry_run(self) -> None:
        """Sample and evaluate once in earnest, changing nothing.

        It fills whatever the environment and the engine remember, counts the random numbers, and
        shows the objective its first batch.
        """
        t, step = self.trainer, self.step
        before = t.generator.get_state()
        names = {id(p): name for name, p in self.module.named_parameters()}
        draws, probe = Draws(), Probe(lambda weight: names.get(id(weight)))
        self.inputs = self._gather(0, 0)
        with draws, probe:
            step.generator = t.generator
            batch, _, recorded = step._loss(t.device)
            step.generator = None
        t.generator.set_state(before)
        t.optimizer._opt_called = True  # type: ignore[attr-defined]  # schedules ask for it
        if not t.step:
            t.objective.begin(batch if self.listed is None else self.listed.unlisted(batch))
        self._some, step.known = batch, probe.found
        step.names = list(recorded)
        self.inputs = self._gather(draws.count["uniform"], draws.count["normal"])
        self.steps, self.done = 0, int(self.inputs.numbers["adam"])

    def _gather(self, uniform: int, normal: int) -> StepInputs:
        """The tensors of the trainer, as they are."""
        t = self.trainer
        parameters = {
            name: p.detach()
            for name, p in self.module.named_parameters()
            if not name.startswith("average.")
        }
        average = {
            name: p.detach()
            for name, p in self.module.named_parameters()
            if name.startswith("average.")
        }
        means, squares, done = {}, {}, 0.0
        state = t.optimizer.state
        named = dict(self.module.named_parameters())
        for names, _ in self.step.groups:
            for name in names:
                held = state[named[name]]
                if not held:
                    held["step"] = torch.zeros((), dtype=torch.float32, device=t.device)
                    held["exp_avg"] = torch.zeros_like(named[name])
                    held["exp_avg_sq"] = torch.zeros_like(named[name])
                means[name], squares[name] = held["exp_avg"], held["exp_avg_sq"]
                done = float(held["step"])
        double: Any = {"dtype": torch.float64, "device": t.device}
        numbers = {
            "adam": torch.tensor(done, **double),
            "rates": torch.zeros(len(self.step.groups), 2, **double),
            "step": torch.zeros((), dtype=torch.int64, device=t.device),
            "failed": torch.zeros((), device=t.device, dtype=torch.float32),
            "where": torch.full((), -1, dtype=torch.int64, device=t.device),
            "sums": torch.zeros(len(self.step.names), **double),
        }
        flat: Any = {"device": t.device, "dtype": torch.get_default_dtype()}
        drawn = {"uniform": torch.zeros(uniform, **flat), "normal": torch.zeros(normal, **flat)}
        buffers = dict(self.module.named_buffers())
        return StepInputs(parameters, buffers, average, means, squares, numbers, drawn)

    def write_back(self) -> None:
        """Let the optimiser know how many steps were taken."""
        if self._call is None:
            return
        done = float(self.inputs.numbers["adam"])
        for held in self.trainer.optimizer.state.values():
            held["step"].fill_(done)

    def reload(self) -> None:
        """Take the tensors of the trainer anew, after it was given a state."""
        self._call, self.steps = None, 0


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger say nothing but errors within a block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
