"""`gflow train molecules`."""

from dataclasses import dataclass
from typing import ClassVar

from gflow.cli.hypergrid import HypergridWorld


@dataclass(frozen=True)
class MoleculesWorld(HypergridWorld):
    name: ClassVar[str] = "molecules"
