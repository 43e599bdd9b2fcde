"""Checkpoints: whole or not at all, refused when foreign, and continued to the same bits."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gflow import MLPPolicy
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import CheckpointError
from gflow.objectives import SubTrajectoryBalance, TrajectoryBalance
from gflow.training.checkpoint import FORMAT, first_difference, load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

CONFIG = {"env": {"side": 3, "dim": 2}, "train": {"lr": 0.1, "seed": 0}}


def write(path: Path) -> None:
    save_checkpoint(path, {"numbers": torch.arange(100.0), "step": 7}, CONFIG)


# ---------------------------------------------------------------------- the file


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "run.ckpt"
    write(path)
    state = load_checkpoint(path, CONFIG)
    assert state["step"] == 7
    assert torch.equal(state["numbers"], torch.arange(100.0))
    assert load_checkpoint(path)["step"] == 7
    assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"], "nothing partial is left"


def test_a_write_that_fails_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ckpt"
    write(path)

    def killed(*args: Any) -> None:
        args[1].write(b"half a check")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    monkeypatch.undo()
    assert load_checkpoint(path, CONFIG)["step"] == 7


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"env": {"side": 4, "dim": 2}, "train": {"lr": 0.1, "seed": 0}},
            "env.side was 3 and is 4 now",
        ),
        (
            {"env": {"side": 3, "dim": 2}, "train": {"lr": 0.1, "seed": 1}},
            "train.seed was 0 and is 1",
        ),
        ({"env": {"side": 3, "dim": 2}, "train": {"lr": 0.1}}, "train.seed was 0 and is None"),
        ({**CONFIG, "more": 1}, "more was None and is 1"),
    ],
)
def test_another_configuration_is_refused_by_its_first_key(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    write(tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=f"belongs to another configuration: {message}"):
        load_checkpoint(tmp_path / "run.ckpt", other)


def test_differences_are_found_in_the_order_of_the_keys() -> None:
    assert first_difference({"b": 1, "a": {"x": [1, 2]}}, {"b": 2, "a": {"x": (1, 2)}}) == (
        "b",
        1,
        2,
    )
    assert first_difference({"a": {"x": [1, 2]}}, {"a": {"x": [1, 3]}}) == ("a.x", [1, 2], [1, 3])
    assert first_difference({"a": [1]}, {"a": (1,)}) is None
    assert first_difference({"a": {}}, {"a": {}}) is None
    assert first_difference({"a": {"b": 1}}, {"a": 1}) == ("a", {"b": 1}, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*none\.ckpt"):
        load_checkpoint(tmp_path / "none.ckpt")


@settings(max_examples=40)
@given(data=st.data())
def test_damage_of_any_kind_is_a_message_and_not_a_crash(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.ckpt"
        write(path)
        whole = path.read_bytes()
        kind = data.draw(st.sampled_from(["cut", "noise", "other"]))
        if kind == "cut":
            path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        elif kind == "noise":
            path.write_bytes(data.draw(st.binary(max_size=200)))
        else:
            torch.save(data.draw(st.sampled_from([[], {}, 3, {"format": FORMAT}, "text"])), path)
        with pytest.raises(
            CheckpointError, match=r"run\.ckpt is not a gflow checkpoint or is damaged"
        ):
            load_checkpoint(path, CONFIG)


@pytest.mark.parametrize("content", [b"", b"\x85", b"\x86", b"PK\x03\x04", b"step 7", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    """The readers of pickles and archives fail variously; the message is one."""
    (tmp_path / "run.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run\.ckpt is not a gflow checkpoint or is damaged"):
        load_checkpoint(tmp_path / "run.ckpt")


def test_a_flipped_bit_among_the_numbers_is_damage_too(tmp_path: Path) -> None:
    """A disk that lies must not change a run: the numbers are protected by a checksum."""
    path = tmp_path / "run.ckpt"
    write(path)
    whole = path.read_bytes()
    place = whole.index(torch.arange(100.0).numpy().tobytes()) + 400
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path, CONFIG)


def test_another_format_and_a_pickle_with_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    for old in (1, 99):
        torch.save({"format": old, "config": CONFIG, "state": {}}, path)
        with pytest.raises(
            CheckpointError, match=f"format {old}; this gflow reads {FORMAT}. Go on"
        ):
            load_checkpoint(path)
    torch.save({"format": FORMAT, "config": CONFIG, "state": Path("x")}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    torch.save({"format": FORMAT, "state": {}}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path, CONFIG)


# ---------------------------------------------------------------------- continuing

TRAIN = [
    TrainConfig(batch_size=4, lr=1e-2),
    TrainConfig(
        batch_size=6, lr=1e-2, ema=0.9, epsilon=0.5, epsilon_steps=6, lr_half_life=3,
        replay=8, replay_keep="best", grad_clip=0.5, weight_decay=0.01, temperature=1.5, seed=3,
    ),
    TrainConfig(batch_size=4, replay=5, replay_fraction=0.75, plan="static", stop_bias=0.3),
]  # fmt: skip


def build(kind: int) -> Trainer:
    env = HyperGrid(2, 3)
    policy = MLPPolicy(env, 8, log_flow=True, generator=torch.Generator().manual_seed(kind))
    objective = SubTrajectoryBalance() if kind == 1 else TrajectoryBalance(log_z=0.5)
    return Trainer(env, policy, objective, TRAIN[kind])


def numbers(trainer: Trainer) -> dict[str, Any]:
    """All tensors of a trainer, by path, with the exact bits of their numbers."""
    found: dict[str, Any] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{prefix}.{key}", inner)
        elif isinstance(value, list | tuple):
            for place, inner in enumerate(value):
                visit(f"{prefix}.{place}", inner)
        elif isinstance(value, torch.Tensor):
            found[prefix] = value.tolist()
        else:
            found[prefix] = value

    state = trainer.state_dict()
    for name in ("torch_random", "python_random", "numpy_random"):
        state.pop(name)  # belong to the process, and the unbroken run shares it
    visit("", state)
    return found


class Interrupted(RuleBasedStateMachine):
    """Two runs of one configuration: one goes on, one is killed and resumed again and again."""

    @initialize(kind=st.integers(0, len(TRAIN) - 1))
    def start(self, kind: int) -> None:
        torch.set_default_dtype(torch.float64)
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp())
        self.unbroken, self.run = build(kind), build(kind)
        self.saved_step = 0
        self.losses: list[float] = []  # of the unbroken run
        self.write()

    def write(self) -> None:
        save_checkpoint(self.folder / "run.ckpt", self.run.state_dict(), {"kind": self.kind})
        self.saved_step = self.run.step

    @rule(steps=st.integers(1, 3))
    def train(self, steps: int) -> None:
        for _ in range(steps):
            loss = self.run.train_step()["loss"]
            if self.run.step > len(self.losses):
                self.losses.append(self.unbroken.train_step()["loss"])
            assert loss == self.losses[self.run.step - 1], "a resumed run repeats the same bits"
        if self.run.step == self.unbroken.step:
            assert numbers(self.run) == numbers(self.unbroken)

    @rule()
    def save(self) -> None:
        self.write()

    @rule(seed=st.integers(0, 9))
    def kill_and_resume(self, seed: int) -> None:
        torch.manual_seed(seed)  # another process has another global state
        self.run = build(self.kind)
        for parameter in self.run.policy.parameters():
            parameter.data.add_(1.0)  # everything must come from the checkpoint
        state = load_checkpoint(self.folder / "run.ckpt", {"kind": self.kind})
        self.run.load_state_dict(state)
        assert self.run.step == self.saved_step

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


Interrupted.TestCase.settings = settings(max_examples=15, stateful_step_count=10)
TestInterrupted = Interrupted.TestCase


def test_process_wide_randomness_is_restored_too() -> None:
    import random

    import numpy as np

    trainer = build(0)
    state = trainer.state_dict()

    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    before = draw()
    assert draw() != before
    trainer.load_state_dict(state)
    assert draw() == before
