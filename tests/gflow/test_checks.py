"""Messages of refusals: who, what was got, what is allowed."""

import pytest
import torch

from gflow.checks import check_shapes
from gflow.errors import GFlowError, MissingExtraError, ShapeError, UnknownNameError


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
    assert "pip install 'gflow-torch[track]'" in str(error)
    assert isinstance(error, ImportError)
