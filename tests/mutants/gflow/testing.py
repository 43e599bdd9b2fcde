"""Mutants of `gflow/testing`."""

CHECK = "tests/gflow/testing/test_check_objective.py"

MUTANTS = (
    (
        "checker-all-states", "gflow/testing/discrete/key_rules.py",
        "at = take(listed, keys)",
        "at = found.states",
        "tests/gflow/testing/test_broken_environments.py::test_the_broken_rule_is_named[FlippedList]",
    ),
    (
        "checker-start-of-condition", "gflow/testing/probe.py",
        'return self.env.start(count, "cpu", self.condition.expand(count, -1))',
        'return self.env.initial(count, "cpu")',
        "tests/gflow/exact/test_conditional_sources.py::test_the_checker_starts_where_the_condition_says",
    ),
    (
        "checker-keeps-ends", "gflow/testing/discrete/explore.py",
        "first = rows[rows <= ends][: 1 + limit // 4]",
        "first = rows[:1]",
        "tests/gflow/testing/test_check_env.py::test_long_chains_are_right",
    ),
    (
        "solution-unread", "gflow/testing/objective_rules.py",
        "return case.objective.solution is Solution.ORDERED",
        "return False",
        f"{CHECK}::test_objectives_are_judged_by_the_solution_that_they_name",
    ),
    (
        "checker-two-outputs", "gflow/testing/continuous/law_rules.py",
        "share = torch.sigmoid(other - own)[:, None]",
        "share = torch.sigmoid(own - other)[:, None]",
        "tests/gflow/testing/test_broken_continuous.py::test_what_they_are_made_from_is_right[torus]",
    ),
    (
        "checker-volume-of-spread", "gflow/testing/continuous/measure_rules.py",
        "flat, log_prob = white, log_prob + spread.log().sum()",
        "flat, log_prob = white, log_prob - spread.log().sum()",
        "tests/gflow/testing/test_check_continuous.py::test_the_volume_of_balls_is_what_densities_say",
    ),
    (
        "checker-ball-less-itself", "gflow/testing/continuous/measure_rules.py",
        "near.indices[:, 1:-1]",
        "near.indices[:, :-8]",
        "tests/gflow/testing/test_check_continuous.py::test_the_volume_of_balls_is_what_densities_say",
    ),
    (
        "checker-exchange", "gflow/testing/continuous/ratio_rules.py",
        "share = torch.sigmoid(back.log_ratio - walks.log_ratio)",
        "share = torch.sigmoid(walks.log_ratio - back.log_ratio)",
        "tests/gflow/testing/test_broken_continuous.py::test_what_they_are_made_from_is_right[brownian]",
    ),
    (
        "checker-weights-of-stops", "gflow/testing/continuous/ratio_rules.py",
        "weight = weight - _stops(probe, walks, outputs)",
        "weight = weight + _stops(probe, walks, outputs)",
        "tests/gflow/testing/test_broken_continuous.py::test_what_they_are_made_from_is_right[box]",
    ),
    (
        "checker-carried-density", "gflow/testing/continuous/retrace_rules.py",
        "target = moved_to(after, where + h * velocity)",
        "target = moved_to(after, where - h * velocity)",
        "tests/gflow/testing/test_broken_continuous.py::test_what_they_are_made_from_is_right[ornstein]",
    ),
    (
        "checker-chance-is-free", "gflow/testing/case.py",
        "free = (options > 1) & (graph.movers != CHANCE)",
        "free = options > 1",
        "tests/objectives/games/test_adversarial.py::test_objectives_of_games_keep_the_contract[aedb]",
    ),
    (
        "checker-players-unseen", "gflow/testing/learning_rules.py",
        "if float(error.max()) < ALIKE:",
        "if float(error.max()) < 1e3 * ALIKE:",
        "tests/gflow/testing/test_broken_games.py::test_the_broken_rule_is_named[ForgetsOne]",
    ),
    (
        "checker-unsigned-branching", "gflow/testing/objective_rules.py",
        "value = torch.where(terms.mover == -1, -value, value)",
        "value = torch.where(terms.mover == -1, value, value)",
        "tests/gflow/testing/test_broken_games.py::test_a_missing_branching_is_guessed",
    ),
)  # fmt: skip
