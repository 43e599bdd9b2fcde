"""Sampling and search, against the list of all texts."""

import functools
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError
from gflow.language import (
    Decoder,
    LanguageModel,
    LookupTool,
    Prompts,
    ReferenceLM,
    TokenEnvironment,
)
from gflow.language.diverse import diverse_search

V, STOP, LONGEST = 7, 3, 3
LEGAL = torch.tensor([True, True, False, False, True, False, True])
PROMPTS = Prompts([[1, 2, 3, 2], [4], [5, 1]])
ALL = torch.arange(3)


def tiny(seed: int = 0, adapters: float = 0.0, spread: float = 0.4) -> LanguageModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = GPT2Config(
            n_positions=32, n_embd=16, n_layer=2, n_head=2, vocab_size=V, initializer_range=spread,
            bos_token_id=STOP, eos_token_id=STOP,
        )  # fmt: skip
        model = LanguageModel(GPT2LMHeadModel(config))
        if adapters:
            model.adapt(4)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.data.normal_(0.0, adapters)
    return model


def writer(model: LanguageModel, **settings: Any) -> TokenEnvironment:
    reward = ReferenceLM(model, PROMPTS, STOP, legal=LEGAL)
    chosen = {"max_length": LONGEST, "min_length": 1, "legal": LEGAL, "prompts": PROMPTS}
    return TokenEnvironment(V, STOP, reward, **{**chosen, **settings})


def step_law(model: LanguageModel, prompt: int, text: tuple[int, ...]) -> Tensor:
    """(V,) log-probabilities behind a text, read from its beginning without memory or padding."""
    read = torch.tensor([*PROMPTS.row(prompt), *text])
    with torch.no_grad():
        logits = model.model(input_ids=read[None]).logits[0, -1]
    mask = torch.arange(V) == STOP if len(text) == LONGEST else LEGAL.clone()
    if text:
        mask[STOP] = True
    return torch.where(mask, logits, -torch.inf).log_softmax(0)


def all_texts(model: LanguageModel, prompt: int) -> dict[tuple[int, ...], float]:
    """log p of each text, the likeliest first."""
    found = {}
    tokens = [t for t in range(V) if LEGAL[t]]
    laws = {
        text: step_law(model, prompt, text)
        for size in range(LONGEST + 1)
        for text in itertools.product(tokens, repeat=size)
    }
    for text in laws:
        if text:
            steps = [float(laws[text[:i]][token]) for i, token in enumerate(text)]
            found[text] = sum(steps) + float(laws[text][STOP])
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def lists(env: TokenEnvironment, states: Any) -> list[tuple[int, ...]]:
    return [tuple(row) for row in env.tokens_of(states)]


@functools.cache
def shared() -> LanguageModel:
    return tiny()


@pytest.fixture
def base() -> LanguageModel:
    """The same for all tests, made when double precision is on."""
    return shared()


@pytest.mark.slow
def test_beams_without_limit_find_the_likeliest_texts_in_order(base: LanguageModel) -> None:
    env = writer(base)
    found = Decoder(env, base).beams(ALL, 5, 64)
    assert found.prompt.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    for prompt in range(3):
        known = list(all_texts(base, prompt))
        assert len(known) == 84
        assert lists(env, found)[5 * prompt : 5 * prompt + 5] == known[:5]


def test_one_beam_may_miss_what_two_find() -> None:
    """So that the test above can fail."""
    model = tiny(seed=2, spread=0.7)
    env, known = writer(model), all_texts(model, 2)
    one, two = (lists(env, Decoder(env, model).beams(ALL[2:], 1, beams))[0] for beams in (1, 2))
    assert known[one] < known[two] - 0.1
    assert known[two] == pytest.approx(max(known.values()))


def test_greedy_takes_the_likeliest_token(base: LanguageModel) -> None:
    env = writer(base)
    decoder = Decoder(env, base)
    for prompt, text in enumerate(lists(env, decoder.greedy(ALL))):
        written: tuple[int, ...] = ()
        while True:
            token = int(step_law(base, prompt, written).argmax())
            if token == STOP:
                break
            written = (*written, token)
        assert text == written
    assert lists(env, decoder.beams(ALL, 1, 1)) == lists(env, decoder.greedy(ALL))


@pytest.mark.parametrize("beams", [1, 3, 4])
def test_diverse_beams_without_a_penalty_are_beams(base: LanguageModel, beams: int) -> None:
    env = writer(base)
    decoder = Decoder(env, base)
    plain = lists(env, decoder.beams(ALL, 1, beams))
    diverse = lists(env, decoder.diverse_beams(ALL, 3, beams, penalty=0.0))
    assert diverse == [text for text in plain for _ in range(3)]


def test_diverse_beams_pay_for_what_earlier_groups_took(base: LanguageModel) -> None:
    """Groups of one beam, by hand; a group that has ended costs the others nothing."""
    env, penalty, groups = writer(base), 1.7, 4
    found = lists(env, Decoder(env, base).diverse_beams(ALL, groups, 1, penalty))
    for prompt in range(3):
        texts: list[tuple[int, ...]] = [()] * groups
        live = [True] * groups
        for _ in range(LONGEST + 1):
            taken = torch.zeros(V)
            for g in range(groups):
                if not live[g]:
                    continue
                token = int((step_law(base, prompt, texts[g]) - penalty * taken).argmax())
                live[g] = token != STOP
                if live[g]:
                    texts[g] = (*texts[g], token)
                    taken[token] += 1
        assert found[groups * prompt : groups * (prompt + 1)] == texts
        assert len(set(texts)) > 2
        assert len({len(text) for text in texts}) > 1 or prompt


def test_groups_of_many_beams_find_all_texts_in_order(base: LanguageModel) -> None:
    """The first group pays nothing, whatever the penalty."""
    env = writer(base)
    found = diverse_search(env, base, ALL, 2, 64, 5.0)
    for prompt in range(3):
        texts = [tuple(row[: row.index(STOP)]) for row in found[prompt, 0].tolist()]
        assert texts == list(all_texts(base, prompt))[:64]
    second = [tuple(row[: row.index(STOP)]) for row in found[:, 1, 0].tolist()]
    best = lists(env, Decoder(env, base).diverse_beams(ALL, 2, 64, 5.0))
    assert best[1::2] == second != best[::2]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampling_is_the_tempered_model_over_legal_tokens(
    base: LanguageModel, temperature: float
) -> None:
    env, count = writer(base, max_length=2), 4000
    generator = torch.Generator().manual_seed(1)
    found = Decoder(env, base).sampled(ALL[1:2], count, temperature, generator=generator)
    tokens = [t for t in range(V) if LEGAL[t]]

    def law(text: tuple[int, ...]) -> Tensor:
        return (step_law(base, 1, text) / temperature).softmax(0)

    first = law(())
    exact: dict[tuple[int, ...], float] = {(a,): float(first[a] * law((a,))[STOP]) for a in tokens}
    exact |= {(a, b): float(first[a] * law((a,))[b]) for a in tokens for b in tokens}
    assert sum(exact.values()) == pytest.approx(1.0)
    seen = lists(env, found)
    off = sum(abs(seen.count(text) / count - p) for text, p in exact.items()) / 2
    assert off < 0.04
    other = [p ** (1 / 0.7) for p in exact.values()]
    apart = sum(abs(p - q / sum(other)) for p, q in zip(exact.values(), other, strict=True)) / 2
    assert apart > 0.06


def test_nucleus_sampling_never_leaves_the_nucleus(base: LanguageModel) -> None:
    env, share = writer(base), 0.8
    generator = torch.Generator().manual_seed(2)
    found = Decoder(env, base).sampled(ALL, 100, nucleus=share, generator=generator)
    outside = 0
    for prompt, text in set(zip(found.prompt.tolist(), lists(env, found), strict=True)):
        for size in range(len(text) + 1):
            law = step_law(base, prompt, text[:size]).exp()
            value, order = law.sort(descending=True)
            before = value.cumsum(0) - value
            kept = set(order[before < share].tolist())
            token = text[size] if size < len(text) else STOP
            assert token in kept
            outside += int((law > 0).sum()) > len(kept)
    assert outside > 10  # there was something to leave out
    assert len(set(lists(env, found))) > 5


def test_all_texts_are_legal_and_alike_for_rewards_and_counts(base: LanguageModel) -> None:
    env = writer(base, min_length=2)
    decoder, generator = Decoder(env, base), torch.Generator().manual_seed(3)
    for states in (
        decoder.sampled(ALL, 20, 2.0, generator=generator),
        decoder.greedy(ALL),
        decoder.beams(ALL, 4, 6),
        decoder.diverse_beams(ALL, 4, 2),
    ):
        size = env.size(states)
        assert int(size.min()) >= 2
        assert int(size.max()) <= LONGEST
        assert all(LEGAL[token] for text in lists(env, states) for token in text)
        assert env.log_reward(states).isfinite().all()


def test_draws_follow_the_generator_and_leave_the_global_one(base: LanguageModel) -> None:
    env = writer(base)
    decoder = Decoder(env, base)

    def draw(seed: int) -> Any:
        return lists(env, decoder.sampled(ALL, 6, generator=torch.Generator().manual_seed(seed)))

    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert draw(1) == draw(1) != draw(2)
    assert torch.equal(before, torch.get_rng_state())


def test_adapters_are_asked_only_on_request() -> None:
    model = tiny(adapters=0.6)
    env = writer(model)
    settings = model.model.generation_config
    plain, tuned = Decoder(env, model), Decoder(env, model, adapted=True)
    model_alone = tiny()
    alone = Decoder(writer(model_alone), model_alone)
    for ask in (
        lambda d: d.greedy(ALL),
        lambda d: d.beams(ALL, 3, 4),
        lambda d: d.diverse_beams(ALL, 3, 2),
    ):
        assert lists(env, ask(plain)) == lists(env, ask(alone))
        assert lists(env, ask(plain)) != lists(env, ask(tuned))
    assert model.model.generation_config is settings


def test_what_cannot_be_is_refused(base: LanguageModel) -> None:
    env = writer(base)
    decoder = Decoder(env, base)
    with pytest.raises(ConfigError, match="3 texts need as many beams, got beams=2"):
        decoder.beams(ALL, 3, 2)
    with pytest.raises(ConfigError, match="nucleus of probability 0"):
        decoder.sampled(ALL, 2, nucleus=0.0)
    one = writer(base, max_length=1)
    with pytest.raises(ConfigError, match="fewer texts of 1 to 1 legal tokens"):
        Decoder(one, base).beams(ALL, 5, 5)
    with pytest.raises(IncompatibleError, match="has a tool"):
        Decoder(writer(base, tool=LookupTool({1: 2})), base)
    with pytest.raises(IncompatibleError, match="has 6 tokens"):
        Decoder(TokenEnvironment(6, 0, env.reward, 3), base)
