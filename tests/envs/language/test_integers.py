"""Random integers: made-up texts, the reward, exact numbers, the memory, models of one's own."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import Needs, TrainConfig, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.behaviours.sources import Sources
from gflow.envs.language import integers
from gflow.envs.language.integers import (
    BOS,
    EOS,
    WORDS,
    IntegerReward,
    digit_tokens,
    integer_model,
    integer_texts,
    is_integer,
    stop_token,
)
from gflow.envs.language.integers_task import IntegersTask, integer_numbers
from gflow.envs.language.pretraining import pretrain, small_gpt2, token_loss
from gflow.errors import ConfigError
from gflow.language import HuggingFacePolicy, LanguageModel, ListedTexts
from gflow.objectives import ModifiedSubTrajectoryBalance


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_made_up_integers_are_skewed_and_read_from_left_to_right() -> None:
    tokens, learned = integer_texts(20_000, seeded(0), 0.0)
    bos, eos = WORDS.index(BOS), WORDS.index(EOS)
    assert (tokens[:, 0] == bos).all()
    texts = ["".join(WORDS[t] for t in row[1:] if t != eos) for row in tokens.tolist()]
    values = torch.tensor([int(text) for text in texts])
    assert all(str(int(text)) == text for text in texts)
    assert (values > 100).double().mean() == pytest.approx(0.4, abs=0.02)
    assert values[values > 100].double().mean() == pytest.approx(550, abs=8)
    small = values[values <= 100].double()
    assert int(small.min()) == 1
    for value in (1, 9, 50):
        share = math.log((value + 1) / value) / math.log(101)
        assert (small == value).double().mean() == pytest.approx(share, rel=0.25)
    for row, text in zip(learned.tolist(), texts, strict=True):
        assert row == [0 < i <= len(text) + 1 for i in range(5)]


def test_integers_are_what_people_write() -> None:
    valid = [t for t in (f"{n:0{w}d}" for w in (1, 2, 3) for n in range(10**w)) if is_integer(t)]
    assert valid == [str(n) for n in range(101)]
    assert not any(is_integer(text) for text in ("", "-1", " 1", "1.", "a"))


def test_only_what_is_learned_counts_in_the_loss_and_pretraining_lowers_it() -> None:
    network = small_gpt2(len(WORDS), 1, 16, 8, 10, 11)
    tokens, learned = integer_texts(64, seeded(1), 0.0)
    loss = token_loss(network, tokens, learned)
    log_p = network(input_ids=tokens).logits.log_softmax(-1)[:, :-1]
    said = log_p.gather(2, tokens[:, 1:, None]).squeeze(2)[learned[:, 1:]]
    loss = loss.detach()
    assert float(loss) == pytest.approx(-float(said.mean().detach()), abs=1e-10)
    seen = []
    last = pretrain(network, integer_texts, 30, lr=2e-2, say=lambda *said: seen.append(said))
    assert [step for step, _ in seen] == list(range(1, 31))
    assert last < float(loss) - 0.3
    assert not network.training


def test_a_base_is_always_the_same() -> None:
    one = integer_model(2, 5).model.state_dict()
    integers._weights.cache_clear()
    two = integer_model(2, 5).model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = integer_model(2, 6).model.state_dict()
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_numbers_of_a_law_by_hand() -> None:
    task = IntegersTask(base_steps=0, penalty=5.0)
    listed = ListedTexts(task.environment())
    place = {text: row for row, text in enumerate(listed.texts)}
    assert len(place) == 1110
    wanted = 101 / (101 + 1009 * math.exp(-5.0))
    found = integer_numbers(listed, listed.log_target)
    assert found == pytest.approx(
        {"valid": wanted, "kl_to_uniform": 0.0, "kl_of_uniform": 0.0, "tv": 0.0}, abs=1e-9
    )
    law = torch.full((1110,), 1e-30, dtype=torch.float64)
    for value, share in enumerate((0.4, 0.4)):
        law[place[str(value)]] = share
    law[place["007"]] = 0.2
    found = integer_numbers(listed, law.log())
    assert found["valid"] == pytest.approx(0.8)
    assert found["kl_to_uniform"] == pytest.approx(math.log(101 / 2))
    assert found["kl_of_uniform"] == pytest.approx(
        -(2 * math.log(101 / 2) + 99 * math.log(101 * 1e-30 / 0.8)) / 101
    )
    target = listed.log_target.exp()
    assert found["tv"] == pytest.approx(0.8 - 2 / 101 * wanted + 0.2 - float(target[place["007"]]))


def test_the_memory_begins_with_the_seeds_and_keeps_them() -> None:
    task = IntegersTask(base_steps=0, remembered=0.5)
    env = task.environment()
    assert env.legal.nonzero().squeeze(1).tolist() == list(range(10))
    made = task.behaviour(env, OnPolicy())
    assert isinstance(made, Sources)
    assert made.memory is not None
    assert made.memory.best(0) == [([0], 0.0), ([1, 0, 0], 0.0)]
    policy = task.policy(env, Needs())
    config = TrainConfig(steps=3, batch_size=64)
    trainer = Trainer(env, policy, ModifiedSubTrajectoryBalance(), config, behaviour=made)
    shares = [trainer.train_step()["from_memory"] for _ in range(3)]
    assert 0.25 < sum(shares) / 3 < 0.75
    assert {tuple(text) for text, _ in made.memory.best(0)} >= {(0,), (1, 0, 0)}
    chosen = Sources()
    assert task.behaviour(env, chosen) is chosen
    assert isinstance(
        IntegersTask(base_steps=0, remembered=0.0).behaviour(env, OnPolicy()), OnPolicy
    )
    with pytest.raises(ConfigError, match="seeds must be texts of 1 to 3 digits, got '1x'"):
        IntegersTask(seeds=("1x",))


@pytest.mark.slow
def test_it_learns_all_integers() -> None:
    task = IntegersTask(base_steps=300)
    env = task.environment()
    policy = task.policy(env, Needs())
    listed = ListedTexts(env)
    before = integer_numbers(listed, listed.log_law(policy))
    behaviour = task.behaviour(env, OnPolicy())
    config = TrainConfig(steps=150, batch_size=64, lr=2e-3, lr_half_life=60)
    Trainer(env, policy, ModifiedSubTrajectoryBalance(), config, behaviour=behaviour).train()
    after = integer_numbers(listed, listed.log_law(policy))
    assert before["valid"] < 0.8
    assert before["kl_of_uniform"] > 0.3
    assert after["valid"] > 0.92
    assert after["kl_of_uniform"] < 0.2
    assert after["kl_to_uniform"] < 0.15


def own_model(folder: Path, text: str = "1 2 3 4 5 6 7 8 9 0 between and 100: 10 20. 0") -> str:
    """A model with random weights and a byte-level tokenizer that merges digits, in a folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text] * 20, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<end>", eos_token="<end>"
    )
    network = small_gpt2(len(wrapped), 1, 16, 96, 0, 0)
    network.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return str(folder)


def test_a_model_of_ones_own_writes_digit_by_digit(tmp_path: Path) -> None:
    folder = own_model(tmp_path)
    task = IntegersTask(model=folder, prompt="between 0 and 100: ")
    env: Any = task.environment()
    reward = env.reward
    assert isinstance(reward, IntegerReward)
    model = reward.model
    assert len(model.encode("100")) < 3, "the tokenizer should merge digits, or nothing is tested"
    letters = env.legal.nonzero().squeeze(1).tolist()
    assert sorted(model.decode([t]) for t in letters) == list("0123456789")
    assert [model.decode([t]) for t in digit_tokens(model)] == list("0123456789")
    assert model.decode([env.stop_action]) == "."
    assert model.decode(env.prompts.row(0)) == "between 0 and 100: "
    listed = ListedTexts(env)
    assert {
        t for t, r in zip(listed.texts, listed.trajectories.log_reward, strict=True) if r == 0
    } == {str(n) for n in range(101)}
    policy = task.policy(env, Needs())
    assert isinstance(policy, HuggingFacePolicy)
    numbers = integer_numbers(listed, listed.log_law(policy))
    assert 0 < numbers["valid"] < 0.5
    made = task.behaviour(env, OnPolicy())
    assert isinstance(made, Sources)
    assert made.memory is not None
    assert [model.decode(text) for text, _ in made.memory.best(0)] == ["0", "100"]
    with pytest.raises(ConfigError, match="is 2 for this model's tokenizer"):
        stop_token(model, "?!")


def test_a_model_without_digits_is_refused() -> None:
    from gflow.envs.language.words import word_tokenizer

    tokenizer = word_tokenizer(["a", "1", "<end>"], "a", "<end>", r"\w")
    model = LanguageModel(small_gpt2(3, 1, 16, 8, 0, 2), tokenizer)
    with pytest.raises(ConfigError, match="no token for the digit 0 alone"):
        digit_tokens(model)
