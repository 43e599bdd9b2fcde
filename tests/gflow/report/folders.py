"""Folders of runs, written by hand, for tests of pages."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""


def run_folder(
    folder: Path, lr: float = 0.001, seed: int = 0, finished: bool = True, steps: int = 200
) -> Path:
    """A run of three reports, at steps 0, 100 and 200."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "environment": "hypergrid",
        "task": {"dim": 2, "side": 8},
        "train": {"steps": steps, "lr": lr, "seed": seed},
        "run": {"out": str(folder), "eval_every": 100},
        "objective": {"name": "tb"},
        "behaviour": {"name": "on_policy"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows: list[dict[str, Any]] = [
        {"step": 0, "tv": 0.8, "log_z": 0.0, "timing": {"seconds": 0.1}},
        {"step": 100, "tv": 0.1, "log_z": 2.0, "loss": 4.0, "timing": {"seconds": 1.0}},
        {"step": 200, "tv": 0.01, "log_z": 3.0, "loss": "NaN", "timing": {"seconds": 2.0}},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {
        "command": f"gflow train hypergrid --lr {lr}",
        "summary": "cells of a grid <b>",
        "resumed": [100],
        "versions": {"torch": "2.13.0"},
    }
    (folder / "about.json").write_text(json.dumps(about))
    objects = [
        {
            "set": "best",
            "object": "(7, 7)",
            "reward": 2.6,
            "drawing": "<svg></svg>",
        },
        {"set": "best", "object": "(0, 10)", "reward": 0.1},
        {"set": "best", "object": "(0, 9)", "reward": 12.0},
        {"set": "sample", "object": "<i>(3, 3)</i>", "log_reward": -1.0},
    ]
    (folder / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects))
    (folder / "distribution.png").write_bytes(PIXEL)
    if finished:
        summary = {
            "step": 200,
            "metrics": {k: v for k, v in rows[-1].items() if k not in ("step", "timing")},
            "untrained": {"tv": 0.8, "log_z": 0.0},
            "exact": {"log_z": 3.1},
            "timing": {"seconds": 150.0, "steps_per_second": 1.33, "threads": 1},
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder
