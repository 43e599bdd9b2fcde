"""What a reward may return: numbers in any form work, anything else is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gflow import FunctionReward, HostReward, LogReward, MLPPolicy
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import RewardError
from gflow.objectives import TrajectoryBalance
from gflow.rewards.remembering import CachedReward
from gflow.rewards.values import real
from gflow.rewards.vector import VectorReward
from gflow.rewards.wrappers import Clipped, TemperatureConditional, Tempered
from gflow.training.config import TrainConfig
from gflow.training.trainer import Trainer

CELLS = torch.tensor([[0, 1], [3, 2], [0, 0]])
SUMS = [1, 5, 0]

FORMS = {
    "int tensor": lambda s: s.sum(-1),
    "int8 tensor": lambda s: s.sum(-1).to(torch.int8),
    "list of ints": lambda s: s.sum(-1).tolist(),
    "list of floats": lambda s: [float(x) for x in s.sum(-1).tolist()],
    "tuple": lambda s: tuple(s.sum(-1).tolist()),
    "list of tensors": lambda s: list(s.sum(-1).unbind()),
    "numpy floats": lambda s: s.sum(-1).numpy().astype(np.float32),
    "numpy ints": lambda s: s.sum(-1).numpy(),
    "list of numpy numbers": lambda s: list(s.sum(-1).numpy()),
}
NO_NUMBERS = {
    "truth tensor": (lambda s: s.sum(-1) > 1, r"truth values \(Tensor of torch.bool"),
    "truth list": (lambda s: (s.sum(-1) > 1).tolist(), r"truth values \(list \[False, True"),
    "a truth value among numbers": (lambda s: [1.0, True, 2.0], "truth values"),
    "numpy truth": (lambda s: (s.sum(-1) > 1).numpy(), r"truth values \(ndarray of bool"),
    "words": (lambda s: ["a", "b", "c"], r"returned list \['a', 'b', 'c'\]. Return a float"),
    "nothing": (lambda s: None, "returned NoneType None. Return a float tensor with one"),
    "complex": (lambda s: s.sum(-1) * 1j, r"Tensor of torch.complex\d+ with shape \(3,\)"),
    "ragged": (lambda s: [[1.0], [1.0, 2.0], [0.0]], "returned list .*Return a float tensor"),
    "a dictionary": (lambda s: {"reward": 1.0}, "returned dict .*Return a float tensor"),
}


class Plain(LogReward[Tensor]):
    """A user's class that returns whatever its function does."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.function(states)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [FunctionReward, Plain])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_in_any_form_are_log_rewards(kind: Any, form: str, dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    value = HyperGrid(2, 4, kind(FORMS[form])).log_reward(CELLS)
    torch.testing.assert_close(value, torch.tensor(SUMS, dtype=dtype), check_dtype=True)


@pytest.mark.parametrize("kind", [FunctionReward, Plain])
@pytest.mark.parametrize("form", FORMS)
def test_whole_numbers_within_wrappers_round_nothing(kind: Any, form: str) -> None:
    reward, sums = kind(FORMS[form]), torch.tensor(SUMS).double()
    beta = torch.tensor([[0.5], [1.5], [0.25]])
    torch.testing.assert_close(Tempered(reward, 0.5)(CELLS), 0.5 * sums)
    torch.testing.assert_close(Clipped(reward, 0.5, 1.5)(CELLS), sums.clamp(0.5, 1.5))
    torch.testing.assert_close(TemperatureConditional(reward)(CELLS, beta), beta[:, 0] * sums)
    torch.testing.assert_close(CachedReward(reward, HyperGrid(2, 4).key)(CELLS), sums)
    partial = FunctionReward(FORMS[form], partial=True)
    torch.testing.assert_close(Tempered(partial, 0.5).partial(CELLS), 0.5 * sums)
    torch.testing.assert_close(Clipped(partial, 0.5, 1.5).partial(CELLS), sums.clamp(0.5, 1.5))
    torch.testing.assert_close(
        TemperatureConditional(partial).partial(CELLS, beta), beta[:, 0] * sums
    )


@pytest.mark.parametrize("kind", [FunctionReward, Plain])
@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: Tempered(r, 2.0), lambda r: Clipped(r, 0)])
@pytest.mark.parametrize("form", NO_NUMBERS)
def test_what_is_no_number_is_refused_with_what_to_return(kind: Any, wrap: Any, form: str) -> None:
    function, message = NO_NUMBERS[form]
    with pytest.raises(RewardError, match=rf"[Tt]he reward .*{message}"):
        HyperGrid(2, 4, wrap(kind(function))).log_reward(CELLS)


@pytest.mark.parametrize(
    "score",
    [
        lambda words: [w.count("A") for w in words],
        lambda words: np.array([w.count("A") for w in words]),
        lambda words: torch.tensor([w.count("A") for w in words]),
        lambda words: [np.float32(w.count("A")) for w in words],
        lambda words: tuple(torch.tensor(w.count("A")) for w in words),
    ],
)
def test_host_rewards_may_count(score: Any) -> None:
    reward: HostReward[Tensor] = HostReward(lambda states: ["AAB", "B", "AAB", "A"], score)
    value = reward(torch.zeros(4, 1))
    torch.testing.assert_close(value, torch.tensor([2.0, 0.0, 2.0, 1.0]))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda words: [1.0], "returned 1 values for 2 objects. Return a list of floats, one for"),
        (lambda words: [1.0, None], "returned NoneType None for the object 'B'. Return a float"),
        (lambda words: ["x", 1.0], "returned str 'x' for the object 'A'"),
        (lambda words: [True, False], "returned bool True for the object 'A'"),
        (lambda words: [[1.0, 2.0], [3.0, 4.0]], r"returned list \[1.0, 2.0\] for the object 'A'"),
        (lambda words: 3.0, "returned float 3.0. Return a list of floats"),
        (lambda words: None, "returned NoneType None. Return a list of floats"),
    ],
)
def test_host_rewards_name_the_object(score: Any, message: str) -> None:
    reward: HostReward[Tensor] = HostReward(lambda states: ["A", "B"], score)
    with pytest.raises(RewardError, match=rf"The reward HostReward\(.*\) {message}"):
        reward(torch.zeros(2, 1))


def test_scores_may_be_whole_numbers_too() -> None:
    class Two(VectorReward[Tensor]):
        num_scores = 2

        def scores(self, states: Tensor) -> Tensor:
            return (states + 1).numpy()  # type: ignore[return-value]

    env = HyperGrid(2, 4, Two())
    torch.testing.assert_close(env.scores(CELLS), (CELLS + 1).double())
    torch.testing.assert_close(env.log_reward(CELLS), (CELLS + 1).double().mean(-1).log())


def test_floats_are_handed_through_with_their_gradient() -> None:
    value = torch.zeros(3, dtype=torch.float32, requires_grad=True)
    assert real(value, "it") is value
    assert real([value.sum(), value.sum()], "it").requires_grad


def test_a_reward_that_counts_trains() -> None:
    env = HyperGrid(2, 4, FunctionReward(lambda states: states.sum(-1)))
    config = TrainConfig(steps=3, batch_size=8)
    last = Trainer(env, MLPPolicy(env, width=8), TrajectoryBalance(), config).train()
    assert last["mean_log_reward"] % 0.125 == 0  # the mean of eight whole numbers
    assert 0 < last["mean_log_reward"] < 6
