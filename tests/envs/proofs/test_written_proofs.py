"""Proofs as text of a language model: the posterior, what the base learns from, run and search."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("peft")

from gflow.cli.main import main
from gflow.envs.proofs import CoqChecker, FixedTactics, RecordedChecker, Theorem
from gflow.envs.proofs.free_text import OutcomeReward, ProofPosterior
from gflow.envs.proofs.written_base import EOS, WORDS, Attempts, tidy, written_base
from gflow.envs.proofs.written_task import WrittenProofsTask, transcripts_of
from gflow.errors import ConfigError
from gflow.language import HuggingFacePolicy, LanguageModel
from gflow.objectives import LogPartitionVariance

PROOF = ("intros.", "assumption.")
PROVED = "forall P : Prop, P -> P"


def task(**more: object) -> WrittenProofsTask:
    options: dict[str, object] = {"base": "", "base_steps": 0, "theorems": "example", "longest": 12}
    return WrittenProofsTask(**(options | more))  # type: ignore[arg-type]


def transcript(one: WrittenProofsTask, model: LanguageModel, tactics: tuple[str, ...]) -> list[int]:
    """The tokens of tactics and of what the checker says to them."""
    mine, _ = one.finite.split()
    talk = one._transcripts(mine, model)
    tokens: list[int] = []
    for size in range(1, len(tactics) + 1):
        tokens += [*talk.encode(f"{tactics[size - 1]}\n"), *talk.said(0, tactics[:size])]
    return tokens


def test_the_posterior_is_of_the_tactics_alone() -> None:
    """log R = log p of the words of the policy, normalised over legal ones, + log v, by hand."""
    one = task(incomplete=3.0, error=5.0)
    env = one.environment()
    reward = env.reward
    assert isinstance(reward, ProofPosterior)
    model, prompt = reward.model, env.prompts.row(0)
    for parameter in model.parameters():  # adapters that say something do not count
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    tokens = transcript(one, model, ("intros.", "left."))
    length = torch.tensor([len(tokens)])
    found = reward.score(torch.tensor([tokens]), length, torch.zeros(1).long())[0]
    with model.reference():
        logits = model.model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 :]
    kept = env.legal.clone()
    kept[env.stop_action] = True
    log_p = (logits - 50.0 * ~kept).log_softmax(-1)
    own = [place for place in range(len(tokens)) if place % 5 < 3]  # "intros" "." "\n" "open" "\n"
    ends = log_p[:, env.stop_action].tolist()
    total, expected = 0.0, [ends[0] - 3.0]
    for place, token in enumerate(tokens):
        total += float(log_p[place, token]) if place in own else 0.0
        expected.append(total + ends[place + 1] - 3.0)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-9)
    wrong = torch.tensor([model.encode("assumption.\n")])  # there is nothing yet to take
    value = OutcomeReward(transcripts_of(env), model.vocabulary, 3.0, 5.0)
    assert value.score(wrong, torch.tensor([3]), torch.zeros(1).long())[0].tolist() == [
        -3.0, -3.0, -3.0, -5.0,
    ]  # fmt: skip


def test_outcomes_of_all_prefixes_are_those_of_each() -> None:
    one = task()
    env = one.environment()
    talk, reward = transcripts_of(env), env.reward
    assert isinstance(reward, ProofPosterior)
    model = reward.model
    done = transcript(one, model, ("intros.", "destruct H.", "right.", "assumption."))
    after = [*done, *model.encode("left")]
    again = [*done, *model.encode("left.\n")]
    states, own = talk.outcomes(done, 0)
    assert states[-1] == states[-2] == states[-3] == "done"
    assert set(states[:-3]) == {"open"}
    assert [talk.piece(t) for t, mine in zip(done, own, strict=True) if not mine] == [
        "open", "\n", "open", "\n", "open", "\n", "done", "\n",
    ]  # fmt: skip
    assert talk.outcomes(after, 0)[0][-2:] == ["done", "error"]
    assert talk.outcomes(again, 0)[0][-1] == "error"


def test_the_words_of_tactics_are_read_as_they_are_written() -> None:
    one = task()
    env = one.environment()
    talk = transcripts_of(env)
    text = "destruct H.\napply H0.\nrewrite <- H1.\n"
    assert talk.decode(talk.encode(text)) == text
    assert tidy("a . \n b .") == "a.\nb."
    assert not env.legal[WORDS.index(EOS)]
    assert env.decode is not None
    assert env.decode(env.prompts.row(0)).startswith("Theorem goal")
    with pytest.raises(ConfigError, match="reads 256 words"):
        task(longest=200).environment()


def test_attempts_try_candidates_and_hear_what_is_said() -> None:
    one = task()
    mine, _ = one.finite.split()
    model = written_base("", 0, 0, lambda _: pytest.fail("nothing is trained"))
    made = Attempts(
        one._transcripts(mine, model), one._prompts(mine, model), one.finite.tactics(), 4
    )
    generator = torch.Generator().manual_seed(0)
    known, sizes, ends = set(RecordedChecker().tactics), set(), []
    for _ in range(60):
        tokens = made.written(0, generator)
        tactics, rest = made.transcripts.read(tokens, 0)
        assert rest == ""
        assert set(tactics) <= known
        sizes.add(len(tactics))
        ends.append(made.transcripts.outcome(tokens, 0))
    assert sizes <= {1, 2, 3, 4}
    assert {"done", "error"} <= set(ends)
    assert ends.count("error") < 40  # drawn once, most attempts would end so
    drawn, learned = made(3, generator, 0.0)
    opened = len(made.prompts[0])
    assert not learned[:, :opened].any()
    assert learned[:, opened].all()
    assert (drawn[learned] == WORDS.index(EOS)).sum() == 3


class Sure(Attempts):
    """Always the same proof."""

    def written(self, theorem: int, generator: torch.Generator) -> list[int]:
        """Its tokens."""
        encode = self.transcripts.encode
        return list(encode("intros.\nopen\nassumption.\ndone\n"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small model that knows one proof and nothing else."""
    one, folder = task(), str(tmp_path_factory.mktemp("written") / "base")
    mine, _ = one.finite.split()

    def attempts(model: LanguageModel) -> Attempts:
        prompts = one._prompts([Theorem.of(PROVED)], model)
        return Sure(one._transcripts(mine, model), prompts, FixedTactics(PROOF), 2)

    written_base(folder, 120, 0, attempts)
    return folder


@pytest.mark.slow
def test_a_run_on_the_example(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_default_dtype(torch.float32)
    words = ["--theorems=example", "--steps=2", "--batch-size=4", "--repeat=4", "--longest=8",
             "--eval-samples=4", "--asked=4", f"--base={base}"]  # fmt: skip
    run = tmp_path / "run"
    assert main(["train", "written-proofs", "--out", str(run), "--quiet", *words]) == 0
    assert main(["sample", str(run), "-n", "2"]) == 0
    assert "Theorem goal" in capsys.readouterr().out


@pytest.mark.slow
def test_what_a_model_writes_is_proved(
    coq: CoqChecker, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A base that knows one proof proves by the command what that proves, and nothing else."""
    torch.set_default_dtype(torch.float32)
    words = ["--train-theorems=2", "--test-theorems=1", "--steps=1", "--batch-size=2", "--repeat=2",
             "--longest=8", "--eval-samples=2", "--asked=2", "--lr=1e-6",
             f"--base={base}"]  # fmt: skip
    run = str(tmp_path / "run")
    assert main(["train", "written-proofs", "--out", run, "--quiet", *words]) == 0
    capsys.readouterr()
    assert main(["prove", run, PROVED]) == 0
    said = capsys.readouterr().out
    assert "Proof.\n  intros.\n  assumption.\nQed.\n(* written within" in said
    assert main(["prove", run, "forall P : Prop, P", "--budget", "3"]) == 1
    assert "wrote no proof of 'Theorem goal : forall P : Prop, P.'" in capsys.readouterr().err


def test_search_ends_with_the_budget() -> None:
    one = task(longest=4)
    env = one.environment()
    policy = one.policy(env, LogPartitionVariance().needs)
    assert isinstance(policy, HuggingFacePolicy)
    theorem: Theorem = transcripts_of(env).theorems[0]
    proof, calls = one.search(policy, theorem, 1, torch.Generator().manual_seed(0))
    assert proof is None
    assert calls < 64
