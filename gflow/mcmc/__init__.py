"""Markov chains and importance sampling over a plain pair of `log_density` and `score`.

Chains (`mala`, `hmc`) improve points that you have; annealing (`annealed_importance_sampling`,
`tempered_smc`) brings points from a known density and estimates log Z; `laplace_importance`
does that for densities with one mode. All run B chains side by side.
"""

from gflow.mcmc.annealing import Annealed, Base, annealed_importance_sampling, tempered_smc
from gflow.mcmc.chains import Chains, Place
from gflow.mcmc.hamiltonian import hmc
from gflow.mcmc.langevin import mala
from gflow.mcmc.laplace import LogZEstimate, laplace_importance, student_log_density
from gflow.mcmc.resampling import systematic_resample

__all__ = [
    "Annealed",
    "Base",
    "Chains",
    "LogZEstimate",
    "Place",
    "annealed_importance_sampling",
    "hmc",
    "laplace_importance",
    "mala",
    "student_log_density",
    "systematic_resample",
    "tempered_smc",
]
