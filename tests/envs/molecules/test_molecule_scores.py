"""Molecules by several properties at once: scores, exact laws per preference, training."""

from typing import Any

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import QED, Descriptors

from gflow import Sampler, enumerate_states
from gflow.behaviours.hindsight import Hindsight
from gflow.conditions.preferences import DirichletPreferences, UniformDirections
from gflow.conditions.temperatures import GammaBeta
from gflow.envs.atoms.env import Atoms
from gflow.envs.atoms.policy import AtomPolicy
from gflow.envs.molecules import MoleculePolicy, Molecules, MoleculeScores, Vocabulary
from gflow.envs.molecules.properties import read_property
from gflow.errors import ConfigError, UnknownNameError
from gflow.memory.pareto import ParetoArchive, exact_front
from gflow.objectives import TrajectoryBalance
from gflow.rewards.scalarizations import Goals, LogSum, Preferences
from gflow.state import take
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

WANTED = ("qed", "light", "similarity:CCO")


def fragments(scalarization: Any, properties: Any = WANTED) -> Molecules:
    """ "*C" and "*CC*" make some molecules in several ways, so that rewards must be shared."""
    pieces = Vocabulary.from_fragments(["*C", "*CC", "*C*", "*CC*", "*c1ccc(*)cc1"])
    return Molecules(pieces, properties, max_fragments=4, scalarization=scalarization)


def atoms(scalarization: Any, properties: Any = WANTED) -> Atoms:
    return Atoms(properties, max_atoms=4, kinds=("C", "O"), scalarization=scalarization)


@pytest.mark.parametrize("make", [fragments, atoms])
def test_scores_are_the_properties(make: Any) -> None:
    env = make(LogSum())
    assert isinstance(env.reward, MoleculeScores)
    assert env.num_scores == 3
    assert env.condition_dim == 0
    assert env.reward.score_names == WANTED
    graph = enumerate_states(env)
    objects = take(graph.states, graph.objects)
    scores = env.scores(objects)
    for row, text in zip(scores.tolist()[::7], env.smiles(objects)[::7], strict=True):
        molecule = Chem.MolFromSmiles(text)
        assert row[0] == pytest.approx(QED.qed(molecule))
        assert row[1] == pytest.approx(
            min(max((300 - Descriptors.MolWt(molecule)) / 700 + 1, 0), 1)  # type: ignore[attr-defined]
        )
        assert row[2] == pytest.approx(read_property("similarity:CCO")(molecule))


@pytest.mark.parametrize("make", [fragments, atoms])
def test_molecules_come_in_proportion_to_what_is_preferred(make: Any) -> None:
    """Rewards from scores are shared among the ways to make a molecule, as all rewards are."""
    env = make(Preferences(None))
    graph = enumerate_states(env)
    objects = take(graph.states, graph.objects)
    smiles = env.smiles(objects)
    asked = torch.tensor([[0.2, 0.5, 0.3, 6.0]])
    law = graph.log_target(asked).exp()
    found: dict[str, float] = {}
    for text, probability in zip(smiles, law.tolist(), strict=True):
        found[text] = found.get(text, 0.0) + probability
    assert make is atoms or len(found) < len(smiles), "some molecules are made in several ways"
    wanted = {}
    for text in found:
        values = [float(read_property(name)(Chem.MolFromSmiles(text))) for name in WANTED]
        mean = sum(w * v for w, v in zip(asked[0, :3].tolist(), values, strict=True))
        wanted[text] = mean**6
    total = sum(wanted.values())
    for text, probability in found.items():
        assert probability == pytest.approx(wanted[text] / total, rel=1e-9)
    given = asked.expand(len(smiles), -1)
    value, scores = env.outcome(objects, given)
    torch.testing.assert_close(value, env.target_log_reward(objects, given))
    torch.testing.assert_close(scores, env.scores(objects))


@pytest.mark.parametrize("make", [fragments, atoms])
def test_the_contract(make: Any) -> None:
    check_env(make(Goals(cosine=0.8), ("qed", "light")), examples=20, limit=500)


@pytest.mark.parametrize(("make", "policy"), [(fragments, MoleculePolicy), (atoms, AtomPolicy)])
def test_goal_conditioned_training(make: Any, policy: Any) -> None:
    env = make(Goals(cosine=0.9, beta=None), ("qed", "light"))
    torch.manual_seed(0)
    archive = ParetoArchive(env)
    trainer = Trainer(
        env,
        policy(env, 8, 1, "uniform"),
        TrajectoryBalance(condition_dim=3),
        TrainConfig(steps=4, batch_size=16),
        condition=UniformDirections(2, GammaBeta(4.0)),
        behaviour=Hindsight(0.3),
        callbacks=[archive],
    )
    trainer.train()
    _, front = exact_front(enumerate_states(env))
    assert len(archive) > 0
    assert bool((archive.scores <= front.max(0).values + 1e-12).all())
    batch = Sampler(env).forward(trainer.policy, 5, condition=DirichletPreferences(3)(5))
    assert batch.scores is not None
    assert batch.scores.shape == (5, 2)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"inverse temperature to the scalarization.*beta=4"):
        Atoms(WANTED, beta=4.0, max_atoms=4, scalarization=LogSum())
    own = atoms(LogSum()).reward
    with pytest.raises(ConfigError, match="give properties instead of a LogReward"):
        Atoms(own, max_atoms=4, scalarization=LogSum())
    with pytest.raises(UnknownNameError, match="light:3"):
        read_property("light:3")
    assert read_property("light").name == "light"  # type: ignore[attr-defined]
