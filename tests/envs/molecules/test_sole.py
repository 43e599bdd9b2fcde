"""Assemblies that are called the only ones are, by enumeration, and most that are get called so."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch

pytest.importorskip("rdkit")

from gflow.envs.molecules import Assembly, Molecules, Vocabulary
from gflow.envs.molecules.assembly import molecule_of
from gflow.envs.molecules.scoring import Built
from gflow.envs.molecules.sole import Sole
from gflow.state import take

if TYPE_CHECKING:
    from tests.envs.molecules.conftest import Walk, WorldOf

CASES = [
    (["*C", "*CC", "*O*", "*OC", "*c1ccccc1", "*C*"], 4),
    (["*C", "*CC*", "*C*", "*CC", "*C(*)C", "*C(*)*"], 4),
    (["[16*]c1ccccc1", "[4*]CC", "[3*]O[3*]", "[3*]OC", "[4*]C"], 4),
    (["*CO", "*C*", "*O", "*C(=O)NC", "*C(*)=O", "*NC", "*N*", "*C"], 3),
    (["*c1ccc(*)cc1", "*CO*", "*O*", "*C*", "*F"], 5),
]


def finished(world: Any) -> Any:
    return take(world.states, torch.tensor(world.finished))


def built(env: Molecules, states: Any) -> list[Built]:
    rows = zip(states.fragment.tolist(), states.link.tolist(), strict=True)
    return [env.host.built(*row) for row in rows]


@pytest.mark.parametrize(("pieces", "largest"), CASES)
def test_never_the_only_one_of_several(
    pieces: list[str], largest: int, world_of: "WorldOf"
) -> None:
    """All states of an environment, counted by the molecules that they make."""
    env = Molecules(Vocabulary.from_fragments(pieces), max_fragments=largest)
    given = built(env, finished(world_of(env)))
    smiles = [record.smiles for record in env.host.scorer(given)]
    count = Counter(smiles)
    assert max(count.values()) > 1
    sole = Sole(env.vocabulary.fragments, largest)
    said = [sole(b.assembly) for b in given]
    for text, is_sole in zip(smiles, said, strict=True):
        assert not is_sole or count[text] == 1, text
    alone = sum(count[text] == 1 for text in smiles)
    assert sum(said) > 0.5 * alone > 0


@pytest.mark.parametrize(("pieces", "largest"), CASES)
def test_records_count_all_assemblies(pieces: list[str], largest: int, world_of: "WorldOf") -> None:
    env = Molecules(Vocabulary.from_fragments(pieces), max_fragments=largest)
    records = env.records(finished(world_of(env)))
    count = Counter(record.smiles for record in records)
    assert all(record.assemblies == count[record.smiles] for record in records)


def test_the_same_as_the_search_on_drugs(walk: "Walk") -> None:
    env = Molecules(Vocabulary.default(), max_fragments=6)
    scorer = env.host.scorer
    said = 0
    for given in built(env, walk(env, 60, seed=3)[-1]):
        molecule = molecule_of(given.written)
        searched = max(len(scorer.decomposer.assemblies(molecule)), 1)
        assert scorer.assemblies(molecule, given.assembly) == searched
        said += scorer.sole(given.assembly)
    assert said > 50


def test_parts_by_hand() -> None:
    """Between the ring and the oxygen a fragment may hold the bond (phenoxy), elsewhere none."""
    pieces = ["*c1ccccc1", "*Oc1ccccc1", "*O*", "*C"]
    vocabulary = Vocabulary.from_fragments(pieces)
    at = {f.smiles: i for i, f in enumerate(vocabulary.fragments)}
    phenyl, ether, methyl = (at[s] for s in ("*c1ccccc1", "*O*", "*C"))
    anisole = Assembly((methyl, ether, phenyl), (((0, 0), (1, 0)), ((1, 1), (2, 0))))
    sole = Sole(vocabulary.fragments, 3)
    assert sole.parts(anisole) == [
        Assembly((methyl,), ()),
        Assembly((ether, phenyl), (((0, 1), (1, 0)),)),
    ]
    assert not sole(anisole)
    whole = Assembly((methyl, at["*Oc1ccccc1"]), (((0, 0), (1, 0)),))
    assert not sole(whole)
    assert Sole(vocabulary.fragments, 2)(whole), "three pieces would be too many"


def test_a_fragment_of_the_element_that_caps(world_of: "WorldOf") -> None:
    """Labels of a real francium would hide what an unknown end allows."""
    env = Molecules(Vocabulary.from_fragments(["*[Fr]", "*CC*", "*C*", "*C"]), max_fragments=4)
    records = env.records(finished(world_of(env)))
    count = Counter(record.smiles for record in records)
    assert max(count.values()) > 1
    assert all(record.assemblies == count[record.smiles] for record in records)
