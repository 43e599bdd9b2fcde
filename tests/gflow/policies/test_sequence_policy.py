"""The same numbers thrice: prefix by prefix, with remembered keys and values, in one pass."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward, Sampler, enumerate_states, evaluate
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.errors import ConfigError, IncompatibleError
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, SubTrajectoryBalance, TrajectoryBalance
from gflow.policies.base import Policy, Session
from gflow.policies.transformer import CausalTransformer
from gflow.rewards.base import LogReward
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig, Trainer

REWARD: Any = FunctionReward(lambda states: (states + 1).double().sqrt().sum(-1).sin())
NEEDS = Needs(log_flow=True, whole=False)


class Forgetful(CausalTransformer):
    """The same network without a memory and without the pass over whole sequences."""

    of_trajectories = Policy.of_trajectories

    def begin(self, env: Any, count: int, condition: Tensor | None = None) -> Session | None:
        return None


def pair(env: Any, **options: Any) -> tuple[CausalTransformer, Forgetful]:
    generator = torch.Generator().manual_seed(3)
    policy = CausalTransformer(env, 16, 2, 4, True, generator=generator, **options)
    other = Forgetful(env, 16, 2, 4, True, **options)
    other.load_state_dict(policy.state_dict())
    return policy, other


def environments() -> list[Any]:
    return [Autoregressive("abc", 7, REWARD), VariableLength("abc", 7, REWARD, min_length=2)]


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_logits_with_memory_equal_those_without(env: Any, plan: Any) -> None:
    policy, other = pair(env)
    seen: list[tuple[Tensor, Tensor]] = []

    class Watched(CausalTransformer):
        def begin(self, env: Any, count: int, condition: Tensor | None = None) -> Any:
            inner = super().begin(env, count, condition)

            def session(states: Tensor, rows: Tensor) -> Tensor:
                assert inner is not None
                logits = inner(states, rows)
                seen.append((states, logits))
                return logits

            return session

    watched = Watched(env, 16, 2, 4, True)
    watched.load_state_dict(policy.state_dict())
    batch = Sampler(env, plan).forward(watched, 60, generator=torch.Generator().manual_seed(0))
    assert len(seen) >= 7
    live = 0
    for time, (states, logits) in enumerate(seen):
        going = env.filled(states) == time  # on the static plan finished rows step along
        live += int(going.sum())
        torch.testing.assert_close(
            logits[going], other.forward_logits(env, states[going]), atol=1e-10, rtol=0
        )
    assert live >= int(batch.length.sum()) - len(batch)


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_samples_with_memory_equal_those_without(env: Any, plan: Any) -> None:
    policy, other = pair(env)
    batches = [
        Sampler(env, plan, share=False).forward(p, 50, generator=torch.Generator().manual_seed(5))
        for p in (policy, other)
    ]
    assert torch.equal(batches[0].actions, batches[1].actions)
    assert len(batches[0].length.unique()) > (env.name == "VariableLength")


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
def test_one_pass_gives_the_terms_of_all_prefixes(env: Any) -> None:
    policy, other = pair(env)
    generator = torch.Generator().manual_seed(1)
    sampler = Sampler(env)
    own = sampler.forward(policy, 40, generator=generator)
    shared = sampler.forward(other, 40, generator=generator)  # equal prefixes are stored once
    assert shared.num_states < int(shared.length.sum())
    back = sampler.backward(policy, own.final_states, generator=generator)
    cut = own.truncate(torch.randint(1, 6, (40,), generator=generator))
    some = shared.select(torch.tensor([3, 1, 20]))
    begin = (torch.rand(40, generator=generator) * own.length).long()
    part = own.part(begin, torch.minimum(begin + 2, own.length))
    both = type(own).join([own, shared])
    for batch in (own, shared, back, cut, some, both, part):
        terms = [evaluate(env, p, batch, NEEDS) for p in (policy, other)]
        for name in ("log_pf", "log_pb", "log_flow"):
            values = [getattr(term, name) for term in terms]
            torch.testing.assert_close(values[0], values[1], atol=1e-10, rtol=0)
        gradients = []
        for p, term in zip((policy, other), terms, strict=True):
            p.zero_grad()
            ((term.log_pf.cos() + term.log_pb).sum() + term.log_flow.sin().sum()).backward()  # type: ignore[union-attr]
            gradients.append([parameter.grad for parameter in p.parameters()])
        for mine, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=0)


def test_outputs_are_in_the_order_of_the_store() -> None:
    env = VariableLength("ab", 4, REWARD)
    policy, _ = pair(env)
    batch = Sampler(env).forward(policy, 30, generator=torch.Generator().manual_seed(2))
    together = policy.of_trajectories(env, batch)
    apart = policy(env, batch.states)
    torch.testing.assert_close(together.forward_logits, apart.forward_logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(together.log_flow, apart.log_flow, atol=1e-10, rtol=0)


def test_conditions_reach_every_position() -> None:
    env = Autoregressive("abc", 5, REWARD)
    env.reward = FunctionReward(lambda states: REWARD(states))
    env.condition_dim = 2
    policy, other = pair(env)
    given = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))

    class Conditional(LogReward[Tensor]):
        def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            plain: Tensor = REWARD(states)
            return plain + condition[:, 0]

    env.reward = Conditional()
    batches = [
        Sampler(env).forward(p, 30, condition=given, generator=torch.Generator().manual_seed(5))
        for p in (policy, other)
    ]
    assert torch.equal(batches[0].actions, batches[1].actions)
    terms = [evaluate(env, p, batches[0], NEEDS) for p in (policy, other)]
    torch.testing.assert_close(terms[0].log_pf, terms[1].log_pf, atol=1e-10, rtol=0)
    changed = evaluate(
        env, policy, batches[0].__class__(**{**vars(batches[0]), "condition": -given}), NEEDS
    )
    assert (changed.log_pf - terms[0].log_pf).abs().min(1).values.max() > 1e-6
    with pytest.raises(ConfigError, match="is conditional"):
        policy(env, env.initial(1))


@pytest.mark.slow
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance, SubTrajectoryBalance])
@pytest.mark.parametrize("kind", [Autoregressive, VariableLength])
def test_training_reaches_the_target(kind: Any, objective: Any) -> None:
    torch.manual_seed(0)
    reward: FunctionReward[Tensor] = FunctionReward(
        lambda s: 3 * (s + 1).double().sqrt().sum(-1).sin()
    )
    env = kind("abc", 3, reward)
    policy = CausalTransformer(env, 16, 1, 2, log_flow=objective.needs.log_flow)
    config = TrainConfig(batch_size=64, lr=1e-2, steps=250, lr_half_life=80)
    Trainer(env, policy, objective(), config).train()
    graph = enumerate_states(env)
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.06


def test_what_it_cannot_read_is_refused() -> None:
    for kind in (PrependAppend, AnyOrder):
        with pytest.raises(IncompatibleError, match=f"{kind.__name__} does not promise"):
            CausalTransformer(kind("ab", 3, REWARD))
    with pytest.raises(ConfigError, match="multiple of heads"):
        CausalTransformer(Autoregressive("ab", 3, REWARD), width=10, heads=4)
