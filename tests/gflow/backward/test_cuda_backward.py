"""Backward policies and replay where a GPU is: trained, saved and continued there."""

import inspect
from typing import Any

import pytest
import torch

from gflow import MLPPolicy, enumerate_states, with_backward
from gflow.backward.choice import BACKWARD_POLICIES
from gflow.behaviours.data import BackwardReplay
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.objectives import DetailedBalance
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SECOND_NETWORK = tuple(k for k, c in BACKWARD_POLICIES.items() if c.network != "none")
ENV = HyperGrid(2, 4, Corners(4, 0.05))


def build(device: str, kind: Any, seed: int = 0, **settings: Any) -> Trainer:
    torch.manual_seed(seed)
    policy = MLPPolicy(ENV, 16, backward="uniform", log_flow=True)
    known = inspect.signature(BACKWARD_POLICIES[kind]).parameters
    options: dict[str, Any] = {k: v for k, v in {"batches": 3, "steps": 2}.items() if k in known}
    split, learners = with_backward(kind, ENV, policy, **options)
    for module in (split, *(learner.module for learner in learners)):
        module.to(device)
    config = TrainConfig(batch_size=8, plan="static", **settings)
    return Trainer(ENV, split, DetailedBalance(), config, learners=learners)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", SECOND_NETWORK)
@pytest.mark.parametrize("draw", ["rank", "prt"])
def test_a_fit_goes_on_from_its_checkpoint(
    device: str, kind: str, draw: str, tmp_path: Any
) -> None:
    settings: dict[str, Any] = {
        "replay": 60, "replay_draw": draw, "replay_rebuild": "backward", "augment": 1,
        "augment_objects": 4, "ema": 0.9, "ema_sampling": 0.3,
    }  # fmt: skip
    whole = build(device, kind, **settings)
    losses = [whole.train_step()["loss"] for _ in range(7)]
    first = build(device, kind, **settings)
    first.train(4)
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    other = build(device, kind, seed=3, **settings)
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    again = [other.train_step()["loss"] for _ in range(3)]
    torch.testing.assert_close(torch.tensor(again), torch.tensor(losses[4:]))


@pytest.mark.parametrize("device", DEVICES)
def test_a_data_set_is_followed_there(device: str) -> None:
    graph = enumerate_states(ENV)
    data = graph.states[graph.objects][:5].to(device)
    trainer = build(device, "tlm")
    trainer.behaviour = BackwardReplay(ENV, data, share=1.0)
    batch = trainer.sample()
    assert batch.length.device.type == device
    torch.testing.assert_close(batch.log_reward, ENV.log_reward(batch.final_states))
    trainer.train(2)
