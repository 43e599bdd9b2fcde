"""What gflow says when it is given nonsense: the value, the rule and what to do.

Run:   python examples/bad_input.py
Takes: a few seconds. Prints one message for each of six mistakes.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler
from gflow.cli.main import main as gflow
from gflow.envs import HyperGrid
from gflow.errors import GFlowError

SMALL = ["--side=3", "--width=8", "--steps=2", "--quiet=True"]


class Stuck(HyperGrid):
    """A grid whose mask forgets the stop in the far corner."""

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) nothing is legal in the corner, which is not declared finished."""
        corner = (states == self.side - 1).all(-1, keepdim=True)
        mask = super().forward_mask(states).clone()
        mask[:, self.stop_action] = False
        return mask & ~corner


def nan_reward() -> None:
    """A reward that takes the logarithm of a negative number."""
    env = HyperGrid(2, 3, FunctionReward(lambda cells: (cells.sum(-1) - 2.5).log()))
    Sampler(env).forward(MLPPolicy(env, width=8), 64)


def stuck_mask() -> None:
    """A state without legal action that is not finished."""
    env = Stuck(2, 3)
    env.every_state_stops = False
    Sampler(env).forward(MLPPolicy(env, width=8), 64)


def invalid_smiles(folder: Path) -> None:
    """A file of molecules with a ring that is not closed."""
    (folder / "mine.smi").write_text("CCOc1ccccc1\nC1CC\n")
    gflow(["train", "molecules", f"--smiles={folder / 'mine.smi'}", f"--out={folder / 'm'}"])


def other_settings(folder: Path) -> None:
    """A checkpoint of a run whose configuration was changed afterwards."""
    run = folder / "run"
    gflow(["train", "hypergrid", *SMALL, f"--out={run}"])
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    config["train"]["lr"] = 0.1
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    gflow(["resume", str(run)])


def main() -> None:
    """Make six mistakes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=0, help="not used")
    parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").write_text("")
        blocked = f"--out={folder / 'file' / 'run'}"
        mistakes: dict[str, Callable[[], Any]] = {
            "a reward that is NaN": nan_reward,
            "a mask with no legal action": stuck_mask,
            "an unknown objective": lambda: gflow(["train", "hypergrid", "--objective=subbt"]),
            "an invalid SMILES": lambda: invalid_smiles(folder),
            "a checkpoint from other settings": lambda: other_settings(folder),
            "an unwritable output folder": lambda: gflow(["train", "hypergrid", *SMALL, blocked]),
        }
        for title, mistake in mistakes.items():
            print(f"\n--- {title}", flush=True)
            try:
                mistake()
            except GFlowError as error:
                print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
