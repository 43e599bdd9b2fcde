"""Rewards of proofs, against numbers worked out by hand and sums over all proofs."""

import math

import pytest
import torch

from gflow import TabularPolicy, enumerate_states
from gflow.envs.proofs import (
    PaperReward,
    PolicyReference,
    PosteriorReward,
    ProofEnv,
)
from gflow.envs.proofs.tree import DONE, FAILED, OPEN
from gflow.errors import ConfigError
from gflow.state import take
from gflow.testing import check_env

PROOF = ("intros.", "destruct H.", "right.", "assumption.")
ERROR = ("intros.", "assumption.")
LIMIT = ("intros.", "intros.", "intros.", "intros.")


def places(env: ProofEnv, *proofs: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor([[0, env.tree.place(0, proof) or 0] for proof in proofs])


def test_the_posterior_form_by_hand(example: ProofEnv) -> None:
    ends = places(example, PROOF, ERROR, LIMIT)
    assert example.status(ends).tolist() == [DONE, FAILED, OPEN]
    reward = PosteriorReward(example.tree, beta=0.5, incomplete=3.0, error=7.0)
    step = 0.5 * math.log(1 / 5)
    expected = torch.tensor([4 * step, 2 * step - 7.0, 4 * step - 3.0])
    torch.testing.assert_close(reward(ends), expected)
    assert PosteriorReward(example.tree, beta=0.0)(ends).tolist() == [0.0, -10.0, -5.0]


def test_with_beta_one_z_is_the_chance_that_the_reference_finds_a_proof(example: ProofEnv) -> None:
    """The posterior given verification: as a and b grow, Z is the mass of proofs under p_ref."""
    graph = enumerate_states(example)
    ends = take(graph.states, graph.objects)
    uniform = TabularPolicy(graph, backward="uniform")
    mass = graph.terminal_distribution(uniform).exp()
    assert float(mass.sum()) == pytest.approx(1.0)
    proved = mass[example.status(ends) == DONE].sum()
    reward = PosteriorReward(example.tree, incomplete=60.0, error=60.0)
    assert float(reward(ends).logsumexp(0)) == pytest.approx(float(proved.log()), abs=1e-12)
    whole = PosteriorReward(example.tree, incomplete=0.0, error=0.0)
    assert float(whole(ends).logsumexp(0)) == pytest.approx(0.0, abs=1e-12)


def test_the_reference_may_be_a_policy(example: ProofEnv) -> None:
    torch.manual_seed(0)
    graph = enumerate_states(example)
    policy = TabularPolicy(graph, backward="uniform")
    torch.nn.init.normal_(policy.forward_table)
    reward = PosteriorReward(
        example.tree, PolicyReference(policy), incomplete=0.0, error=0.0, beta=1.0
    )
    ends = take(graph.states, graph.objects)
    torch.testing.assert_close(reward(ends), graph.terminal_distribution(policy))
    check_env(ProofEnv(example.tree, reward))


def test_the_form_of_the_paper_by_hand(example: ProofEnv) -> None:
    ends = places(example, PROOF, ERROR, LIMIT)
    assert float(PaperReward(example.tree)(ends)[0]) == 0.0
    mean = (len("intros.") + len("assumption.") + 2) / 2
    error = -15 + 8 * math.log((88 - mean) / 88)
    limit = math.log(1 / 5) / 8  # the mean over tactics of log p over their bytes
    torch.testing.assert_close(PaperReward(example.tree)(ends), torch.tensor([0.0, error, limit]))
    assert float(PaperReward(example.tree, incomplete=-5.0)(ends)[2]) == -5.0
    tight = PaperReward(example.tree, alpha=8.0, longest=10.0)(ends)
    assert float(tight[1]) == -30.0  # nothing is below


def test_what_is_no_reward_is_refused(example: ProofEnv) -> None:
    with pytest.raises(ConfigError, match="error must be at least 0"):
        PosteriorReward(example.tree, error=-1.0)
    with pytest.raises(ConfigError, match="longest must be positive"):
        PaperReward(example.tree, longest=0.0)
