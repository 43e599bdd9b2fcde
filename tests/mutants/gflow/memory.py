"""Mutants of `gflow/memory`."""

REPLAY = "tests/gflow/memory/test_replay_strategies.py"

CHANGING = "tests/gflow/memory/test_changing_rewards.py"

MUTANTS = (
    (
        "batches-of-an-older-reward", "gflow/learner.py",
        "if scored and self.versions[place] != version:",
        "if False:",
        "tests/gflow/test_learner.py"
        "::test_what_an_older_reward_scored_is_scored_anew_once_and_only_where_asked",
    ),
    (
        "resumed-elsewhere", "gflow/behaviours/front.py",
        "self.archive.device = sampling.device",
        "pass",
        f"{CHANGING}::test_a_resumed_front_scores_where_it_is_asked_to",
    ),
    (
        "pareto-second", "gflow/memory/pareto.py",
        "topk(2, largest=False).values[1]",
        "topk(2, largest=False).values[0]",
        "tests/gflow/memory/test_pareto.py::test_of_the_two_nearest_the_one_with_more_neighbours_goes",
    ),
    (
        "best-by-state", "gflow/memory/best.py",
        "self.env.object_key(objects)",
        "self.env.key(objects)",
        "tests/gflow/memory/test_best.py"
        "::test_an_object_that_several_states_stand_for_counts_once_with_its_whole_reward",
    ),
    (
        "replay-version-drawn", "gflow/memory/replay.py",
        "old = old & asked",
        "old = old & ~asked",
        f"{CHANGING}::test_what_is_drawn_has_the_new_reward[{{}}]",
    ),
    (
        "replay-version-order", "gflow/memory/replay.py",
        "self.order.add(log_reward, stale)",
        "self.order.add(log_reward.neg(), stale)",
        f"{CHANGING}::test_the_best_are_the_best_by_the_new_reward",
    ),
    (
        "replay-order", "gflow/memory/replay.py",
        "rows = rows[-self.capacity :]",
        "rows = rows[: self.capacity]",
        "tests/gflow/memory/test_replay.py::TestReplay",
    ),
    (
        "mo-domination", "gflow/memory/pareto.py",
        "return (first >= second).all(-1) & (first > second).any(-1)",
        "return (first >= second).all(-1)",
        "tests/gflow/memory/test_pareto.py::test_the_order_is_irreflexive_asymmetric_and_transitive",
    ),
    (
        "mo-front-block", "gflow/memory/pareto.py",
        "for rivals in (*front.split(BLOCK), block):",
        "for rivals in (block,):",
        "tests/gflow/memory/test_pareto.py::test_many_points_are_compared_in_parts",
    ),
    (
        "mo-archive-forgets", "gflow/memory/pareto.py",
        "kept = kept[non_dominated(scores[kept], self.deduplicate)]",
        "kept = kept[kept >= old]",
        "tests/gflow/memory/test_pareto.py::test_the_front_survives_the_overwriting_of_a_ring",
    ),
    (
        "mo-replay-scores", "gflow/memory/replay.py",
        "                \"scores\": batch.scores,",
        "                \"scores\": batch.scores.flip(0),",
        "tests/gflow/behaviours/test_relabel.py::test_a_memory_forgets_scores_with_their_trajectories",
    ),
    (
        "replay-stale-order", "gflow/memory/replay.py",
        "self.order.remove(gone)",
        "self.order.remove(gone[:0])",
        f"{REPLAY}::test_old_entries_are_never_drawn_under_the_rank_of_the_new",
    ),
    (
        "prt-percentile", "gflow/memory/draw.py",
        "divmod(9 * (size - 1), 10)",
        "divmod(9 * size, 10)",
        f"{REPLAY}::test_half_of_prt_comes_from_each_side_of_the_percentile",
    ),
    (
        "rank-from-the-worst", "gflow/memory/draw.py",
        "return order.slots[size - 1 - rank.clamp(max=size - 1)]",
        "return order.slots[rank.clamp(max=size - 1)]",
        f"{REPLAY}::test_ranks_have_their_distribution",
    ),
    (
        "sorted-ties", "gflow/memory/sorted_index.py",
        "torch.searchsorted(old, values, right=True)",
        "torch.searchsorted(old, values)",
        f"{REPLAY}::test_the_index_is_a_sorted_list",
    ),
    (
        "weakest-of-all", "gflow/memory/keep.py",
        "order.slots[: len(stored)][out[: len(stored)]], out[len(stored) :]",
        "order.slots[: len(stored)], out[len(stored) :]",
        "tests/gflow/memory/test_replay.py::TestReplay",
    ),
    (
        "diverse-near", "gflow/memory/keep.py",
        "take(objects, rows), take(stored, part)) < cutoff",
        "take(objects, rows), take(stored, part)) <= cutoff",
        f"{REPLAY}::test_diverse_objects_are_apart_and_the_better_of_two_stays",
    ),
    (
        "replay-order-forgotten", "gflow/memory/replay.py",
        'self.order.add(value[state["order"]], state["order"])',
        'self.order.add(-value[state["order"]], state["order"])',
        f"{REPLAY}::test_a_killed_run_resumes_to_the_same_bits",
    ),
    (
        "narrowest-one-short", "gflow/memory/columns.py",
        "if count - 1 <= torch.iinfo(dtype).max:",
        "if count - 2 <= torch.iinfo(dtype).max:",
        "tests/gflow/memory/test_replay.py::test_actions_are_kept_in_few_bytes_that_hold_them_all",
    ),
)  # fmt: skip
