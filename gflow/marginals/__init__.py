"""Marginalization models: samplers whose state flow is the marginal of what is known so far."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.behaviours.marginal_chains import MarginalChains
    from gflow.marginals.attention import TransformerSites
    from gflow.marginals.baselines import one_conditional
    from gflow.marginals.convolution import ConvolutionSites
    from gflow.marginals.correlation import Agreement, agreement
    from gflow.marginals.data import BesideData
    from gflow.marginals.likelihood import AnyOrderFit
    from gflow.marginals.moves import transitions
    from gflow.marginals.networks import ResidualSites, SiteNetwork
    from gflow.marginals.policy import MarginalPolicy
    from gflow.marginals.shared import SharedSites
    from gflow.marginals.sites import Sites
    from gflow.marginals.trunk import TrunkSites

_HOME = {
    "Agreement": "gflow.marginals.correlation",
    "AnyOrderFit": "gflow.marginals.likelihood",
    "BesideData": "gflow.marginals.data",
    "ConvolutionSites": "gflow.marginals.convolution",
    "MarginalChains": "gflow.behaviours.marginal_chains",
    "MarginalPolicy": "gflow.marginals.policy",
    "ResidualSites": "gflow.marginals.networks",
    "SharedSites": "gflow.marginals.shared",
    "SiteNetwork": "gflow.marginals.networks",
    "Sites": "gflow.marginals.sites",
    "TransformerSites": "gflow.marginals.attention",
    "TrunkSites": "gflow.marginals.trunk",
    "agreement": "gflow.marginals.correlation",
    "one_conditional": "gflow.marginals.baselines",
    "transitions": "gflow.marginals.moves",
}

__all__ = [
    "Agreement",
    "AnyOrderFit",
    "BesideData",
    "ConvolutionSites",
    "MarginalChains",
    "MarginalPolicy",
    "ResidualSites",
    "SharedSites",
    "SiteNetwork",
    "Sites",
    "TransformerSites",
    "TrunkSites",
    "agreement",
    "one_conditional",
    "transitions",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
