"""Marginalization models: samplers whose state flow is the marginal of what is known so far."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.marginals.chains import MarginalChains, transitions
    from gflow.marginals.divergence import MarginalDivergence
    from gflow.marginals.networks import ResidualSites, SiteNetwork, TransformerSites
    from gflow.marginals.policy import MarginalPolicy
    from gflow.marginals.sites import Sites

_HOME = {
    "MarginalChains": "gflow.marginals.chains",
    "MarginalDivergence": "gflow.marginals.divergence",
    "MarginalPolicy": "gflow.marginals.policy",
    "ResidualSites": "gflow.marginals.networks",
    "SiteNetwork": "gflow.marginals.networks",
    "Sites": "gflow.marginals.sites",
    "TransformerSites": "gflow.marginals.networks",
    "transitions": "gflow.marginals.chains",
}

__all__ = [
    "MarginalChains",
    "MarginalDivergence",
    "MarginalPolicy",
    "ResidualSites",
    "SiteNetwork",
    "Sites",
    "TransformerSites",
    "transitions",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
