"""Markov chains and importance sampling over a plain `log_density`."""

from gflow.mcmc.laplace import LogZEstimate, laplace_importance, student_log_density

__all__ = ["LogZEstimate", "laplace_importance", "student_log_density"]
