"""Infilling: stories whose fourth sentence must explain the fifth, rewards, metrics, the task."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.behaviours.base import OnPolicy
from gflow.behaviours.sources import Sources
from gflow.cli.main import main
from gflow.envs.language.infilling import in_words, infilling_env, middle_metrics
from gflow.envs.language.infilling_base import Corpus, infilling_base, labelled
from gflow.envs.language.infilling_task import InfillingTask
from gflow.envs.language.own_stories import stories_of, write_stories
from gflow.envs.language.stories import (
    BEGINNING,
    ENDING,
    MIDDLE,
    STATES,
    WORDS,
    Story,
    middles,
    stories,
)
from gflow.errors import ConfigError

TOLD = stories(300, torch.Generator().manual_seed(0))


def test_middles_by_hand() -> None:
    people = ("Anna", "Ben")
    assert middles("owner", people, "cup", "Ben") == (
        "Anna gives the cup to Ben",
        "Anna sells the cup to Ben",
        "Ben takes the cup from Anna",
        "Ben buys the cup from Anna",
    )
    assert middles("state", people, "cup", "red") == ("Anna paints the cup", "Ben paints the cup")
    placed = middles("place", people, "cup", "barn")
    assert len(placed) == 6
    assert placed[0] == "Anna puts the cup in the barn"


def test_the_middle_explains_the_ending_and_things_are_those_of_the_story() -> None:
    kinds = set()
    for story in TOLD:
        words = story.ending.split()
        thing = words[2] if words[1] == "the" else words[-1]
        first = story.beginning[0].split()
        assert thing in (first[3], first[6])
        assert story.middle in story.valid
        assert all(thing in sentence.split() for sentence in story.valid)
        people = {first[0], story.beginning[1].split()[0]}
        assert len(people) == 2
        assert all(set(sentence.split()) & people for sentence in story.valid)
        last = words[-1] if words[1] == "the" else words[1]
        if last in STATES:
            assert all(STATES[last] in sentence for sentence in story.valid)
        else:
            assert all(last in sentence.split() for sentence in story.valid)
        kinds.add(len(story.valid))
        told = f"{story.opening()} {story.middle} . {story.ending} .".split()
        assert set(told) <= set(WORDS)
    assert kinds == {2, 4, 6}
    assert len(set(TOLD)) > 290


def bare() -> Any:
    return infilling_base("", 0)


def test_the_corpus_shows_the_shape_of_prompts_with_endings_of_others() -> None:
    tokenizer = bare().tokenizer
    texts = Corpus(tokenizer, 0.4).texts(400, torch.Generator().manual_seed(1))
    shaped = [text for text in texts if MIDDLE in text]
    assert 0.3 < len(shaped) / len(texts) < 0.5
    told = stories(400, torch.Generator().manual_seed(1))
    fits = 0
    for text, story in zip(texts, told, strict=True):
        if MIDDLE not in text:
            assert text == f"{story.opening()} {story.middle} . {story.ending} . <eos>"
            continue
        close = text.partition(f"{ENDING} ")[2].partition(" .")[0]
        assert text == f"{labelled(story, close)} {story.middle} . <eos>"
        fits += close == story.ending
    assert fits < 0.1 * len(shaped)
    tokens, learned = Corpus(tokenizer)(8, torch.Generator().manual_seed(2), 0.0)
    for row, there in zip(tokens.tolist(), learned.tolist(), strict=True):
        size = sum(there) + 1
        assert there == [False] + [True] * (size - 1) + [False] * (len(row) - size)
        assert row[0] == WORDS.index("<bos>")
        assert row.index(WORDS.index("<eos>")) == size - 1


def test_prompts_name_their_parts() -> None:
    story = Story(("A b", "C d", "E f"), "G h", "I j")
    assert labelled(story, story.ending) == f"{BEGINNING} A b . C d . E f . {ENDING} I j . {MIDDLE}"
    assert in_words(story, story.ending) == "Beginning: A b. C d. E f.\nEnding: I j.\nMiddle:"


def test_the_reward_reads_the_story_in_its_order() -> None:
    """p(middle, full stop, ending | beginning)^(1/T), by one plain pass over the whole story."""
    model, story = bare(), TOLD[3]
    env = infilling_env(model, TOLD[:5], 0.85)
    states = env.start(1, condition=torch.tensor([[3.0]]))
    row = model.encode(story.middle)
    states.tokens[0, : len(row)] = torch.tensor(row)
    opening = model.encode(f"<bos> {story.opening()}")
    whole = [*opening, *model.encode(f"{story.middle} . {story.ending} .")]
    with torch.no_grad():
        law = model.model(input_ids=torch.tensor(whole)[None]).logits[0].log_softmax(1)
    said = [float(law[i - 1, whole[i]]) for i in range(len(opening), len(whole))]
    assert float(env.log_reward(states)) == pytest.approx(sum(said) / 0.85)
    assert env.prompts.row(3) == model.encode(f"<bos> {labelled(story, story.ending)}")
    illegal = [WORDS.index(w) for w in (BEGINNING, ENDING, MIDDLE, "<bos>", "<eos>", ".")]
    assert sorted((~env.legal).nonzero().squeeze(1).tolist()) == sorted(illegal)


def test_metrics_of_middles_by_hand() -> None:
    model = bare()
    told = [story for story in TOLD if len(story.valid) == 4][:2]
    env = infilling_env(model, told)
    texts = [told[0].valid[0], told[0].valid[0], told[0].valid[1], told[1].valid[2], "to to", "a a"]
    states = env.start(6, condition=torch.tensor([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]]))
    for row, text in enumerate(texts):
        tokens = model.encode(text)
        states.tokens[row, : len(tokens)] = torch.tensor(tokens)
    found = middle_metrics(env, states, told)
    assert found["valid"] == pytest.approx(4 / 6)
    assert found["found"] == pytest.approx((2 / 4 + 1 / 4) / 2)
    own = env.start(2, condition=torch.tensor([[0.0], [1.0]]))
    for row in range(2):
        tokens = model.encode(told[row].middle)
        own.tokens[row, : len(tokens)] = torch.tensor(tokens)
    exact = middle_metrics(env, own, told)
    assert exact["bleu"] == exact["gleu"] == exact["valid"] == 1.0
    unknown = [Story(story.beginning, story.middle, story.ending) for story in told]
    assert set(middle_metrics(env, own, unknown)) == {"bleu", "gleu"}


@pytest.mark.slow
def test_a_model_writes_stories_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.envs.language.infilling_base.POSITIONS", 128)
    model, path = bare(), tmp_path / "told" / "stories.json"
    first = write_stories(model, ["Anna has a cup.", "Ben goes to the barn ."], 3, 2, 5)
    assert first == write_stories(model, ["Anna has a cup.", "Ben goes to the barn ."], 3, 2, 5)
    assert first != write_stories(model, ["Anna has a cup.", "Ben goes to the barn ."], 4, 2, 5)
    for story, opening in zip(first, ("Anna has a cup", "Ben goes to the barn"), strict=True):
        assert story.beginning[0] == opening
        rest = (*story.beginning[1:], story.middle, story.ending)
        assert all(2 <= len(model.encode(sentence)) <= 5 for sentence in rest)
    told = stories_of(str(path), model, 4)
    before = path.read_text()
    assert stories_of(str(path), model, 3, seed=9) == told[:3]
    assert path.read_text() == before
    with pytest.raises(ConfigError, match="16 stories, 17 are asked for"):
        stories_of(str(path), model, 17)
    path.write_text(json.dumps([{"middle": "x"}]))
    with pytest.raises(ConfigError, match="holds no stories"):
        stories_of(str(path), model, 1)


def test_the_memory_begins_with_the_true_middles() -> None:
    task = InfillingTask(base="", base_steps=0, told=3, others=1)
    env = task.environment()
    chosen = task.behaviour(env, OnPolicy())
    assert isinstance(chosen, Sources)
    memory, model = chosen.memory, task.model_of(env)
    assert memory is not None
    told = task.stories(model)
    assert memory.counts(torch.arange(4)).tolist() == [1, 1, 1, 0]
    assert [model.decode(memory.best(k)[0][0]) for k in range(3)] == [s.middle for s in told[:3]]
    bare_task = InfillingTask(base="", base_steps=0, told=3, others=1, seeds=False)
    other = bare_task.behaviour(env, OnPolicy())
    assert isinstance(other, Sources)
    assert len(other.memory or []) == 0
    with pytest.raises(ConfigError, match="asked >= 2"):
        InfillingTask(asked=1)


@pytest.mark.slow
def test_the_command_trains_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, out = tmp_path / "base", tmp_path / "run"
    infilling_base(str(base), 2)
    words = f"train infilling --base {base} --told 3 --others 2 --asked 2 --steps 2 --longest 7"
    words += f" --batch-size 8 --eval-every 2 --eval-samples 8 --out {out}"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    for word in ("tuned", "prompting", "beams", "BLEU", "valid"):
        assert word in printed
    assert (out / "middles.md").read_text().count("(true: ") == 15
