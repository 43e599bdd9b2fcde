"""What texts are measured by, against numbers by hand and plain loops."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import Policy
from gflow.errors import ConfigError
from gflow.language import (
    HuggingFacePolicy,
    LanguageModel,
    MeanPooled,
    Prompts,
    ReferenceLM,
    SentenceEncoder,
    TokenEnvironment,
    embedding_diversity,
    log_ratio_variance,
    text_metrics,
)
from gflow.metrics import bleu, gleu
from gflow.policies.base import PolicyOutput

STOP = 0
PROMPTS = Prompts([[1, 2, 3], [4], [2, 2]])


def tiny(adapters: float = 0.3) -> LanguageModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(
            n_positions=16, n_embd=16, n_layer=1, n_head=2, vocab_size=6, initializer_range=0.4,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        model = LanguageModel(GPT2LMHeadModel(config)).adapt(2)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.data.normal_(0.0, adapters)
    return model


def writer(model: LanguageModel, **settings: Any) -> TokenEnvironment:
    reward = ReferenceLM(model, PROMPTS, STOP, 0.5)
    return TokenEnvironment(6, STOP, reward, 3, prompts=PROMPTS, **settings)


def states_of(env: TokenEnvironment, rows: list[tuple[int, list[int]]]) -> Any:
    condition = torch.tensor([[prompt] for prompt, _ in rows]).double()
    states = env.start(len(rows), condition=condition)
    for row, (_, tokens) in enumerate(rows):
        states.tokens[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    return states


def test_bleu_by_hand() -> None:
    """Of a b c d e f against a b c d x y: 4/6, 3/5, 2/4, 1/3; a short one pays exp(1 - 6/4)."""
    exact = (4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu("abcdef", "abcdxy") == pytest.approx(exact)
    assert bleu("abcd", "abcdxy") == pytest.approx(torch.tensor(-0.5).exp().item())
    assert bleu("abcdef", "abcd") == pytest.approx((4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert bleu("abc", "abc") == pytest.approx(0.1**0.25)  # no run of four: 0.1 / 1
    assert bleu("aaaa", "abcd") == pytest.approx((1 / 4 * 0.1 / 3 * 0.1 / 2 * 0.1 / 1) ** 0.25)
    assert bleu("xyz", "abc") == bleu("", "abc") == 0.0
    assert bleu("abcd", "abcd") == 1.0


def test_gleu_by_hand() -> None:
    """Of runs of 1 to 4 of six words there are 18; a b c d shares 10 of them."""
    assert gleu("abcdef", "abcdxy") == pytest.approx(10 / 18)
    assert gleu("abcd", "abcdxy") == gleu("abcdxy", "abcd") == pytest.approx(10 / 18)
    assert gleu("aab", "ab") == pytest.approx(3 / 6)
    assert gleu("abc", "abc") == 1.0
    assert gleu("", "abc") == gleu("", "") == 0.0


def test_diversity_is_one_less_the_mean_cosine_of_pairs() -> None:
    vectors = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    group = torch.tensor([0, 1, 0, 1, 1, 0, 0])
    found = embedding_diversity(vectors, group)
    for g in range(2):
        pairs = itertools.combinations(vectors[group == g], 2)
        cosines = [float(nn.functional.cosine_similarity(a, b, dim=0)) for a, b in pairs]
        assert float(found[g]) == pytest.approx(1 - sum(cosines) / len(cosines))
    same = torch.ones(3, 2) * torch.tensor([[1.0], [2.0], [7.0]])
    assert float(embedding_diversity(same, torch.zeros(3, dtype=torch.int64))) == pytest.approx(0.0)
    with pytest.raises(ConfigError, match=r"at least two texts of each prompt, got \[2, 1\]"):
        embedding_diversity(vectors[:3], torch.tensor([0, 0, 1]))


def test_features_of_a_text_are_pooled_over_its_own_tokens() -> None:
    """Without adapters, whatever lies behind the end and beside it in the batch."""
    model = tiny()
    env = writer(model)
    rows = [(0, [5, 3, 1]), (1, [2]), (2, []), (0, [5, 3])]
    found = MeanPooled(model)(env, states_of(env, rows))
    for row, (prompt, text) in enumerate(rows):
        read = torch.tensor([*PROMPTS.row(prompt), *text])[None]
        with model.reference():
            last = model.model.base_model(input_ids=read).last_hidden_state[0]
        pooled = last[-len(text) :].mean(0) if text else last[-1]
        torch.testing.assert_close(found[row], pooled)


class Vectors:
    """One vector for each first token."""

    name = "first tokens"

    def __call__(self, env: TokenEnvironment, states: Any) -> Tensor:
        return torch.eye(7)[states.tokens[:, 0]]


def test_metrics_are_means_over_prompts() -> None:
    model = tiny()
    env = writer(model)
    rows = [(0, [5, 3, 1]), (2, [2]), (0, [5]), (2, [2]), (2, [4, 4])]
    states = states_of(env, rows)
    log_p = 0.5 * env.log_reward(states)  # at temperature 1
    mine, theirs = log_p[[0, 2]], log_p[[1, 3, 4]]
    found = text_metrics(env, states, Vectors())
    assert found["mean_log_p"] == pytest.approx(float(mine.mean() + theirs.mean()) / 2)
    assert found["max_log_p"] == pytest.approx(float(mine.max() + theirs.max()) / 2)
    assert found["diversity"] == pytest.approx((0 + (1 - 1 / 3)) / 2)
    assert found["distinct"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["length"] == pytest.approx((2 + 4 / 3) / 2)


class Optimum(Policy):
    """log P_F from the flows of an environment with all states listed: P = F(s') / F(s)."""

    backward = "uniform"

    def __init__(self, env: TokenEnvironment) -> None:
        super().__init__()
        self.env, self.flows = env, dict[tuple[int, ...], Tensor]()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        rows = env.tokens_of(states)
        return PolicyOutput(
            torch.stack(
                [
                    self.logits(int(prompt), row)
                    for prompt, row in zip(states.prompt, rows, strict=True)
                ]
            )
            * self.scale.detach()
        )

    def flow(self, prompt: int, row: list[int]) -> Tensor:
        """log F of a text."""
        name = (prompt, *row)
        if name not in self.flows:
            self.flows[name] = self.logits(prompt, row).logsumexp(0)
        return self.flows[name]

    def logits(self, prompt: int, row: list[int]) -> Tensor:
        env = self.env
        logits = torch.full((env.num_actions,), -torch.inf)
        stopped = states_of(env, [(prompt, row)])
        logits[STOP] = env.log_reward(stopped)[0]
        if len(row) < env.max_length:
            for token in range(1, env.num_actions):
                logits[token] = self.flow(prompt, [*row, token])
        return logits


def test_log_ratios_do_not_vary_at_the_solution_and_do_elsewhere() -> None:
    model = tiny()
    reward = ReferenceLM(model, PROMPTS, STOP, 0.5)
    env = TokenEnvironment(6, STOP, reward, 2, prompts=PROMPTS)
    policy, prompts = Optimum(env), torch.tensor([0, 2])

    def measured() -> float:
        return log_ratio_variance(env, policy, prompts, 5, torch.Generator().manual_seed(0))

    assert measured() == pytest.approx(0.0, abs=1e-10)
    policy.scale.data.fill_(0.5)
    assert measured() > 1e-2
    base = HuggingFacePolicy(env, model)
    assert log_ratio_variance(env, base, prompts, 5, torch.Generator().manual_seed(0)) > 1e-2


def test_a_sentence_encoder_averages_over_what_is_there(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "one", "two", "three"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[PAD]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8,
    )  # fmt: skip
    network = BertModel(config).eval()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = SentenceEncoder(str(tmp_path))
    found = encoder.of_strings(["one two three", "two"])
    for row, tokens in enumerate(([1, 2, 3], [2])):
        with torch.no_grad():
            last = encoder.network(input_ids=torch.tensor([tokens])).last_hidden_state[0]
        torch.testing.assert_close(found[row], last.mean(0))
    with pytest.raises(ConfigError, match="no encoder"):
        SentenceEncoder(str(tmp_path / "nowhere"))
