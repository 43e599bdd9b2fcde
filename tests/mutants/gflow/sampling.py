"""Mutants of `gflow/sampling`."""

LOOKING = "tests/objectives/test_forward_looking.py"
SEARCH = "tests/gflow/behaviours/test_local_search.py"
SEARCH_BATCHES = "tests/gflow/behaviours/test_local_search_batches.py"
CHANCE = "tests/gflow/sampling/test_chance.py"

MUTANTS = (
    (
        "walk-inverse", "gflow/sampling/walk.py",
        "take(states, index[:, :-1].flatten()), actions.flatten()",
        "take(states, index[:, 1:].flatten()), actions.flatten()",
        "tests/gflow/sampling/test_walk.py::test_a_walk_is_made_of_legal_steps_that_can_be_undone",
    ),
    (
        "walk-full-stop", "gflow/sampling/walk.py",
        "actions, length - 1 if stops else None)",
        "actions, None)",
        "tests/gflow/sampling/test_walk.py::test_rows_that_all_stop_at_one_time_have_full_tables",
    ),
    (
        "walk-small-batch", "gflow/sampling/walk.py",
        "states, owner = take(states, chosen), owner[chosen]",
        "states, owner = states, owner[chosen]",
        "tests/gflow/sampling/test_walk.py::test_small_batches_compare_their_states_at_the_end",
    ),
    (
        "walk-static-stop", "gflow/sampling/walk.py",
        "going = live & ~stops",
        "going = live",
        "tests/gflow/sampling/test_walk.py::test_all_plans_agree_in_both_directions",
    ),
    (
        "exploration-bias", "gflow/sampling/exploration.py",
        "logits[:, stop_action] -= self.stop_bias",
        "logits[:, stop_action] += self.stop_bias",
        "tests/gflow/sampling/test_exploration.py::test_objects_have_the_exact_distribution_of_the_exploration"
        "[stop-bias-free-listed]",
    ),
    (
        "exploration-nothing", "gflow/sampling/exploration.py",
        "logits = logits.masked_fill(self._coin(self.epsilon, logits, generator)[:, None], 0.0)",
        "logits.masked_fill(self._coin(self.epsilon, logits, generator)[:, None], 0.0)",
        "tests/gflow/sampling/test_exploration.py::"
        "test_a_full_epsilon_is_uniform_over_the_legal_actions_of_every_state",
    ),
    (
        "search-suffix", "gflow/sampling/sampler.py",
        "return trajectories.splice(keep, tail)",
        "return tail",
        f"{SEARCH_BATCHES}::test_ls5_stored_trajectories_are_whole",
    ),
    (
        "fl-cut-is-end", "gflow/sampling/sampler.py",
        "complete=complete,",
        "complete=None,",
        f"{LOOKING}::test_fl5_a_sampler_that_cuts_anchors_what_it_finishes_and_nothing_else",
    ),
    (
        "chance-explored", "gflow/sampling/numbered.py",
        "law = look.law.where(look.chance, law)",
        "law = look.law.where(~look.chance, law)",
        f"{CHANCE}::test_no_exploration_changes_chance[temperature]",
    ),
    (
        "listing-many", "gflow/sampling/numbered.py",
        "if keys > min(LIST_KEYS * count, LIST_MOST):",
        "if keys > LIST_KEYS * count:",
        "tests/gflow/sampling/test_listing.py"
        "::test_many_states_are_never_listed_however_large_the_batch",
    ),
    (
        "walk-undone-times", "gflow/sampling/walk.py",
        "inverse[_cells(visits[1:], device)]",
        "inverse[_cells(visits[:-1], device)]",
        "tests/envs/molecules/test_molecules_env.py::test_steps_say_what_undoes_them",
    ),
)  # fmt: skip
