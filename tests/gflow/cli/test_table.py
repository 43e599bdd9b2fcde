"""The table of `gflow list` is true: what it allows trains, what it rules out is refused."""

from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.cli.table import behaviour_of, build_objective, marks, refusals
from gflow.errors import IncompatibleError
from gflow.objectives import OBJECTIVES
from gflow.source import Source
from gflow.tasks.parts import BEHAVIOURS
from gflow.tasks.registry import TASKS
from gflow.tasks.task import Task
from gflow.training.trainer import TrainConfig, Trainer

STEPS = 8


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def trainer_of(cls: type[Task[Any]], objective: str, behaviour: str) -> Trainer:
    torch.manual_seed(0)
    task, env = cls(), cls.cheap()
    loss = build_objective(task, env, objective)
    policy = task.policy(env, loss.needs)
    explores: dict[str, Any] = (
        {"noise": 0.2} if getattr(env, "takes_noise", False) else {"epsilon": 0.2}
    )
    explores = explores if Source.EXPLORED in loss.learns_from else {}
    config = TrainConfig(batch_size=16, lr=3e-4, log_z_lr=1e-2, **explores)
    condition = task.condition(env)
    return Trainer(
        env, policy, loss, config, condition=condition, behaviour=behaviour_of(behaviour)
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", TASKS)
def test_every_triple_trains_or_is_refused(name: str, objective: str) -> None:
    """Valid: the loss of one fixed batch falls. Invalid: refused with the reason of the table."""
    cls = TASKS[name]
    for behaviour in BEHAVIOURS:
        reason = refusals_of(name)[objective, behaviour]
        if reason is not None:
            with pytest.raises(IncompatibleError) as refused:
                trainer_of(cls, objective, behaviour)
            assert reason in str(refused.value)
            continue
        trainer = trainer_of(cls, objective, behaviour)
        batch = trainer.sample()
        losses = []
        for _ in range(STEPS):
            torch.manual_seed(1)  # the pairs of order losses are drawn
            terms = trainer.objective.evaluate(trainer.env, trainer.policy, batch)
            loss = trainer.objective(terms)
            trainer.optimizer.zero_grad()
            loss.backward()
            trainer.optimizer.step()
            losses.append(float(loss.detach()))
        assert min(losses[-3:]) < losses[0], (behaviour, losses)
        trainer.train_step()  # and the whole step goes through


_KNOWN: dict[str, dict[tuple[str, str], str | None]] = {}


def refusals_of(name: str) -> dict[tuple[str, str], str | None]:
    if name not in _KNOWN:
        _KNOWN[name] = refusals(TASKS[name])
    return _KNOWN[name]


def test_the_command_prints_every_name_and_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for name in (*TASKS, *OBJECTIVES, *BEHAVIOURS):
        assert f"  {name} " in said
    lines = said.partition("which go together")[2].partition("why not")[0].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:] if line}
    assert set(rows) == set(TASKS)
    for name in ("hypergrid", "sets", "mis", "diffusion"):
        found = refusals(TASKS[name])
        for objective, cell in zip(OBJECTIVES, rows[name], strict=True):
            wanted = "".join(marks()[b] if found[objective, b] is None else "-" for b in BEHAVIOURS)
            assert cell == wanted, (name, objective)
        for reason in found.values():
            assert reason is None or reason in said
