"""Molecules as strings: what is written is read back, and log P is RDKit's own."""

import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("rdkit")
pytest.importorskip("selfies")

from gflow.envs.marginals import Digits, LogPReward, Selfies, Smiles
from gflow.envs.marginals.molecules import bundled_smiles, canonical, common, quality
from gflow.envs.marginals.selfies import molecule, split_symbols
from gflow.envs.molecules.extras import rdkit
from gflow.envs.sequences.alphabet import Alphabet
from gflow.errors import ConfigError, MissingExtraError
from gflow.marginals import Sites

FEW = Alphabet(["[C]", "[O]", "[=O]", "[nop]"])


def crippen(smiles: str | None) -> float:
    value: Any = rdkit("rdkit.Chem.Crippen").MolLogP(rdkit().MolFromSmiles(smiles))
    return float(value)


def whole(made: Any) -> Tensor:
    parts = made.data
    return torch.cat([parts.train, parts.validation, parts.test])


@pytest.mark.parametrize("made", [Smiles(25), Selfies(12)], ids=["smiles", "selfies"])
def test_molecules_are_read_back(made: Smiles | Selfies) -> None:
    """All of them, different ones, in parts that share none; every symbol occurs."""
    objects, parts = whole(made), made.data
    shown = made.show(objects)
    assert torch.equal(made.encode(shown), objects)
    assert len(set(shown)) == len(shown)
    assert len(parts.test) == len(parts.validation) == len(shown) // 10 > 40
    assert torch.equal(objects.unique(), torch.arange(len(made.alphabet)))
    sites = Sites(made.environment())
    assert (sites.places, sites.symbols) == (made.places, len(made.alphabet))


def test_smiles_are_those_of_the_file() -> None:
    made = Smiles(25)
    shown = made.show(whole(made))
    known = bundled_smiles()
    assert set(shown) <= set(known)
    letters = set("".join(shown))
    left_out = [text for text in known if len(text) <= 25 and text not in shown]
    assert left_out
    assert all(set(text) - letters for text in left_out)  # for a rare letter, each of them
    assert max(map(len, shown)) == 25
    assert not any("." in text for text in known)
    assert [canonical(text) for text in shown[:100]] == shown[:100]


def test_selfies_make_the_molecules_of_the_file() -> None:
    made = Selfies(12)
    found = made.smiles(whole(made)[:150])
    assert set(found) <= set(bundled_smiles())
    assert made.alphabet.symbols[-1] == "[nop]"


def test_rare_symbols_leave_with_their_molecules() -> None:
    assert common(["aab", "ab", "ac", "b", "dd"], rare=2) == ["aab", "ab", "b"]
    assert common(["aab", "ab", "ac", "b"], rare=3) == ["aab", "ab", "b"]
    assert common(["aab", "ab", "ac", "b"], rare=4) == []


def test_texts_that_are_no_molecules() -> None:
    assert canonical("OCC") == "CCO"
    for text in ("", "C(", "CC!O", "c1ccccc", "C(C)(C)(C)(C)C"):
        assert canonical(text) is None
    assert molecule("") is None
    assert molecule("[nonsense]") is None
    assert molecule("[C][=C][O]") == "C=CO"
    found = quality(["CC", None, "CC", "O"], {"O"})
    assert found == {"valid": 0.75, "unique": 2 / 3, "new": 0.5}
    assert quality([]) == {"valid": 0.0, "unique": 0.0, "new": 0.0}


def test_a_sample_of_smiles_is_measured() -> None:
    made = Smiles(25)
    symbols = made.encode(["CCO", "CCO", "C(", "CCC"])
    symbols[3, 1] = made.alphabet.symbols.index("!")  # an end before a letter
    train = made.data.train[:4]
    assert made.measure(torch.cat([symbols, train])) == {
        "valid": 6 / 8,
        "unique": 5 / 6,
        "new": (5 - 4 - ("CCO" in made.show(made.data.train))) / 5,
    }


def test_log_p_is_crippens() -> None:
    """log R of strings, the padding wherever it is; what is no molecule is far away."""
    reward = LogPReward(FEW, target=1.5, tau=0.25)
    states = torch.tensor([[0, 0, 1, 3], [0, 3, 0, 1], [0, 2, 0, 0], [3, 3, 3, 3], [3, 0, 0, 1]])
    value = crippen("CCO")
    aldehyde = crippen("C=O")
    wanted = [-4 * (v - 1.5) ** 2 for v in (value, value, aldehyde)] + [-4 * 25.0**2]
    torch.testing.assert_close(reward(states), torch.tensor([*wanted, wanted[0]]))
    assert reward.calls == 3  # each molecule once
    torch.testing.assert_close(reward(states[:2]), torch.tensor(wanted[:2]))
    assert reward.calls == 3


def test_molecules_with_their_log_p_are_the_energy() -> None:
    made = Selfies(12, target=-1.0, tau=2.0)
    objects = made.data.test[:20]
    values = [crippen(text) for text in made.smiles(objects)]
    found = made.environment().log_reward(objects)
    torch.testing.assert_close(found, torch.tensor([-((v + 1) ** 2) / 2 for v in values]))
    measured = made.measure(objects)
    assert measured["log_p"] == pytest.approx(statistics.mean(values))
    assert measured["log_p_deviation"] == pytest.approx(statistics.pstdev(values))
    assert (measured["valid"], measured["new"]) == (1.0, 1.0)


def test_what_is_shown() -> None:
    made = Selfies(8)
    symbols = made.encode(["[C][O]", "[nop][C][nop][O]"])
    assert made.show(symbols) == ["[C][O]", "[nop][C][nop][O]"]
    symbols[0, 1] = len(made.alphabet)
    assert made.show(symbols)[0] == "[C][?]"
    assert Smiles(25).show(torch.full((1, 25), len(Smiles(25).alphabet))) == ["?" * 25]
    assert split_symbols("[C][=Branch1]") == ["[C]", "[=Branch1]"]
    with pytest.raises(ConfigError, match="'C\\[O\\]' is not a row of symbols in brackets"):
        split_symbols("C[O]")
    with pytest.raises(ConfigError, match="longer than 8"):
        made.encode(["[C]" * 9])
    with pytest.raises(ConfigError, match="length must be at least 10, got 9"):
        Smiles(9)
    with pytest.raises(ConfigError, match="length must be at least 8, got 7"):
        Selfies(7)


def test_samples_are_drawn(tmp_path: Path, sketches: Any) -> None:
    pytest.importorskip("matplotlib")
    made = Selfies(8)
    wrong = torch.full((1, 8), len(made.alphabet) - 1)
    found = made.pictures(torch.cat([wrong, made.data.test]), tmp_path)
    assert set(found) == {"molecules", "log_p"}
    found["smiles"] = Smiles(25).pictures(Smiles(25).data.test, tmp_path)["molecules"]
    found["digits"] = Digits().pictures(Digits().data.test, tmp_path)["digits"]
    for path in found.values():
        assert path.read_bytes()[:4] == b"\x89PNG"
    assert Smiles(25).pictures(made.encode(["[C]"]) * 0, tmp_path)["molecules"].exists()


def test_without_selfies_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selfies", None)
    with pytest.raises(MissingExtraError, match=r"'selfies', which is not installed.*'mol'"):
        molecule("[C]")
