"""Mutants of what people bring: saved samplers and the like."""

SAVED = "tests/gflow/runs/test_pretrained.py::"
EQUAL = SAVED + "test_saved_loaded_and_saved_again_it_gives_equal_numbers"
OWN = "tests/gflow/cli/test_own_reward.py::"
CONFIG = "tests/gflow/cli/test_config_file.py::"
FORMS = "tests/gflow/cli/test_sample_formats.py::"
STOP = "tests/gflow/training/test_stopping.py::"
HALT = "tests/gflow/runs/test_halting.py::"
SHOWN = "tests/gflow/test_shown.py::"
SHELL = "tests/gflow/cli/test_completion.py::"

MUTANTS = (
    (
        "saved-policy",
        "gflow/runs/pretrained.py",
        '"policy": trained.policy.state_dict()',
        '"policy": trainer.policy.state_dict()',
        f"{EQUAL}[hypergrid-settings0]",
    ),
    (
        "saved-learners",
        "gflow/runs/pretrained.py",
        "        learner.load_state_dict(saved)\n",
        "        pass\n",
        f"{EQUAL}[ebgfn-settings2]",
    ),
    (
        "saved-code",
        "gflow/runs/pretrained.py",
        "    if not trust_code:\n",
        "    if trust_code:\n",
        SAVED + "test_files_and_code_of_ones_own_come_along",
    ),
    (
        "saved-paths",
        "gflow/runs/portable.py",
        "            return self._copy(Path(word))\n        if",
        "            return word\n        if",
        SAVED + "test_files_and_code_of_ones_own_come_along",
    ),
    (
        "saved-transposed",
        "gflow/runs/packed.py",
        ".cpu().contiguous().clone()",
        ".cpu().T.contiguous().clone()",
        SAVED + "test_states_of_all_kinds_are_packed",
    ),
    (
        "log-prob-rows",
        "gflow/runs/probability.py",
        "    return total[place]\n",
        "    return law[place]\n",
        SAVED + "test_log_probabilities_are_exact_where_states_are_listed",
    ),
    (
        "own-reward-energy",
        "gflow/tasks/scored.py",
        'log = -number if self.gives == "energy" else number',
        'log = number if self.gives == "energy" else number',
        OWN + "test_a_scorer_says_what_functions_mean",
    ),
    (
        "own-reward-beta",
        "gflow/tasks/scored.py",
        "return self.beta * math.log(number)",
        "return math.log(number)",
        OWN + "test_objects_are_sampled_in_proportion_to_it",
    ),
    (
        "own-reward-value",
        "gflow/tasks/scored.py",
        "(log_reward.double() / self.beta).exp()",
        "log_reward.double().exp()",
        OWN + "test_objects_are_sampled_in_proportion_to_it",
    ),
    (
        "own-reward-path",
        "gflow/tasks/own_reward.py",
        'object.__setattr__(self, "reward", absolute(self.reward))',
        "pass",
        OWN + "test_a_run_of_the_command_line_and_what_comes_after",
    ),
    (
        "spins-written",
        "envs/spins/env.py",
        "2 * states - 3 if self.values == 2",
        "2 * states - 1 if self.values == 2",
        OWN + "test_objects_are_written_as_people_write_them[spins]",
    ),
    (
        "config-replaced-part",
        "gflow/cli/config_file.py",
        "                continue  # of a part that was replaced\n",
        "                pass\n",
        CONFIG + "test_words_override_the_file",
    ),
    (
        "config-folder",
        "gflow/cli/config_file.py",
        '            del run["out"]\n',
        "            pass\n",
        CONFIG + "test_a_run_begins_from_the_settings_of_another",
    ),
    (
        "sample-diverse",
        "gflow/runs/export.py",
        "kept = [first[i] for i in greedy",
        "kept = [i for i in greedy",
        FORMS + "test_a_diverse_choice_is_good_and_far_apart",
    ),
    (
        "sample-alike",
        "gflow/runs/export.py",
        "near, alike)]",
        "near, 0.9)]",
        FORMS + "test_a_diverse_choice_is_good_and_far_apart",
    ),
    (
        "sample-sdf-rows",
        "gflow/runs/export.py",
        "        for key, value in row.items():\n            if key",
        "        for key, value in rows[0].items():\n            if key",
        FORMS + "test_molecules_are_written_for_chemists",
    ),
    (
        "stop-sign",
        "gflow/training/improvement.py",
        "gain = self.sign * (value - self.best)",
        "gain = -self.sign * (value - self.best)",
        STOP + "test_patience_counts_reports_without_an_improvement",
    ),
    (
        "stop-waiting-forgotten",
        "gflow/runs/halting.py",
        "                one.load_state_dict(saved[one.metric])\n",
        "                pass\n",
        HALT + "test_a_run_ends_early_and_a_killed_one_likewise",
    ),
    (
        "stop-again",
        "gflow/runs/run.py",
        "                run.halting.again()\n",
        "                pass\n",
        HALT + "test_a_run_ends_early_and_a_killed_one_likewise",
    ),
    (
        "stop-callbacks-state",
        "gflow/training/callbacks.py",
        'state.get(f"{number} {type(one).__name__}") or one.state_dict()',
        "one.state_dict()",
        STOP + "test_a_stopped_trainer_resumes_to_where_the_unbroken_one_stopped",
    ),
    (
        "keep-every",
        "gflow/runs/halting.py",
        "step % every == 0",
        "step % every == 1",
        HALT + "test_checkpoints_that_are_kept_are_opened",
    ),
    (
        "tracker-step",
        "gflow/training/callbacks.py",
        "self.tracker.log(trainer.step, dict(record))",
        "self.tracker.log(trainer.step - 1, dict(record))",
        STOP + "test_trackers_and_progress",
    ),
    (
        "shown-defaults",
        "gflow/shown.py",
        "if text and not _same(value, default):",
        "if text:",
        SHOWN + "test_what_things_are_is_said_in_a_line",
    ),
    (
        "completion-parts",
        "gflow/cli/completion.py",
        'case "${{COMP_WORDS[i]}} ${{COMP_WORDS[i+1]}}" in',
        'case "${{COMP_WORDS[i-1]}} ${{COMP_WORDS[i+1]}}" in',
        SHELL + "test_bash_offers_what_the_parser_takes",
    ),
    (
        "completion-common-values",
        "gflow/cli/completion.py",
        "pattern = f'*\"{key[1:]}\"' if key",
        "pattern = f'\"{key[1:]}\"' if key",
        SHELL + "test_bash_offers_what_the_parser_takes",
    ),
)
