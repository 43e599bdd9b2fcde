"""Environments without moves back: games, whose positions do not say how they were reached."""

import pytest
import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import enumerate_states
from gflow.exact.tabular import TabularPolicy
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.policies.mlp import MLPPolicy
from gflow.rewards.base import FunctionReward
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs
from gflow.testing import BrokenEnvironmentError, check_env


class Heap(DiscreteEnvironment[Tensor]):
    """A heap of stones, from which two players take one or two in turn; the last one wins."""

    num_actions, num_players, horizon = 2, 2, 5
    feature_sizes, num_keys = (6, 2), 12

    def __init__(self) -> None:
        self.reward = FunctionReward(lambda s: torch.where(s[:, 1] == 1, 1.0, -1.0))

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.tensor([5, 0], device=device).repeat(batch_size, 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        return states[:, :1] >= torch.tensor([1, 2])

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([states[:, 0] - actions - 1, 1 - states[:, 1]], 1)

    def mover(self, states: Tensor) -> Tensor:
        return 1 - 2 * states[:, 1]

    def key(self, states: Tensor) -> Tensor:
        return states[:, 0] * 2 + states[:, 1]


def test_five_functions_make_a_game() -> None:
    checked = check_env(Heap())
    assert (checked.num_states, checked.num_transitions, checked.longest) == (10, 14, 5)
    assert not Heap.has_backward


def test_the_checker_knows_the_source_without_moves_back() -> None:
    class Lost(Heap):
        def is_initial(self, states: Tensor) -> Tensor:
            return states[:, 0] >= 4

    with pytest.raises(BrokenEnvironmentError, match="initial-state"):
        check_env(Lost())


def test_what_walks_back_is_refused() -> None:
    env = Heap()
    policy = MLPPolicy(env, 8, backward="uniform", log_flow=1)
    trajectories = Sampler(env).forward(policy, 6, generator=torch.Generator().manual_seed(0))
    graph = enumerate_states(env)
    message = "no moves back"
    with pytest.raises(IncompatibleError, match=message):
        Sampler(env).backward(policy, trajectories.final_states)
    with pytest.raises(IncompatibleError, match=message):
        graph.exact_flows()
    for kind in ("learned", "maxent"):
        with pytest.raises(IncompatibleError, match=message):
            MLPPolicy(env, 8, backward=kind)
    for objective in (TrajectoryBalance(), DetailedBalance()):
        with pytest.raises(IncompatibleError, match="atb"):
            objective.check(env, policy)
    with pytest.raises(IncompatibleError, match=message):
        env.backstep(trajectories.final_states, torch.zeros(6, dtype=torch.int64))


def test_terms_hold_no_backward_probability() -> None:
    env = Heap()
    policy = TabularPolicy(enumerate_states(env))
    trajectories = Sampler(env).forward(policy, 20, generator=torch.Generator().manual_seed(0))
    terms = evaluate(env, policy, trajectories, Needs(log_flow=True, mover=True))
    assert not bool(terms.log_pb.any())
    assert terms.mover is not None
    expected = torch.tensor([1, -1, 1, -1, 1])[: terms.mover.shape[1]]
    assert torch.equal(terms.mover, expected.where(terms.mask, 0))
    again = Sampler(env).along(trajectories.actions, trajectories.length)
    assert torch.equal(again.length, trajectories.length)
    assert torch.equal(again.log_reward, trajectories.log_reward)
