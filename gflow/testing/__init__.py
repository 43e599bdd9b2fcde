"""The tests that gflow runs on itself, for your own environment and your own objective.

    from gflow.testing import check_env, check_objective

    check_env(MyEnvironment())       # every broken rule at once, each with the state that breaks it
    check_objective(MyObjective)     # zero at the exact solution, non-zero off it, and more

`gflow.testing.strategies` holds Hypothesis strategies for both; it alone needs hypothesis.
"""

from gflow.testing.enumeration import all_trajectories
from gflow.testing.env_check import check_env
from gflow.testing.findings import BrokenEnvironmentError, BrokenObjectiveError, Finding
from gflow.testing.objective_check import CheckedObjective, check_objective
from gflow.testing.plan import CheckedEnvironment
from gflow.testing.samples import sample_environments, sample_games, sample_games_of_chance
from gflow.testing.solve import minimise
from gflow.testing.table import TableEnvironment

__all__ = [
    "BrokenEnvironmentError",
    "BrokenObjectiveError",
    "CheckedEnvironment",
    "CheckedObjective",
    "Finding",
    "TableEnvironment",
    "all_trajectories",
    "check_env",
    "check_objective",
    "minimise",
    "sample_environments",
    "sample_games",
    "sample_games_of_chance",
]
