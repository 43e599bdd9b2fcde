"""The scripts that compare provers and attack the checker: their baseline, and that they run."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs.proofs import FixedTactics, PosteriorReward, ProofEnv, ProofTree, RecordedChecker
from gflow.envs.proofs.coq.sanitise import complaint, squeezed
from gflow.testing import all_trajectories

FOLDER = Path(__file__).parents[1] / "benchmarks"
needs_coq = pytest.mark.skipif(
    shutil.which("coqidetop.opt") is None, reason="Coq is not installed: apt-get install coq"
)


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    found = {}
    for name, file in (("proof_safety", "proof_safety"), ("proofs_benchmark", "proofs")):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        found[file] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[file])
    yield found
    sys.path.remove(str(FOLDER))


def test_reinforce_has_the_gradient_of_the_mean_reward(scripts: dict[str, Any]) -> None:
    """The expectation of its gradient, over all pairs of trajectories, is exact."""
    checker = RecordedChecker()
    tree = ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 2)
    env = ProofEnv(tree, PosteriorReward(tree, beta=0.3, incomplete=1.0, error=2.0))
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, backward="uniform")
    torch.nn.init.normal_(policy.forward_table, generator=torch.Generator().manual_seed(0))
    objective = scripts["proofs"].Reinforce(4)
    every = objective.evaluate(env, policy, all_trajectories(env))
    mean = (every.log_pf.sum(-1).exp() * every.log_reward.exp()).sum()
    (exact,) = torch.autograd.grad(mean, policy.forward_table)
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros_like(exact)
    for _ in range(40):
        batch = Sampler(env).forward(policy, 1000, generator=generator)
        loss = objective(objective.evaluate(env, policy, batch))
        total += -torch.autograd.grad(loss, policy.forward_table)[0] / 40
    scale = float(exact.abs().max())
    assert scale > 0.005
    assert float((total - exact).abs().max()) < 0.05 * scale


def test_attacks_are_various_and_some_reach_coq(scripts: dict[str, Any]) -> None:
    texts = scripts["proof_safety"].texts(2000)
    assert texts == scripts["proof_safety"].texts(2000)
    assert len(set(texts)) > 1200
    through = [text for text in texts if complaint(squeezed(text)) is None]
    assert 200 < len(through) < 1500
    for word in ("Axiom", "Admitted", "(*", '"', "\x00"):
        assert any(word in text for text in texts)
        assert not any(squeezed(text).startswith(word) for text in through)


@needs_coq
def test_attacks_prove_nothing_and_write_nothing(
    scripts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PF-3 and PF-4: the fast version of `--safety`."""
    monkeypatch.chdir(tmp_path)
    found = scripts["proof_safety"].safety(300, slow_every=0)
    assert found["reached_coq"] > 30
    assert found["replies"]["Done"] == 0
    assert list(tmp_path.iterdir()) == []


@needs_coq
def test_a_proof_of_false_would_be_noticed(
    scripts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripts["proof_safety"]
    monkeypatch.setattr(script, "FALSE", script.TRUE)
    with pytest.raises(AssertionError, match="False was proved"):
        script.safety(400, slow_every=0)


@needs_coq
@pytest.mark.slow
def test_all_methods_run_and_proofs_are_checked_again(
    scripts: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_default_dtype(torch.float32)
    words = ["--train=4", "--test=3", "--steps=2", "--seeds=1", "--formula-depth=2", "--samples=4",
             "--batch=8", "--repeat=2", "--budget=40"]  # fmt: skip
    found = scripts["proofs"].compare(scripts["proofs"].parser().parse_args(words))
    assert [row["method"] for row in found["rows"]] == list(scripts["proofs"].METHODS)
    assert found["rechecked"] == found["rows"][-1]["solved"] > 0
    assert "proofs accepted by a fresh coqc" in capsys.readouterr().out
