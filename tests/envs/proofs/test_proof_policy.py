"""The network that scores candidates: what it reads, and that batches do not matter."""

import pytest
import torch

from gflow import Sampler, enumerate_states
from gflow.envs.proofs import (
    FixedTactics,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    RecordedChecker,
    Theorem,
)
from gflow.envs.proofs.features import (
    goal_features,
    read_goals,
    renamed,
    tactic_features,
    top,
)
from gflow.envs.proofs.metrics import distinct_proofs, outcomes, solved
from gflow.envs.proofs.policy import TacticPolicy, TheoremEncoder
from gflow.envs.proofs.tree import DONE
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objectives import SubTrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer

GOAL = "P, Q : Prop\nH : P /\\ Q\nx := 0 : nat\n⊢ Q \\/ P"


@pytest.mark.parametrize(
    ("formula", "connective"),
    [
        ("P /\\ Q -> Q \\/ P", "->"),
        ("P /\\ (Q -> R)", "/\\"),
        ("(P -> Q) \\/ R", "\\/"),
        ("(P -> Q)", "->"),
        ("((P))", "atom"),
        ("(P) /\\ (Q)", "/\\"),
        ("~ (P -> Q)", "~"),
        ("forall x : nat, x = x -> P", "forall"),
        ("P <-> Q", "<->"),
        ("P", "atom"),
    ],
)
def test_the_connective_at_the_top(formula: str, connective: str) -> None:
    assert top(formula) == connective


def test_goals_are_read_up_to_names() -> None:
    (goal,) = read_goals(GOAL)
    assert goal.hypotheses == (
        ("P", "Prop"), ("Q", "Prop"), ("H", "P /\\ Q"), ("x", "nat"),
    )  # fmt: skip
    assert goal.conclusion == "Q \\/ P"
    assert renamed(goal) == (
        ["v0", "\\/", "v1"], [["nat"], ["v1", "/\\", "v0"], ["Prop"], ["Prop"]],
    )  # fmt: skip
    other = "A, B : Prop\nK : A /\\ B\ny := 0 : nat\n⊢ B \\/ A"
    assert goal_features(other, 1 << 20) == goal_features(GOAL, 1 << 20)
    assert goal_features(GOAL.replace("Q \\/ P", "P \\/ Q"), 1 << 20) != goal_features(
        GOAL, 1 << 20
    )
    assert read_goals("done") == ()


def test_candidates_are_read_with_what_they_name() -> None:
    def at(text: str, tactic: str) -> set[int]:
        return set(tactic_features(text, tactic, 1 << 20))

    fits = "P, Q : Prop\nH : P\nK : Q\n⊢ Q"
    assert at(fits, "apply H.") != at(fits, "apply K.")
    assert at(fits, "apply K.") & at(GOAL, "apply H.")
    assert at(fits, "assumption.") != at(fits.replace("⊢ Q", "⊢ P /\\ Q"), "assumption.")
    assert at("failed: no", "left.") != at("failed: no", "right.")


def test_outputs_do_not_depend_on_the_batch(example: ProofEnv) -> None:
    torch.manual_seed(0)
    policy = TacticPolicy(example, width=8, hidden=8, log_flow=True)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter)
    states = enumerate_states(example).states
    whole = policy(example, states)
    assert whole.log_flow is not None
    for row in (0, 3, 17, 100, 145):
        one = policy(example, states[row : row + 1])
        torch.testing.assert_close(one.forward_logits[0], whole.forward_logits[row])
        torch.testing.assert_close(one.log_flow[0], whole.log_flow[row])
    torch.testing.assert_close(policy.forward_logits(example, states), whole.forward_logits)
    root = whole.forward_logits[0]
    assert len(root.unique()) == 5
    ends = states[example.is_terminal(states)]
    assert policy(example, ends).forward_logits.shape == (117, 5)
    fresh = TacticPolicy(example)
    assert fresh(example, states).forward_logits.abs().max() == 0  # uniform at the start


def test_equal_goals_with_as_many_tactics_left_are_read_alike(example: ProofEnv) -> None:
    torch.manual_seed(0)
    policy = TacticPolicy(example, width=8, hidden=8)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter)
    proofs = [("intros.",), ("intros.", "intros."), ("intros.", "left.")]
    states = torch.tensor([[0, example.tree.place(0, proof) or 0] for proof in proofs])
    texts = example.text(states)
    logits = policy.forward_logits(example, states)
    assert texts[0] == texts[1] != texts[2]
    assert not torch.equal(logits[0], logits[1])  # fewer are left
    policy.left.weight.data.zero_()
    logits = policy.forward_logits(example, states)
    torch.testing.assert_close(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_log_z_is_read_from_the_theorem(example: ProofEnv) -> None:
    checker = RecordedChecker()
    theorem, other = checker.theorems[0], Theorem.of("True")
    checker._records[other] = {**checker._records[theorem], "text": "⊢ True"}
    tree = ProofTree(checker, [theorem, other], FixedTactics(checker.tactics), 4)
    encoder = TheoremEncoder(tree, width=6, buckets=64)
    read = encoder(torch.tensor([[1.0], [0.0], [1.0]]))
    assert read.shape == (3, 6)
    torch.testing.assert_close(read[0], read[2])
    for row, text in ((0, "⊢ True"), (1, tree.texts[1])):
        features = goal_features(text, 64)
        torch.testing.assert_close(read[row], encoder.table[features].mean(0))
    encoder.own.data[1] += 1.0
    again = encoder(torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(again, read[:2] + torch.tensor([[1.0], [0.0]]))


@pytest.mark.slow
def test_the_network_learns_the_exact_law_and_to_search(example: ProofEnv) -> None:
    """On the recorded tree the posterior of uniform candidates depends on the goal alone."""
    torch.manual_seed(0)
    env = ProofEnv(example.tree, PosteriorReward(example.tree, incomplete=10.0, error=15.0))
    graph, policy = enumerate_states(env), TacticPolicy(env, width=32, hidden=64, log_flow=True)
    config = TrainConfig(batch_size=64, lr=1e-2, lr_half_life=100, epsilon=0.2)
    trainer = Trainer(env, policy, SubTrajectoryBalance(), config)
    law = graph.log_target()
    before = float(total_variation(graph.terminal_distribution(policy), law))
    plain, _ = solved(env, policy, 145)
    trainer.train(350)
    after = float(total_variation(graph.terminal_distribution(policy), law))
    assert before > 0.5
    assert after < 0.12
    led, (search,) = solved(env, policy, 145)
    assert led["solved"] == plain["solved"] == 1.0
    assert led["calls"] < plain["calls"]
    assert search.proof is not None
    generator = torch.Generator().manual_seed(0)
    assert distinct_proofs(env, policy, [0], 400, generator) == [10]


def test_outcomes_are_counted(example: ProofEnv) -> None:
    graph = enumerate_states(example)
    ends = graph.states[example.is_terminal(graph.states)]
    numbers = outcomes(example, ends)
    assert numbers == {"proofs": 10 / 117, "incomplete": 30 / 117, "errors": 77 / 117}
    policy = TacticPolicy(example)
    generator = torch.Generator().manual_seed(0)
    (count,) = distinct_proofs(example, policy, [0], 300, generator)
    generator.manual_seed(0)
    batch = Sampler(example).forward(policy, 300, generator=generator)
    done = batch.final_states[example.status(batch.final_states) == DONE]
    assert count == len(set(example.proof(done))) > 0
    with pytest.raises(ConfigError, match="width must be at least 1"):
        TacticPolicy(example, width=0)
