"""Examples are run as a user would run them."""

import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(starter: Any, script: Path, tmp_path: Path) -> None:
    done = starter.run([str(script), "--steps", "2"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_own_sequences_take_thirty_lines() -> None:
    """Each of the two, counted with its signature and docstring."""
    text = (EXAMPLES[0].parent / "custom_sequences.py").read_text()
    functions = re.findall(r"^def (\w+)\(.*?(?=^\S)", text, re.DOTALL | re.MULTILINE)
    assert functions == ["any_order", "left_to_right"]
    for body in re.finditer(r"^def \w+\(.*?(?=^\S)", text, re.DOTALL | re.MULTILINE):
        assert len(body.group().splitlines()) <= 30


def test_own_environment_takes_forty_lines() -> None:
    """The promise of the README, counted."""
    text = (EXAMPLES[0].parent / "custom_environment.py").read_text()
    code = text.split('"""', 2)[2]
    lines = [line for line in code.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 40


def test_own_game_takes_forty_lines() -> None:
    """The class alone, counted."""
    text = (EXAMPLES[0].parent / "custom_game.py").read_text()
    body = text[text.index("class Subtraction") : text.index("if __name__")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 40


def test_own_latent_model_takes_forty_lines() -> None:
    """Model, data, sampler and training, counted without imports and what is printed."""
    text = (EXAMPLES[0].parent / "custom_em.py").read_text()
    body = text[text.index("class TwoCoins") : text.index("    learned =")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 40
