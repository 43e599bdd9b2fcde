"""Rows of data, their numbers as conditions, and log p(x, z) as a reward."""

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.em import DataEncoder, JointReward, LatentModel, Observations
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError, IncompatibleError
from gflow.state import take

if TYPE_CHECKING:
    from tests.gflow.em.conftest import Tables


class OnlyJoint(LatentModel):
    """log p(x, z) and nothing else."""

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return (x * z).sum(-1)


def test_the_target_of_a_row_is_its_posterior_and_log_z_its_marginal(
    env: AnyOrder, model: "Tables", words: Tensor
) -> None:
    graph = enumerate_states(env)
    objects = take(graph.states, graph.objects)
    joint = model.table()[:, objects[:, 0] * 3 + objects[:, 1]]
    for row, word in enumerate(words[:, 0].tolist()):
        given = torch.tensor([[float(row)]])
        torch.testing.assert_close(graph.log_target(given), joint[word].log_softmax(0))
        flows = graph.exact_flows(condition=given)
        assert flows.log_z == pytest.approx(float(joint[word].logsumexp(0)), abs=1e-12)


class Elsewhere(LatentModel):
    """A model on another device, as far as that can be told without one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, device="meta"))

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        assert (x.device.type, z.device.type) == ("meta", "meta")
        return torch.ones(len(z))

    def partial_log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return 2 * self.log_prob(x, z)


def test_the_model_is_asked_where_it_is(words: Tensor) -> None:
    """Lists of states are on the CPU, wherever training is."""
    reward = JointReward(Elsewhere(), words)
    z, given = torch.tensor([[0, 1], [2, 2]]), torch.tensor([[1.0], [0.0]])
    assert reward(z, given).tolist() == [1.0, 1.0]
    assert reward.partial(z, given).tolist() == [2.0, 2.0]


def test_rewards_send_no_gradient_into_the_model(reward: JointReward) -> None:
    value = reward(torch.tensor([[0, 1]]), torch.tensor([[2.0]]))
    assert not value.requires_grad


def test_dreams_stand_behind_the_data_until_the_next_and_leave_it_as_it_is(words: Tensor) -> None:
    data = Observations(words)
    assert torch.equal(data.dream(torch.tensor([[3], [0]])), torch.tensor([[7.0], [8.0]]))
    assert data.rows(torch.tensor([[8.0], [1.0], [7.0]])).tolist() == [[0], [1], [3]]
    assert torch.equal(data.dream(torch.tensor([[2], [2]])), torch.tensor([[9.0], [10.0]]))
    assert data.rows(torch.tensor([[9.0], [10.0], [6.0]])).tolist() == [[2], [2], [3]]
    assert data.dream(torch.tensor([[1]])).tolist() == [[11.0]]
    assert data.rows(torch.tensor([[11.0]])).tolist() == [[1]]
    assert torch.equal(data.data, words)
    assert len(data) == 7
    for gone in (7.0, 10.0, 12.0):
        with pytest.raises(ConfigError, match=f"no row {gone:g} among 7 rows of data and the 1"):
            data.rows(torch.tensor([[gone]]))


def test_numbers_of_dreams_begin_anew_before_floats_cannot_tell_them_apart(words: Tensor) -> None:
    data = Observations(words)
    data._first = 2**24 - 3
    assert data.dream(torch.tensor([[0], [1], [2]]))[:, 0].tolist() == [
        2**24 - 3,
        2**24 - 2,
        2**24 - 1,
    ]
    again = data.dream(torch.tensor([[3], [1], [2]]))
    assert again[:, 0].tolist() == [7.0, 8.0, 9.0]
    assert data.rows(again.float()).tolist() == [[3], [1], [2]]


@pytest.mark.parametrize("wrong", [-1.0, 7.0, 0.5])
def test_conditions_that_call_no_row_are_refused(words: Tensor, wrong: float) -> None:
    with pytest.raises(ConfigError, match=f"no row {wrong:g} among 7"):
        Observations(words).rows(torch.tensor([[0.0], [wrong]]))


def test_what_makes_no_sense_is_refused(words: Tensor, reward: JointReward) -> None:
    data = Observations(words)
    with pytest.raises(ConfigError, match="got none"):
        reward(torch.tensor([[0, 1]]))
    with pytest.raises(ConfigError, match="between 1 and"):
        Observations(words[:0])
    with pytest.raises(IncompatibleError, match="must return x as rows"):
        data.dream(torch.tensor([[1.0]]))
    with pytest.raises(ConfigError, match="must be a `LatentModel`"):
        JointReward(nn.Linear(2, 1), words)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Pass `out_features`"):
        DataEncoder(data, nn.Sequential())
    with pytest.raises(IncompatibleError, match="finished latents only"):
        JointReward(OnlyJoint(), words).partial(torch.tensor([[0, 1]]), torch.tensor([[0.0]]))
    with pytest.raises(IncompatibleError, match="cannot be sampled from"):
        OnlyJoint().sample(3)
    assert not JointReward(OnlyJoint(), words).has_partial


class Counting(nn.Embedding):
    """An embedding of words that counts the rows it reads."""

    out_features, read = 5, 0

    def forward(self, x: Tensor) -> Tensor:
        self.read += len(x)
        return super().forward(x).squeeze(1)


def test_encoders_read_each_row_once_and_give_it_to_all_that_ask(words: Tensor) -> None:
    network = Counting(4, 5)
    encoder = DataEncoder(words, network)
    asked = torch.tensor([3, 0, 3, 5, 0, 3])
    features = encoder(asked.double()[:, None])
    assert network.read == 3
    torch.testing.assert_close(features, network.weight[words[asked, 0]])
    plain = DataEncoder(words)
    assert plain.out_features == 1
    assert plain(asked.double()[:, None]).tolist() == words[asked].double().tolist()


def test_policies_and_their_copies_read_what_the_reward_dreams(
    env: AnyOrder, reward: JointReward
) -> None:
    torch.manual_seed(0)
    policy = MLPPolicy(env, 8, condition_encoder=DataEncoder(reward.data, Counting(4, 5)))
    average = copy.deepcopy(policy)
    given = reward.data.dream(torch.tensor([[3]]))
    as_data = torch.tensor([[3.0]])  # the row that holds the same word
    for network in (policy, average):
        states = env.initial(1)
        torch.testing.assert_close(
            network.forward_logits(env, states, given), network.forward_logits(env, states, as_data)
        )
    batch = Sampler(env).forward(policy, 4, condition=given.expand(4, -1))
    again = env.log_reward(batch.final_states, as_data.expand(4, -1))
    torch.testing.assert_close(batch.log_reward, again)
