"""Training of games: stopped and continued to the same numbers, with memories and by chunks."""

from typing import Any

import pytest
import torch

from gflow.behaviours.base import Behaviour
from gflow.behaviours.refreshed import Refreshed
from gflow.envs.games.policy import BoardPolicy
from gflow.envs.games.tictactoe import TicTacToe
from gflow.objectives import OBJECTIVES
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

GAME = TicTacToe()


def trainer(name: str, behaviour: Behaviour | None, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    objective = OBJECTIVES[name]()
    policy = BoardPolicy(GAME, 4, 1, 4, log_flow=objective.needs.flows(GAME))
    config = TrainConfig(batch_size=24, temperature=2.0, lr=3e-3, **settings)
    return Trainer(GAME, policy, objective, config, behaviour=behaviour)


CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "replay": ({"replay": 60}, False),
    "refreshed": ({}, True),
    "chunks": ({"replay": 60, "chunk": 20}, False),
    "average": ({"replay": 60, "ema": 0.9, "ema_sampling": 0.3, "epsilon": 0.1}, False),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "name"), [*((case, "atb") for case in CASES), ("refreshed", "aedb")]
)
def test_it_resumes_to_the_same_numbers(case: str, name: str, tmp_path: Any) -> None:
    settings, refreshed = CASES[case]

    def made() -> Trainer:
        return trainer(name, Refreshed(48, 24, 3, 60) if refreshed else None, **settings)

    whole = made()
    wanted = [whole.train_step()["loss"] for _ in range(8)]
    assert len(set(wanted)) == 8
    first = made()
    first.train(4)
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    torch.rand(7)  # whatever happens between
    other = made()
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    assert [other.train_step()["loss"] for _ in range(4)] == wanted[4:]
    for a, b in zip(whole.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_memory_of_games_holds_a_byte_for_each_move() -> None:
    made = trainer("atb", Refreshed(48, 24, 3, 60))
    made.train(1)
    memory = made.replay
    assert memory is not None
    stored = memory.state_dict()["columns"]["actions"][0]
    assert (stored.dtype, tuple(stored.shape)) == (torch.int8, (48, 9))
    assert memory.actions.dtype == torch.int64
