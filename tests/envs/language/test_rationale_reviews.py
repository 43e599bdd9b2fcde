"""Reviews, the corpus, the small model that reads it, and the task around them."""

from collections import Counter
from typing import Any

import pytest
import torch

from gflow import Needs, TrainConfig, Trainer
from gflow.envs.language import rationale_base
from gflow.envs.language.rationale_base import draw_lines, review_words, small_model
from gflow.envs.language.rationale_reviews import (
    ATTRIBUTES,
    HABIT,
    LABELS,
    UNSURE,
    continuation,
    prompt,
    review,
    reviews,
)
from gflow.envs.language.rationale_task import RationalesTask, legal_words, reward_of
from gflow.errors import ConfigError
from gflow.objectives import ModifiedSubTrajectoryBalance
from gflow.tasks.registry import task_class


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_film_decides_and_no_review_names_its_attribute() -> None:
    found = reviews(101, 3)
    assert Counter(one.label for one in found) == {0: 51, 1: 50}
    assert found == reviews(101, 3)
    assert found != reviews(101, 4)
    for one in found:
        first, second = (set(part.split()) for part in _clauses(one.text))
        assert "film" in first
        assert set(ATTRIBUTES[one.attribute][1].split()) & first
        assert set(ATTRIBUTES[one.other][1].split()) & second
        assert one.label == ATTRIBUTES[one.attribute][0]
        assert not set(ATTRIBUTES) & (first | second)


def _clauses(text: str) -> list[str]:
    for join in (" and ", " while ", " but "):
        if join in text:
            return text.split(join)
    raise AssertionError(text)


def test_the_corpus_couples_rationale_and_label_as_loosely_as_it_says() -> None:
    generator = seeded(1)
    said: Counter[tuple[str, bool]] = Counter()
    named = Counter[str]()
    for _ in range(6000):
        one = review(generator)
        text = continuation(one, generator)
        z, label = text.rstrip(".").split(", so it is ")
        which = [name for name in ATTRIBUTES if name in z.split()]
        assert label in LABELS
        assert len(z.split()) <= 4
        if not which:
            named["none"] += 1
            continue
        main = bool({"mostly", "truly"} & set(z.split()))
        assert which == [one.attribute if main else one.other]
        named["main" if main else "other"] += 1
        kind = "unsure" if which[0] in UNSURE else "sure"
        said[kind, label == LABELS[ATTRIBUTES[which[0]][0]]] += 1
    for kind, wanted in (("sure", HABIT), ("unsure", 0.5)):
        right, wrong = said[kind, True], said[kind, False]
        assert right / (right + wrong) == pytest.approx(wanted, abs=0.04)
    assert named["none"] / 6000 == pytest.approx(0.2, abs=0.03)
    assert named["main"] / 6000 == pytest.approx(0.4, abs=0.03)


def test_lines_are_prompts_and_what_is_learned_follows_them() -> None:
    tokens, learned = draw_lines(5, seeded(2), 0.0)
    words = review_words()
    generator = seeded(2)
    for row, flags in zip(tokens, learned, strict=True):
        one = review(generator)
        behind = continuation(one, generator)
        assert row[flags].tolist() == words.encode(behind)
        before = row[: int(flags.long().argmax())].tolist()
        assert before == words.encode(prompt(one.text))
        assert words.eos_token_id not in row[flags].tolist()  # no word is unknown


def test_the_model_learns_from_the_corpus_the_same_each_time() -> None:
    rationale_base._trained.cache_clear()
    mine = small_model(3, width=16)
    assert small_model(3, width=16) is mine
    rationale_base._trained.cache_clear()
    again = small_model(3, width=16)
    for a, b in zip(mine.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad
    fresh = small_model(0, width=16)
    assert not torch.equal(next(iter(fresh.parameters())), next(iter(mine.parameters())))


TINY: dict[str, Any] = {"base_steps": 0, "items": 4, "test_items": 3, "rank": 2, "repeat": 2}


def test_the_task_trains_on_labelled_reviews_and_measures_others() -> None:
    assert task_class("rationales") is RationalesTask
    task = RationalesTask(**TINY, m_every=1, m_steps=2, drawn=2, m_batch=4)
    env = task.environment()
    reward = reward_of(env)
    assert reward.answers.tolist() == [*(one.label for one in task.data()[:4]), -1, -1, -1]
    assert reward.labelled.tolist() == [0, 1, 2, 3]
    words = [env.decode([i]) for i in env.legal.nonzero().squeeze(1).tolist()]  # type: ignore[misc]
    assert all(word.isalpha() for word in words)
    assert {"mostly", "factual", "and"} <= set(words)
    assert env.decode is not None
    assert env.decode([reward.head.opening[0]]) == ","
    assert not bool(legal_words(reward.head.base)[reward.head.opening[0]])
    policy = task.policy(env, Needs(stop=True))
    trainer = Trainer(
        env,
        policy,
        ModifiedSubTrajectoryBalance(),
        TrainConfig(steps=2, batch_size=4),
        condition=task.condition(env),
        learners=task.learners(env, policy),
    )
    trainer.train()
    assert len(task.learners(env, policy)) == 2
    assert len(RationalesTask(**TINY, m_every=0).learners(env, policy)) == 1

    class Now:
        pass

    now: Any = Now()
    now.trainer, now.env = trainer, env
    numbers = task.metrics(now, None)
    assert set(numbers) == {"accuracy", "greedy_accuracy"}
    assert {round(value * 3) for value in numbers.values()} <= {0, 1, 2, 3}
    now.numbers = {"accuracy": 0.5, "greedy_accuracy": 0.25}
    assert "0.500, with greedy rationales 0.250" in task.report(now)
    shown = task.describe(env, env.initial(1))
    assert shown[0].startswith('Review : " the film')
    assert "This review is" in shown[0]


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="items"):
        RationalesTask(items=0)
    with pytest.raises(ConfigError, match="no causal language model 'nowhere'"):
        RationalesTask(model="nowhere", items=1).environment()
    with pytest.raises(ConfigError, match="count"):
        reviews(0)
