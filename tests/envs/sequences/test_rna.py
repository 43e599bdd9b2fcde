import itertools
import math
from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.envs.sequences.rna import PAIRS, SINGLES, DesignReward, rna_binding, rna_design
from gflow.envs.sequences.rna_scores import (
    TARGETS,
    BindingScore,
    DesignScore,
    base_pairs,
    duplex_with_complement,
    folds_into,
)
from gflow.errors import ConfigError, UnknownNameError
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

RNA = pytest.importorskip("RNA")

STARTS = ["AUGGGCCGGACCCC", "GCCCCGCCGGAAUG", "UCUUGGGGACUUUU", "GGAUAACAAUUCAU", "CCCAUGCGCGAUCA"]


def test_pairs_of_a_structure() -> None:
    assert base_pairs("((...))..(...)") == [(0, 6), (1, 5), (9, 13)]
    assert base_pairs("...") == []
    for structure, complaint in [
        ("(..", "never closes the bracket at 0"),
        (".).", "closes too often at 1"),
        ("(..)", "fewer than 3"),
        ("(..x)", "may hold only"),
    ]:
        with pytest.raises(ConfigError, match=complaint):
            base_pairs(structure)


@pytest.mark.parametrize("order", ["left_to_right", "any"])
def test_designs_are_all_sequences_that_can_pair(order: str) -> None:
    reward = DesignReward("(...)", measure="mfe")
    env = rna_design(reward, order)  # type: ignore[arg-type]
    checked = check_env(env, limit=20_000)
    assert checked.exhaustive
    graph = enumerate_states(env)
    built = reward.sequences(graph.states[graph.objects])
    expected = {
        pair[0] + "".join(loop) + pair[1]
        for pair in PAIRS
        for loop in itertools.product(SINGLES, repeat=3)
    }
    assert set(built) == expected
    assert len(built) == len(expected)


def test_agreement_with_the_target() -> None:
    target = "((((....))))"
    folded, other = "GGGGAAAACCCC", "AAAAAAAAAAAA"
    assert folds_into([folded, other], target) == [True, False]
    mfe = DesignScore(target, "mfe")
    assert mfe.agreement(folded) == 1
    assert mfe.agreement(other) == 0
    assert mfe([folded, other]) == [0, pytest.approx(16 * math.log(0.01))]
    # GGGGAAAACCC. has three pairs, all but one of the target's four: 2 * 3 / (3 + 4).
    shorter = RNA.fold("GGGAAAACCC")[0]
    assert DesignScore("((((..))))".replace("(..)", "....")).agreement("GGGAAAACCC") > 0.9
    assert shorter == "(((....)))"
    partial = "AGGGAAAACCCA"
    assert RNA.fold(partial)[0] == ".(((....)))."
    assert mfe.agreement(partial) == pytest.approx(6 / 7)


def test_ensemble_defect_against_base_pair_probabilities() -> None:
    target, sequence = "((((....))))", "GCGGAAAACCGC"
    fold = RNA.fold_compound(sequence)
    fold.pf()
    probability = torch.tensor(fold.bpp())[1:, 1:]
    probability = probability + probability.T
    wrong = 0.0
    partner = {i: j for pair in base_pairs(target) for i, j in (pair, pair[::-1])}
    for i in range(len(target)):
        right = probability[i, partner[i]] if i in partner else 1 - probability[i].sum()
        wrong += 1 - float(right)
    score = DesignScore(target, "defect").agreement(sequence)
    assert score == pytest.approx(1 - wrong / len(target), abs=1e-4)
    both = DesignScore(target, "both").agreement(sequence)
    shared = DesignScore(target, "mfe").agreement(sequence)
    assert both == pytest.approx((score + shared) / 2)


@pytest.mark.slow
def test_each_design_is_folded_once_and_workers_agree() -> None:
    reward = DesignReward("((((....))))", workers=1)
    env = rna_design(reward)
    batch = Sampler(env).forward(MLPPolicy(env, 8), 20, generator=torch.Generator().manual_seed(0))
    assert reward.calls == len(set(reward.sequences(batch.final_states)))
    alone = DesignReward("((((....))))")
    torch.testing.assert_close(alone(batch.final_states), batch.log_reward)
    before = reward.calls
    reward(batch.final_states)
    assert reward.calls == before
    reward.close()


@pytest.mark.slow
def test_training_finds_designs_of_two_hairpins() -> None:
    torch.manual_seed(0)
    target = "(((((....)))))..(((((....)))))"
    reward = DesignReward(target, "mfe", beta=8.0)
    env = rna_design(reward)
    policy = MLPPolicy(env, 64, backward="uniform")
    before = sum(reward.log_rewards([s])[0] == 0 for s in _sample(env, policy, 100))
    config = TrainConfig(steps=120, batch_size=64, lr=3e-3)
    Trainer(env, policy, TrajectoryBalance(log_z=20.0), config).train()
    after = _sample(env, policy, 100)
    solved = [s for s, good in zip(after, folds_into(after, target), strict=True) if good]
    assert len(set(solved)) > before + 20


def _sample(env: Any, policy: MLPPolicy, count: int) -> list[str]:
    batch = Sampler(env).forward(policy, count, generator=torch.Generator().manual_seed(1))
    found: list[str] = env.reward.sequences(batch.final_states)
    return found


def test_binding_golden_values() -> None:
    assert [duplex_with_complement(t) for t in TARGETS.values()] == pytest.approx(
        [-260.1, -270.3, -215.6, -198.7], abs=0.05
    )
    expected = {
        "RNA1": [0.5437, 0.6508, 0.2801, 0.1455, 0.4312],
        "RNA2": [0.8245, 0.6316, 0.2775, 0.1665, 0.4387],
        "RNA3": [0.5466, 0.4870, 0.3180, 0.1623, 0.3446],
        "RNA4": [0.6255, 0.5572, 0.4314, 0.1042, 0.4350],
    }
    for name, values in expected.items():
        assert BindingScore((TARGETS[name],)).values(STARTS) == pytest.approx(values, abs=5e-5)
    both = BindingScore((TARGETS["RNA1"], TARGETS["RNA2"])).values(STARTS)
    means = [(a + b) / 2 for a, b in zip(expected["RNA1"], expected["RNA2"], strict=True)]
    assert both == pytest.approx(means, abs=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance])
def test_binding_is_learned_exactly(objective: type) -> None:
    torch.manual_seed(0)
    env = rna_binding(4, ["GGCC"], beta=2.0, floor=0.1)
    check_env(env)
    policy = MLPPolicy(env, 128, log_flow=objective.needs.log_flow)  # type: ignore[attr-defined]
    graph = enumerate_states(env)
    target = graph.log_target()
    assert total_variation(graph.terminal_distribution(policy), target) > 0.5
    config = TrainConfig(batch_size=64, lr=3e-3, steps=600, lr_half_life=150)
    Trainer(env, policy, objective(), config).train()
    assert total_variation(graph.terminal_distribution(policy), target) < 0.1


def test_bad_input_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="measure of agreement"):
        DesignReward("(...)", "energy")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="need a target and a positive beta"):
        DesignReward("")
    with pytest.raises(ConfigError, match="order must be"):
        rna_design(DesignReward("(...)"), "inside_out")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="targets must be RNAs"):
        rna_binding(8, ["RNA9"])
