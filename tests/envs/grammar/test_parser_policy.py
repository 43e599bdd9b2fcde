"""The parser's network: shortcuts for trajectories give what single states give."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, evaluate
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.known import known_grammar
from gflow.envs.grammar.model import FixedGrammar
from gflow.envs.grammar.neural import NeuralGrammar
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives.forward_looking import ForwardLookingSubTrajectoryBalance
from gflow.state import take
from gflow.trajectories import Trajectories


@pytest.fixture(params=["cfg", "ncfg"])
def env(request: pytest.FixtureRequest, sentences: Tensor) -> Parser:
    grammar = NeuralGrammar(3, 2, 4, request.param, 8, generator=torch.Generator().manual_seed(0))
    reward = GrammarReward(grammar, sentences)
    return Parser(reward.data, reward, 3)


@pytest.fixture
def policy(env: Parser) -> ParserPolicy:
    torch.manual_seed(0)
    policy = ParserPolicy(env, 16, 2, 4, "learned", log_flow=True, word_cost=1.5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.2)
    return policy


def batch_of(env: Parser, policy: ParserPolicy, limit: int | None = None) -> Trajectories[Any]:
    condition = torch.arange(24.0)[:, None] % 3
    generator = torch.Generator().manual_seed(1)
    return Sampler(env).forward(policy, 24, condition=condition, generator=generator, limit=limit)


@pytest.mark.parametrize("limit", [None, 2])
def test_trajectories_share_what_they_read(
    env: Parser, policy: ParserPolicy, limit: int | None
) -> None:
    batch = batch_of(env, policy, limit)
    shared = policy.of_trajectories(env, batch, batch.condition_of_states)
    alone = policy(env, batch.states)
    mask = env.forward_mask(batch.states)
    torch.testing.assert_close(shared.forward_logits[mask], alone.forward_logits[mask])
    back = env.backward_mask(batch.states)
    assert shared.backward_logits is not None
    assert alone.backward_logits is not None
    torch.testing.assert_close(shared.backward_logits[back], alone.backward_logits[back])
    torch.testing.assert_close(shared.log_flow, alone.log_flow)
    torch.testing.assert_close(policy.forward_logits(env, batch.states), alone.forward_logits)
    torch.testing.assert_close(policy.backward_logits(env, batch.states), alone.backward_logits)


def test_rollouts_remember_what_they_read(env: Parser, policy: ParserPolicy) -> None:
    """Step by step, the shorter sentences leaving on the way."""
    batch = batch_of(env, policy)
    session = policy.begin(env, len(batch), batch.condition)
    assert session is not None
    for time in range(int(batch.length.max())):
        rows = (batch.length > time).nonzero().squeeze(1)
        states = take(batch.states_at(time), rows)
        torch.testing.assert_close(session(states, rows), policy.forward_logits(env, states))
    assert set(batch.length.tolist()) == {1, 3, 4}


def test_both_plans_walk_alike(env: Parser, policy: ParserPolicy) -> None:
    """With all rows to the horizon, and with those alone that go on."""
    told, actions = torch.arange(24.0)[:, None] % 3, []
    for plan in ("ragged", "static"):
        generator = torch.Generator().manual_seed(1)
        batch = Sampler(env, plan).forward(policy, 24, condition=told, generator=generator)
        terms = evaluate(env, policy, batch)
        assert bool((terms.log_pf.where(batch.mask, 0.0) <= 0).all())
        assert env.is_terminal(batch.final_states).all()
        actions.append(batch.actions[:, 0])
    assert torch.equal(*actions)


def test_rows_do_not_depend_on_others(env: Parser, policy: ParserPolicy) -> None:
    """Padding of shorter sentences, and forests of fewer trees, change nothing."""
    states = batch_of(env, policy).states
    all_logits = policy(env, states)
    for row in range(0, len(states.words), 7):
        one = policy(env, take(states, torch.tensor([row])))
        torch.testing.assert_close(one.forward_logits[0], all_logits.forward_logits[row])
        assert one.log_flow is not None
        assert all_logits.log_flow is not None
        torch.testing.assert_close(one.log_flow[0], all_logits.log_flow[row])


def test_labels_are_chosen_given_the_pair(env: Parser, policy: ParserPolicy) -> None:
    """The logits of a gap are those of its labels, and sum to that of the pair alone."""
    states = env.start(1, condition=torch.tensor([[0.0]]))
    logits = policy.forward_logits(env, states).view(4, 3)
    with torch.no_grad():
        policy.ahead.weight[1:] += 1.0
    changed = policy.forward_logits(env, states).view(4, 3)
    torch.testing.assert_close(changed.logsumexp(-1), logits.logsumexp(-1))


def test_flows_begin_near_the_probability_of_random_words(env: Parser) -> None:
    torch.manual_seed(0)
    policy = ParserPolicy(env, 16, log_flow=True, word_cost=10.0)
    source = env.start(3, condition=torch.tensor([[0.0], [1.0], [2.0]]))
    flow = policy(env, source).log_flow
    assert flow is not None
    torch.testing.assert_close(flow, torch.tensor([-50.0, -40.0, -20.0]), atol=5.0, rtol=0.0)


def test_the_reward_of_trajectories_scores_each_node_once(
    env: Parser, policy: ParserPolicy
) -> None:
    """The same as state by state; energies of a trajectory end at -log R."""
    batch = batch_of(env, policy)
    reward = env.reward
    assert isinstance(reward, GrammarReward)
    condition = batch.condition_of_states
    together = reward.of_trajectories(env, batch, condition)
    torch.testing.assert_close(together, reward.partial(batch.states, condition))
    last = batch.state_index.gather(1, batch.length[:, None]).squeeze(1)
    torch.testing.assert_close(together[last], batch.log_reward)
    source = env.is_initial(batch.states)
    assert not together[source].any()
    needs = ForwardLookingSubTrajectoryBalance.needs
    energy = evaluate(env, policy, batch, needs).energy
    assert energy is not None
    assert float(energy[:, 0].abs().max()) == 0
    assert (energy.diff(dim=1)[batch.mask] >= 0).all()  # what is settled costs probability


def test_other_environments_and_widths_are_refused(env: Parser) -> None:
    with pytest.raises(IncompatibleError, match="HyperGrid has none"):
        ParserPolicy(HyperGrid(2, 4))
    with pytest.raises(ConfigError, match="multiple of heads"):
        ParserPolicy(env, width=10, heads=4)


def test_fixed_grammars_can_be_smoothed(sentences: Tensor) -> None:
    """Nothing is impossible then, and every distribution still sums to one."""
    rules = FixedGrammar(known_grammar("pairs").rules, smoothing=0.1).rules()
    for part, dims in ((rules.top, (0,)), (rules.pairs, (-1, -2)), (rules.words, (-1,))):
        assert part.isfinite().all()
        total = part.exp().sum(dims)
        torch.testing.assert_close(total, torch.ones_like(total))
    assert float(rules.pairs[0, 1].exp().max()) == pytest.approx(0.9 * 0.5 + 0.1 / 25)
