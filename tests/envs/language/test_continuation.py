"""Continuation: legal tokens, the small model, its prompts, and the task."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.behaviours.sources import Sources
from gflow.cli.main import main
from gflow.envs.language.continuation import OPENINGS, continuation_env, openings_of
from gflow.envs.language.continuation_base import (
    END,
    Windows,
    bpe_tokenizer,
    continuation_base,
    help_openings,
    paragraphs,
    split,
)
from gflow.envs.language.continuation_task import ContinuationTask
from gflow.envs.language.legal import is_plain, plain_tokens
from gflow.errors import ConfigError
from gflow.language import token_log_probs
from gflow.objectives import ModifiedSubTrajectoryBalance
from gflow.terms import Needs


@pytest.mark.parametrize(
    "text", [" word", "ing", " The", "A", " I", "12", " 7", ",", " ;", "-", "'s", ":"]
)
def test_plain_tokens_make_sentences(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        ".", " .", "e.g", ".com", "...", ",,", ";-", "!", "\n", " \n", "a\n", "\t", '"', ' "', "``",
        "“", " http", "https", "www", " com", "://", " B", "Z", " Dr", "Mr", " St", " US", "é",
        "\ufffd", "", " ", "  two", "<|end|>", "two words", "a/b", "'sss",
    ],
)  # fmt: skip
def test_what_would_end_or_break_a_sentence_is_illegal(text: str) -> None:
    assert not is_plain(text)


def test_paragraphs_of_help_are_prose_and_held_out_ones_are_not_trained_on() -> None:
    kept, held = split()
    assert len(kept) > 8 * len(held) > 200
    assert not set(kept) & set(held)
    assert sorted([*kept, *held]) == sorted(paragraphs())
    opened = help_openings(16)
    assert len(opened) == 16
    text = " ".join(kept)
    for sentence in opened:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert 5 <= len(sentence.split()) <= 25
        assert sum(row.startswith(sentence + " ") for row in held) == 1
        assert sentence not in text


def test_pairs_of_bytes_say_what_they_read_and_a_full_stop_is_one_token() -> None:
    rows = split()[0][:200]
    tokenizer = bpe_tokenizer(rows, 400)
    assert len(tokenizer) == 400
    assert tokenizer.bos_token == tokenizer.eos_token == END
    for row in rows[:20]:
        tokens = tokenizer.encode(row, add_special_tokens=False)
        assert tokenizer.decode(tokens) == row
        assert len(tokens) < 0.75 * len(row)
    assert len(tokenizer.encode("end.", add_special_tokens=False)) == 1 + len(
        tokenizer.encode("end", add_special_tokens=False)
    )


def test_windows_are_pieces_of_the_text_behind_the_token_that_opens_it() -> None:
    rows = ["one two.", "three."]
    tokenizer = bpe_tokenizer(rows, 280)
    windows = Windows(tokenizer, rows, width=6)
    end = tokenizer.bos_token_id
    stream: list[int] = [end]
    for row in rows:
        stream += [*tokenizer.encode(row, add_special_tokens=False), end]
    assert windows.stream.tolist() == stream
    tokens, learned = windows(200, torch.Generator().manual_seed(0), 0.0)
    pieces = {tuple(stream[i : i + 6]) for i in range(len(stream) - 6)}
    assert {tuple(row[1:]) for row in tokens.tolist()} == pieces
    assert bool((tokens[:, 0] == end).all())
    assert learned.tolist() == [[False] + [True] * 6] * 200


def small(**settings: Any) -> ContinuationTask:
    chosen = {"base": "", "base_steps": 0, "openings": 3, "others": 2, "longest": 4, "asked": 3}
    return ContinuationTask(**{**chosen, **settings})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base that was trained for two steps."""
    path = str(tmp_path_factory.mktemp("bases") / "small")
    continuation_base(path, 2, layers=1, width=16, vocabulary=400)
    return path


def test_the_base_is_kept_and_used_again(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    kept = continuation_base(folder, 0)
    assert kept.vocabulary == 400
    fresh = continuation_base("", 0, layers=1, width=16, vocabulary=400)
    one, other = kept.head.weight, fresh.head.weight
    assert one.shape == other.shape
    assert not torch.allclose(one, other)
    assert "pre-training" not in capfd.readouterr().err


def test_the_reward_is_the_tempered_probability_of_the_sentence(folder: str) -> None:
    model = continuation_base(folder)
    openings = help_openings(2)
    env = continuation_env(model, openings, temperature=0.5, max_length=5)
    assert env.prompts.row(1) == [model.encode(END)[0], *model.encode(openings[1])]
    assert model.decode([int(env.stop_action or 0)]) == "."
    assert torch.equal(env.legal, plain_tokens(model))
    special: Any = model.tokenizer
    assert not bool(env.legal[[*special.all_special_ids, *model.encode(".")]].any())
    states = env.start(1, condition=torch.ones(1, 1))
    row = [int(t) for t in env.legal.nonzero()[3:6]]
    states.tokens[0, :3] = torch.tensor(row)
    shift = torch.zeros(model.vocabulary).masked_fill(~env.legal, -50.0)
    shift[env.stop_action] = 0.0
    said, ends = token_log_probs(
        model, env.prompts, torch.tensor([1]), torch.tensor([row]), env.stop_action, shift
    )
    assert ends is not None
    expected = 2 * (float(said.sum()) + float(ends[0, -1]))
    assert float(env.log_reward(states)) == pytest.approx(expected)


def test_prompts_come_from_a_file_or_are_ours(tmp_path: Path) -> None:
    assert openings_of("") == list(OPENINGS)
    path = tmp_path / "prompts.txt"
    path.write_text("One day\n\n  Two of them \n")
    assert openings_of(str(path)) == ["One day", "Two of them"]
    path.write_text("\n")
    with pytest.raises(ConfigError, match="has no line"):
        openings_of(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        openings_of(str(tmp_path / "no.txt"))


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="give model too"):
        ContinuationTask(prompts="mine.txt")
    with pytest.raises(ConfigError, match="asked >= 2"):
        ContinuationTask(asked=1)
    with pytest.raises(ConfigError, match="ask for 9999 prompts"):
        small(openings=9000, others=999).environment()


def test_training_draws_the_prompts_that_are_trained_on(folder: str) -> None:
    task = small(base=folder, anneal=2, temperature=0.5)
    env = task.environment()
    condition, chosen = task.condition(env), task.behaviour(env, OnPolicy())
    assert condition is not None
    drawn: Tensor = condition(160, torch.Generator().manual_seed(0))
    assert set(drawn[:, 0].tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(drawn.view(20, 8), drawn.view(20, 8)[:, :1].expand(20, 8))
    assert isinstance(chosen, Sources)
    other = Sources(1.0, 0.0, 0.0)
    assert task.behaviour(env, other) is other
    policy = task.policy(env, Needs())
    trainer = Trainer(
        env, policy, ModifiedSubTrajectoryBalance(), ContinuationTask.train, condition=condition,
        behaviour=chosen, learners=task.learners(env, policy),
    )  # fmt: skip
    assert task.reward_of(env).temperature == 1.0
    trainer.train(3)
    assert task.reward_of(env).temperature == 0.5
    batch = Sampler(env).forward(policy, 4, condition=drawn[:4])
    lines = task.describe(env, batch.whole.final_states)
    assert lines[0].startswith(env.decode(env.prompts.row(int(drawn[0, 0]))) + " |")  # type: ignore[misc]


@pytest.mark.slow
def test_the_command_trains_and_reports(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = f"train continuation --base {folder} --openings 2 --others 1 --longest 4 --asked 3"
    words += f" --steps 2 --batch-size 8 --eval-every 2 --eval-samples 8 --out {out} --seed 3"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    for word in ("tuned", "sampling", "nucleus 0.95", "beams", "diverse beams"):
        assert word in printed
    texts = (out / "texts.md").read_text()
    assert texts.count("## ") == 3
    assert texts.count("- beams:") == 12
