"""What marginals are learned of: pictures, text, molecules, lattices, densities."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.marginals.densities import Densities
    from gflow.envs.marginals.digits import Digits
    from gflow.envs.marginals.ising import Ising
    from gflow.envs.marginals.problem import Parts, Problem, named_problem
    from gflow.envs.marginals.selfies import LogPReward, Selfies
    from gflow.envs.marginals.smiles import Smiles
    from gflow.envs.marginals.text import Text

_HOME = {
    "Densities": "gflow.envs.marginals.densities",
    "Digits": "gflow.envs.marginals.digits",
    "Ising": "gflow.envs.marginals.ising",
    "LogPReward": "gflow.envs.marginals.selfies",
    "Parts": "gflow.envs.marginals.problem",
    "Problem": "gflow.envs.marginals.problem",
    "Selfies": "gflow.envs.marginals.selfies",
    "Smiles": "gflow.envs.marginals.smiles",
    "Text": "gflow.envs.marginals.text",
    "named_problem": "gflow.envs.marginals.problem",
}

__all__ = [
    "Densities",
    "Digits",
    "Ising",
    "LogPReward",
    "Parts",
    "Problem",
    "Selfies",
    "Smiles",
    "Text",
    "named_problem",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
