"""RNA designed to fold into a target structure, or to bind to target RNAs; needs ViennaRNA."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import ORDERS, AnyOrder, Autoregressive, SequenceEnvironment
from gflow.envs.sequences.rna_scores import (
    TARGETS,
    BindingScore,
    DesignScore,
    Measure,
    base_pairs,
    vienna,
)
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.pools import Pool, open_pool
from gflow.rewards.remembering import HostReward

SINGLES = ("A", "C", "G", "U")
PAIRS = ("AU", "UA", "CG", "GC", "GU", "UG")


class DesignReward(HostReward[Tensor]):
    """Designs of RNAs for a target structure, as sites: single nucleotides and base pairs.

    A site is an unpaired place of the target or a pair, which is filled with one of the six pairs
    that ViennaRNA knows. So only RNAs that can have the target structure are built, and all are.

    Args:
        target: Structure in dot-bracket notation.
        measure: "mfe", "defect" or "both"; see `DesignScore`.
        beta: Exponent.
        workers: Processes that fold; 0 folds in this one.
        timeout: Seconds that folding one RNA may take; None for no limit. Needs workers.
        pool: Where workers are: "local", "ray", "ray://HOST:PORT", or a `Pool` (see `open_pool`).

    Attributes:
        allowed: (S, 10) bool: symbols of each of the S sites.
    """

    def __init__(
        self,
        target: str,
        measure: Measure = "both",
        beta: float = 16.0,
        workers: int = 0,
        timeout: float | None = None,
        pool: str | Pool = "local",
    ) -> None:
        if measure not in ("mfe", "defect", "both"):
            raise UnknownNameError("measure of agreement", measure, ("mfe", "defect", "both"))
        if not target or not beta > 0:
            raise ConfigError(
                f"DesignReward: need a target and a positive beta, got {target!r} and {beta}."
            )
        vienna()
        closing = dict(base_pairs(target))
        closed = set(closing.values())
        self.target = target
        self.sites = [(i, closing.get(i, i)) for i in range(len(target)) if i not in closed]
        paired = torch.tensor([i != j for i, j in self.sites])[:, None]
        self.allowed = (torch.arange(len(SINGLES + PAIRS)) >= len(SINGLES)) == paired
        given = open_pool(pool, workers, timeout) if workers or pool != "local" else None
        score = DesignScore(target, measure, beta)
        super().__init__(self.sequences, score, given, timeout=timeout)

    def sequences(self, states: Tensor) -> list[str]:
        """B RNAs from (B, S) complete sites."""
        symbols, found = SINGLES + PAIRS, []
        for row in states.tolist():
            letters = [""] * len(self.target)
            for (i, j), code in zip(self.sites, row, strict=True):
                letters[i], letters[j] = symbols[code][0], symbols[code][-1]
            found.append("".join(letters))
        return found

    def close(self) -> None:
        """End the worker processes."""
        if self.pool:
            self.pool.close()


def rna_design(
    reward: DesignReward, order: Literal["left_to_right", "any"] = "left_to_right"
) -> SequenceEnvironment:
    """Build RNAs for the target structure of a reward, site by site.

    Args:
        reward: Knows the target.
        order: "left_to_right" (a tree) or "any".
    """
    if order not in ("left_to_right", "any"):
        raise ConfigError(f"rna_design: order must be 'left_to_right' or 'any', got {order!r}.")
    kind = Autoregressive if order == "left_to_right" else AnyOrder
    return kind(SINGLES + PAIRS, len(reward.sites), reward, reward.allowed)


def rna_binding(
    length: int = 14,
    targets: Sequence[str] = ("RNA1",),
    order: str = "prepend_append",
    beta: float = 8.0,
    floor: float = 1e-3,
    workers: int = 0,
    pool: str | Pool = "local",
) -> SequenceEnvironment:
    """RNAs of a given length in proportion to y^beta; see `BindingScore`.

    Args:
        length: L.
        targets: Names in `TARGETS`, or RNAs.
        order: "prepend_append", "left_to_right" or "any".
        beta: Exponent.
        floor: Smallest y; unbound RNAs have y of zero and below.
        workers: Processes that score; 0 scores in this one.
        pool: Where workers are: "local", "ray", "ray://HOST:PORT", or a `Pool` (see `open_pool`).
    """
    if order not in ORDERS:
        raise UnknownNameError("order of building", order, ORDERS)
    strings = tuple(TARGETS.get(target, target) for target in targets)
    if not strings or any(set(target) - set("ACGU") or not target for target in strings):
        raise ConfigError(
            f"rna_binding: targets must be RNAs (letters ACGU) or names out of "
            f"{', '.join(TARGETS)}; got {list(targets)}."
        )
    vienna()
    alphabet = Alphabet("ACGU")
    given = open_pool(pool, workers) if workers or pool != "local" else None
    reward = HostReward(alphabet.decode, BindingScore(strings, beta, floor), given)
    return ORDERS[order](alphabet, length, reward)
