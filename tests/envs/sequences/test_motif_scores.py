"""The closed-form landscape against the figures of its specification."""

import pytest
import torch

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.motif_scores import motif_scores

VALUES = motif_scores()
DIGITS = Alphabet("0123")


def index(text: str) -> int:
    return int((DIGITS.encode([text]) * 4 ** torch.arange(7, -1, -1)).sum())


def test_golden_values() -> None:
    assert float(VALUES.mean()) == pytest.approx(0.378973, abs=5e-7)
    assert float(VALUES.std(correction=0)) == pytest.approx(0.143431, abs=5e-7)
    quantiles = VALUES.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    assert quantiles.tolist() == pytest.approx([0.2115, 0.3609, 0.5754], abs=5e-5)
    assert int((VALUES >= 0.9).sum()) == 222
    assert float(VALUES[index("00000000")]) == pytest.approx(0.215709, abs=5e-7)
    assert int(VALUES.argmax()) == index("31021320")
    assert (float(VALUES.min()), float(VALUES.max())) == (0.0, 1.0)


def test_both_strands_bind_alike() -> None:
    letters = torch.arange(4**8)[:, None] // 4 ** torch.arange(7, -1, -1) % 4
    reverse = ((3 - letters).flip(1) * 4 ** torch.arange(7, -1, -1)).sum(1)
    torch.testing.assert_close(VALUES, VALUES[reverse])
    assert int(reverse[VALUES.argmax()]) == int(VALUES.argmax())  # its own reverse complement
