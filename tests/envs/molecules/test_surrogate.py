"""Scores learned by a Gaussian process, and dear scores that are kept in a file."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")
pytest.importorskip("sklearn")

from gflow.envs.molecules import Molecules, Oracle, SurrogateReward, Vocabulary
from gflow.envs.molecules.report import similarities
from gflow.envs.molecules.surrogate import features, tanimoto
from gflow.errors import ConfigError, MissingExtraError

KNOWN = ["CCO", "CCCO", "CCCCO", "c1ccccc1", "Cc1ccccc1", "CCc1ccccc1"]
SCORES = [1.0, 1.1, 1.2, 5.0, 5.2, 5.4]


def env_of(reward: SurrogateReward) -> Molecules:
    pieces = ["*C", "*CO", "*O*", "*c1ccccc1", "*C*"]
    return Molecules(Vocabulary.from_fragments(pieces), reward, beta=3.0, max_fragments=3)


def test_similarities_are_those_of_rdkit() -> None:
    table = tanimoto(features(KNOWN), features(KNOWN))
    np.testing.assert_allclose(table, similarities(KNOWN).numpy())


def test_descriptors() -> None:
    """Aspirin's, each over its width."""
    (row,) = features(["CC(=O)Oc1ccccc1C(=O)O"])
    widths = np.asarray([6, 1.5, 1, 2.5, 1.5, 30, 1, 2])
    np.testing.assert_allclose(row[:8] * widths, [13, 1, 1, 2, 1.31, 63.6, 1, 3], atol=5e-3)
    assert features([]).shape == (0, 8 + 2048)


@pytest.mark.slow
def test_it_learns() -> None:
    """It gives back what it was told, is less sure far from it, and orders what is between."""
    surrogate = SurrogateReward(lambda states: [])
    surrogate.fit(KNOWN, SCORES)
    mean, std = surrogate.predict(KNOWN)
    np.testing.assert_allclose(mean, SCORES, atol=0.3)
    far = surrogate.predict(["NS(=O)(=O)C1=NN=CS1"])[1]
    assert far[0] > 2 * std.max()
    alcohol, ring = surrogate.predict(["CCCCCO", "CCCc1ccccc1"])[0]
    assert ring > alcohol + 2


@pytest.mark.slow
def test_the_exact_posterior() -> None:
    """Means and deviations are those of the formula, at the kernel that was chosen."""
    surrogate = SurrogateReward(lambda states: [])
    surrogate.fit(KNOWN, SCORES)
    kernel = surrogate.regressor.kernel_
    shape, form = kernel.k1.k1.k1.constant_value, kernel.k1.k2.k1.constant_value
    noise = kernel.k2.noise_level
    asked = ["CCOC", "c1ccncc1"]
    texts = [*KNOWN, *asked]
    table = features(texts)[:, :8]
    rooted = np.stack([np.exp(-((row - table) ** 2).sum(1) / 16) for row in table])
    alike = shape * similarities(texts).numpy() + form * rooted
    y = np.asarray(SCORES)
    gram, cross = alike[:6, :6] + noise * np.eye(6), alike[6:, :6]
    mean = y.mean() + y.std() * cross @ np.linalg.solve(gram, (y - y.mean()) / y.std())
    spread = shape + form + noise - (cross * np.linalg.solve(gram, cross.T).T).sum(1)
    found, std = surrogate.predict(asked)
    np.testing.assert_allclose(found, mean, atol=1e-8)
    np.testing.assert_allclose(std, y.std() * np.sqrt(spread), atol=1e-8)


@pytest.mark.slow
def test_log_rewards_follow_the_fit() -> None:
    reward = SurrogateReward(lambda states: env.smiles(states), kappa=2.0)
    env = env_of(reward)
    states = env.states_from_smiles(["COC", "Cc1ccccc1"])
    shared = env.log_multiplicity(states)
    assert env.log_reward(states).tolist() == (-shared).tolist(), "flat before it knows anything"
    version = env.reward.version
    for scores in (SCORES, SCORES[::-1]):
        reward.fit(KNOWN, scores)
        mean, std = (torch.from_numpy(part) for part in reward.predict(["COC", "Cc1ccccc1"]))
        torch.testing.assert_close(env.log_reward(states) + shared, 3 * (mean + 2 * std))
        assert (std > 0).all()
        assert env.reward.version == version + 1
        version += 1
    calls = reward.calls
    env.log_reward(states)
    assert reward.calls == calls, "remembered until the next fit"


def test_what_cannot_be_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate = SurrogateReward(lambda states: [])
    assert repr(surrogate) == "SurrogateReward(kappa=1, not fitted)"
    with pytest.raises(ConfigError, match="call fit first"):
        surrogate.predict(["C"])
    for smiles, scores in ((["C"], [1.0]), (["C", "CC"], [1.0]), (["C", "CC"], [1.0, math.nan])):
        with pytest.raises(ConfigError, match="a finite score for each of two molecules or more"):
            surrogate.fit(smiles, scores)
    for kappa in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="kappa must be 0 or more"):
            SurrogateReward(lambda states: [], kappa=kappa)
    monkeypatch.setitem(sys.modules, "sklearn.gaussian_process", None)
    with pytest.raises(MissingExtraError, match=r"'scikit-learn'.*extra 'surrogate'"):
        SurrogateReward(lambda states: [])


def lengths(smiles: list[str]) -> list[float]:
    """A score that takes no time; oxygen alone has none."""
    return [math.nan if text == "O" else -float(len(text)) for text in smiles]


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    path, asked = tmp_path / "new" / "scores.jsonl", list[str]()

    def score(smiles: list[str]) -> list[float]:
        asked.extend(smiles)
        return lengths(smiles)

    oracle = Oracle(path, score, {"box": (1, 2)})
    assert oracle(["CCO", "C", "CCO"]) == [-3.0, -1.0, -3.0]
    assert math.isnan(oracle(["O"])[0])
    again = Oracle(path, score, {"box": [1, 2]})
    values = again(["C", "CC", "O"])
    assert values[:2] == [-1.0, -2.0]
    assert math.isnan(values[2])
    assert asked == ["CCO", "C", "O", "CC"]
    assert (oracle.calls, again.calls) == (3, 1)
    assert again.seconds(["C", "CC"]) >= 0
    again.write_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == ["CCO", "CC", "C", "O"], "the lowest first"
    with pytest.raises(ConfigError, match=r"are of box=\[1, 2\], and now it is \[1, 3\]"):
        Oracle(path, score, {"box": [1, 3]})


def test_what_was_found_before_a_failure_is_kept(tmp_path: Path) -> None:
    """Also where the process was killed while it wrote a line."""
    path = tmp_path / "scores.jsonl"

    def failing(smiles: list[str]) -> list[float]:
        if "CCCC" in smiles:
            raise KeyboardInterrupt
        return lengths(smiles)

    names = ["C", "CC", "CCC", "CCCC"]
    with pytest.raises(KeyboardInterrupt):
        Oracle(path, failing, {})(names)
    whole = path.read_text()
    path.write_text(whole + '{"smiles": "CCCC", "sco')
    oracle = Oracle(path, lengths, {})
    assert set(oracle.known) == {"C", "CC", "CCC"}
    assert path.read_text() == whole
    assert oracle(names) == [-1.0, -2.0, -3.0, -4.0]
    assert len(path.read_text().splitlines()) == 5
    path.write_text("nothing\n")
    with pytest.raises(ConfigError, match="is no file of scores"):
        Oracle(path, lengths, {})
