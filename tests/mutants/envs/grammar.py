"""Mutants of `envs/grammar`."""

INSIDE = "tests/envs/grammar/test_inside.py"
KNOWN = "tests/envs/grammar/test_known_grammars.py"
PARSER = "tests/envs/grammar/test_parser_env.py"
POLICY = "tests/envs/grammar/test_parser_policy.py"

CHAINS = "tests/envs/grammar/test_tree_chains.py"
EM = "tests/envs/grammar/test_grammar_em.py"
PROBABILITY = "tests/envs/grammar/test_tree_probability.py"
METRICS = "tests/envs/grammar/test_tree_metrics.py"

MUTANTS = (
    (
        "inside-of-one-split-less",  # T4.4
        "envs/grammar/inside.py",
        "left = torch.stack([betas[a - 1][:, :starts] for a in range(1, width)], 2)",
        "left = torch.stack([betas[a - 1][:, :starts] for a in [*range(1, width - 1), 1]], 2)",
        f"{INSIDE}::test_inside_is_the_sum_over_all_trees",
    ),
    (
        "inside-under-a-wrong-parent",
        "envs/grammar/inside.py",
        "whole = found[:, 0, :, -1]  # under S",
        "whole = found[:, 0, :, 0]  # under S",
        f"{INSIDE}::test_inside_is_the_sum_over_all_trees[ncfg]",
    ),
    (
        "scale-of-the-left-child-alone",
        "envs/grammar/inside.py",
        "scales[a - 1][:, :starts] + scales[width - a - 1][:, a : a + starts]",
        "scales[a - 1][:, :starts] + 0 * scales[width - a - 1][:, a : a + starts]",
        f"{INSIDE}::test_inside_is_the_sum_over_all_trees",
    ),
    (
        "children-the-wrong-way-round",
        "envs/grammar/scores.py",
        "pairs + one[..., :, None] + two[..., None, :]",
        "pairs + two[..., :, None] + one[..., None, :]",
        f"{INSIDE}::test_trees_are_scored_as_defined",
    ),
    (
        "words-under-the-parent-of-their-parent",
        "envs/grammar/scores.py",
        "leaf = rules.words[rules.under(label), :, found]",
        "leaf = rules.words[rules.under(label * 0), :, found]",
        f"{INSIDE}::test_trees_are_scored_as_defined[ncfg]",
    ),
    (
        "scores-fixed-too-soon",
        "envs/grammar/scores.py",
        "return forest.joined & (~roots(forest) | forest.complete[:, None])",
        "return forest.joined",
        f"{INSIDE}::test_what_is_fixed_of_a_forest[ncfg]",
    ),
    (
        "right-spans-of-another-end",
        "envs/grammar/inside.py",
        "scale = scale + spans[:, places, places + width]",
        "scale = scale + spans[:, places, (places + width) % (size + 1)].roll(1, -1)",
        f"{INSIDE}::test_span_posterior_and_the_parse_of_most_right_spans",
    ),
    (
        "right-child-expanded-first",
        "envs/grammar/derive.py",
        "torch.where(inner, pair % (n + m), pending[row, here])",
        "torch.where(inner, pair // (n + m), pending[row, here])",
        f"{KNOWN}::test_trees_are_drawn_as_often_as_they_are_likely",
    ),
    (
        "long-sentences-cut",
        "envs/grammar/derive.py",
        "short = alive & (depth == 0)",
        "short = depth >= 0",
        f"{KNOWN}::test_long_sentences_are_drawn_again_and_not_cut",
    ),
    (
        "orders-of-building",
        "envs/grammar/env.py",
        "size = (states.right - states.left - 1).clamp(min=1)",
        "size = (states.right - states.left).clamp(min=1)",
        f"{PARSER}::test_orders_of_building_are_counted",
    ),
    (
        "inner-nodes-taken-away",
        "envs/grammar/forest.py",
        "return forest.joined & (forest.left == start) & (forest.right == end)",
        "return forest.joined & (forest.left == start)",
        f"{PARSER}::test_a_forest_by_hand",
    ),
    (
        "states-of-other-trajectories",
        "envs/grammar/policy.py",
        "return self._outputs(trajectories.states, leaf[row], node[row])",
        "return self._outputs(trajectories.states, leaf[row], node[row.flip(0)])",
        f"{POLICY}::test_trajectories_share_what_they_read",
    ),
    (
        "right-child-not-remembered",
        "envs/grammar/policy.py",
        "right = torch.where(inside.any(-1), size + inside.long().argmax(-1), gap + 1)",
        "right = gap + 1",
        f"{POLICY}::test_rollouts_remember_what_they_read",
    ),
    (
        "padding-attended-to",
        "envs/grammar/policy.py",
        "there = (place < count[:, None])[:, None, None]",
        "there = (place >= 0 * count[:, None])[:, None, None]",
        f"{POLICY}::test_rows_do_not_depend_on_others",
    ),
    (
        "rotation-of-the-wrong-end",  # T4.5
        "envs/grammar/metropolis.py",
        "torch.where(at < safe, end, split)",
        "torch.where(at > safe, end, split)",
        f"{CHAINS}::test_each_move_is_in_balance_with_the_posterior",
    ),
    (
        "chains-that-accept-all",
        "envs/grammar/metropolis.py",
        "accepted = coin.log() < log_p - self.log_p",
        "accepted = coin.log() < 0 * log_p",
        f"{CHAINS}::test_chains_end_in_the_posterior",
    ),
    (
        "topmost-nodes-rotated",
        "envs/grammar/metropolis.py",
        "self._drawn(parents(self.forest) >= 0)",
        "self._drawn(self.forest.left > 0)",
        f"{CHAINS}::test_chains_end_in_the_posterior",
    ),
    (
        "words-of-other-gaps",
        "envs/grammar/scores.py",
        "_child(forest, second, gap + 1, n)",
        "_child(forest, second, gap, n)",
        f"{INSIDE}::test_trees_are_scored_as_defined",
    ),
    (
        "whole-sentences-judged",
        "envs/grammar/metrics.py",
        "return several & ~whole",
        "return several",
        f"{METRICS}::test_f1_by_hand",
    ),
    (
        "recall-of-nothing",
        "envs/grammar/metrics.py",
        "recall = (right / there.clamp(min=1)).where(there > 0, 1.0)",
        "recall = (right / there.clamp(min=1)).where(there > 0, 0.0)",
        f"{METRICS}::test_sentences_without_gold_spans",
    ),
    (
        "no-token-for-the-end",
        "envs/grammar/metrics.py",
        "tokens = float((length + 1).sum())",
        "tokens = float(length.sum())",
        f"{METRICS}::test_the_end_of_a_sentence_is_a_token",
    ),
    (
        "counts-normalised-over-the-parent",  # T4.2
        "envs/grammar/fit.py",
        "((0,), (-2, -1), (-1,))",
        "((0,), (-2, -1), (-2,))",
        f"{EM}::test_the_likelihood_never_falls_with_expected_counts",
    ),
    (
        "inside-down",
        "envs/grammar/fit.py",
        "(-value).backward()",
        "value.backward()",
        f"{EM}::test_gradients_lead_to_likelier_sentences",
    ),
    (
        "nodes-before-their-children",
        "envs/grammar/exact.py",
        "under = has[:, above.clamp(min=0)] & (above >= 0)",
        "under = has[:, above.clamp(min=0)] & (above < 0)",
        f"{PROBABILITY}::test_orders_of_building_are_summed_over",
    ),
    (
        "distance-the-wrong-way-round",
        "envs/grammar/exact.py",
        "(1 - (log_p - log_q).exp())",
        "(1 - (log_q - log_p).exp())",
        f"{PROBABILITY}::test_the_distance_to_the_posterior_is_estimated_without_bias",
    ),
)
