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
)  # fmt: skip
