"""Arithmetic: problems, the corpus, both calculators, answers, supervised tuning, the task."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Needs, TrainConfig, Trainer, evaluate
from gflow.behaviours import BackwardReplay
from gflow.behaviours.base import OnPolicy
from gflow.behaviours.sources import Sources
from gflow.envs.language.arithmetic import Problem, answer_in, problems
from gflow.envs.language.arithmetic_base import (
    LEAST,
    MOST,
    WORDS,
    Corpus,
    arithmetic_model,
    bare_arithmetic_model,
)
from gflow.envs.language.arithmetic_reward import ArithmeticReward, accuracy, legal_tokens
from gflow.envs.language.arithmetic_task import ArithmeticTask
from gflow.envs.language.calculator import TextCalculator, TokenCalculator, calculated
from gflow.envs.language.pretraining import small_gpt2
from gflow.errors import ConfigError
from gflow.language import HuggingFacePolicy, token_log_probs, written
from gflow.objectives import MaximumLikelihood

NUMBER = {word: i for i, word in enumerate(WORDS)}
SMALL: Any = {"base": "", "base_steps": 0, "train_problems": 6, "test_problems": 2}


def row(text: str) -> list[int]:
    return [NUMBER[word] for word in text.split()]


def test_problems_are_worked_out_from_left_to_right() -> None:
    problem = Problem((3, 4, 9, 1), (1, -1, 1))
    assert problem.answer == -1
    assert problem.question == "Question: 3 + 4 - 9 + 1 = ? Answer:"
    assert problem.steps == "3 + 4 = 7, 7 - 9 = -2, -2 + 1 = -1"
    assert problem.demonstration.endswith("-2 + 1 = -1. The answer is -1.")
    found = problems(60, (2, 3), 1)
    assert len(set(found)) == 60
    assert {len(one.numbers) for one in found} == {2, 3}
    assert not set(problems(60, (2, 3), 2, without=found)) & set(found)
    assert problems(5, (3,), 7) == problems(5, (3,), 7)
    with pytest.raises(ConfigError, match="there are 200 problems"):
        problems(150, (2,))
    assert [answer_in(text) for text in (" -4. Q", " ?", "12 7")] == [-4, None, 12]


@pytest.mark.slow
def test_the_corpus_says_what_it_should_as_often_as_it_should() -> None:
    """Steps of the question in 30 %, correct ones in all, answers that are the last result."""
    model = bare_arithmetic_model()
    for part, share in ((0.0, 1.0), (0.25, 0.65), (0.5, 0.3), (1.0, 0.3)):
        tokens, learned = Corpus()(250, torch.Generator().manual_seed(1), part)
        apt, sizes = 0, set()
        for line, counts in zip(tokens.tolist(), learned.tolist(), strict=True):
            end = max(i for i, one in enumerate(counts) if one) + 1
            question, rest = model.decode(line[:end]).split(" Answer: ")
            asked = question.split(" = ?")[0].removeprefix("<bos> Question: ").split()
            numbers = tuple(int(word) for word in asked[::2])
            signs = tuple(1 if sign == "+" else -1 for sign in asked[1::2])
            problem = Problem(numbers, signs)
            steps, said = rest.split(" . The answer is ")
            each = steps.split(" , ")
            assert len(each) == len(signs)
            for step in each:
                left, right = step.split(" = ")
                assert calculated(f"{left} =") == int(right)
            assert said == f"{each[-1].split(' = ')[1]} ."
            begun = line.index(NUMBER["Answer:"]) + 1
            assert counts[:end] == [False] * begun + [True] * (end - begun)
            apt += steps.replace(" ,", ",") == problem.steps
            sizes.add(len(numbers))
        assert sizes == {2, 3, 4, 5}
        assert apt / 250 == pytest.approx(share, abs=0.1)


def replies(text: str) -> tuple[list[int], list[int]]:
    """What both calculators say behind a text, without padding."""
    tokens = torch.tensor([[*row(text), 104, 104]])
    length, prompt = torch.tensor([len(row(text))]), torch.tensor([0])
    tools: list[Any] = [TokenCalculator(WORDS), TextCalculator(bare_arithmetic_model())]
    one, two = (tool.reply(tokens, length, prompt)[0].tolist() for tool in tools)
    return [t for t in one if t >= 0], [t for t in two if t >= 0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("3 + 4 =", 7),
        ("3 - 4 =", -1),
        ("-6 + 9 =", 3),
        ("9 - -3 =", 12),
        ("1 + 2 = 3 , 7 - 9 =", -2),
        ("1 + 2 + 3 =", 5),
        ("50 + 0 =", 50),
        ("50 + 1 =", None),
        ("-40 - 1 =", None),
        ("3 + =", None),
        ("+ 4 =", None),
        ("4 =", None),
        ("3 4 5 =", None),
        ("3 + 4", None),
        ("=", None),
        ("3 , 4 =", None),
        ("3 + 4 = =", None),
        ("Answer: + 4 =", None),
    ],
)
def test_calculators_add_what_stands_before_the_equals_sign(text: str, result: int | None) -> None:
    token, words = replies(text)
    assert token == ([] if result is None else [NUMBER[str(result)]])
    if result is None or LEAST <= result <= MOST:
        if text not in ("50 + 1 =", "-40 - 1 ="):  # of which the text calculator knows no word
            assert words == token


def test_a_table_is_answered_at_once_as_each_row_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    likely = torch.tensor([*row("3 9 -7 + - = ,")])
    tokens = likely[torch.randint(len(likely), (3000, 6), generator=generator)]
    length = torch.randint(7, (3000,), generator=generator)
    ends = (torch.arange(3000) < 2000)[:, None] & (torch.arange(6) == length[:, None] - 1)
    tokens = tokens.masked_fill(ends, NUMBER["="])
    tokens = tokens.masked_fill(torch.arange(6) >= length[:, None], 104)
    tools: list[Any] = [TokenCalculator(WORDS), TextCalculator(bare_arithmetic_model(), 1)]
    one, two = (tool.reply(tokens, length, length) for tool in tools)
    assert int((one >= 0).sum()) > 20
    assert torch.equal(one, two)
    for at in (one >= 0).squeeze(1).nonzero().squeeze(1)[:20].tolist():
        left, sign, right, equals = (WORDS[t] for t in tokens[at, : length[at]].tolist()[-4:])
        assert equals == "="
        value = int(left) + (1 if sign == "+" else -1) * int(right)
        assert WORDS[int(one[at])] == str(value)


def test_texts_are_read_and_never_run() -> None:
    assert calculated("12+30=") == 42
    assert calculated("7 - 9 = ") == -2
    assert calculated("5-2-1=") == 1
    bad = (
        "__import__('os') =",
        "2 ** 9 =",
        "9 * 9 =",
        "1.5 + 2 =",
        "x3 + 4 =",
        "1" * 12 + " + 1 =",
    )
    assert [calculated(text) for text in bad] == [None] * len(bad)


def test_a_policy_writes_what_the_calculator_says() -> None:
    task = ArithmeticTask(**SMALL)
    env = task.environment()
    tokens = [task.worked(env, i) for i in range(6)]
    batch = written(env, tokens, range(6))
    for i in range(6):
        by_tool = batch.final_states.by_tool[i, : len(tokens[i])].tolist()
        assert by_tool == [WORDS[t] == "=" for t in [-1, *tokens[i][:-1]]]
    policy = task.policy(env, Needs())
    terms = evaluate(env, policy, batch)
    told = batch.final_states.by_tool[:, : terms.log_pf.shape[1]]
    assert float(terms.log_pf.detach()[told].abs().max()) == 0
    legal = {WORDS[i] for i in env.legal.nonzero().squeeze(1).tolist()}
    assert legal == {*map(str, range(LEAST, MOST + 1)), "+", "-", "=", ","}


def test_the_reward_is_what_the_model_says_of_steps_and_answer() -> None:
    task = ArithmeticTask(**SMALL, reward_temperature=0.5)
    env = task.environment()
    reward: Any = env.reward
    tokens = [task.worked(env, i) for i in range(3)]
    batch = written(env, tokens, range(3))
    for i in range(3):
        problem = reward.problems[i]
        suffix = row(f". The answer is {problem.answer} .")
        both = torch.tensor([tokens[i] + suffix])
        said, _ = token_log_probs(reward.model, env.prompts, torch.tensor([i]), both)
        assert float(batch.log_reward[i]) == pytest.approx(float(said.sum()) / 0.5, abs=1e-8)
        assert env.decode(env.prompts.row(i)) == f"<bos> {problem.question}"  # type: ignore[misc]


def test_answers_are_read_off_the_model_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model's own greedy continuation, text by text; and majorities by hand."""
    task = ArithmeticTask(**SMALL)
    env = task.environment()
    reward: Any = env.reward
    policy = task.policy(env, Needs())
    for name, value in policy.named_parameters():
        if "lora_B" in name:
            value.data.normal_(0.0, 0.3)
    tokens = [task.worked(env, i)[: 5 + i] for i in range(3)]
    made = written(env, [t[: t.index(NUMBER["="]) + 2] for t in tokens], range(3)).final_states
    answers = reward.answers(made, most=3)
    for i, text in enumerate(env.tokens_of(made)):
        line = [*env.prompts.row(i), *text, *row(". The answer is")]
        begun = len(line)
        with reward.model.reference():
            for _ in range(3):
                line.append(int(reward.model.model(torch.tensor([line])).logits[0, -1].argmax()))
        assert answers[i] == answer_in(reward.model.decode(line[begun:]))

    truth = {i: problem.answer for i, problem in enumerate(reward.problems)}

    def told(states: Any) -> list[int | None]:
        """Of four texts: the truth twice and two others; then the truth once and others."""
        said: list[int | None] = []
        for place, prompt in enumerate(states.prompt.tolist()):
            first = [truth[prompt], 99, truth[prompt], None]
            second = [98, 98, truth[prompt], 97]
            said.append((first, second)[place // 4][place % 4])
        return said

    monkeypatch.setattr(reward, "answers", told)
    found = accuracy(env, policy, [0, 3], 4, torch.Generator().manual_seed(0))
    assert found["accuracy"] == pytest.approx(3 / 8)
    assert found["majority"] == 0.5
    assert 1 < found["distinct"] <= 4
    assert found["worked"] == 0


@pytest.mark.slow
def test_supervised_tuning_makes_the_steps_likely() -> None:
    """Demonstrations as a data set of trajectories, by maximum likelihood."""
    task = ArithmeticTask(**SMALL)
    env = task.environment()
    policy = task.policy(env, Needs())
    tokens = [task.worked(env, i) for i in range(6)]
    batch = written(env, tokens, range(6), log_reward=torch.zeros(6))

    def said() -> float:
        with torch.no_grad():
            return float(evaluate(env, policy, batch).log_pf.sum(1).mean())

    before = said()
    data = BackwardReplay(env, batch.final_states, 1.0, torch.zeros(6), batch.condition)
    config = TrainConfig(steps=8, batch_size=12, lr=1e-2)
    trainer = Trainer(
        env, policy, MaximumLikelihood(), config, condition=task.condition(env), behaviour=data
    )
    trainer.train()
    assert said() > before + 2
    found = accuracy(env, policy, [0], 2, torch.Generator().manual_seed(0))
    assert set(found) == {"accuracy", "majority", "distinct", "worked"}


def test_the_task_trains_on_some_questions_and_is_judged_by_others() -> None:
    task = ArithmeticTask(**SMALL, demonstrations=2)
    known = task.problems()
    assert len(set(known)) == 6 + 3 * 2
    for size in (3, 4, 5):
        assert {len(known[i].numbers) for i in task.test_rows(size)} == {size}
    env = task.environment()
    condition = task.condition(env)
    assert condition is not None
    drawn = condition(64, torch.Generator().manual_seed(0))
    assert float(drawn.max()) < 6
    assert (drawn.view(-1, 8) == drawn.view(-1, 8)[:, :1]).all()
    made = task.behaviour(env, OnPolicy())
    assert isinstance(made, Sources)
    assert made.memory is not None
    for i in range(3):
        best = [text for text, _ in made.memory.best(i)]
        assert best == ([task.worked(env, i)] if i < 2 else [])


@pytest.mark.slow
def test_a_base_is_kept_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "base")
    made = arithmetic_model(folder, steps=2)
    assert "step 1 of 2" in capsys.readouterr().err
    again = arithmetic_model(folder, steps=2)
    assert "pre-training" not in capsys.readouterr().err
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value)
    assert again.encode("3 + 4 = 7.") == row("3 + 4 = 7 .")
    assert again.decode(row("3 - -4")) == "3 - -4"


def test_a_model_of_ones_own_works_in_pieces_of_words(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [problem.demonstration for problem in problems(40, (3, 4), 1)]
    made: Any = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")
    small_gpt2(len(tokenizer), 1, 16, 256, 0, 0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    task = ArithmeticTask(model=str(tmp_path), shots=1, longest=40, **SMALL)
    env: Any = task.environment()
    reward: Any = env.reward
    assert isinstance(reward, ArithmeticReward)
    shown = reward.model.decode(env.prompts.row(0))
    assert shown.count("Question:") == 2
    assert shown.endswith(reward.problems[0].question)
    batch = written(env, [task.worked(env, i) for i in range(6)], range(6))
    for text, state in zip(env.show(batch.final_states), batch.final_states.by_tool, strict=True):
        results = [part.split("=")[1] for part in text.split(",")]
        said = sum(len(reward.model.encode(result)) for result in results)
        assert int(state.sum()) == said
    legal: Tensor = legal_tokens(reward.model)
    assert legal[reward.model.encode(" 12, -7 + 3 =")].all()
    assert not legal[reward.model.encode("a")].any()
    policy = task.policy(env, Needs())
    assert isinstance(policy, HuggingFacePolicy)
    found = accuracy(env, policy, task.test_rows(5), 2, torch.Generator().manual_seed(0))
    assert found["distinct"] > 1
