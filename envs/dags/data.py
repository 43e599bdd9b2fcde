"""Data to learn graphs from: simulated linear Gaussian networks, and tables in CSV files."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError

SACHS = (
    "The protein-signalling data of Sachs et al. (2005) are distributed with the Causal Discovery "
    "Toolbox (github.com/FenTechSolutions/CausalDiscoveryToolbox, folder cdt/data/resources) as "
    "cyto_full_data.csv (7466 rows of 11 proteins) and cyto_full_target.csv (the consensus edges)."
)


@dataclass(frozen=True)
class LinearGaussianNetwork:
    r"""x_j = sum over parents i of weight_ij x_i + noise.

    Attributes:
        adjacency: (d, d) bool, entry i, j for the edge i -> j.
        weights: (d, d) float64, zero where there is no edge.
        noise_std: Standard deviation of the noise of every variable.
    """

    adjacency: Tensor
    weights: Tensor
    noise_std: float

    def sample(self, rows: int, generator: torch.Generator | None = None) -> Tensor:
        """(rows, d) float64 independent observations."""
        d = len(self.adjacency)
        noise = torch.randn(rows, d, dtype=torch.float64, generator=generator) * self.noise_std
        mixing = torch.eye(d, dtype=torch.float64) - self.weights
        data: Tensor = torch.linalg.solve(mixing, noise, left=False)
        return data


def erdos_renyi_network(
    variables: int,
    expected_edges: float,
    noise_std: float = 0.1,
    weight_std: float = 1.0,
    generator: torch.Generator | None = None,
) -> LinearGaussianNetwork:
    """A random network: a random order, each pair joined with equal probability, normal weights.

    Papers give the noise as a number that some codes take for a variance and some for a standard
    deviation: here it is a standard deviation, 0.1 (the original DAG-GFlowNet) or 0.1 ** 0.5.

    Args:
        variables: d.
        expected_edges: Mean number of edges, at most d (d - 1) / 2.
        noise_std: Standard deviation of the noise.
        weight_std: Standard deviation of the weights.
        generator: Source of randomness.

    Raises:
        ConfigError: If there are fewer pairs than expected edges.
    """
    pairs = variables * (variables - 1) / 2
    if not 0 <= expected_edges <= pairs:
        raise ConfigError(
            f"erdos_renyi_network: expected_edges must lie between 0 and the number of pairs "
            f"{pairs:g}, got {expected_edges}."
        )
    if not noise_std > 0:
        raise ConfigError(f"erdos_renyi_network: noise_std must be positive, got {noise_std}.")
    coins = torch.rand(variables, variables, generator=generator)
    order = torch.randperm(variables, generator=generator)
    joined = (coins < expected_edges / max(pairs, 1)).triu(1)[order][:, order]
    size = (variables, variables)
    weights = torch.randn(size, dtype=torch.float64, generator=generator) * weight_std
    return LinearGaussianNetwork(joined, weights * joined, noise_std)


def read_table(path: str | Path) -> tuple[list[str], Tensor]:
    """Names of the columns and (n, d) float64 rows of a CSV file with a header.

    Raises:
        ConfigError: If the file is missing or holds something else.
    """
    header, *rows = _read_csv(path)
    try:
        values = [[float(cell) for cell in row] for row in rows]
        table = torch.tensor(values, dtype=torch.float64).reshape(len(rows), len(header))
    except (ValueError, RuntimeError) as e:
        raise ConfigError(
            f"{path}: every row below the header must hold {len(header)} numbers: {e}."
        ) from e
    return header, table


def read_edges(path: str | Path, names: list[str]) -> Tensor:
    """(d, d) bool adjacency from a CSV file with a header and the columns cause and effect.

    The consensus network that is distributed with the Sachs data is one; it holds the cycle
    PIP3 -> plcg -> PIP2 -> PIP3, so it is good for comparison and no state of `Dags`.

    Args:
        path: The file.
        names: Names of the variables, in order.

    Raises:
        ConfigError: If the file is missing, or names another variable.
    """
    number = {name: i for i, name in enumerate(names)}
    adjacency = torch.zeros(len(names), len(names), dtype=torch.bool)
    for row in _read_csv(path)[1:]:
        if len(row) != 2 or row[0] not in number or row[1] not in number:
            raise ConfigError(
                f"{path}: the row {row} is no edge between two of the variables {', '.join(names)}."
            )
        adjacency[number[row[0]], number[row[1]]] = True
    return adjacency


def _read_csv(path: str | Path) -> list[list[str]]:
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"There is no file {file}. {SACHS} Download them and pass their paths.")
    with file.open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    if not rows:
        raise ConfigError(f"{file} is empty; a header with the names of the columns is needed.")
    return rows


def normalize(data: Tensor, log: bool = False) -> Tensor:
    """(n, d) columns with mean 0 and standard deviation 1.

    Args:
        data: (n, d).
        log: Take logarithms first, as is usual for concentrations, which are far from normal.

    Raises:
        ConfigError: If a column is constant, or the logarithm does not exist.
    """
    if log and not bool((data > 0).all()):
        raise ConfigError("normalize: log=True needs positive data. Leave out other rows.")
    x = data.log() if log else data
    spread = x.std(0)
    if not bool((spread > 0).all()):
        column = int((~(spread > 0)).nonzero()[0])
        raise ConfigError(f"normalize: column {column} is constant. Leave it out.")
    return (x - x.mean(0)) / spread
