"""Messages of refusals: who, what was got, what is allowed."""

import tomllib
from pathlib import Path
from typing import Literal

import pytest
import torch

from gflow.bounds import Positive
from gflow.checks import check_numbers, check_shapes, checked
from gflow.errors import ConfigError, GFlowError, MissingExtraError, ShapeError, UnknownNameError
from gflow.installing import DISTRIBUTION, how_to_install

ROOT = Path(__file__).parents[2]


def test_letters_have_one_size_throughout() -> None:
    found = check_shapes("f", a=(torch.zeros(4, 3), "B T"), b=(torch.zeros(3, 2), "T 2"))
    assert found == {"B": 4, "T": 3}
    with pytest.raises(
        ShapeError, match=r"f: `b` must have shape \(T, B\) with B=4, T=3, got \(3, 5\)"
    ):
        check_shapes("f", a=(torch.zeros(4, 3), "B T"), b=(torch.zeros(3, 5), "T B"))
    with pytest.raises(ShapeError, match=r"f: `a` must have shape \(B, T\), got \(4,\)"):
        check_shapes("f", a=(torch.zeros(4), "B T"))
    with pytest.raises(ShapeError, match=r"must have shape \(B, 2\)"):
        check_shapes("f", a=(torch.zeros(4, 3), "B 2"))


def test_unknown_names_come_with_the_closest_one() -> None:
    error = UnknownNameError("objective", "subtp", ["tb", "subtb", "db"])
    assert str(error) == (
        "There is no objective named 'subtp'. Did you mean 'subtb'? Known: db, subtb, tb."
    )
    assert isinstance(error, KeyError)
    assert isinstance(error, GFlowError)


def test_a_missing_package_says_how_to_install_it() -> None:
    error = MissingExtraError("wandb", "track", "WandbTracker")
    assert isinstance(error, ImportError)
    assert str(error).startswith("WandbTracker needs the package 'wandb', which is not installed. ")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = " ".join(f"'{name}'" for name in declared["optional-dependencies"]["track"])
    assert str(error).endswith(f"Install the extra 'track' with: pip install {wanted}")
    assert how_to_install("some", "no-such-extra") == "pip install 'some'"


def test_no_message_names_a_distribution_that_no_index_has() -> None:
    """What the package is called, and how its extras are installed, stands in one place."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert declared["name"] == DISTRIBUTION
    for folder in ("gflow", "envs", "objectives"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "installing.py":
                assert DISTRIBUTION not in path.read_text(), path


def test_numbers_are_refused_with_their_row() -> None:
    good = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    check_numbers("f", a=good, b=good.long(), c=good > 1, d=good[:0])
    bad = good.clone()
    bad[1, 1] = bad[2, 0] = torch.nan
    with pytest.raises(
        ConfigError,
        match=r"f: `a` holds nan in row 1 \(2 of 3 rows are bad\), and every number must be "
        r"finite. Leave those rows out, or compute them anew.",
    ):
        check_numbers("f", a=bad)
    low = torch.tensor([-torch.inf, 1.0])
    check_numbers("f", neg_inf=True, a=low)
    check_numbers("f", pos_inf=True, a=-low)
    with pytest.raises(ConfigError, match="holds inf in row 0.*must be finite or -inf"):
        check_numbers("f", neg_inf=True, a=-low)
    with pytest.raises(ConfigError, match="`a` must be finite, got -inf"):
        check_numbers("f", a=low[0])


def test_annotations_of_a_function_hold() -> None:
    @checked
    def area(
        width: Positive, height: Positive = 1.0, *rest: int, kind: Literal["a", "b"] = "a"
    ) -> float:
        return width * height

    class Box:
        @checked
        def __init__(self, side: Positive | None = None, label: object = 0, **more: int) -> None:
            self.side, self.more = side, more

        @classmethod
        @checked
        def cube(cls, side: Positive) -> "Box":
            return cls(side)

    class Crate(Box):
        pass

    assert area(2, height=3.0) == 6
    assert area.__name__ == "area"
    assert Box(side=2.0, label=torch.nan, left=-1).more == {"left": -1}
    assert Box().side is None
    with pytest.raises(ConfigError, match=r"^area: height must be finite, got nan"):
        area(1.0, torch.nan)
    with pytest.raises(ConfigError, match=r"^area: kind must be one of a, b, got 'c'"):
        area(1.0, kind="c")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^Crate: side must be positive, got 0"):
        Crate(0)
    with pytest.raises(ConfigError, match=r"^Crate: side must be positive, got -1"):
        Crate.cube(-1)
    with pytest.raises(TypeError, match="missing a required argument: 'width'"):
        area()  # type: ignore[call-arg]
