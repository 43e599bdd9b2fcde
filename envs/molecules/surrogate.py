"""A reward that a regression learns: for scores too dear to be asked at every step."""

import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gflow.envs.molecules.extras import parse_smiles, rdkit
from gflow.errors import ConfigError, MissingExtraError
from gflow.rewards.remembering import HostReward

Array = npt.NDArray[np.float64]


class SurrogateReward(HostReward[Any]):
    r"""log R(x) = :math:`\mu(x) + \kappa \sigma(x)`, mean and standard deviation of a regression.

    Fit it to molecules whose score is known, train a sampler, score some of what it makes, and fit
    again. Before the first `fit` all molecules are worth the same. Each `fit` raises `version`, so
    that memories and caches score anew what they hold. With `Molecules(..., beta=b)` log R is b
    times as large.

    Scores are in their own unit and larger is better: energies of docking go in with their sign
    turned.

    Args:
        describe: ``states -> SMILES``, normally ``lambda states: env.smiles(states)``.
        regressor: Has ``fit(X, y)`` and ``predict(X, return_std=True)`` as regressors of
            scikit-learn do, on `features`; `molecular_process()` by default.
        kappa: How much an uncertain molecule is preferred; 0 takes the mean alone.
        capacity: Number of molecules whose prediction is remembered.

    Raises:
        ConfigError: `kappa` is negative or no number.
        MissingExtraError: Without a regressor and without scikit-learn.

    Reference:
        Jain et al., Biological Sequence Design with GFlowNets, 2022,
        https://arxiv.org/abs/2203.04115 (the rounds); Srinivas et al., Gaussian Process
        Optimization in the Bandit Setting, 2010, https://arxiv.org/abs/0912.3995 (the bound)
    """

    def __init__(
        self,
        describe: Callable[[Any], list[str]],
        regressor: Any = None,
        kappa: float = 1.0,
        capacity: int = 200_000,
    ) -> None:
        if not 0 <= kappa < math.inf:
            raise ConfigError(
                f"SurrogateReward: kappa must be 0 or more, got {kappa}: it is how many standard "
                f"deviations are added to the mean."
            )
        super().__init__(describe, self.acquisition, capacity=capacity)
        self.regressor = molecular_process() if regressor is None else regressor
        self.kappa, self.fitted = kappa, 0

    def fit(self, smiles: Sequence[str], scores: Sequence[float]) -> None:
        """Learn from molecules whose score is known; what was predicted before is forgotten.

        Args:
            smiles: At least two molecules.
            scores: One finite number each; larger is better.

        Raises:
            ConfigError: There are too few, or a score is missing or no number.
            MoleculeError: A SMILES is none.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (len(smiles),) or len(smiles) < 2 or not np.isfinite(values).all():
            raise ConfigError(
                f"SurrogateReward.fit: need a finite score for each of two molecules or more, got "
                f"{len(smiles)} molecules and the scores {values.tolist()}. Leave out what could "
                f"not be scored, or give it a poor score."
            )
        with warnings.catch_warnings():  # length scales and noise at the ends of their range
            warnings.simplefilter("ignore")
            self.regressor.fit(features(smiles), values)
        self.fitted = len(smiles)
        self.version += 1

    def predict(self, smiles: Sequence[str]) -> tuple[Array, Array]:
        """(n,) means and (n,) standard deviations, in the unit of the scores.

        Raises:
            ConfigError: Nothing was fitted yet.
        """
        if not self.fitted:
            raise ConfigError("SurrogateReward: it knows no score yet; call fit first.")
        with warnings.catch_warnings():  # variances that rounding made negative
            warnings.simplefilter("ignore")
            mean, std = self.regressor.predict(features(smiles), return_std=True)
        return np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)

    def acquisition(self, smiles: Sequence[str]) -> list[float]:
        """(n,) mean plus kappa standard deviations; all 0 before the first `fit`."""
        if not self.fitted:
            return [0.0] * len(smiles)
        mean, std = self.predict(smiles)
        return cast(list[float], (mean + self.kappa * std).tolist())

    def __repr__(self) -> str:
        known = f"fitted to {self.fitted} molecules" if self.fitted else "not fitted"
        return f"SurrogateReward(kappa={self.kappa:g}, {known})"


DESCRIPTORS = (
    ("CalcNumHeavyAtoms", 6.0),
    ("CalcNumRings", 1.5),
    ("CalcNumAromaticRings", 1.0),
    ("CalcNumRotatableBonds", 2.5),
    ("CalcCrippenDescriptors", 1.5),
    ("CalcTPSA", 30.0),
    ("CalcNumHBD", 1.0),
    ("CalcNumHBA", 2.0),
)
"""RDKit's functions of a molecule, and by how much drug-like molecules differ in each."""
BITS = 2048


def features(smiles: Sequence[str]) -> Array:
    """(n, 8 + 2048) descriptors over how much they differ, and bits of Morgan fingerprints.

    The descriptors are heavy atoms, rings, aromatic rings, rotatable bonds, logP, polar surface,
    donors and acceptors; the fingerprints have radius 2.

    Raises:
        MoleculeError: A SMILES is none.
    """
    count = rdkit("rdkit.Chem.rdMolDescriptors")
    prints = rdkit("rdkit.Chem.rdFingerprintGenerator")
    generator = prints.GetMorganGenerator(radius=2, fpSize=BITS)
    rows = np.zeros((len(smiles), len(DESCRIPTORS) + BITS))
    for row, text in zip(rows, smiles, strict=True):
        molecule = parse_smiles(text, "SurrogateReward")
        for place, (name, width) in enumerate(DESCRIPTORS):
            value = getattr(count, name)(molecule)
            row[place] = (value[0] if isinstance(value, tuple) else value) / width
        row[len(DESCRIPTORS) :] = generator.GetFingerprintAsNumPy(molecule)
    return rows


def tanimoto(first: Array, second: Array) -> Array:
    """(n, m) shared bits over bits in either, of (n, D) and (m, D) features."""
    one, other = first[:, len(DESCRIPTORS) :], second[:, len(DESCRIPTORS) :]
    shared = one @ other.T
    either = one.sum(1)[:, None] + other.sum(1)[None] - shared
    return cast(Array, shared / np.maximum(either, 1.0))


def closeness(first: Array, second: Array) -> Array:
    """(n, m) exp(-d/2) of the mean squared difference d of the descriptors."""
    k = len(DESCRIPTORS)
    apart = ((first[:, None, :k] - second[None, :, :k]) ** 2).mean(2)
    return cast(Array, np.exp(-apart / 2))


def molecular_process() -> Any:
    """scikit-learn's Gaussian process on `features`: a sum of two kernels, and noise.

    One is the Tanimoto similarity of fingerprints, the other the `closeness` of descriptors: size
    and polarity tell much of the energy of a molecule whose parts were never seen. Their weights
    and the noise are those of greatest marginal likelihood.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Reference:
        Ralaivola et al., Graph kernels for chemical informatics, Neural Networks 18, 2005,
        https://doi.org/10.1016/j.neunet.2005.07.009
    """
    try:
        processes = importlib.import_module("sklearn.gaussian_process")
        kernels = importlib.import_module("sklearn.gaussian_process.kernels")
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "surrogate", "A surrogate of scores") from error

    class Alike(kernels.NormalizedKernelMixin, kernels.Kernel):  # type: ignore[misc, name-defined]
        """A similarity that is 1 of equals, without parameters to learn."""

        def __init__(self, of: Callable[[Array, Array], Array]) -> None:
            self.of = of

        def __call__(self, X: Array, Y: Any = None, eval_gradient: bool = False) -> Any:
            value = self.of(X, X if Y is None else Y)
            return (value, np.empty((*value.shape, 0))) if eval_gradient else value

        def is_stationary(self) -> bool:
            return False

    kernel = kernels.ConstantKernel(1.0, (1e-2, 1e2)) * Alike(tanimoto)
    kernel += kernels.ConstantKernel(1.0, (1e-2, 1e2)) * Alike(closeness)
    kernel += kernels.WhiteKernel(0.1, (1e-3, 1e1))
    return processes.GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
