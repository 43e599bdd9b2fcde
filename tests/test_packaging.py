"""What is installed, what importing it loads, and what it must not touch."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORT_NAME = {"gflow": "gflow", "envs": "gflow.envs", "objectives": "gflow.objectives"}
OPTIONAL = (
    "rdkit", "torch_geometric", "wandb", "matplotlib", "scipy", "yaml", "networkx",
    "hypothesis", "tensorboard", "pandas", "transformers", "vina", "meeko", "sklearn", "openmm",
    "pyspiel", "open_spiel", "selfies",
)  # fmt: skip


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )


def test_pyproject_lists_every_package() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {}
    for folder in IMPORT_NAME:
        for init in (ROOT / folder).rglob("__init__.py"):
            top, *rest = init.resolve().parent.relative_to(ROOT).parts
            found[".".join([IMPORT_NAME[top], *rest])] = "/".join([top, *rest])
    assert set(found) == set(setuptools["packages"])
    for package, folder in setuptools["package-dir"].items():
        assert found[package] == folder
    for package, folder in found.items():
        if not folder.startswith("gflow"):
            assert setuptools["package-dir"].get(package) == folder


@pytest.mark.parametrize("name", ["envs", "objectives"])
def test_links_lead_to_the_folders_at_the_root(name: str) -> None:
    link = ROOT / "gflow" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert (ROOT / "gflow" / "py.typed").exists()


@pytest.mark.slow
def test_importing_loads_torch_and_numpy_only_and_changes_nothing(tmp_path: Path) -> None:
    """D5, D20: no optional package, no seed, no default, no thread count, no start method."""
    code = f"""
import sys, random, multiprocessing
import numpy, torch
torch.manual_seed(5), random.seed(5), numpy.random.seed(5)
def look():
    return (
        torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist(),
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
        torch.distributions.Distribution._validate_args,
        multiprocessing.get_start_method(allow_none=True), torch.backends.cudnn.benchmark,
    )
before, loaded = look(), set(sys.modules)
import gflow
import gflow.envs, gflow.objectives, gflow.testing
import gflow.training.trainer, gflow.training.checkpoint, gflow.training.tracking
assert look() == before, "importing changed something global"
top = {{name.partition(".")[0] for name in set(sys.modules) - loaded}}
extra = top & set({OPTIONAL!r})
assert not extra, f"importing gflow loaded {{sorted(extra)}}"
print(gflow.__version__)
"""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout.strip() == declared


def test_importing_gflow_alone_loads_nothing_optional_either(tmp_path: Path) -> None:
    done = run(f"import sys, gflow; print(sorted(set(sys.modules) & set({OPTIONAL!r})))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["envs", "objectives"])
def test_the_folders_at_the_root_are_no_packages_of_their_own(name: str) -> None:
    done = run(f"import {name}", ROOT)
    assert done.returncode != 0
    assert f"this folder is the package gflow.{name}: import that, not {name}" in done.stderr


def test_every_public_name_exists() -> None:
    import gflow
    import gflow.envs
    import gflow.objectives

    for module in (gflow, gflow.envs, gflow.objectives):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_names_of_tests_are_unique() -> None:
    """pytest's importlib mode and readers both want to tell them apart."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_layers_import_downwards_only() -> None:
    """envs and objectives do not know each other, and the engine knows neither."""
    forbidden = {
        "envs": ["gflow.objectives", "gflow.cli"],
        "objectives": ["gflow.envs", "gflow.cli"],
        "gflow": ["gflow.envs", "gflow.objectives", "gflow.cli"],
    }
    for folder, names in forbidden.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder).parts[0]
            if folder == "gflow" and inner in (
                "envs",
                "objectives",
                "cli",
                "runs",
                "tasks",
                "testing",
                "__main__.py",
            ):
                continue  # links, the command line, and tests of users' code
            text = path.read_text()
            for name in names:
                assert f"from {name}" not in text, f"{path} imports {name}"
                assert f"import {name}" not in text, f"{path} imports {name}"
