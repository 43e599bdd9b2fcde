"""Mutants of `gflow/tasks`, and of how options are found and bounded."""

GAMES = "tests/envs/games/test_games_task.py::"

MUTANTS = (
    (
        "measured-by-reward", "gflow/tasks/measure.py",
        "if objective.solution not in ELSEWHERE:",
        "if True:",
        "tests/gflow/tasks/test_measures_of_chance.py"
        "::test_expected_flows_are_measured_against_their_own_distribution",
    ),
    (
        "task-learners", "gflow/tasks/task.py",
        "    return policy, [*fits, *own]",
        "    return policy, fits",
        "tests/gflow/tasks/test_task_learners.py::test_learners_of_a_task_see_every_batch[tlm]",
    ),
    (
        "bounds-open", "gflow/bounds.py",
        "above = value > self.low if self.open_low else value >= self.low",
        "above = value >= self.low",
        "tests/gflow/test_option_bounds.py::test_what_annotations_allow",
    ),
    (
        "flags-shared-name", "gflow/tasks/flags.py",
        "plain[option.name] == 1 and",
        "plain[option.name] >= 1 and",
        "tests/gflow/cli/test_refusals.py::test_names_that_two_parts_share_are_said_in_full",
    ),
    (
        "parts-guess", "gflow/tasks/parts.py",
        "if k not in GUESSED or v is not None}",
        "if k not in GUESSED}",
        "tests/gflow/cli/test_own_classes.py::test_an_option_that_is_guessed_can_be_given",
    ),
    (
        "measure-symmetry", "gflow/tasks/measure.py",
        "float(plain_log_reward(trainer.env, batch).double().mean())",
        "float(terms.log_reward.mean())",
        "tests/gflow/tasks/test_rewards_reported.py"
        "::test_objects_that_count_several_times_have_their_own_log_reward",
    ),
    (
        "reward-temperature", "envs/grids/task.py",
        "return self.grid_reward()(objects).exp()",
        "return env.log_reward(objects).exp()",
        "tests/gflow/tasks/test_rewards_reported.py"
        "::test_a_temperature_does_not_change_what_a_reward_is",
    ),
    (
        "fit-seed", "gflow/runs/trained.py",
        "torch.manual_seed(config.train.seed)",
        "pass",
        "tests/gflow/runs/test_fit_and_load.py::test_the_same_seed_gives_the_same_sampler",
    ),
    (
        "discovery-path", "gflow/discovery.py",
        "if path != self._path:",
        "if not self._path:",
        "tests/gflow/tasks/test_registry.py::test_a_folder_is_searched_again_when_it_grows",
    ),
    (
        "signature-chain", "gflow/tasks/signature.py",
        "if name in found or name in leave:",
        "if name in leave:",
        "tests/gflow/tasks/test_registry.py::test_the_first_default_of_a_chain_counts",
    ),
    (
        "run-lock-shared", "gflow/runs/lock.py",
        'fcntl.LOCK_EX | fcntl.LOCK_NB',
        'fcntl.LOCK_SH | fcntl.LOCK_NB',
        "tests/gflow/runs/test_run_folder.py::test_the_lock_is_released_and_says_so_in_the_same_process",
    ),
    (
        "run-extra-row", "gflow/runs/run.py",
        'return self._due(at) or at == self.config.train.steps',
        'return True',
        "tests/gflow/runs/test_run_folder.py::test_an_extended_run_is_one_that_was_asked_for_more_from_the_start",
    ),
    (
        "run-dtype", "gflow/runs/folder.py",
        '"dtype": str(dtype)}',
        '"dtype": ""}',
        "tests/gflow/runs/test_run_folder.py::test_another_precision_is_refused",
    ),
    (
        "tasks-optimal-of-other-states", "gflow/tasks/games.py",
        "table[self.rows].argmax(1, keepdim=True)",
        "table[self.rows].argmin(1, keepdim=True)",
        f"{GAMES}test_the_exact_policy_has_the_known_share",
    ),
    (
        "tasks-sides-exchanged", "gflow/tasks/games.py",
        "seats = torch.tensor([[0, 1], [1, 0]])",
        "seats = torch.tensor([[1, 0], [0, 1]])",
        f"{GAMES}test_matches_against_uniform_players",
    ),
    (
        "tasks-games-of-other-flows", "gflow/tasks/games.py",
        "log_z_error(log_z, self.flows.log_z)",
        "log_z_error(log_z, -self.flows.log_z)",
        f"{GAMES}test_a_flow_for_each_player_has_a_solution_of_its_own",
    ),
    (
        "identity-unchosen", "gflow/runs/folder.py",
        'if found["condition"] == {"name": "auto"}:',
        'if found["condition"] == {}:',
        "tests/gflow/runs/test_conditions_unchosen.py"
        "::test_a_condition_that_nobody_chose_is_no_part_of_a_checkpoints_settings",
    ),
)  # fmt: skip
