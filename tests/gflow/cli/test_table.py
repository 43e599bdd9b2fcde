"""The table of `gflow list` is true: what it allows trains, what it rules out is refused."""

from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.cli.table import build_objective, marks, refusals
from gflow.errors import IncompatibleError
from gflow.language import TokenEnvironment
from gflow.objectives import OBJECTIVES
from gflow.source import Source
from gflow.tasks.parts import BEHAVIOURS, Part
from gflow.tasks.registry import TASKS
from gflow.tasks.task import Task
from gflow.training.trainer import TrainConfig, Trainer

STEPS = 8
SMALL: dict[str, dict[str, Any]] = {
    "refreshed": {"initial": 32, "added": 16, "capacity": 64},
    "searchers": {"workers": 0},
}
"""Settings of behaviours in place of those that fill large memories or start processes."""
PARENTS = {"fm", "opfm"}
"""They ask the policy for all parents of a state, and a text has as many as it has tokens."""
BOARDS = {"tictactoe", "connect4"}
"""Their networks are the largest."""

Triple = tuple[str, str, str]
"""Names of an environment, an objective and a behaviour."""


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@cache
def refusals_of(name: str) -> dict[tuple[str, str], str | None]:
    return refusals(TASKS[name])


def pairs(triple: Triple) -> set[tuple[str, ...]]:
    name, objective, behaviour = triple
    return {("e o", name, objective), ("e b", name, behaviour), ("o b", objective, behaviour)}


@cache
def covering() -> tuple[Triple, ...]:
    """Triples that can train, so few that each two that can meet do so at least once."""
    able = [(name, *two) for name in TASKS for two, no in refusals_of(name).items() if no is None]
    left = set[tuple[str, ...]]().union(*map(pairs, able))
    chosen: list[Triple] = []
    used = dict.fromkeys(BEHAVIOURS, 0)
    for new in (3, 2, 1):
        for _, group in groupby(able, key=lambda triple: triple[:2]):
            for triple in sorted(group, key=lambda triple: used[triple[2]]):
                if len(pairs(triple) & left) >= new:
                    chosen.append(triple)
                    left -= pairs(triple)
                    used[triple[2]] += 1
    return tuple(chosen)


@pytest.mark.slow
def test_the_chosen_triples_cover_every_pair() -> None:
    able = [(name, *two) for name in TASKS for two, no in refusals_of(name).items() if no is None]
    assert set().union(*map(pairs, covering())) == set().union(*map(pairs, able))
    assert set(covering()) <= set(able)
    assert len(covering()) == len(set(covering()))


class Training:
    """A task's small environment, and trainers on it."""

    def __init__(self, name: str) -> None:
        narrow = {"width": 8, "blocks": 1, "head_width": 2} if name in BOARDS else {}
        self.task: Task[Any] = TASKS[name](**narrow)
        self.env = TASKS[name].cheap()

    def trainer(self, objective: str, behaviour: str) -> Trainer:
        torch.manual_seed(0)
        loss = build_objective(self.task, self.env, objective)
        policy = self.task.policy(self.env, loss.needs)
        if self.task.has_marginals:  # fresh ones agree with themselves: there is nothing to learn
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        noisy = getattr(self.env, "takes_noise", False)
        explores: dict[str, Any] = {"noise": 0.2} if noisy else {"epsilon": 0.2}
        explores = explores if Source.EXPLORED in loss.learns_from else {}
        size = 2 if objective in PARENTS and isinstance(self.env, TokenEnvironment) else 16
        return Trainer(
            self.env,
            policy,
            loss,
            TrainConfig(batch_size=size, lr=3e-4, log_z_lr=1e-2, **explores),
            condition=self.task.condition(self.env),
            behaviour=Part.of("behaviour", behaviour, SMALL.get(behaviour, {})).build(),
        )


@pytest.fixture
def training(request: pytest.FixtureRequest) -> Iterator[Training]:
    found = Training(request.param)
    yield found
    found.task.close(found.env)


@pytest.mark.slow
@pytest.mark.parametrize("training", TASKS, indirect=True)
def test_what_the_table_allows_trains(request: pytest.FixtureRequest, training: Training) -> None:
    """The loss of one fixed batch falls."""
    name = request.node.callspec.params["training"]
    for objective, behaviour in [rest for first, *rest in covering() if first == name]:
        trainer = training.trainer(objective, behaviour)
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
        assert min(losses[-3:]) < losses[0], (objective, behaviour, losses)
        trainer.train_step()  # and the whole step goes through


@pytest.mark.slow
@pytest.mark.parametrize("training", TASKS, indirect=True)
def test_what_the_table_rules_out_is_refused(
    request: pytest.FixtureRequest, training: Training
) -> None:
    """With the reason of the table."""
    for (objective, behaviour), reason in refusals_of(
        request.node.callspec.params["training"]
    ).items():
        if reason is not None:
            with pytest.raises(IncompatibleError) as refused:
                training.trainer(objective, behaviour)
            assert reason in str(refused.value)


@pytest.mark.slow
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
