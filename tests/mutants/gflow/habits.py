"""Mutants of what people bring: saved samplers and the like."""

SAVED = "tests/gflow/runs/test_pretrained.py::"
EQUAL = SAVED + "test_saved_loaded_and_saved_again_it_gives_equal_numbers"

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
)
