"""Properties, goals, records, decomposition."""

import math
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gflow.envs.molecules import (
    Goal,
    MoleculeError,
    Molecules,
    MoleculeState,
    Similarity,
    Vocabulary,
    Window,
)
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.properties import read_property
from gflow.errors import ConfigError, MissingExtraError, RewardError, UnknownNameError
from gflow.rewards.base import FunctionReward
from gflow.rewards.pool import WorkerError, WorkerTimeoutError
from gflow.state import take

if TYPE_CHECKING:
    from tests.envs.molecules.conftest import Walk

Chem = pytest.importorskip("rdkit.Chem")
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def measure(text: str, smiles: str = ASPIRIN) -> float:
    return read_property(text)(Chem.MolFromSmiles(smiles))


def test_properties_against_known_values() -> None:
    assert math.isclose(measure("qed"), 0.5501, abs_tol=1e-4)
    assert math.isclose(measure("sa"), (10 - 1.5800) / 9, abs_tol=1e-4)
    assert measure("logp:1:2") == 1.0  # 1.3101
    assert math.isclose(measure("logp:2:4"), math.exp(-(2 - 1.3101)), abs_tol=1e-4)
    assert math.isclose(measure("logp:0:1"), math.exp(-2 * 0.3101), abs_tol=1e-4)
    assert measure("weight:150:200") == 1.0  # 180.16
    assert math.isclose(measure("weight:200:220"), math.exp(-1.984), abs_tol=1e-2)
    assert measure(f"similarity:{ASPIRIN}") == 1.0
    celecoxib = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
    assert math.isclose(measure(f"similarity:{celecoxib}"), 0.0847, abs_tol=1e-4)


def test_short_forms_are_the_objects() -> None:
    assert read_property("logp:1:4") == Window("logp", 1.0, 4.0)
    assert read_property("similarity:CCO") == Similarity("CCO")
    assert Goal.read("qed") == Goal(("qed",)) == Goal.read(["qed"])
    assert Goal(("qed", "weight:200:400")).names == ("qed", "weight:200:400")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("qde", UnknownNameError, "Did you mean 'qed'"),
        ("logp:1", ConfigError, "must be logp:LOW:HIGH"),
        ("logp:4:1", ConfigError, "low < high, got 4:1"),
        ("similarity:C((", MoleculeError, r"Similarity: 'C\(\(' is not a valid SMILES"),
    ],
)
def test_bad_properties(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Goal.read(text)


def test_combinations() -> None:
    pair = ("qed", "sa")
    assert math.isclose(Goal(pair).value((0.25, 1.0)), 0.5)
    assert math.isclose(Goal(pair, (1.0, 3.0)).value((0.0625, 1.0)), 0.5)
    assert math.isclose(Goal(pair, (1.0, 3.0), "sum").value((1.0, 0.5)), 0.625)
    assert Goal(pair).value((0.0, 1.0)) == 1e-3
    assert Goal(pair, floor=0.1).value((0.001, 0.001)) == 0.1
    for weights in ((1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (math.inf, 1.0)):
        with pytest.raises(ConfigError, match="one positive weight per property"):
            Goal(pair, weights)
    for floor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="floor must be positive"):
            Goal(pair, floor=floor)


def test_beta_sharpens_the_reward_and_not_the_share(ambiguous: Molecules, walk: "Walk") -> None:
    plain = Molecules(ambiguous.vocabulary, "sa")
    sharp = Molecules(ambiguous.vocabulary, "sa", beta=8.0)
    states = walk(plain, 60)[-1]
    shares = torch.tensor([float(record.assemblies) for record in plain.records(states)])
    assert float(shares.max()) > 1
    value = plain.reward_values(states)
    torch.testing.assert_close(plain.log_reward(states), value.log() - shares.log())
    torch.testing.assert_close(sharp.log_reward(states), 8 * value.log() - shares.log())
    torch.testing.assert_close(sharp.reward_values(states), value)


def test_each_molecule_is_scored_once(ambiguous: Molecules, walk: "Walk") -> None:
    states = walk(ambiguous, 200, seed=8)[-1]
    ambiguous.records(states)
    before = ambiguous.host.scored
    ambiguous.log_reward(states)
    ambiguous.reward_values(states)
    assert ambiguous.host.scored == before
    small = Molecules(ambiguous.vocabulary, "sa", max_fragments=5, capacity=3)
    records = small.records(states)
    assert records == small.records(states)
    assert len(small.host.memory) == 3


def test_own_rewards_and_own_properties(ambiguous: Molecules, walk: "Walk") -> None:
    states = walk(ambiguous, 10)[-1]
    size: FunctionReward[MoleculeState] = FunctionReward(
        lambda s: (s.fragment >= 0).sum(1).double().log()
    )
    own = Molecules(ambiguous.vocabulary, size, max_fragments=5)
    shares = torch.tensor([float(record.assemblies) for record in ambiguous.records(states)])
    count = (states.fragment >= 0).sum(1)
    torch.testing.assert_close(own.log_reward(states).exp(), count / shares)

    def bad(molecule: Any) -> float:
        return -1.0

    env = Molecules(ambiguous.vocabulary, Goal((bad,)), max_fragments=5)
    with pytest.raises(WorkerError, match=r"RewardError: Goal: the property 'bad' of .* is -1\.0"):
        env.log_reward(states)
    assert issubclass(RewardError, ValueError)


@pytest.mark.slow
def test_workers_compute_the_same(ambiguous: Molecules, walk: "Walk") -> None:
    states = walk(ambiguous, 60, seed=9)[-1]
    env = Molecules(ambiguous.vocabulary, ["qed", "sa"], max_fragments=5, workers=1)
    try:
        assert env.records(states) == ambiguous.records(states)
    finally:
        env.close()


@pytest.mark.slow
def test_workers_begin_before_the_records_are_asked_for(ambiguous: Molecules, walk: "Walk") -> None:
    states = walk(ambiguous, 60, seed=10)[-1]
    env = Molecules(ambiguous.vocabulary, ["qed", "sa"], max_fragments=5, workers=1, capacity=5)
    try:
        assert env.foresee(states)
        assert not env.foresee(states), "all are remembered, as the first were waited for"
        some = take(walk(ambiguous, 60, seed=11)[-1], torch.arange(40))
        assert env.foresee(some)
        assert env.records(states) == ambiguous.records(states)
        assert env.records(some) == ambiguous.records(some)
        assert len(env.host.memory) == 5
    finally:
        env.close()
    assert not ambiguous.foresee(states)


def test_scorer_travels_light(ambiguous: Molecules) -> None:
    assert ambiguous.host.decomposer is not None
    assert len(pickle.dumps(ambiguous.host.scorer)) < 5_000


def test_decomposition_by_hand(ambiguous: Molecules) -> None:
    """Ethoxybenzene: C6H5-O-CH2-CH3 in pieces of methyl, ethyl, O, OMe, phenyl, CH2."""
    assert len(ambiguous.decompose("CCOc1ccccc1")) == 2  # ethyl, or CH2 and methyl
    assert len(ambiguous.decompose("COc1ccccc1")) == 2  # OMe, or O and methyl
    assert len(ambiguous.decompose("CC")) == 1
    assert ambiguous.decompose("CCCl") == []
    # Anisole twice over: the two ends are mapped to each other by the symmetry of the ring.
    assert len(ambiguous.decompose("COc1ccc(OC)cc1")) == 3
    with pytest.raises(MoleculeError, match=r"Molecules\.decompose: 'C1CC' is not a valid SMILES"):
        ambiguous.decompose("C1CC")


def test_hydrogens_tell_tautomers_apart() -> None:
    """The pattern of a pyrazole matches both of its nitrogens; only one carries the hydrogen."""
    env = Molecules(Vocabulary.from_fragments(["*c1cc(*)[nH]n1", "*F", "*Cl"]), max_fragments=3)
    one, other = "Fc1cc(Cl)[nH]n1", "Fc1cc(Cl)n[nH]1"
    smiles = env.smiles(env.states_from_smiles([one, other]))
    assert smiles == [Chem.CanonSmiles(one), Chem.CanonSmiles(other)]
    assert len(env.decompose(one)) == 1


def test_labels_forbid_what_the_pieces_would_allow() -> None:
    """Label 4 may not meet 16, so ethylbenzene is not ethyl and phenyl here."""
    pieces = ["[16*]c1ccccc1", "[4*]CC", "[3*]O[3*]", "[3*]OC"]
    env = Molecules(Vocabulary.from_fragments(pieces))
    assert len(env.decompose("CCOc1ccccc1")) == 1
    assert env.decompose("CCc1ccccc1") == []
    with pytest.raises(MoleculeError, match="their ports may not be bonded like this"):
        env.states_from_smiles(["CCc1ccccc1"])


def test_missing_rdkit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rdkit", "rdkit.Chem"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="pip install 'rdkit"):
        rdkit.__wrapped__()


def test_a_molecule_that_takes_too_long_is_named(ambiguous: Molecules, walk: "Walk") -> None:
    """One that is never scored in a millisecond, as the first one waits for RDKit."""
    env = Molecules(ambiguous.vocabulary, "qed", max_fragments=5, workers=1, timeout=0.001)
    states = walk(ambiguous, 8)[-1]
    try:
        with pytest.raises(WorkerTimeoutError, match=r"more than timeout=0\.001 s for"):
            env.log_reward(states)
    finally:
        env.close()
    with pytest.raises(ConfigError, match="Set workers to 1 or more"):
        Molecules(ambiguous.vocabulary, timeout=1.0)
