"""Mutants of `gflow/compiled` and `gflow/listed`."""

STEP = "tests/gflow/compiled/test_pure_step.py"
SAME = f"{STEP}::test_the_same_batches_give_the_same_weights"
LISTED = "tests/gflow/listed/test_listed.py"
TERMS = f"{LISTED}::test_terms_losses_and_gradients_are_those_of_the_environment"

MUTANTS = (
    (
        "adam-correction",
        "gflow/compiled/adam.py",
        "return rate / (1 - betas[0] ** step), (1 - betas[1] ** step) ** -0.5",
        "return rate, (1 - betas[1] ** step) ** -0.5",
        f"{STEP}::test_adam_is_that_of_torch",
    ),
    (
        "failed-step-is-taken",
        "gflow/compiled/step.py",
        "self._descend(given, gradients, deferred.failed > 0)",
        "self._descend(given, gradients, deferred.failed < 0)",
        f"{STEP}::test_a_failed_check_changes_nothing_and_is_told",
    ),
    (
        "average-follows-the-wrong-way",
        "gflow/compiled/step.py",
        "slow.lerp_(fast, 1 - self.decay)",
        "slow.lerp_(fast, self.decay)",
        SAME,
    ),
    (
        "draws-begin-anew",
        "gflow/compiled/draws.py",
        "self.count[kind] = first + math.prod(size)\n        return flat[first : self.count[kind]]",
        "self.count[kind] = math.prod(size)\n        return flat[: self.count[kind]]",
        f"{STEP}::test_draws_have_the_values_that_were_given",
    ),
    (
        "known-layer-without-gradient-of-the-weight",
        "gflow/compiled/replayed.py",
        "return gradient @ weight, gradient.T @ x, bias, None",
        "return gradient @ weight, 0 * (gradient.T @ x), bias, None",
        f"{STEP}::test_a_layer_is_known_only_where_it_saw_the_same_rows",
    ),
    (
        "rows-counted-once",
        "gflow/compiled/replayed.py",
        "named[0].to(gradient.dtype)",
        "named[-1].to(gradient.dtype)",
        f"{STEP}::test_sums_of_embeddings_are_those_of_torch",
    ),
    (
        "rows-without-the-first",
        "gflow/compiled/replayed.py",
        "return sum(parts[1:], start=parts[0])",
        "return sum(parts[1:], start=parts[-1])",
        f"{STEP}::test_sums_of_embeddings_are_those_of_torch",
    ),
    (
        "layers-known-unseen",
        "gflow/compiled/replayed.py",
        "if close and torch.allclose(before, x.detach()[:count], atol=1e-4, rtol=1e-4):",
        "if close:",
        f"{STEP}::test_a_layer_is_known_only_where_it_saw_the_same_rows",
    ),
    (
        "compiled-run-resumes-without-its-count",
        "gflow/compiled/runner.py",
        'held["step"].fill_(done)',
        'held["step"].fill_(1.0)',
        f"{STEP}::test_a_resumed_run_has_the_same_numbers",
    ),
    (
        "parents-by-their-own-action",
        "gflow/listed/flows.py",
        "led.view(-1)[tables.parent * env.num_actions + tables.redo]",
        "led.view(-1)[tables.parent * env.num_actions]",
        TERMS,
    ),
    (
        "ended-children-keep-their-head",
        "gflow/listed/flows.py",
        "torch.where(tables.terminal.view(wide), reward, learned)",
        "learned",
        TERMS,
    ),
    (
        "undone-by-action-zero",
        "gflow/listed/tables.py",
        "undo[rows, actions] = back(left, actions)",
        "undo[rows, actions] = 0",
        f"{LISTED}::test_walks_of_the_list_are_walks_of_the_environment",
    ),
    (
        "old-reward-looked-up",
        "gflow/listed/env.py",
        "if version != self._version:",
        "if False:",
        f"{LISTED}::test_a_changed_reward_is_looked_up_anew",
    ),
    (
        "functions-within-are-tabled",
        "gflow/listed/sharing.py",
        " or any(map(asks_function, reward.inner_rewards()))",
        "",
        f"{LISTED}::test_functions_of_users_are_asked_in_every_step",
    ),
)
