"""The processes of a run that `torchrun` started, over torch.distributed."""

import atexit
import contextlib
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gflow.errors import ConfigError, RankError
from gflow.learner import Learner
from gflow.machines.joined import Outline, join_terms
from gflow.machines.ranks import ALONE, Ranks, fingerprint, weights_of
from gflow.terms import FlowTerms

X = TypeVar("X")
T = TypeVar("T", bound=FlowTerms)

PATIENCE = timedelta(hours=2)
"""How long a process waits for another: the first one evaluates while the others wait."""

FRAME = 4096
"""Bytes of a message that needs one round."""

FAILED = "failed"


class Distributed(Ranks):
    """The processes of a default group of torch.distributed.

    Before tensors are exchanged, all processes say in a few bytes what they are about to do. So one
    that has failed is noticed by the others at their next word, with the step undone, and none
    waits for ever for what another will not do.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.tensors_on = torch.device("cpu")

    def device(self, name: str) -> str:
        """Each process of a machine has the GPU of its local number.

        Raises:
            ConfigError: If one GPU is asked for by its number.
        """
        kind = torch.device(name)
        if kind.type != "cuda":
            return name
        if kind.index is not None:
            raise ConfigError(
                f"device={name} is one GPU, and {self.size} processes each need their own. Use "
                f"device=cuda: the processes of a machine take its GPUs in order."
            )
        found = f"cuda:{os.environ.get('LOCAL_RANK', self.rank)}"
        torch.cuda.set_device(found)
        self.tensors_on = torch.device(found)
        return found

    # ------------------------------------------------------------------ words

    def meet(self, what: str, word: Any = None) -> list[Any]:
        """Tell all processes a word and hear theirs, in order.

        Args:
            what: What this process is about to do.
            word: Anything picklable.

        Raises:
            RankError: If another process has failed, has gone, or does something else.
        """
        data = pickle.dumps((what, word))
        with self._lost():
            first = self._frames(data, FRAME)
            most = max(size for size, _ in first)
            heard = first if most <= FRAME - 8 else self._frames(data, most + 8)
        words = [pickle.loads(part) for _, part in heard]
        for rank, (theirs, told) in enumerate(words):
            if theirs == FAILED and what != FAILED:
                raise RankError(
                    f"Process {rank} of {self.size} failed, so this one stops too: {told}"
                )
            if theirs != what and FAILED not in (theirs, what):
                raise RankError(
                    f"The processes of this run are out of step: number {self.rank} is at "
                    f"{what!r} and number {rank} at {theirs!r}. All must run the same command, "
                    f"with the same versions of everything."
                )
        return [told for _, told in words]

    def _frames(self, data: bytes, size: int) -> list[tuple[int, bytes]]:
        """Length of everybody's data, and as much of it as a frame of so many bytes holds."""
        head = len(data).to_bytes(8, "little")
        frame = torch.frombuffer(
            bytearray((head + data)[:size].ljust(size, b"\0")), dtype=torch.uint8
        )
        heard = [torch.empty_like(frame) for _ in range(self.size)]
        dist.all_gather(heard, frame)
        raw = [part.numpy().tobytes() for part in heard]
        return [(n := int.from_bytes(r[:8], "little"), r[8 : 8 + n]) for r in raw]

    @contextmanager
    def _lost(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as e:
            raise RankError(
                f"Process {self.rank} of {self.size} lost another process of the run, or waited "
                f"longer than {PATIENCE} for it ({str(e).splitlines()[0]}). What that one said, "
                f"if anything, is above; continue with `gflow resume` under the same torchrun."
            ) from e

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell the others of an error, unless it came from them or was told before."""
        try:
            yield
        except Exception as e:
            if not isinstance(e, RankError) and not getattr(e, "told", False):
                e.told = True  # type: ignore[attr-defined]
                with contextlib.suppress(RankError):
                    self.meet(
                        FAILED, f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
                    )
            raise

    # ------------------------------------------------------------------ a step

    def joined(self, terms: T | None) -> T:
        """The terms of all processes; see `Ranks.joined`."""
        outlines = self.meet("flow terms", None if terms is None else Outline.of(terms))
        on = self.tensors_on if terms is None else terms.length.device

        def exchange(data: Tensor, sizes: list[int]) -> list[Tensor]:
            most = max(sizes)
            padded = torch.nn.functional.pad(data, (0, most - len(data)))
            heard = [torch.empty_like(padded) for _ in sizes]
            with self._lost():
                dist.all_gather(heard, padded)
            return [part[:size] for part, size in zip(heard, sizes, strict=True)]

        found, self.start = join_terms(terms, outlines, self.rank, exchange, on)
        return found  # type: ignore[return-value]

    def reduce(self, parameters: Sequence[Tensor], failed: Tensor | None = None) -> Tensor | None:
        """Means of gradients: `_Own` has multiplied what belongs to this process's rows."""
        heard = self.meet("gradients", _held(parameters))
        return self._mean_gradients(parameters, heard, failed)

    def _mean_gradients(
        self,
        parameters: Sequence[Tensor],
        heard: Sequence[list[bool] | None],
        failed: Tensor | None = None,
    ) -> Tensor | None:
        """Sum gradients over all processes and divide; none where no process has one.

        Args:
            parameters: The same in all processes.
            heard: Which of them have a gradient in each process; None for those that take no step.
            failed: () see `Ranks.reduce`.
        """
        stepping = [held for held in heard if held is not None]
        wanted = [p for p, *held in zip(parameters, *stepping, strict=True) if any(held)]
        for dtype in sorted({p.dtype for p in wanted}, key=str):
            mine = [p for p in wanted if p.dtype == dtype]
            parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in mine]
            if failed is not None:
                parts.append(failed.to(parts[0]).view(1))
            flat = torch.cat(parts)
            with self._lost():
                dist.all_reduce(flat)
            if failed is not None:
                failed = (flat[-1] > 0).to(failed)
            flat /= len(stepping)
            means = flat.split([p.numel() for p in mine] + [1] * (failed is not None))
            for parameter, mean in zip(mine, means, strict=False):
                parameter.grad = mean.view_as(parameter)
        return failed

    def in_step(self, batches: Iterable[X]) -> Iterator[X | None]:
        """See `Ranks.in_step`."""
        going = iter(batches)
        while True:
            found = next(going, None)
            if not self.any(found is not None):
                return
            yield found

    def learn(self, learner: Learner, *arguments: Any) -> dict[str, Tensor]:
        """See `Ranks.learn`; where a process takes fewer steps, it follows those of the others."""
        optimizer = getattr(learner, "optimizer", None)
        if optimizer is None:
            return learner.learn(*arguments)

        def weights() -> list[Tensor]:
            return [p for group in optimizer.param_groups for p in group["params"]]

        def before(*_: Any) -> None:
            self._mean_gradients(weights(), self.meet("learner", _held(weights())))

        hook = optimizer.register_step_pre_hook(before)
        try:
            numbers = learner.learn(*arguments)
        finally:
            hook.remove()
        leader = None
        while any(stepping := self.meet("learner", None)):
            for parameter in weights():
                parameter.grad = None
            self._mean_gradients(weights(), stepping)
            optimizer.step()
            leader = next(at for at, held in enumerate(stepping) if held)
        leaders = [at for at in self.meet("learners", leader) if at is not None]
        if leaders:  # what some did beside their steps, others have not done
            self.equalise([learner.module], leaders[0])
        return numbers

    def mean_of(self, record: dict[str, float]) -> dict[str, float]:
        """See `Ranks.mean_of`."""
        heard = self.meet("record", record)
        names = dict.fromkeys(name for one in heard for name in one)
        values = {name: [one[name] for one in heard if name in one] for name in names}
        return {name: sum(some) / len(some) for name, some in values.items()}

    # ------------------------------------------------------------------ a run

    def any(self, flag: bool) -> bool:
        """See `Ranks.any`."""
        return any(self.meet("any", bool(flag)))

    def lead(self, value: X) -> X:
        """See `Ranks.lead`."""
        self.meet("lead")
        held = [value if self.first else None]
        with self._lost():
            dist.broadcast_object_list(held, 0, device=torch.device("cpu"))
        return held[0]  # type: ignore[return-value]

    def gather(self, value: X) -> list[X]:
        """See `Ranks.gather`."""
        self.meet("gather")
        found: list[Any] | None = [None] * self.size if self.first else None
        with self._lost():
            dist.gather_object(value, found, 0)
        return found or []

    def equalise(self, modules: Iterable[nn.Module], of: int = 0) -> None:
        """See `Ranks.equalise`."""
        self.meet("weights")
        with self._lost(), torch.no_grad():
            for value in weights_of(modules):
                dist.broadcast(value, of)

    def mean_weights(self, module: nn.Module) -> None:
        """See `Ranks.mean_weights`."""
        self.meet("mean weights")
        with self._lost(), torch.no_grad():
            for value in module.parameters():
                dist.all_reduce(value)
                value.div_(self.size)

    def check_equal(self, modules: Iterable[nn.Module]) -> None:
        """See `Ranks.check_equal`."""
        heard = self.meet("fingerprints", fingerprint(modules))
        for rank, theirs in enumerate(heard):
            if repr(theirs) != repr(heard[0]):
                raise RankError(
                    f"The weights of process {rank} of {self.size} are no longer those of process "
                    f"0: something changes them on one process alone. What is learned beside the "
                    f"policy must step by its `optimizer` (`Learner`)."
                )


def join() -> Ranks:
    """The processes of this run: those that `torchrun` started, or this one alone.

    Raises:
        ConfigError: If the environment says that there are several, and not how to find them.
    """
    if dist.is_available() and dist.is_initialized():
        return Distributed() if dist.get_world_size() > 1 else ALONE
    said = os.environ.get("WORLD_SIZE", "1")
    if said == "1":
        return ALONE
    missing = [v for v in ("RANK", "MASTER_ADDR", "MASTER_PORT") if v not in os.environ]
    if missing or not said.isdecimal():
        raise ConfigError(
            f"WORLD_SIZE={said} says that this is one of several processes, and "
            f"{', '.join(missing) or 'that'} does not say how they meet. Start them by torchrun "
            f"--nproc-per-node N -m gflow train ..., or unset WORLD_SIZE."
        )
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    atexit.register(_leave)
    return Distributed()


def _held(parameters: Sequence[Tensor]) -> list[bool]:
    return [p.grad is not None for p in parameters]


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
