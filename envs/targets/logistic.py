"""Bayesian logistic regression: a real posterior over weights."""

import importlib
from typing import Any

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError, MissingExtraError
from gflow.mcmc.laplace import LogZEstimate, laplace_importance


class LogisticRegression(Target):
    r"""Weights w with a standard normal prior, given labelled data.

    .. math:: \log R(w) = \sum_i \log \sigma(y_i\, w^\top x_i) + \log N(w; 0, I)

    The posterior is log-concave. `log_z` is not known; `reference_log_z` estimates it well.

    Args:
        features: (n, k). By default scikit-learn's breast-cancer data, 569 by 30.
        labels: (n,) 0/1, False/True or -1/+1.
        standardize: Bring each feature to mean 0 and variance 1; constant ones are left at 0.
        intercept: Add a constant feature; d = k + 1.

    Raises:
        MissingExtraError: Without data and without scikit-learn.
        ConfigError: If the data do not fit together or hold other labels.

    Example:
        >>> target = LogisticRegression(torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 0]))
        >>> target.dim, target.score(torch.zeros(2)).tolist()
        (2, [1.0, 0.0])
    """

    def __init__(
        self,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        standardize: bool = True,
        intercept: bool = True,
    ) -> None:
        if (features is None) != (labels is None):
            raise ConfigError("LogisticRegression: give `features` and `labels`, or neither.")
        if features is None or labels is None:
            data = sklearn_datasets("The breast-cancer data").load_breast_cancer()
            features, labels = torch.as_tensor(data.data), torch.as_tensor(data.target)
        table = torch.as_tensor(features, dtype=torch.float64).cpu()
        marks = torch.as_tensor(labels, dtype=torch.float64).cpu()
        if table.ndim != 2 or marks.shape != table.shape[:1] or not bool(table.isfinite().all()):
            raise ConfigError(
                f"LogisticRegression: `features` must be finite (n, k) and `labels` (n,), got "
                f"{tuple(table.shape)} and {tuple(marks.shape)}."
            )
        kinds = set(marks.unique().tolist())
        if not (kinds <= {0.0, 1.0} or kinds <= {-1.0, 1.0}):
            raise ConfigError(
                f"LogisticRegression: labels must be 0/1 or -1/+1, got {sorted(kinds)[:5]}."
            )
        if standardize:
            spread = table.std(0, correction=0)
            table = (table - table.mean(0)) / torch.where(spread > 0, spread, 1.0)
        if intercept:
            table = torch.cat([table, torch.ones(len(table), 1, dtype=torch.float64)], 1)
        signs = torch.where(marks > 0, 1.0, -1.0).double()
        self.signed = signs[:, None] * table
        self.dim = table.shape[1]

    @classmethod
    def synthetic(cls, count: int = 200, dim: int = 25, seed: int = 0) -> "LogisticRegression":
        """Normal features with labels drawn from the model at weights drawn from the prior."""
        seeded = torch.Generator().manual_seed(seed)
        size: dict[str, Any] = {"generator": seeded, "dtype": torch.float64}
        features, weights = torch.randn(count, dim, **size), torch.randn(dim, **size)
        labels = torch.rand(count, **size) < (features @ weights).sigmoid()
        return cls(features, labels, standardize=False, intercept=False)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log-likelihood plus log-prior of weights."""
        fit = torch.nn.functional.logsigmoid(self.checked(x) @ self.constant("signed", x).mT)
        log_prior = -(x.square() + _LOG_2PI).sum(-1) / 2
        return fit.sum(-1) + log_prior

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) gradient, by formula."""
        x, signed = self.checked(x).detach(), self.constant("signed", x)
        return (-(x @ signed.mT)).sigmoid() @ signed - x

    def reference_log_z(
        self, draws: int = 200_000, generator: torch.Generator | None = None
    ) -> LogZEstimate:
        """Log Z by importance sampling from a Student t around the mode."""
        start = torch.zeros(self.dim, dtype=torch.float64)
        return laplace_importance(self.log_density, start, draws, generator=generator)


_LOG_2PI = 1.8378770664093453


def sklearn_datasets(purpose: str) -> Any:
    """The module `sklearn.datasets`; nothing in it that is used here downloads.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "continuous", purpose) from error
