"""Mutants of `gflow/training`."""

RECORDS = "tests/gflow/training/test_training_records.py"
PATHWISE = "tests/objectives/test_pathwise_kl.py"

WANDB = "tests/gflow/runs/test_wandb_runs.py::"

MUTANTS = (
    (
        "batch-of-an-older-reward", "gflow/training/trainer.py",
        "if self.env.reward.version != version:",
        "if False:",
        "tests/gflow/memory/test_changing_rewards.py"
        "::test_a_batch_is_scored_anew_if_the_reward_changes_before_the_step",
    ),
    (
        "second-learner-sees-old-rewards", "gflow/training/trainer.py",
        "batch, version = of_now(self.env, batch), self.env.reward.version",
        "version = self.env.reward.version",
        "tests/gflow/test_learner.py::test_a_learner_sees_what_the_one_before_it_changed",
    ),
    (
        "explorer-fails-later", "gflow/training/trainer.py",
        "if self.deferring else at_once():",
        "if self.deferring else self.deferred.during(self.step):",
        "tests/gflow/behaviours/test_achieved.py"
        "::test_an_explorer_that_fails_says_so_at_once_and_keeps_its_weights",
    ),
    (
        "kl-explores", "gflow/training/trainer.py",
        "else source_refusal(explored, objective.learns_from)",
        "else None",
        f"{PATHWISE}::test_what_the_divergence_cannot_learn_from",
    ),
    (
        "training-failed-step-taken", "gflow/training/trainer.py",
        "self.optimizer.found_inf = failed",
        "self.optimizer.found_inf = None",
        f"{RECORDS}::test_a_loss_that_is_no_number_changes_no_weight_and_is_named_at_the_record",
    ),
    (
        "records-never-read", "gflow/training/trainer.py",
        "        if record and self.deferring:\n            self._read_deferred()",
        "        if record and self.deferring:\n            pass",
        f"{RECORDS}::test_a_reward_that_stays_bad_is_told_at_the_record_with_its_object",
    ),
    (
        "records-are-sums", "gflow/training/ledger.py",
        "float(total) / self._counts[name]",
        "float(total)",
        f"{RECORDS}::test_a_record_is_the_mean_since_the_last_one",
    ),
    (
        "deferred-last-failure", "gflow/deferred.py",
        "torch.where(bad & (self._where < 0), code, self._where)",
        "torch.where(bad, code + 64, self._where)",
        f"{RECORDS}::test_a_reward_that_was_bad_once_is_told_at_the_record_with_its_step",
    ),
    (
        "training-clip", "gflow/training/trainer.py",
        "torch.nn.utils.clip_grad_norm_(self._main, self.config.grad_clip)",
        "torch.nn.utils.clip_grad_norm_(\n"
        "                self.__dict__.setdefault('once', (p for p in self._main)),\n"
        "                self.config.grad_clip,\n"
        "            )",
        "tests/gflow/training/test_training.py::test_gradients_are_clipped_in_every_step",
    ),
    (
        "training-average", "gflow/training/trainer.py",
        "average_into(self.average, self.policy, 1 - self.config.ema)",
        "average_into(self.average, self.policy, self.config.ema)",
        "tests/gflow/training/test_training.py::test_the_average_follows_the_weights_as_declared",
    ),
    (
        "checkpoint-generator", "gflow/training/trainer.py",
        'self.generator.set_state(mine["generator"])',
        'mine["generator"]',
        "tests/gflow/training/test_checkpoint.py::TestInterrupted",
    ),
    (
        "wandb-uploaded", "gflow/training/offline_parts.py",
        "return [] if any(",
        "return [] if not all(",
        WANDB + "test_parts_and_their_pictures",
    ),
    (
        "wandb-pictures", "gflow/training/services.py",
        'shown.get(row["step"], {}).items()',
        'shown.get(-1, {}).items()',
        WANDB + "test_the_new_part_begins_with_all_before",
    ),
    (
        "wandb-aside", "gflow/training/services.py",
        "        set_aside(parts)\n",
        "",
        WANDB + "test_the_new_part_begins_with_all_before",
    ),
    (
        "wandb-names", "gflow/training/services.py",
        'os.environ.get("WANDB_NAME", label.name)',
        "label.name",
        WANDB + "test_variables_of_wandb_are_heard",
    ),
    (
        "lines-after-damage", "gflow/training/tracking.py",
        'if row["step"] <= resume_step]',
        'if row["step"] <= resume_step + 5]',
        "tests/gflow/training/test_tracking.py::test_a_resumed_log_has_each_step_once",
    ),
    (
        "json-infinite", "gflow/training/json_lines.py",
        '"Infinity" if value > 0 else "-Infinity"',
        '"-Infinity" if value > 0 else "Infinity"',
        "tests/gflow/runs/test_run_folder.py::test_files_are_json_whatever_the_numbers",
    ),
)  # fmt: skip
