"""Values of options are refused by their annotations: type, bounds, size."""

from dataclasses import dataclass
from typing import Literal

import pytest

from gflow.bounds import (
    Bounds,
    Count,
    Natural,
    Positive,
    Probability,
    Rate,
    check_fields,
    complaint,
)
from gflow.checks import check_finite, check_range
from gflow.errors import ConfigError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("hint", [int, float, Count, Natural, Positive, Probability, Rate])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30, -1e30, "1", None, True, [1]])
def test_no_number(hint: object, value: object) -> None:
    assert complaint(value, hint) is not None
    assert complaint([1, value], tuple[hint, ...]) is not None  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3, 10**12], [0.0, 1.5, 10**13]),
        (float, [0, 1, -2.5, 1e12], ["", 1.1e12]),
        (Count, [1, 7], [0, -1]),
        (Natural, [0, 7], [-1]),
        (Positive, [1e-300, 2], [0, 0.0, -1e-9]),
        (Probability, [0, 1, 0.5], [-0.01, 1.01]),
        (float | None, [None, 0.5], ["none"]),
        (int | float | str, [1, 0.5, "random"], [None, NAN]),
        (bool, [True, False], [1, 0, "True"]),
        (Literal["a", "b"], ["a"], ["c", 1]),
        (tuple[float, ...], [(), (1.0,), [1, 2]], [1.0, ("a",), (NAN,)]),
        (tuple[int, str], [(1, "a")], [(1,), ("a", 1)]),
    ],
)
def test_what_annotations_allow(hint: object, good: list[object], bad: list[object]) -> None:
    assert [v for v in good if complaint(v, hint) is not None] == []
    assert [v for v in bad if complaint(v, hint) is None] == []


@dataclass(frozen=True)
class Options:
    size: Count = 2
    kind: Literal["near", "far"] = "near"
    share: Probability = 0.5

    def __post_init__(self) -> None:
        check_fields(self)


def test_a_dataclass_names_class_field_and_value() -> None:
    with pytest.raises(ConfigError, match=r"Options: size must be at least 1, got 0\."):
        Options(size=0)
    with pytest.raises(ConfigError, match=r"Options: kind must be one of near, far, got 'no'\."):
        Options(kind="no")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Options: share must lie in \[0, 1\], got nan\."):
        Options(share=NAN)
    assert Options(3, "far", 1).share == 1


def test_arguments_by_name() -> None:
    check_finite("who", a=1, b=-2.5)
    check_range("who", Bounds(0, 1, open_high=True), a=0)
    with pytest.raises(ConfigError, match=r"who: b must be finite, got inf\."):
        check_finite("who", a=1, b=INF)
    with pytest.raises(ConfigError, match=r"who: a must lie in \[0, 1\), got 1\."):
        check_range("who", Bounds(0, 1, open_high=True), a=1)
