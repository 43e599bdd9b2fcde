"""Stacked runs have the numbers that each of them has by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow.errors import IncompatibleError, NonFiniteLossError
from gflow.policies.base import PolicyOutput
from gflow.policies.mlp import MLPPolicy
from gflow.runs.build import build_context
from gflow.runs.trained import settings_for
from gflow.stacked import StackedTrainer, apart, refusal
from gflow.training.trainer import Trainer

SMALL = {"width": 16, "batch_size": 8}
RATES = {"lr": [1e-3, 5e-3, 2e-2], "log_z_lr": [0.1, 0.2, 0.3]}
EXPLORED = {
    "epsilon": [0.2, 0.0, 0.5],
    "trajectory_epsilon": [0.0, 0.3, 0.2],
    "temperature": [1.0, 2.0, 0.5],
    "stop_bias": [0.0, 1.0, -1.0],
}


def trainer_of(task: str, objective: str, number: int, settings: dict[str, Any]) -> Trainer:
    """Run `number` of some whose settings are lists where they differ."""
    given = {k: v[number] if isinstance(v, list) else v for k, v in {**SMALL, **settings}.items()}
    config = settings_for(task, objective, None, {"seed": number, "eval_every": 3, **given})
    torch.manual_seed(number)
    return build_context(config).trainer


def trainers(task: str, objective: str, settings: dict[str, Any]) -> list[Trainer]:
    return [trainer_of(task, objective, number, settings) for number in range(3)]


def same(one: Any, other: Any, where: str = "") -> None:
    """Two states are equal, real numbers up to rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}[{number}]")
    elif isinstance(one, Tensor):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), where
        close = torch.allclose(one.double(), other.double(), rtol=1e-8, atol=1e-10)
        assert close, f"{where}: {one} and {other}"
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-8, abs=1e-10, nan_ok=True), where
    else:
        assert one == other, where


CASES = [
    ("hypergrid", "tb", RATES | EXPLORED | {"lr_half_life": [5, 0, 9]}),  # all states are listed
    ("hypergrid", "db", RATES | {"plan": "static", "epsilon": [0.1, 0.0, 0.2], "dim": 3}),
    ("hypergrid", "subtb", RATES | {"batch_size": 30, "side": 20, "weight_decay": [0.0, 0.1, 0.2]}),
    ("hypergrid", "vargrad", {"grad_clip": [0.0, 0.05, 1.0], "beta": [1.0, 2.0, 3.0]}),
    ("hypergrid", "fm", {"r0": [0.1, 0.2, 0.3]}),  # parents go through the networks of their runs
    ("hypergrid", "mdb", {"beta": [1.0, 2.0, 0.5]}),
    ("hypergrid", "fldb", {"beta": [1.0, 2.0, 0.5], "ema": 0.9}),
    ("hypergrid", "tb", RATES | {"backward": "separate", "ending": "forced"}),
    ("hypergrid", "tb", {"replay": 20, "replay_fraction": 0.5}),
    ("hypergrid", "subtb", {"behaviour": "incomplete", "weighting": "geometric"}),
    ("hypergrid", "tb", RATES | {"condition": "temperature"}),
    ("hypergrid", "vargrad", {"condition": "temperature", "condition_repeat": 2}),
    ("sets", "subtb", RATES | {"weighting": "pooled"}),
    ("bits", "tb", RATES | {"network": "mlp", "beta": [1.0, 2.0, 3.0]}),
    (
        "dags",
        "mdb",
        {"variables": 3, "edges": 2.0, "lr": RATES["lr"], "width": 8},
    ),  # a network of its own kind
]


@pytest.mark.parametrize(
    ("task", "objective", "settings"),
    CASES,
    ids=[f"{n}-{c[0]}-{c[1]}" for n, c in enumerate(CASES)],
)
def test_all_numbers_are_those_of_the_runs_by_themselves(
    task: str, objective: str, settings: dict[str, Any]
) -> None:
    """Records, weights, moments, schedules, sums, memories and random numbers, after four steps."""
    alone, together = trainers(task, objective, settings), trainers(task, objective, settings)
    stack = StackedTrainer(together)
    stack.check()
    for _ in range(4):
        records = [trainer.train_step() for trainer in alone]
        same(records, stack.train_step())
    stack.hand_back()
    for one, other in zip(alone, together, strict=True):
        was, now = one.state_dict(), other.state_dict()
        for state in (was, now):  # of the process
            del state["torch_random"], state["python_random"], state["numpy_random"]
        same(was, now)
        for mine, theirs in zip(one.callbacks, other.callbacks, strict=True):
            same(mine.state_dict(), theirs.state_dict())  # type: ignore[attr-defined]
    assert not torch.equal(*(next(t.policy.parameters()) for t in together[:2]))


def test_a_run_goes_on_by_itself_from_a_stack_and_a_stack_from_runs() -> None:
    settings = RATES | {"lr_half_life": [5, 0, 9], "grad_clip": [1.0, 0.0, 0.1]}
    alone, together = trainers("hypergrid", "tb", settings), trainers("hypergrid", "tb", settings)
    for trainer in (*alone, *together):
        trainer.train_step()
    stack = StackedTrainer(together)
    stack.train_step()
    stack.hand_back()
    for one, other in zip(alone, together, strict=True):
        one.train_step()
        same(one.train_step(), other.train_step())
        same(dict(one.policy.named_parameters()), dict(other.policy.named_parameters()))
        assert one.schedule.get_last_lr() == pytest.approx(other.schedule.get_last_lr())


def test_nothing_depends_on_which_runs_are_stacked() -> None:
    few, many = trainers("hypergrid", "tb", RATES)[:2], trainers("hypergrid", "tb", RATES)
    for stack in (StackedTrainer(few), StackedTrainer(many)):
        for _ in range(3):
            stack.train_step()
    for one, other in zip(few, many, strict=False):
        same(dict(one.policy.named_parameters()), dict(other.policy.named_parameters()))


@pytest.mark.parametrize(
    ("task", "objective", "settings", "said"),
    [
        ("hypergrid", "led", {}, r"learns more than a policy \(PotentialFit\)"),
        ("torus", "tb", {"width": 8}, "have densities"),
        ("hypergrid", "tb", {"chunk": 4}, "chunk saves memory"),
        ("hypergrid", "tb", {"ema": 0.5, "ema_sampling": 0.5}, "mixes two policies"),
        ("bits", "tb", {"network": "transformer"}, "remembers what it computed"),
        (
            "hypergrid",
            "tb",
            {"replay": 20, "replay_rebuild": "backward", "augment": 1},
            "takes further steps",
        ),
    ],
)
def test_what_cannot_be_stacked_says_why(
    task: str, objective: str, settings: dict[str, Any], said: str
) -> None:
    trainer = trainer_of(task, objective, 0, settings)
    with pytest.raises(IncompatibleError, match=f"cannot be stacked: .*{said}"):
        StackedTrainer([trainer, trainer])
    assert refusal(trainer) is not None


@pytest.mark.parametrize(
    ("objective", "settings", "said"),
    [
        ("tb", {"batch_size": [8, 16, 8]}, "batch_size is 8 in one and 16 in the other"),
        ("tb", {"width": [8, 16, 8]}, "policies differ in the shape of table"),
        ("tb", {"side": [4, 5, 4]}, "environments differ in"),
        ("tb", {"reward": ["corners", "cosine", "corners"]}, "rewards differ in more than numbers"),
        ("subtb", {"lam": [0.9, 0.8, 0.9]}, "objectives differ in .*lam"),
        ("tb", {"eval_every": [3, 4, 3]}, "eval_every is 3 in one and 4 in the other"),
        ("tb", {"behaviour": ["on_policy", "local_search", "on_policy"]}, "LocalSearch"),
    ],
)
def test_what_runs_must_agree_in_is_named(
    objective: str, settings: dict[str, Any], said: str
) -> None:
    one, other, third = trainers("hypergrid", objective, settings)
    with pytest.raises(IncompatibleError, match=said):
        StackedTrainer([one, other])
    assert apart(one, third) is None
    assert apart(one, other) is not None
    one.train_step()
    found = apart(one, third)
    assert found is not None
    assert "step 1 and the other at step 0" in found


class Mixing(MLPPolicy):
    """Its logits depend on the other states of the batch."""

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        output = super().forward(env, states, condition)
        logits = output.forward_logits
        return PolicyOutput(logits - logits.sum(0), output.backward_logits)


def test_a_policy_that_mixes_rows_is_found_out() -> None:
    found = []
    for number in range(2):
        trainer = trainer_of("hypergrid", "tb", number, {})
        torch.manual_seed(number)
        policy = Mixing(trainer.env, 8)
        nn.init.normal_(policy.head.weight)
        found.append(Trainer(trainer.env, policy, trainer.objective, trainer.config))
    with pytest.raises(IncompatibleError, match="mixes the rows"):
        StackedTrainer(found).check()


def test_rewards_that_are_not_the_same_after_all_are_found_out() -> None:
    one, other = trainers("hypergrid", "tb", {"beta": [1.0, 2.0, 1.0]})[:2]
    StackedTrainer([one, other]).check()
    with pytest.raises(IncompatibleError, match="have other rewards in the stack"):
        StackedTrainer([one, other], same=True).check()


def test_checking_changes_nothing() -> None:
    checked, not_checked = trainers("hypergrid", "tb", RATES), trainers("hypergrid", "tb", RATES)
    stack, other = StackedTrainer(checked), StackedTrainer(not_checked)
    stack.check()
    same(stack.train_step(), other.train_step())
    for one, two in zip(checked, not_checked, strict=True):
        assert torch.equal(one.generator.get_state(), two.generator.get_state())


def test_a_loss_that_is_no_number_names_the_run_and_changes_nobody() -> None:
    found = trainers("hypergrid", "tb", {"lr": [1e-3, 1e-3, 1e-3]})
    with torch.no_grad():
        found[1].objective.log_z.value.fill_(torch.nan)  # type: ignore[operator, union-attr]
    stack = StackedTrainer(found)
    before = [p.clone() for p in found[0].policy.parameters()]
    with pytest.raises(NonFiniteLossError, match="is not finite at step 0"):
        stack.train_step()
    assert stack.step == found[0].step == 0
    same(before, list(found[0].policy.parameters()))
