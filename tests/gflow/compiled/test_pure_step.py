"""A step as a function of tensors does what the trainer's own step does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import MLPPolicy
from gflow.cli.train_flags import parse
from gflow.compiled.adam import AdamGroup, adam_, clipped, corrections
from gflow.compiled.draws import Draws
from gflow.compiled.replayed import Layers, Probe
from gflow.compiled.runner import CompiledStep
from gflow.compiled.trace import traced
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sequences.env import VariableLength
from gflow.envs.sequences.rewards import MotifReward
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import OBJECTIVES
from gflow.sampling.sampler import Sampler
from gflow.tasks.registry import task_class
from gflow.training.trainer import TrainConfig, Trainer

STEPS = 4


class Plain(CompiledStep):
    """The step itself, neither traced nor compiled; or its graph, called as it is."""

    graph = False

    def _prepare(self) -> None:
        self._dry_run()
        flat = self.inputs.flat()
        if self.graph:
            found = traced(self._flat, flat, self.what)
            given = [*flat, *found.constants]
            self._call = lambda: list(found.module(*given) or ())
        else:
            self._call = lambda: self._flat(*flat)


class AsGraph(Plain):
    graph = True


def long_grid() -> Any:
    """Too many states to ask about all at each step."""
    return HyperGrid(2, 6, Corners(6, 0.05), ending="forced")


BUILD: dict[str, Any] = {
    "tiny": lambda: HyperGrid(1, 3, Corners(3, 0.05)),
    "whole": lambda: HyperGrid(2, 4, Corners(4, 0.05)),
    "listed": long_grid,
    "strings": lambda: VariableLength("ABC", 4, MotifReward("ABC", ["AB"], beta=1.0, floor=0.1)),
}


def trainer_of(name: str, objective: str = "tb", batch: int = 8, **settings: Any) -> Trainer:
    env = BUILD[name]()
    torch.manual_seed(0)
    made = OBJECTIVES[objective].build(env)
    policy = MLPPolicy(env, 12, 2, log_flow=made.needs.flows(env))
    return Trainer(env, policy, made, TrainConfig(batch_size=batch, lr=0.02, **settings))


def weights(trainer: Trainer) -> list[Tensor]:
    parts = [*trainer.policy.parameters(), *trainer.objective.parameters()]
    return [p.detach().clone() for p in parts]


def pure(trainer: Trainer, kind: type[Plain] = Plain) -> list[Any]:
    """Batches of some steps, taken as a function of tensors."""
    trainer.compiled = kind(trainer)
    seen: list[Any] = []
    trainer.callbacks = (lambda _, batch, __: seen.append(batch),)
    trainer.train(STEPS)
    return seen


def ordinary(trainer: Trainer, batches: list[Any]) -> None:
    """The trainer's own steps on given batches."""
    for batch in batches:
        if not trainer.step:
            trainer.objective.begin(batch)
        trainer.descend(batch)
        trainer.step += 1
        if trainer.config.lr_half_life:
            trainer.schedule.step()
        if trainer.average is not None:
            from gflow.learner import average_into

            average_into(trainer.average, trainer.policy, 1 - trainer.config.ema)


CASES: list[tuple[str, str, int, dict[str, Any]]] = [
    ("whole", "tb", 8, {}),
    ("whole", "fm", 8, {"epsilon": 0.1}),
    ("whole", "mdb", 8, {"weight_decay": 0.1}),
    ("listed", "db", 3, {"grad_clip": 0.1}),
    ("listed", "subtb", 3, {"lr_half_life": 2}),
    ("strings", "tb", 4, {"ema": 0.9, "ema_sampling": 0.3, "epsilon": 0.2}),
    ("strings", "vargrad", 4, {"trajectory_epsilon": 0.5, "temperature": 2.0}),
]


@pytest.mark.parametrize("kind", [Plain, AsGraph])
@pytest.mark.parametrize(("name", "objective", "batch", "settings"), CASES)
def test_the_same_batches_give_the_same_weights(
    name: str, objective: str, batch: int, settings: dict[str, Any], kind: type[Plain]
) -> None:
    one = trainer_of(name, objective, batch, **settings)
    start = weights(one)
    batches = pure(one, kind)
    assert isinstance(one.compiled, Plain)
    assert one.compiled.listed is not None
    assert one.compiled.listed.whole == (name == "whole")
    two = trainer_of(name, objective, batch, **settings)
    ordinary(two, batches)
    for before, mine, theirs in zip(start, weights(one), weights(two), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-8)
        assert not torch.equal(before, mine) or mine.numel() == 12  # a bias may get no gradient
    if one.average is not None and two.average is not None:
        for mine, theirs in zip(one.average.parameters(), two.average.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-8)


def test_batches_are_samples_of_the_policy() -> None:
    """Trajectories of the environment itself, with rewards that it gives."""
    trainer = trainer_of("listed", batch=3)
    for batch in pure(trainer):
        again = Sampler(trainer.env).along(batch.actions, batch.length)
        torch.testing.assert_close(again.log_reward, batch.log_reward)
        assert torch.equal(again.stopped, batch.stopped)


def test_layers_of_the_rollout_are_not_asked_again() -> None:
    trainer = trainer_of("listed", batch=3)
    pure(trainer)
    assert trainer.compiled is not None
    steps = trainer.env.horizon
    assert trainer.compiled.step.known == {"policy.hidden.0.weight": 3 * steps}


def test_records_are_means_of_the_steps() -> None:
    one = trainer_of("whole")
    one.record_every = STEPS
    one.compiled = Plain(one)
    seen: list[Any] = []
    records: list[Any] = []

    def look(trainer: Trainer, batch: Any, record: dict[str, float]) -> None:
        seen.append(batch)
        records.append(record)

    one.callbacks = (look,)
    one.train(STEPS)
    assert records[:-1] == [{}] * (STEPS - 1)
    lengths = [float(batch.length.double().mean()) for batch in seen]
    rewards = [float(batch.log_reward.mean()) for batch in seen]
    assert records[-1]["mean_length"] == pytest.approx(sum(lengths) / STEPS)
    assert records[-1]["mean_log_reward"] == pytest.approx(sum(rewards) / STEPS)
    two = trainer_of("whole")
    losses = []
    for batch in seen:
        losses.append(float(two.descend(batch)[0]))
    assert records[-1]["loss"] == pytest.approx(sum(losses) / STEPS)


def test_a_resumed_run_has_the_same_numbers() -> None:
    whole = trainer_of("strings", batch=4, ema=0.9)
    pure(whole)
    whole.train(STEPS)
    first = trainer_of("strings", batch=4, ema=0.9)
    pure(first)
    state = first.state_dict()
    second = trainer_of("strings", batch=4, ema=0.9)
    second.compiled = Plain(second)
    second.load_state_dict(state)
    second.train(STEPS)
    assert all(map(torch.equal, weights(whole), weights(second)))
    counts = second.state_dict()["optimizer"]["state"].values()
    assert {float(held["step"]) for held in counts} == {2 * STEPS}


def test_eager_steps_continue_a_compiled_run() -> None:
    """What a checkpoint holds does not depend on who trained."""
    one = trainer_of("whole")
    batches = pure(one)
    state = one.state_dict()
    two, three = trainer_of("whole"), trainer_of("whole")
    two.load_state_dict(state)
    ordinary(three, batches)
    two.descend(batches[0])
    three.descend(batches[0])
    for mine, theirs in zip(weights(two), weights(three), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-8)


def test_a_failed_check_changes_nothing_and_is_told() -> None:
    trainer = trainer_of("whole")
    pure(trainer)
    before = weights(trainer)
    with torch.no_grad():
        trainer.objective.log_z.value.fill_(torch.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(ArithmeticError, match="the loss was not finite"):
        trainer.train(1)
    after = weights(trainer)
    assert all(map(torch.equal, before[:-1], after[:-1]))


def test_what_is_read_by_the_host_is_refused_with_its_line() -> None:
    trainer = trainer_of("listed", batch=3)
    own = trainer.policy.forward_logits

    def peeks(env: Any, states: Any, condition: Any = None) -> Tensor:
        found = own(env, states, condition)
        return found * 2 if bool((found > 100).all()) else found

    trainer.policy.forward_logits = peeks  # type: ignore[method-assign]
    with pytest.raises(IncompatibleError, match=r"test_pure_step.py:\d+ .*bool\(\(found"):
        pure(trainer, AsGraph)


def test_dropout_is_refused() -> None:
    trainer = trainer_of("listed", batch=3)
    policy: Any = trainer.policy
    own = policy.trunk

    def dropped(env: Any, states: Any, condition: Any = None) -> Tensor:
        found: Tensor = nn.functional.dropout(own(env, states, condition), 0.5)
        return found

    policy.trunk = dropped
    with pytest.raises(IncompatibleError, match="draws random numbers by"):
        pure(trainer, AsGraph)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"replay": 50}, "Replay remembers trajectories"),
        ({"epsilon": 0.5, "epsilon_steps": 10}, "epsilon_steps"),
        ({"chunk": 10}, "chunk=0"),
        ({"plan": "ragged"}, "plan='auto' or 'static'"),
        ({"compile": "graph"}, "'cpu': take compile=True"),
    ],
)
def test_settings_that_are_no_graph_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(IncompatibleError, match=reason):
        trainer_of("whole", **({"compile": True} | settings))


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(IncompatibleError, match=r"install g\+\+"):
        trainer_of("whole", compile=True)


def test_the_setting_is_true_false_or_graph() -> None:
    with pytest.raises(ConfigError, match="compile"):
        TrainConfig(compile="fast")  # type: ignore[arg-type]


def test_a_state_may_be_asked_for_before_the_first_step() -> None:
    one, two = trainer_of("whole", compile=True), trainer_of("whole", compile=True)
    state = one.state_dict()
    assert state["step"] == 0
    two.load_state_dict(state)
    assert two.compiled is not None
    assert two.compiled.failure() is None


def test_the_flag_stands_alone_or_names_the_graph() -> None:
    for words, value in (
        (["--compile"], True),
        (["--compile", "graph"], "graph"),
        (["--compile", "false", "--steps", "3"], False),
    ):
        assert parse(task_class("hypergrid"), words).train.compile == value
    with pytest.raises(ConfigError, match="compile"):
        parse(task_class("hypergrid"), ["--compile", "fast"])


@pytest.mark.slow
def test_a_compiled_step_does_what_the_step_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In earnest, with torch's compiler; a second start finds what the first one wrote."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    seen: list[Any] = []
    found: list[list[Tensor]] = []
    for _ in range(2):
        one = trainer_of("tiny", batch=2, compile=True)
        seen = []

        def look(_: Trainer, batch: Any, __: dict[str, float], kept: list[Any] = seen) -> None:
            kept.append(batch)

        one.callbacks = (look,)
        one.train(STEPS)
        found.append(weights(one))
    assert capfd.readouterr().err.count("Compiling a training step of") == 2
    two = trainer_of("tiny", batch=2)
    ordinary(two, seen)
    assert all(map(torch.equal, *found))
    for mine, theirs in zip(found[0], weights(two), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-8)


# ---------------------------------------------------------------------- parts


def test_draws_have_the_values_that_were_given() -> None:
    uniform, normal = torch.rand(40), torch.randn(9)
    with Draws(uniform, normal) as draws:
        a = torch.rand(2, 3)
        b = torch.empty(4).uniform_(-1, 3, generator=torch.Generator())
        c = torch.randn((3,))
        d = torch.empty(2).normal_(5.0, 2.0)
        e = torch.randint(10, 14, (20,))
    torch.testing.assert_close(a, uniform[:6].view(2, 3))
    torch.testing.assert_close(b, uniform[6:10] * 4 - 1)
    torch.testing.assert_close(c, normal[:3])
    torch.testing.assert_close(d, normal[3:5] * 2 + 5)
    assert set(e.tolist()) <= {10, 11, 12, 13}
    assert torch.equal(e, 10 + (uniform[10:30] * 4).long())
    assert draws.count == {"uniform": 30, "normal": 5}


def test_draws_count_what_they_let_through() -> None:
    with Draws() as draws:
        torch.rand(3, generator=torch.Generator().manual_seed(0))
        torch.rand_like(torch.zeros(2, 2))
        torch.randn(7)
    assert draws.count == {"uniform": 7, "normal": 7}


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_is_that_of_torch(decay: float) -> None:
    torch.manual_seed(0)
    one, two = torch.randn(5, 3), torch.randn(4)
    theirs = [nn.Parameter(one.clone()), nn.Parameter(two.clone())]
    optimizer = torch.optim.Adam(theirs, lr=0.01, weight_decay=decay, fused=True)
    mine = [one.clone(), two.clone()]
    means, squares = [torch.zeros_like(m) for m in mine], [torch.zeros_like(m) for m in mine]
    for step in range(1, 6):
        rate, scale = map(torch.tensor, corrections(0.01, (0.9, 0.999), step))
        group = AdamGroup(rate, scale, decay, (0.9, 0.999), 1e-8)
        slopes = [torch.randn_like(m) for m in mine]
        for p, g in zip(theirs, slopes, strict=True):
            p.grad = g.clone()
        optimizer.step()
        adam_(group, mine, slopes, means, squares, torch.tensor(False))
        kept = [m.clone() for m in mine]
        adam_(group, mine, slopes, means, squares, torch.tensor(True))
        assert all(map(torch.equal, kept, mine))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b.detach(), atol=1e-12, rtol=1e-10)


def test_gradients_are_clipped_together() -> None:
    slopes = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    found = clipped(slopes, 1.0)
    torch.testing.assert_close(torch.cat(found), torch.tensor([0.6, 0.0, 0.8]), atol=1e-6, rtol=0)
    assert torch.equal(torch.cat(clipped(slopes, 10.0)), torch.cat(slopes))


def test_a_layer_is_known_only_where_it_saw_the_same_rows() -> None:
    torch.manual_seed(0)
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    names = {id(layer.weight): "a", id(other.weight): "b"}
    rows = torch.randn(6, 3)
    probe = Probe(lambda weight: names.get(id(weight)))
    with probe:
        with torch.no_grad():
            for part in rows[:4].split(2):
                layer(part)
                other(part)
        layer(rows)
        other(rows.flip(0))
    assert probe.found == {"a": 4}
    results = []
    for known in ({}, probe.found):
        x = rows.clone().requires_grad_()
        with Layers(known, lambda weight: names.get(id(weight))):
            with torch.no_grad():
                for part in rows[:4].split(2):
                    layer(part).relu_()
            out = layer(x).relu_()
        given = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
        results.append([out, *given])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("columns", [1, 3, 65])
@pytest.mark.parametrize("rows", [5, 200])
def test_sums_of_embeddings_are_those_of_torch(columns: int, rows: int) -> None:
    """Short sums of short tables, whose gradient is a product; and all others."""
    torch.manual_seed(0)
    table = torch.randn(rows, 4, requires_grad=True)
    features = torch.randint(rows, (6, columns))
    weight = torch.randn(6, 4)
    plain = nn.functional.embedding_bag(features, table, mode="sum")
    with Layers({}, lambda _: None):
        found = nn.functional.embedding_bag(features, table, mode="sum")
    product = type(found.grad_fn).__name__ == "_RowsBackward"
    assert product == (columns <= 64 and rows <= 24 * columns)
    torch.testing.assert_close(found, plain)
    one, two = (torch.autograd.grad((x * weight).sum(), table)[0] for x in (found, plain))
    torch.testing.assert_close(one, two)


def test_sums_of_embeddings_without_gradient_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.randn(7, 4, requires_grad=True)
    features = torch.tensor([[0, 3, 3], [6, 1, 2]])
    plain = nn.functional.embedding_bag(features, table, mode="sum")
    monkeypatch.setattr(torch, "embedding_bag", None)  # it is not called again
    with Layers({}, lambda _: None), torch.no_grad():
        found = nn.functional.embedding_bag(features, table, mode="sum")
    torch.testing.assert_close(found, plain.detach())
