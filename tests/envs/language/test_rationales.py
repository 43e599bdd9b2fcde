"""Rationale classification by EM: rewards, M-steps and votes against what a plain model says."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, TrainConfig, Trainer
from gflow.em.pace import Every
from gflow.envs.language.rationale_labels import LabelHead, sharing
from gflow.envs.language.rationale_mstep import LabelFit, LabelStep
from gflow.envs.language.rationale_reward import RationaleReward
from gflow.envs.language.rationale_votes import majority, rationales, votes, without_rationales
from gflow.errors import ConfigError, NonFiniteLossError, RewardError
from gflow.language import HuggingFacePolicy, LanguageModel, Prompts, TokenEnvironment
from gflow.language.env import Text
from gflow.objectives import ModifiedSubTrajectoryBalance

PROMPTS = Prompts([[1, 2, 3], [4, 6], [2]])
ANSWERS = (0, 1, -1)
OPENING, LABELS, ENDING = [0, 5], [[6], [7, 8]], [9]
LEGAL = (1, 2, 3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny() -> LanguageModel:
    """A GPT-2 of ten tokens with large random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=10, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network: Any = GPT2LMHeadModel(config)
    return LanguageModel(network.to(torch.get_default_dtype()).requires_grad_(False))


def headed(scale: float = 0.0, base: LanguageModel | None = None) -> LabelHead:
    """A head whose adapters say something if `scale` is not 0."""
    head = LabelHead(base or tiny(), PROMPTS, OPENING, LABELS, ENDING, 2)
    with torch.no_grad():
        for name, value in head.model.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=seeded(1)) * scale)
    head.tuned = scale > 0
    return head


def built(head: LabelHead, length: int = 2, **settings: Any) -> TokenEnvironment:
    legal = torch.zeros(10, dtype=torch.bool)
    legal[list(LEGAL)] = True
    reward = RationaleReward(head, ANSWERS, **settings)
    return TokenEnvironment(10, OPENING[0], reward, length, 1, legal, PROMPTS)


def plain(model: LanguageModel, row: list[int], start: int) -> float:
    """log p of row[start:] given what stands before, read alone without a cache."""
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
    return sum(float(logits[i - 1, row[i]]) for i in range(start, len(row)))


def defined(head: LabelHead, prompt: int, z: list[int], label: int) -> float:
    """log p(z, opening | prompt) by the base and log p(label, ending | ...) by the adapters."""
    opened = PROMPTS.row(prompt)
    middle = [*opened, *z, *OPENING]
    whole = [*middle, *LABELS[label], *ENDING]
    return plain(head.base, middle, len(opened)) + plain(head.model, whole, len(middle))


def every(length: int) -> list[list[int]]:
    """All rationales of up to `length` legal words, the empty one too."""
    return [list(z) for n in range(length + 1) for z in product(LEGAL, repeat=n)]


def written(z: list[int], prompt: int) -> Text:
    """One rationale as a finished text of at most two words."""
    tokens = torch.tensor([[*z, 10, 10][:2]])
    return Text(tokens, torch.tensor([prompt]), tokens[:, :0], tokens[:, :0].bool())


def padded(rows: list[list[int]], prompt: int) -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for place, row in zip(tokens, rows, strict=True):
        place[: len(row)] = torch.tensor(row, dtype=torch.int64)
    size = torch.tensor([len(row) for row in rows])
    return tokens, size, torch.full_like(size, prompt)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_suffixes_are_what_the_model_says_of_each_text_alone(scale: float) -> None:
    """The joint of 1.4, for rationales of different lengths and labels of one and two tokens."""
    head, rows = headed(scale), every(2)
    found = {prompt: head.suffixes(*padded(rows, prompt)) for prompt in (0, 1)}
    for prompt, table in found.items():
        wanted = [[defined(head, prompt, z, label) for label in (0, 1)] for z in rows]
        torch.testing.assert_close(table, torch.tensor(wanted))
    untouched = headed().suffixes(*padded(rows, 0))
    assert torch.equal(untouched, found[0]) == (scale == 0)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_rewards_of_all_prefixes_are_the_definition(scale: float) -> None:
    """1.4: the suffix of the true label, minus the penalty where the wrong one is likelier."""
    head = headed(scale)
    env = built(head, penalty=7.0, temperature=1.3)
    denied = []
    for number, truth in ((0, 0), (1, 1)):
        for z in every(2):
            mine, other = (defined(head, number, z, label) for label in (truth, 1 - truth))
            denied.append(other > mine)
            found = float(env.reward(written(z, number)))
            assert found == pytest.approx((mine - 7.0 * (other > mine)) / 1.3, abs=1e-9)
    assert len(set(denied)) == 2  # both happen
    policy = HuggingFacePolicy(env, sharing(head.base).adapt(2))
    batch = Sampler(env).forward(policy, 6, condition=torch.zeros(6, 1), generator=seeded())
    dense = env.reward(batch.states)  # prefixes one by one
    torch.testing.assert_close(env.reward.of_trajectories(env, batch), dense)


def test_labels_alone_are_a_distribution_over_the_pair() -> None:
    """The M-step's loss: what the adapters say of the labels, renormalised over the two."""
    head, rows = headed(0.5), every(2)
    table = head.labels(*padded(rows, 1)).detach()
    torch.testing.assert_close(table.exp().sum(1), torch.ones(len(rows)))
    for z, found in zip(rows, table, strict=True):
        before = [*PROMPTS.row(1), *z, *OPENING]
        said = [plain(head.model, [*before, *label], len(before)) for label in LABELS]
        torch.testing.assert_close(found, torch.tensor(said).log_softmax(0))


def test_the_gradient_of_an_m_step_is_that_of_the_cross_entropy() -> None:
    """Differences of the loss along a direction in the adapters, and no gradient elsewhere."""
    head = headed(0.5)
    fit = LabelFit(head)
    tokens, size, prompt = padded(every(2), 0)
    answer = torch.arange(len(size)) % 2
    loss = fit.loss(tokens, size, prompt, answer)
    said = head.labels(tokens, size, prompt).detach()
    by_hand = -sum(float(said[i, int(a)]) for i, a in enumerate(answer)) / len(size)
    assert float(loss.detach()) == pytest.approx(by_hand)
    gradients = torch.autograd.grad(loss, head.parameters)
    ways = [torch.randn(p.shape, generator=seeded(2)) for p in head.parameters]
    slope = sum(float((g * w).sum()) for g, w in zip(gradients, ways, strict=True))
    assert abs(slope) > 1e-3

    def moved(by: float) -> float:
        with torch.no_grad():
            for p, w in zip(head.parameters, ways, strict=True):
                p.add_(w, alpha=by)
            value = float(fit.loss(tokens, size, prompt, answer).detach())
            for p, w in zip(head.parameters, ways, strict=True):
                p.sub_(w, alpha=by)
        return value

    assert (moved(1e-5) - moved(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-4)
    assert all(p.grad is None for p in head.base.parameters())


def test_fitting_trains_the_heads_adapters_and_nothing_else() -> None:
    head = headed()
    before = [p.clone() for p in head.base.parameters()]
    policy = sharing(head.base).adapt(2, seed=5)
    theirs = [p.clone() for p in policy.parameters()]
    tokens, size, prompt = padded([[1], [2, 3]], 0)
    answer = torch.tensor([1, 1])
    start = float(LabelFit(head).loss(tokens, size, prompt, answer).detach())
    end = float(LabelFit(head, 0.01, 2).run(tokens, size, prompt, answer, 30, 4, seeded()))
    assert end < start - 0.2
    assert head.tuned
    for old, new in zip(before, head.base.parameters(), strict=True):
        assert torch.equal(old, new)
    for old, new in zip(theirs, policy.parameters(), strict=True):
        assert torch.equal(old, new)
    shared = {id(p) for p in head.base.parameters()}
    assert shared < {id(p) for p in policy.parameters()}
    assert shared < {id(p) for p in head.model.parameters()}


def trained(head: LabelHead, steps: int, seed: int = 0) -> tuple[Trainer, LabelStep]:
    """Runs of the E-step with an M-step of four after every second of its steps."""
    env = built(head, penalty=5.0)
    reward: Any = env.reward
    step = LabelStep(reward, LabelFit(head, 0.05, 2), Every(2, 4), 3, 8)
    policy = HuggingFacePolicy(env, sharing(head.base).adapt(2, seed=7))
    trainer = Trainer(
        env,
        policy,
        ModifiedSubTrajectoryBalance(),
        TrainConfig(steps=steps, batch_size=4, lr=1e-2, seed=seed),
        condition=PROMPTS.sampler(2, reward.labelled.tolist()),
        learners=[step],
    )
    return trainer, step


def test_the_m_step_is_due_by_its_pace_and_the_reward_hears_of_it() -> None:
    head = headed()
    trainer, step = trained(head, 3)
    reward: Any = trainer.env.reward
    z = padded([[1]], 0)
    before, version = reward.score(*z), reward.version
    for taken in (0, 0):
        trainer.train_step()
        assert step.fit.steps == taken
        assert torch.equal(reward.score(*z), before)
    remembered = len(reward._scores)
    assert remembered
    trainer.train_step()
    assert step.fit.steps == 4
    assert reward.version > version
    assert not torch.equal(reward.score(*z), before)
    torch.testing.assert_close(
        reward(written([1], 0)), reward.score(*z)[:, 1]
    )  # nothing old is remembered


def test_m_steps_see_rationales_of_labelled_reviews_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    head = headed()
    trainer, step = trained(head, 1)
    seen: list[tuple[Tensor, ...]] = []

    def spied(*rows: Any) -> Tensor:
        seen.append(rows[:4])
        return torch.zeros(())

    monkeypatch.setattr(step.fit, "run", spied)
    step.take(trainer.env, trainer.policy, 1, seeded())
    tokens, size, prompt, answer = seen[0]
    assert prompt.tolist() == [0, 0, 0, 1, 1, 1]
    assert answer.tolist() == [0, 0, 0, 1, 1, 1]
    assert bool(((size >= 1) & (size <= 2)).all())
    assert set(tokens[:, 0].tolist()) <= set(LEGAL)


@pytest.mark.slow
def test_runs_go_on_from_checkpoints_to_the_same_numbers() -> None:
    whole, _ = trained(headed(), 6)
    whole.train()
    first, _ = trained(headed(), 6)
    first.train(3)
    state = first.state_dict()
    base = tiny()
    second, step = trained(headed(base=base), 6)
    second.load_state_dict(state)
    assert step.fit.steps == 4
    assert step.fit.head.tuned
    second.train()
    for name, value in whole.policy.state_dict().items():
        torch.testing.assert_close(second.policy.state_dict()[name], value)
    for mine, other in zip(
        whole.learners[0].module.parameters(), second.learners[0].module.parameters(), strict=True
    ):
        torch.testing.assert_close(other, mine)
    assert step.fit.steps == 8
    assert second.env.reward.version == whole.env.reward.version


def test_rationales_vote_and_more_than_half_decide() -> None:
    assert majority(torch.tensor([0.0, 0.5, 0.6, 1.0])).tolist() == [0, 0, 1, 1]
    head = headed(0.5)
    env = built(head)
    policy = HuggingFacePolicy(env, sharing(head.base).adapt(2))
    prompt = torch.tensor([2, 0])  # the first has no known label, which nobody asks for
    share = votes(env, policy, head, prompt, seeded(4), 10)
    rows = prompt.repeat_interleave(10)
    tokens, size = rationales(env, policy, rows, seeded(4))
    voted = []
    for z, n, number in zip(tokens.tolist(), size.tolist(), rows.tolist(), strict=True):
        both = [defined(head, number, z[:n], label) for label in (0, 1)]
        voted.append(float(both[1] > both[0]))
    torch.testing.assert_close(share, torch.tensor(voted).view(2, 10).mean(1))
    assert 0 < float(share.mean()) < 1


def test_greedy_rationales_are_the_likeliest_tokens() -> None:
    head = headed(0.5)
    env = built(head)
    policy = HuggingFacePolicy(env, sharing(head.base).adapt(2))
    prompt = torch.tensor([0, 1, 2])
    found, size = rationales(env, policy, prompt, seeded(), 0.01)
    many = votes(env, policy, head, prompt.repeat(20), seeded(1), greedy=True).view(20, 3)
    share = many[0]
    assert torch.equal(many, share.expand(20, 3))  # by chance they would differ
    for row, n, number, part in zip(
        found.tolist(), size.tolist(), prompt.tolist(), share.tolist(), strict=True
    ):
        z: list[int] = []
        while len(z) < 2:
            logits = head.base.model(torch.tensor([[*PROMPTS.row(number), *z]])).logits[0, -1]
            allowed = [*LEGAL, *([OPENING[0]] if z else [])]
            best = max(allowed, key=lambda t: float(logits[t]))
            if best == OPENING[0]:
                break
            z.append(best)
        assert row[:n] == z
        both = [defined(head, number, z, label) for label in (0, 1)]
        assert part == float(both[1] > both[0])


def test_without_rationales_the_label_is_read_behind_the_prompt() -> None:
    head = headed(0.5)
    found = without_rationales(head, torch.tensor([0, 1, 2]))
    for number, label in enumerate(found.tolist()):
        before = [*PROMPTS.row(number), *OPENING]
        said = [plain(head.model, [*before, *one], len(before)) for one in LABELS]
        assert label == int(said[1] > said[0])


def unlabelled() -> None:
    env = built(headed())
    env.log_reward(env.start(1, condition=torch.tensor([[2.0]])))


def diverged() -> None:
    fit = LabelFit(headed())
    with torch.no_grad():
        fit.head.parameters[0].fill_(torch.nan)
    fit.run(*padded([[1]], 0), torch.tensor([1]), 1, 2, seeded())


@pytest.mark.parametrize(
    ("attempt", "error", "words"),
    [
        (unlabelled, RewardError, "label of prompt 2 is not known"),
        (diverged, NonFiniteLossError, "Lower the learning rate"),
        (lambda: LabelHead(tiny(), PROMPTS, [0], [[6], [6]], [9]), ConfigError, "two different"),
        (lambda: LabelHead(tiny(), PROMPTS, [], LABELS, [9]), ConfigError, "at least one token"),
        (
            lambda: LabelHead(tiny().adapt(2), PROMPTS, OPENING, LABELS, ENDING),
            ConfigError,
            "without adapters",
        ),
        (lambda: RationaleReward(headed(), [0, 1]), ConfigError, "for each of 3 prompts, got 2"),
        (lambda: RationaleReward(headed(), [0, 1, 2]), ConfigError, "or -1 where none"),
        (lambda: RationaleReward(headed(), [0, 1, 1], -1.0), ConfigError, "penalty"),
    ],
)
def test_what_makes_no_sense_is_refused(
    attempt: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        attempt()
