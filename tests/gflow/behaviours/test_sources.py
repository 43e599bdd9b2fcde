"""What behaviours give and objectives learn from, and what is refused for it."""

from typing import Any

import pytest
import torch

from gflow import MLPPolicy
from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.base import Behaviour, Incomplete, OnPolicy
from gflow.behaviours.branching import Branching
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.exact_samples import ExactSamples
from gflow.behaviours.hindsight import Hindsight
from gflow.behaviours.langevin import LangevinSearch
from gflow.behaviours.local_search import LocalSearch
from gflow.behaviours.replay import Replay
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import IncompatibleError
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import (
    AdjointSampling,
    MaximumLikelihood,
    PathwiseDivergence,
    TrajectoryBalance,
)
from gflow.source import Source, source_refusal
from gflow.training.trainer import TrainConfig, Trainer

OWN, EXPLORED, OTHER, REPLAYED, TARGET, ANY = (
    Source.OWN, Source.EXPLORED, Source.OTHER, Source.REPLAYED, Source.TARGET, Source.ANY,
)  # fmt: skip
ENV = HyperGrid(2, 3)
CELLS = ENV.cells(torch.arange(4))


def memory(**options: Any) -> ReplayBuffer:
    return ReplayBuffer(ENV, 20, rebuild="backward", **options)


@pytest.mark.parametrize(
    ("behaviour", "gives"),
    [
        (OnPolicy(), OWN),
        (Incomplete(), OTHER),
        (Branching(), OTHER),
        (LocalSearch(), OWN | OTHER),
        (LangevinSearch(), OWN | OTHER),
        (ExactSamples(), TARGET),
        (ExactSamples(share=0.5), OWN | TARGET),
        (BackwardReplay(ENV, CELLS, share=1), TARGET),
        (BackwardReplay(ENV, CELLS, share=0.5), OWN | TARGET),
        (Hindsight(0.3, ExactSamples()), OTHER | TARGET),
        (Replay(None, memory()), OWN | REPLAYED),
        (Replay(LocalSearch(), memory()), OWN | OTHER | REPLAYED),
        (Replay(None, memory(keep="best")), OWN | OTHER),
        (Replay(None, memory(draw="rank")), OWN | OTHER),
        (Replay(None, memory(distinct=True)), OWN | OTHER),
        (BackwardAugmentation(Replay(None, memory()), memory()), OWN | OTHER | REPLAYED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Behaviour) else str(value),
)
def test_what_behaviours_give(behaviour: Behaviour, gives: Source) -> None:
    assert behaviour.gives == gives
    assert Source.EXPLORED not in gives
    assert OWN not in gives.explored
    assert (EXPLORED in gives.explored) == (OWN in gives)
    assert gives.explored & ~(OWN | EXPLORED) == gives & ~OWN


def test_every_pair_is_refused_exactly_where_something_does_not_fit() -> None:
    sets = [Source(n) for n in range(1, ANY.value + 1)]
    assert len(set(sets)) == 31
    for gives in sets:
        assert source_refusal(gives, ANY) is None
        for learns in sets:
            reason = source_refusal(gives, learns)
            assert (reason is None) == (gives & learns == gives), (gives, learns)
            assert reason is None or "Use" in reason or "or use tb" in reason


def diffusion() -> Diffusion:
    target = GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.4)
    return Diffusion(target, Brownian(1.0), 4)


def refused(objective: Any, message: str, behaviour: Any = None, **settings: Any) -> None:
    env = diffusion()
    config = TrainConfig(batch_size=8, **settings)
    with pytest.raises(IncompatibleError, match=message):
        Trainer(env, DiffusionPolicy(env, 8), objective, config, behaviour=behaviour)


BACK: dict[str, Any] = {"replay": 50, "replay_rebuild": "backward"}


def test_adjoint_sampling_refuses_what_biases_it() -> None:
    """Noise moves the variances it learns; so does a memory that prefers what is good."""
    refused(AdjointSampling(), r"exploration would mix in others.*noise=0", noise=0.15)
    refused(
        AdjointSampling(), r"exploration would mix in others", noise=0.15, noise_steps=5, **BACK
    )
    for preferring in ({"replay_keep": "best"}, {"replay_draw": "rank"}, {"replay_distinct": True}):
        refused(
            AdjointSampling(),
            r"as often as it was seen.*replay_keep='recent', replay_draw='uniform'",
            **BACK,
            **preferring,
        )
    refused(AdjointSampling(), "its own policy's trajectories only", LocalSearch(1))
    env = diffusion()
    for behaviour, settings in ((None, {}), (None, BACK), (ExactSamples(share=0.5), BACK)):
        config = TrainConfig(batch_size=8, **settings)
        Trainer(env, DiffusionPolicy(env, 8), AdjointSampling(), config, behaviour=behaviour)


def test_likelihood_and_divergence_take_one_source_alone() -> None:
    for behaviour in (None, LocalSearch(1), ExactSamples(share=0.5)):
        refused(MaximumLikelihood(), "exact samples of the target, or in data", behaviour)
    refused(MaximumLikelihood(), r"replay would mix in others.*replay=0", ExactSamples(), **BACK)
    refused(PathwiseDivergence(), "its own policy's trajectories only", ExactSamples())
    refused(PathwiseDivergence(), "replay would mix in others", **BACK)
    refused(PathwiseDivergence(), "exploration would mix in others", noise=0.1)
    env = diffusion()
    config = TrainConfig(batch_size=8, noise=0.1)  # which exact samples do not feel
    Trainer(
        env, DiffusionPolicy(env, 8), MaximumLikelihood(), config, behaviour=ExactSamples()
    ).train_step()


def test_an_objective_of_ones_own_says_what_it_learns_from() -> None:
    class Cautious(TrajectoryBalance):
        learns_from = OWN | REPLAYED

    policy = MLPPolicy(ENV, 8)
    Trainer(ENV, policy, Cautious(), TrainConfig(replay=20)).train(2)
    with pytest.raises(IncompatibleError, match="Cautious on HyperGrid: .*exploration would mix"):
        Trainer(ENV, policy, Cautious(), TrainConfig(epsilon=0.1))
    with pytest.raises(IncompatibleError, match="LocalSearch cannot serve Cautious on HyperGrid"):
        Trainer(ENV, policy, Cautious(), behaviour=LocalSearch(1))
