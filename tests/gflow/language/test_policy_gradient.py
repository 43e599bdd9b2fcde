"""Listed texts, and policy gradients against exact ones."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, enumerate_states, evaluate
from gflow.errors import ConfigError
from gflow.language import (
    GradientConfig,
    HuggingFacePolicy,
    LanguageModel,
    ListedTexts,
    LookupTool,
    PolicyGradient,
    Prompts,
    ReferenceLM,
    TokenEnvironment,
    less_others,
    surrogate,
)

PROMPTS = Prompts([[1, 2], [2, 2, 1]])
STOP = 0


def made(length: int = 2, prompts: Prompts = PROMPTS, **more: Any) -> HuggingFacePolicy:
    """A policy over the texts of three letters, whose adapters say something."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=4, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: Any = GPT2LMHeadModel(config)
        model = LanguageModel(network.to(torch.float64)).adapt(rank=2)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.data.normal_(0.0, 0.5)
    reward = ReferenceLM(model, prompts, STOP, 0.5)
    settings: Any = {"min_length": 1, "prompts": prompts, **more}
    env = TokenEnvironment(4, STOP, reward, length, **settings)
    policy = HuggingFacePolicy(env, model)
    policy.env = env  # type: ignore[assignment]
    return policy


def gradients(policy: HuggingFacePolicy, value: Tensor) -> Tensor:
    trained = [p for p in policy.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, trained, allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def test_listed_texts_are_all_there_and_their_law_is_that_of_the_states() -> None:
    policy = made(prompts=Prompts([[1]]))
    env: Any = policy.env
    listed = ListedTexts(env)
    law = listed.log_law(policy)
    assert len(listed) == 3 + 9
    assert listed.texts[:4] == ["1", "2", "3", "1 1"]
    assert float(law.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    graph = enumerate_states(env)
    texts = env.show(graph.states)
    theirs = graph.terminal_distribution(policy)
    wanted = {texts[i]: float(p) for i, p in zip(graph.objects.tolist(), theirs, strict=True)}
    for text, value in zip(listed.texts, law.tolist(), strict=True):
        assert value == pytest.approx(wanted[text], abs=1e-10)
    assert float(listed.log_target.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_texts_of_a_prompt_are_listed_by_its_number_and_not_too_many() -> None:
    policy = made()
    env: Any = policy.env
    one, two = (ListedTexts(env, number) for number in (0, 1))
    assert (two.trajectories.final_states.prompt == 1).all()
    assert not torch.allclose(one.log_law(policy), two.log_law(policy))
    assert not torch.allclose(one.log_target, two.log_target)
    with pytest.raises(ConfigError, match="there are 12 texts"):
        ListedTexts(env, limit=11)
    told: Any = made(tool=LookupTool({2: 3})).env
    with pytest.raises(ConfigError, match="tool"):
        ListedTexts(told)


@pytest.mark.parametrize(("kl", "entropy"), [(0.0, 0.0), (0.7, 0.0), (0.0, 1.0)])
def test_the_expected_gradient_is_the_exact_one(kl: float, entropy: float) -> None:
    """Over all pairs of texts that a batch of two may hold, each the other's baseline."""
    policy = made(prompts=Prompts([[1]]))
    env: Any = policy.env
    listed = ListedTexts(env)
    terms = evaluate(env, policy, listed.trajectories)
    log_q = terms.log_pf.sum(1)
    with policy.model.reference():
        log_p = listed.log_law(policy)
    value = terms.log_reward - kl * (log_q - log_p) - entropy * log_q
    exact = gradients(policy, (log_q.exp() * value).sum())

    config = GradientConfig(batch_size=2, kl=kl, entropy=entropy)
    old, earned = PolicyGradient(env, policy, config).earned(listed.trajectories)
    torch.testing.assert_close(earned, value.detach())
    count = len(listed)
    pair = torch.cartesian_prod(torch.arange(count), torch.arange(count)).flatten()
    group = torch.arange(count * count).repeat_interleave(2)[:, None]
    advantage = less_others(earned[pair], group)
    terms = evaluate(env, policy, listed.trajectories)
    gain = surrogate(terms.log_pf[pair], old[pair], advantage, listed.trajectories.mask[pair], 0.2)
    both = old.sum(1)[pair].view(-1, 2).sum(1).exp().repeat_interleave(2)
    torch.testing.assert_close(gradients(policy, (both * gain).sum() / 2), exact)


def test_a_step_climbs_from_the_batch_that_was_drawn() -> None:
    policy = made()
    env: Any = policy.env
    config = GradientConfig(batch_size=8, seed=3, kl=0.3)
    trainer = PolicyGradient(env, policy, config, PROMPTS.sampler(4))
    trained = [p for p in policy.parameters() if p.requires_grad]
    trainer.optimizer = torch.optim.SGD(trained, 0.01)  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(3)
    condition = PROMPTS.sampler(4)(8, generator)
    batch = Sampler(env).forward(policy, 8, condition=condition, generator=generator)
    _, earned = trainer.earned(batch)
    other = torch.stack(
        [
            earned[[j for j in range(8) if j != i and condition[j] == condition[i]]].mean()
            for i in range(8)
        ]
    )
    log_q = evaluate(env, policy, batch).log_pf.sum(1)
    wanted = gradients(policy, ((earned - other) * log_q).mean())
    before = torch.cat([p.detach().flatten() for p in trained])
    numbers = trainer.train_step()
    after = torch.cat([p.detach().flatten() for p in trained])
    torch.testing.assert_close((after - before) / 0.01, wanted)
    assert numbers["mean_log_reward"] == pytest.approx(float(batch.log_reward.mean()))


def test_ratios_gain_nothing_by_leaving_the_clip() -> None:
    ratio = torch.tensor([[0.5, 0.9, 1.0, 1.1, 1.5]])
    old = torch.full((1, 5), -1.0)
    mask = torch.tensor([[True, True, True, True, True]])
    for advantage, moves in ((2.0, [1, 1, 1, 1, 0]), (-2.0, [0, 1, 1, 1, 1])):
        now = (old + ratio.log()).requires_grad_()
        value = surrogate(now, old, torch.tensor([advantage]), mask, 0.2).sum()
        (found,) = torch.autograd.grad(value, now)
        torch.testing.assert_close(found, advantage * ratio * torch.tensor([moves]))
    part = surrogate(old, old, torch.tensor([2.0]), torch.tensor([[True] * 2 + [False] * 3]), 0.2)
    assert part.tolist() == [4.0]  # what is no move adds nothing


def test_several_epochs_go_further_on_a_batch_and_rates_halve() -> None:
    moved = {}
    for epochs in (1, 3):
        policy = made(prompts=Prompts([[1]]))
        env: Any = policy.env
        config = GradientConfig(steps=2, batch_size=8, lr=1e-3, lr_half_life=1, epochs=epochs)
        trainer = PolicyGradient(env, policy, config)
        trained = [p for p in policy.parameters() if p.requires_grad]
        before = torch.cat([p.detach().flatten().clone() for p in trained])
        trainer.train()
        moved[epochs] = (torch.cat([p.detach().flatten() for p in trained]) - before).norm()
        assert trainer.step == 2
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4)
    assert moved[3] > 2 * moved[1]


def test_a_text_alone_has_no_baseline() -> None:
    policy = made()
    trainer = PolicyGradient(policy.env, policy, GradientConfig(), PROMPTS.sampler(1))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="sampler\\(repeat"):
        less_others(torch.zeros(3), torch.tensor([[0.0], [0.0], [1.0]]))
    assert trainer.step == 0
