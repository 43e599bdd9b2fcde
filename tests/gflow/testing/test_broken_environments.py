"""Environments with wrong values, promises or states, one thing each, and what `check_env` says.

Run it as a script to read the messages:  python tests/gflow/testing/test_broken_environments.py
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward
from gflow.envs import HyperGrid
from gflow.testing import BrokenEnvironmentError, check_env


def uneven(states: Tensor) -> Tensor:
    """A reward that no symmetry of the grid leaves alone."""
    return -states.double() @ torch.arange(1, states.shape[1] + 1).double() / 3


class Grid(HyperGrid):
    """A right environment to spoil: 4 x 4 cells, stopping anywhere."""

    def __init__(self, **options: Any) -> None:
        given: dict[str, Any] = {"dim": 2, "side": 4, "reward": FunctionReward(uneven)}
        super().__init__(**given | options)


# ---------------------------------------------------------------------- values


class ColumnReward(Grid):
    """One column too many."""

    def __init__(self) -> None:
        super().__init__(reward=FunctionReward(lambda s: uneven(s)[:, None]))


class TruthReward(Grid):
    """Good or not is no log-reward."""

    def __init__(self) -> None:
        super().__init__(reward=FunctionReward(lambda s: s.sum(-1) > 2))


class LogOfNegative(Grid):
    """NaN at one cell."""

    def __init__(self) -> None:
        super().__init__(reward=FunctionReward(lambda s: (3.5 - uneven(s).neg() * 1.2).log()))


class EnergyOfAnother(Grid):
    """Clipping the reward of objects and not the energies of unfinished ones."""

    def __init__(self) -> None:
        super().__init__(reward=ClippedLate())


class ClippedLate(FunctionReward[Tensor]):
    def __init__(self) -> None:
        super().__init__(uneven, partial=True)

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return uneven(states).clamp(min=-1.0)

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return uneven(states)


class NoEnergy(Grid):
    """Says that unfinished objects have energies, and gives s0 none."""

    def __init__(self) -> None:
        super().__init__(ending="forced", reward=ZeroAtTheSource())


class ZeroAtTheSource(FunctionReward[Tensor]):
    def __init__(self) -> None:
        super().__init__(uneven, partial=True)

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return uneven(states).masked_fill((states == 0).all(-1), -torch.inf)


class CentredReward(Grid):
    """A reward that is centred over the batch."""

    def __init__(self) -> None:
        super().__init__(reward=FunctionReward(lambda s: uneven(s) - uneven(s).mean()))


class Colliding(Grid):
    """Cells of one diagonal share a key."""

    def key(self, states: Tensor) -> Tensor:
        return states.sum(-1)


class KeysTooLarge(Grid):
    """The radix is one too large."""

    def key(self, states: Tensor) -> Tensor:
        return states[:, 0] + 5 * states[:, 1]


class OneHotFromOne(Grid):
    """Features numbered from one."""

    def encode(self, states: Tensor) -> Tensor:
        return states + 1


class FeaturesTooSmall(Grid):
    """Room for three values, and there are four."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_sizes = (3, 3)


class FloatMask(Grid):
    """A mask of zeros and ones."""

    def forward_mask(self, states: Tensor) -> Tensor:
        return super().forward_mask(states).float()


class NarrowMask(Grid):
    """A mask without the stop."""

    def forward_mask(self, states: Tensor) -> Tensor:
        return super().forward_mask(states)[:, :-1]


class ManySources(Grid):
    """Initial states differ."""

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return super().initial(batch_size, device) + torch.arange(batch_size)[:, None] % 2


class WrongLogZ(Grid):
    """A closed form that forgets a term."""

    def log_partition(self) -> float:
        return 1.0


class UniformAsMaxEntropy(Grid):
    """Uniform is not the maximum-entropy policy."""

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        return torch.zeros(states.shape)


class Drifting(Grid):
    """An environment with a memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def encode(self, states: Tensor) -> Tensor:
        self.calls += 1
        return (states + self.calls) % self.side


class KeyOfTheMoment(Grid):
    """Keys without meaning."""

    def key(self, states: Tensor) -> Tensor:
        return super().key(states) * 64 + torch.arange(len(states)) % 64

    def __init__(self) -> None:
        super().__init__()
        self.num_keys = None


class FlippedList(Grid):
    """The list of all states runs backward."""

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        states = super().all_states(device)
        assert states is not None
        return states.flip(0)


class ShortList(Grid):
    """The list of all states leaves out the last."""

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        states = super().all_states(device)
        assert states is not None
        return states[:-1]


class ListWithoutRange(Grid):
    """A list of all states, and nobody knows how many keys there are."""

    def __init__(self) -> None:
        super().__init__()
        self.num_keys = None

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        return self.cells(torch.arange(self.side**self.dim))


class BitSet(DiscreteEnvironment[Tensor]):
    """Subsets of three of 80 items whose keys are bits: as in the example, with too many items."""

    def __init__(self, n: int = 80):
        self.num_actions = self.num_backward_actions = self.n = n
        self.horizon, self.feature_sizes, self.num_keys = 3, (2,) * n, 2**n
        self.reward = FunctionReward(lambda sets: sets.double().sum(-1))

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.zeros(batch_size, self.n, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        return (states == 0) & (states.sum(-1, keepdim=True) < 3)

    def backward_mask(self, states: Tensor) -> Tensor:
        return states == 1

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 1)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 0)

    def key(self, states: Tensor) -> Tensor:
        return (states * 2 ** torch.arange(self.n)).sum(-1)


class BitSetWithoutRange(BitSet):
    """The same, and nothing says how far the keys go."""

    def __init__(self) -> None:
        super().__init__()
        self.num_keys = None


class ForgotThatTheSourceReads(Grid):
    """Starts where the condition says, and does not say so."""

    condition_dim = 2

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> Tensor:
        start = self.initial(batch_size, device)
        return start if condition is None else (start + condition.long()).clamp(max=2)


class SaysThatTheSourceReads(Grid):
    """Says that it starts where the condition says, and does not."""

    source_reads_condition = True


@dataclass(frozen=True)
class Words:
    """Letters and how many there are."""

    letters: Tensor
    length: Tensor


class Prefixes(DiscreteEnvironment[Words]):
    """Words of three letters of two, with a dataclass as state and no keys."""

    def __init__(self) -> None:
        self.num_actions, self.num_backward_actions, self.horizon = 2, 1, 3
        self.reward = FunctionReward(lambda s: s.letters.double().sum(-1) / 3)

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Words:
        empty = torch.zeros(batch_size, 3, dtype=torch.int64, device=device)
        return Words(empty, empty[:, 0].clone())

    def forward_mask(self, states: Words) -> Tensor:
        return (states.length < 3)[:, None].expand(-1, 2)

    def backward_mask(self, states: Words) -> Tensor:
        return (states.length > 0)[:, None]

    def backward_action(self, states: Words, actions: Tensor) -> Tensor:
        return torch.zeros_like(actions)

    def forward_action(self, states: Words, backward_actions: Tensor) -> Tensor:
        last = (states.length - 1).clamp(min=0)
        return states.letters.gather(1, last[:, None]).squeeze(1)

    def _step(self, states: Words, actions: Tensor) -> Words:
        place = states.length.clamp(max=2)[:, None]
        letters = states.letters.scatter(1, place, actions[:, None])
        return Words(letters, states.length + 1)

    def _backstep(self, states: Words, actions: Tensor) -> Words:
        place = (states.length - 1).clamp(min=0)[:, None]
        return Words(states.letters.scatter(1, place, 0), states.length - 1)


@dataclass(frozen=True)
class Labelled:
    """Letters, and what is no tensor."""

    letters: Tensor
    label: Any


class OptionalField(Prefixes):
    """A field that may be absent."""

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Words:
        return Labelled(super().initial(batch_size, device).letters, None)  # type: ignore[return-value]


class TextField(Prefixes):
    """A field of text."""

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Words:
        return Labelled(super().initial(batch_size, device).letters, "word")  # type: ignore[return-value]


class LeavesLettersBehind(Prefixes):
    """Undoing shortens the word and leaves the letter, so that equal words differ."""

    def _backstep(self, states: Words, actions: Tensor) -> Words:
        return Words(states.letters, states.length - 1)


CASES: list[tuple[type[DiscreteEnvironment[Any]], set[str]]] = [
    (ColumnReward, {"reward-shape"}),
    (TruthReward, {"reward-shape"}),
    (LogOfNegative, {"reward-not-finite"}),
    (CentredReward, {"batch-dependence"}),
    (EnergyOfAnother, {"energies"}),
    (NoEnergy, {"energies"}),
    (Colliding, {"key-collision"}),
    (KeysTooLarge, {"key-out-of-range"}),
    (KeyOfTheMoment, {"key-not-a-function"}),
    (OneHotFromOne, {"encode-out-of-range"}),
    (FeaturesTooSmall, {"encode-out-of-range"}),
    (FloatMask, {"shape"}),
    (NarrowMask, {"shape"}),
    (ManySources, {"initial-state"}),
    (WrongLogZ, {"wrong-log-partition"}),
    (UniformAsMaxEntropy, {"wrong-max-entropy-logits"}),
    (Drifting, {"not-deterministic"}),
    (LeavesLettersBehind, {"wrong-backstep"}),
    (FlippedList, {"wrong-all-states"}),
    (ShortList, {"shape"}),
    (ListWithoutRange, {"wrong-all-states"}),
    (BitSet, {"key-overflow"}),
    (BitSetWithoutRange, {"key-collision"}),
    (ForgotThatTheSourceReads, {"source-reads-condition"}),
    (SaysThatTheSourceReads, {"source-reads-condition"}),
    (OptionalField, {"shape"}),
    (TextField, {"shape"}),
]


@pytest.mark.parametrize(("broken", "rules"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_broken_rule_is_named(broken: type[DiscreteEnvironment[Any]], rules: set[str]) -> None:
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(broken())
    first = caught.value.rules[0]
    assert first in rules, caught.value
    assert caught.value.name == broken.__name__


@pytest.mark.parametrize("env", [Grid(), Prefixes()], ids=["Grid", "Prefixes"])
def test_what_they_are_made_from_is_right(env: DiscreteEnvironment[Any]) -> None:
    check_env(env)


def test_all_findings_are_reported_together() -> None:
    class Two(ColumnReward):
        def __init__(self) -> None:
            super().__init__()
            self.horizon = 3

    with pytest.raises(BrokenEnvironmentError, match=r"breaks 2 rules") as caught:
        check_env(Two())
    assert caught.value.rules == ["horizon-too-small", "reward-shape"]
    assert "Set horizon = 7" in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (OptionalField, r"The field `label` of the states is None"),
        (TextField, r"The field `label` of the states is a str"),
        (BitSet, r"num_keys takes 80 bits.*hash_rows"),
        (ForgotThatTheSourceReads, r"`start` gives \(1, 1\) for the condition \[1.0, 1.0\]"),
    ],
)
def test_the_message_names_what_is_wrong(broken: Any, message: str) -> None:
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(broken())
    assert re.search(message, " ".join(str(caught.value).split())), caught.value


def test_long_states_are_cut_short() -> None:
    """A state of 80 columns is no paragraph."""

    class Wide(BitSet):
        def forward_mask(self, states: Tensor) -> Tensor:
            return states == 0

    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(Wide(60), examples=4, limit=100)
    assert all(len(finding.seen) < 450 for finding in caught.value.findings), caught.value
    assert " ... " in str(caught.value)


def show(broken: Iterable[type[DiscreteEnvironment[Any]]]) -> None:
    for cls in broken:
        try:
            check_env(cls())
            print(f"{cls.__name__}: NOTHING FOUND\n", file=sys.stdout)
        except BrokenEnvironmentError as error:
            print(f"# {cls.__doc__}\n{error}\n", file=sys.stdout)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    show(case[0] for case in CASES)
