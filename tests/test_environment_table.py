"""The table of `benchmarks/environments.py` has every environment, checked in whole."""

import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow.envs
from gflow import DiscreteEnvironment, Sampler, enumerate_states, evaluate
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.environment import with_reward
from gflow.envs.grids import HyperGrid
from gflow.errors import IncompatibleError, MissingExtraError
from gflow.state import take

pytest.importorskip("rdkit")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "environments.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("environment_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


TABLE = load()
GALLERY = {
    name: tuple(int(number.replace(",", "")) for number in numbers)
    for name, *numbers in re.findall(
        r"^\| `([\w-]+)` \| `\w+` \| .* \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$",
        (SCRIPT.parents[1] / "docs" / "gallery" / "environments.md").read_text(),
        re.MULTILINE,
    )
}
"""States, transitions and objects of each instance, as the gallery says."""
ENTRIES = {entry.name: entry for entry in TABLE.ENTRIES}


def concrete(base: type[Any]) -> set[type[Any]]:
    """Subclasses written down in `gflow.envs` that can be built, underscored bases left out.

    Those that `with_reward` makes have the names of others.
    """
    found: set[type[Any]] = set()
    for cls in base.__subclasses__():
        found |= concrete(cls)
        own = cls.__module__.startswith("gflow.envs.") and not cls.__name__.startswith("_")
        written = getattr(sys.modules[cls.__module__], cls.__name__, None) is cls
        if own and written and not inspect.isabstract(cls):
            found.add(cls)
    return found


def made(entry: Any) -> DiscreteEnvironment[Any]:
    try:
        env: DiscreteEnvironment[Any] = entry.make()
        return env
    except MissingExtraError as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_every_environment_is_in_the_table() -> None:
    for module in pkgutil.walk_packages(gflow.envs.__path__, "gflow.envs."):
        importlib.import_module(module.name)
    shown = set()
    for entry in TABLE.ENTRIES:
        try:
            env = entry.make()
        except MissingExtraError:
            continue  # the RNA environments are made of classes that are shown without it
        shown.add(type(env))
    with_reward(HyperGrid(1, 2), HyperGrid(1, 2).reward)  # which is no environment of its own
    known = concrete(DiscreteEnvironment)
    assert len(known) > 15
    missing = sorted(cls.__qualname__ for cls in known - shown)
    assert not missing, f"add {missing} to ENTRIES in benchmarks/environments.py"


def test_names_differ() -> None:
    assert len(ENTRIES) == len(TABLE.ENTRIES)
    assert list(GALLERY) == list(ENTRIES)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in {"tfbind", "architectures"} else name
        for name in ENTRIES
    ],
)
def test_all_checks_pass(name: str) -> None:
    row = TABLE.check(made(ENTRIES[name]))
    assert row.passed, row.check
    assert row.states >= row.objects > 1
    assert GALLERY[name] == (row.states, row.transitions, row.objects), "docs/gallery"
    assert row.transitions >= row.states - 1  # every state but the source has a parent


@pytest.mark.parametrize("name", ENTRIES)
def test_the_second_objective_is_the_special_one_where_it_can_be(name: str) -> None:
    entry = ENTRIES[name]
    env = made(entry)
    assert (entry.second.refusal(env) is None) == env.has_backward  # games have those of their own
    assert (entry.second is TABLE.ModifiedDetailedBalance) == env.every_state_stops


@pytest.mark.parametrize("prefix", ["kept", "resampled"])
@pytest.mark.parametrize("name", ENTRIES)
def test_local_search_revises_them(name: str, prefix: Any) -> None:
    """All candidates are whole trajectories that can be replayed, with their rewards."""
    env = made(ENTRIES[name])
    torch.manual_seed(0)
    sampling = Sampling(
        TABLE.policy_for(env, False), Sampler(env), generator=torch.Generator().manual_seed(0)
    )
    search = LocalSearch(2, "random", "metropolis", prefix)
    if not env.has_backward:
        with pytest.raises(IncompatibleError, match="no moves back"):
            search.collect(sampling, 24)
        if prefix == "resampled":
            return
        search = LocalSearch(2, "random", "none", prefix)
    batch = search.collect(sampling, 24)
    again = Sampler(env).along(batch.actions, batch.length)
    assert torch.equal(again.stopped, batch.stopped)
    torch.testing.assert_close(again.log_reward, batch.log_reward)
    assert torch.equal(env.key(again.final_states), env.key(batch.final_states))
    if env.has_backward:
        mine, theirs = (evaluate(env, sampling.policy, b).log_weight for b in (batch, again))
        torch.testing.assert_close(mine, theirs)
    assert 0 < search.metrics["acceptance"] <= 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("molecules", marks=pytest.mark.slow),
        pytest.param("atoms", marks=pytest.mark.slow),
        "small-graphs",
        "max-cut",
    ],
)
def test_local_search_keeps_the_distribution_of_symmetric_objects(name: str) -> None:
    """Chains that start in exact objects stay in their law, however the policy errs."""
    env = made(ENTRIES[name])
    torch.manual_seed(0)
    policy, sampler = TABLE.policy_for(env, False), Sampler(env)
    generator = torch.Generator().manual_seed(1)
    graph = enumerate_states(env)
    law = graph.log_target().exp()
    rows = graph.objects[torch.multinomial(law, 10_000, True, generator=generator)]
    current = sampler.backward(policy, take(graph.states, rows), generator=generator)
    sampling = Sampling(policy, sampler, generator=generator)
    for prefix in ("kept", "resampled", "kept"):
        search = LocalSearch(1, "random", "metropolis", prefix)
        current = search.revise(sampling, current).following
    seen = torch.bincount(graph.rows(current.final_states), minlength=len(graph))[graph.objects]
    enough = law > 1e-3
    sigma = (law * (1 - law) * 10_000).sqrt()[enough]
    score = (seen.double() - law * 10_000)[enough] / sigma
    assert float(score.square().mean()) < 1 + 5 * (2 / len(score)) ** 0.5
    assert int((seen != torch.bincount(rows, minlength=len(graph))[graph.objects]).sum()) > 0


def test_a_broken_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ENTRIES["sets"].make()
    right = type(env)._backstep
    monkeypatch.setattr(type(env), "_backstep", lambda self, s, a: right(self, s, (a + 1) % 8))
    row = TABLE.check(env)
    assert not row.passed
    assert "wrong-backstep" in row.check


@pytest.mark.slow
def test_command_prints_and_trains(starter: Any) -> None:
    done = starter.run([str(SCRIPT), "--train", "--only", "clique", "max-cut"])
    assert done.returncode == 0, done.stderr
    out = done.stdout.splitlines()
    assert [line.split()[0] for line in out[1:3]] == ["clique", "max-cut"]
    for line in out[1:3]:
        assert "all passed" in line
        parts = line.split()
        arrows = [i for i, word in enumerate(parts) if word == "->"]
        assert len(arrows) == 2
        for i in arrows:
            before, after = float(parts[i - 1]), float(parts[i + 1].rstrip(","))
            assert after < min(0.05, before)
