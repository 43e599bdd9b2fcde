"""Densities on R^d to sample from, with all that is known about them.

`TARGETS` names the standard ones; `make_target` builds one by its name.
"""

from collections.abc import Callable

from gflow.envs.targets.base import Target
from gflow.envs.targets.cox import LogGaussianCox
from gflow.envs.targets.double_well import ManyWell
from gflow.envs.targets.funnel import Funnel
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.logistic import LogisticRegression
from gflow.envs.targets.mixture import GaussianMixture, gmm9, gmm25, gmm40, grid_mixture
from gflow.envs.targets.oracle import end_moments, reverse_kernel
from gflow.envs.targets.rescaled import Rescaled
from gflow.envs.targets.vae import VAEPosterior
from gflow.errors import UnknownNameError

TARGETS: dict[str, Callable[[], Target]] = {
    "cox": LogGaussianCox,
    "cox_whitened": lambda: LogGaussianCox(whitened=True),
    "double_well": lambda: ManyWell(dim=2),
    "funnel": Funnel,
    "funnel_easy": lambda: Funnel(first_variance=1.0),
    "gaussian": lambda: Gaussian([1.0, -1.0], variance=1.0, log_constant=1.0),
    "gmm9": gmm9,
    "gmm25": gmm25,
    "gmm40": gmm40,
    "gmm40_scaled": lambda: gmm40(scale=50.0),
    "logistic": LogisticRegression,
    "logistic_synthetic": LogisticRegression.synthetic,
    "manywell": ManyWell,
    "vae": VAEPosterior,
}
"""Name of each standard target, and what builds it."""


def make_target(name: str) -> Target:
    """The standard target of that name.

    Raises:
        UnknownNameError: If there is none.

    Example:
        >>> make_target("gmm25")
        GaussianMixture(components=25, dim=2)
    """
    if name not in TARGETS:
        raise UnknownNameError("target", name, TARGETS)
    return TARGETS[name]()


__all__ = [
    "TARGETS",
    "Funnel",
    "Gaussian",
    "GaussianMixture",
    "LogGaussianCox",
    "LogisticRegression",
    "ManyWell",
    "Rescaled",
    "Target",
    "VAEPosterior",
    "end_moments",
    "gmm9",
    "gmm25",
    "gmm40",
    "grid_mixture",
    "make_target",
    "reverse_kernel",
]
