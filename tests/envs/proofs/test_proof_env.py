"""Proofs as an environment, on the recorded tree: its contract, its counts and its exact law."""

import math
import pickle
from typing import Any

import pytest
import torch

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs.proofs import (
    CheckerError,
    CheckerPool,
    FixedTactics,
    PaperReward,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    RecordedChecker,
    Theorem,
)
from gflow.envs.proofs.tree import DONE, FAILED, NOWHERE, OPEN
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.state import take
from gflow.testing import all_trajectories, check_env
from gflow.training.trainer import TrainConfig, Trainer


def test_the_tree_of_pf1_has_29_open_proofs_145_calls_and_117_ends(example: ProofEnv) -> None:
    """PF-1: 10 proofs, 77 errors and 30 that reach the limit; log Z 2.3226, 98.0 % on proofs."""
    found = check_env(example)
    assert found.exhaustive
    assert (found.num_states, found.num_transitions, found.longest) == (146, 145, 4)
    graph = enumerate_states(example)
    ends = take(graph.states, graph.objects)
    assert len(graph) - len(ends) == 29
    assert example.tree.pool.calls == 145
    assert torch.bincount(example.status(ends)).tolist() == [30, 10, 77]
    log_reward = example.log_reward(ends)
    log_z = float(log_reward.logsumexp(0))
    assert log_z == pytest.approx(2.3226, abs=5e-5)
    on_proofs = (log_reward[example.status(ends) == DONE] - log_z).exp().sum()
    assert float(on_proofs) == pytest.approx(0.980, abs=5e-4)


@pytest.mark.slow
def test_trajectory_balance_reaches_the_exact_law(example: ProofEnv) -> None:
    """PF-1: tabular, trained on its own trajectories with 0.3 uniform actions."""
    torch.manual_seed(0)
    graph = enumerate_states(example)
    policy, loss = TabularPolicy(graph, backward="uniform"), TrajectoryBalance()
    config = TrainConfig(batch_size=64, lr=0.3, log_z_lr=0.3, lr_half_life=150, epsilon=0.3, seed=0)
    trainer = Trainer(example, policy, loss, config)
    law = graph.log_target()
    before = float(total_variation(graph.terminal_distribution(policy), law))
    trainer.train(450)
    after = float(total_variation(graph.terminal_distribution(policy), law))
    assert before > 0.5
    assert after < 0.02
    assert float(next(loss.log_z.parameters()).detach()) == pytest.approx(2.3226, abs=0.03)


def test_states_form_a_tree(example: ProofEnv) -> None:
    """PF-5: different tactics give different states; each has one parent, and P_B = 1."""
    graph = enumerate_states(example)
    assert torch.bincount(graph.child, minlength=len(graph))[1:].eq(1).all()
    keys = example.key(graph.states)
    assert len(keys.unique()) == len(graph)
    proofs = example.proof(graph.states)
    assert len(set(proofs)) == len(graph)
    law = example.backward_law(graph.states[1:])
    torch.testing.assert_close(
        law.log_prob(torch.zeros(len(graph) - 1, dtype=torch.int64)),
        torch.zeros(len(graph) - 1),
    )
    there = [example.tree.place(0, proof) for proof in proofs]
    assert there == graph.states[:, 1].tolist()


def test_losses_of_replayed_and_of_fresh_trajectories_are_equal(example: ProofEnv) -> None:
    """PF-8: also by an environment that starts anew, as a run that is resumed has."""
    torch.manual_seed(0)
    graph = enumerate_states(example)
    policy = TabularPolicy(graph, backward="uniform")
    torch.nn.init.normal_(policy.forward_table)
    loss = TrajectoryBalance(log_z=0.7)
    generator = torch.Generator().manual_seed(1)
    fresh = Sampler(example).forward(policy, 12, generator=generator)
    terms = loss.evaluate(example, policy, fresh)
    checker = RecordedChecker()
    tree = ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 4)
    again = ProofEnv(tree, PaperReward(tree, incomplete=-5.0))
    actions, length = fresh.actions, fresh.length
    replayed = Sampler(again).along(actions, length)
    torch.testing.assert_close(
        loss.residual(loss.evaluate(again, policy, replayed)), loss.residual(terms)
    )
    assert torch.equal(again.key(replayed.final_states), example.key(fresh.final_states))
    one = float(policy.forward_table.detach()[0].log_softmax(0)[actions[0, 0]])
    assert float(terms.log_pf.detach()[0, 0]) == pytest.approx(one)
    assert terms.log_pb.abs().max() == 0


def test_every_sequence_is_asked_once_and_in_one_call() -> None:
    asked: list[int] = []

    class Counted(CheckerPool):
        def apply(self, pairs: Any) -> Any:
            asked.append(len(pairs))
            return super().apply(pairs)

    checker = RecordedChecker()
    pool = Counted(lambda: checker)
    tree = ProofTree(pool, checker.theorems, FixedTactics(checker.tactics), 4)
    env = ProofEnv(tree, PosteriorReward(tree))
    states = env.initial(12)
    children = env._step(states, torch.arange(12) % 5)
    assert asked == []
    env.forward_mask(children)
    env.status(children)
    assert asked == [5]
    deep = torch.tensor([[0, tree.place(0, ["intros.", "destruct H.", "right."]) or 0]])
    env.status(deep)
    assert asked == [5, 5, 1] or asked[-1] == 1
    before = sum(asked)
    env.status(env._step(deep, torch.tensor([4])))
    assert sum(asked) == before + 1


def test_places_mean_the_same_whatever_was_asked_before(example: ProofEnv) -> None:
    tree = example.tree
    proof = ("intros.", "destruct H.", "right.", "assumption.")
    place = tree.place(0, proof)
    assert place is not None
    assert tree.proof(0, place) == proof
    checker = RecordedChecker()
    other = ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 4)
    row = other.rows(torch.tensor([0]), torch.tensor([place]))
    assert int(other.status(row)) == DONE
    assert checker.calls == 4
    assert other.ancestors(torch.tensor([place]))[0].tolist()[-1] == 0
    assert tree.place(0, ("intros.", "auto.")) is None
    assert pickle.loads(pickle.dumps(take(example.initial(2), torch.tensor([1])))).tolist() == [
        [0, 0]
    ]


def test_nothing_is_behind_an_end(example: ProofEnv) -> None:
    failed = example._step(example.initial(1), torch.tensor([1]))
    assert int(example.status(failed)) == FAILED
    calls = example.tree.pool.calls
    beyond = example._step(failed, torch.tensor([0]))
    assert int(example.status(beyond)) == NOWHERE
    assert not example.forward_mask(beyond).any()
    assert example.tree.pool.calls == calls
    deep = example.initial(1)
    for _ in range(9):
        deep = example._step(deep, torch.tensor([0]))
    assert int(example.tree.level(deep[:, 1])) == 4
    assert int(example.status(deep)) == OPEN
    assert bool(example.is_terminal(deep))


def test_theorems_stand_side_by_side(example: ProofEnv) -> None:
    """The condition is the row of the theorem; log R, key and text belong to that theorem."""
    checker = RecordedChecker()
    theorem = checker.theorems[0]
    other = Theorem.of("forall P Q : Prop, P /\\ Q -> Q \\/ P", name="other")
    checker._records[other] = checker._records[theorem]
    tree = ProofTree(checker, [theorem, other], FixedTactics(checker.tactics), 4)
    env = ProofEnv(tree, PosteriorReward(tree))
    assert env.source_reads_condition
    found = check_env(env, condition=torch.tensor([[1.0]]))
    assert found.num_states == 146
    starts = env.start(3, condition=torch.tensor([[1.0], [0.0], [1.0]]))
    assert starts[:, 0].tolist() == [1, 0, 1]
    assert len(env.key(starts).unique()) == 2
    assert env.show(starts)[0].startswith("Theorem other :")


def test_lengths_and_ends_of_sampled_proofs(example: ProofEnv) -> None:
    every = all_trajectories(example)
    assert len(every.length) == 117
    assert int(every.length.max()) == 4
    ends = example.status(every.final_states)
    assert bool((every.length[ends == OPEN] == 4).all())
    done = every.length[ends == DONE]
    assert sorted(done.tolist()) == [3, 3] + [4] * 8  # `left` introduces what is bound


def test_what_is_no_tree_is_refused() -> None:
    checker = RecordedChecker()
    with pytest.raises(ConfigError, match="more than 2\\^62 places"):
        ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 40)
    with pytest.raises(ConfigError, match="depth must be at least 1"):
        ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 0)
    with pytest.raises(ConfigError, match="no theorems"):
        ProofTree(checker, [], FixedTactics(checker.tactics), 2)
    with pytest.raises(ConfigError, match="each once"):
        FixedTactics(["intro.", "intro."])
    tree = ProofTree(checker, checker.theorems, FixedTactics(["auto."]), 2)
    with pytest.raises(CheckerError, match="nobody asked 'auto.'"):
        tree.rows(torch.tensor([0]), torch.tensor([1]))


def test_a_list_of_one_candidate_makes_a_line() -> None:
    checker = RecordedChecker()
    tree = ProofTree(checker, checker.theorems, FixedTactics(["intros."]), 3)
    env = ProofEnv(tree, PosteriorReward(tree))
    assert check_env(env).num_states == 4
    ends = torch.tensor([[0, 3]])
    assert float(env.log_reward(ends)) == pytest.approx(-5.0)
    assert math.isclose(float(env.tree.level(torch.tensor([3]))), 3)
