"""`gflow info` and `gflow --version`."""

from importlib.metadata import version

import pytest

import gflow
from gflow.cli.info import extras
from gflow.cli.main import main


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gflow {gflow.__version__}\n"


def test_versions_and_extras_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gflow.cli.info.requires",
        lambda name: ["numpy>=1", 'rdkit>=2; extra == "mol"', "nosuch-thing ; extra == 'mol'"],
    )
    assert extras() == {"mol": {"rdkit": version("rdkit"), "nosuch-thing": ""}}
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert f"torch {version('torch')}: cpu, " in said
    assert f"  mol         rdkit {version('rdkit')}; missing: nosuch-thing" in said
