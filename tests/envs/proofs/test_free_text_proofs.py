"""Tactics as free text: transcripts, their outcomes, and the exact law over a tiny vocabulary."""

from typing import Any

import pytest
import torch

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs.proofs import Done, Failed, Open, RecordedChecker, Theorem
from gflow.envs.proofs.free_text import (
    BYTE_STOP,
    BYTES,
    OutcomeReward,
    Transcripts,
    byte_prompts,
    decode_bytes,
    encode_bytes,
)
from gflow.language.env import TokenEnvironment
from gflow.objectives import TrajectoryBalance
from gflow.testing import all_trajectories, check_env

PIECES = ["left.", "assumption.", "\n", "open\n", "done\n", "error\n", "<stop>"]
LEFT, ASSUME, LINE, OPENED, DONE, ERROR, STOP = range(7)
PROOF = [LEFT, LINE, OPENED, ASSUME, LINE]


class Told:
    """`left.` opens the proof that `assumption.` closes; all else fails."""

    def start(self, theorem: Theorem) -> Open:
        return Open((), "goal")

    def apply(self, handle: Any, tactic: str) -> Any:
        path = (*handle, tactic)
        if path == ("left.",):
            return Open(path, "goal")
        return Done() if path == ("left.", "assumption.") else Failed("no")

    def close(self) -> None:
        pass


def written() -> Transcripts:
    pieces = {piece: number for number, piece in enumerate(PIECES)}
    return Transcripts(
        Told(),
        [Theorem.of("A")],
        reply_length=1,
        tell="status",
        encode=lambda text: [pieces[text]],
        decode=lambda tokens: "".join(PIECES[token] for token in tokens),
    )


def tiny(max_length: int) -> TokenEnvironment:
    legal = torch.tensor([True] * 3 + [False] * 4)
    talk = written()
    reward = OutcomeReward(talk, len(PIECES), incomplete=2.0, error=3.0)
    return TokenEnvironment(len(PIECES), STOP, reward, max_length, legal=legal, tool=talk)


def test_transcripts_of_bytes() -> None:
    checker = RecordedChecker()
    talk = Transcripts(checker, checker.theorems, reply_length=40)
    goal = "P, Q : Prop\nH : P /\\ Q\n⊢ Q\n"
    assert talk.goals == ["⊢ forall P Q : Prop, P /\\ Q -> Q \\/ P"]
    first = encode_bytes("intros.\n")
    said = talk.said(0, ("intros.",))
    assert decode_bytes(said) == "P, Q : Prop\nH : P /\\ Q\n⊢ Q \\/ P\n"
    rows = [first + said + encode_bytes("left.\n"), first, encode_bytes("intros."),
            encode_bytes("assumption.\n")]  # fmt: skip
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    length, prompt = torch.tensor([len(row) for row in rows]), torch.zeros(4).long()
    replies = talk.reply(tokens, length, prompt)
    shown = [decode_bytes([t for t in row if t >= 0]) for row in replies.tolist()]
    assert shown == [goal, decode_bytes(said), "", "error\n"]
    assert talk.read(rows[0] + encode_bytes(goal + "ri"), 0) == (("intros.", "left."), "ri")
    assert byte_prompts(talk.goals)[0][-1] == 10
    assert BYTES == BYTE_STOP + 1
    cut = Transcripts(checker, checker.theorems, reply_length=5)
    assert decode_bytes(cut.said(0, ("intros.",))) == "P, Q "
    calls = talk.pool.calls
    talk.reply(tokens, length, prompt)
    assert talk.pool.calls == calls  # each sequence is asked once


def test_outcomes_of_transcripts() -> None:
    talk = written()
    assert talk.outcome([], 0) == "open"
    assert talk.outcome(PROOF[:-1], 0) == "open"
    assert talk.outcome(PROOF, 0) == "done"
    assert talk.outcome([*PROOF, DONE], 0) == "done"
    assert talk.outcome([*PROOF, DONE, LEFT], 0) == "error"  # it is to stop there
    assert talk.outcome([*PROOF, DONE, LEFT, LINE], 0) == "error"
    assert talk.outcome([ASSUME, LINE, ERROR], 0) == "error"
    assert talk.outcome([ASSUME, LINE, ERROR, LEFT, LINE], 0) == "error"
    assert talk.outcome([LEFT, LEFT, LINE], 0) == "error"


def test_the_law_of_transcripts_is_exact() -> None:
    """What the checker says has log-probability 0; a proof has the product over its own tokens."""
    env = tiny(4)
    assert check_env(env, limit=5000).exhaustive
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, backward="uniform")
    torch.nn.init.normal_(policy.forward_table, generator=torch.Generator().manual_seed(0))
    loss = TrajectoryBalance()
    every = all_trajectories(env)
    terms = loss.evaluate(env, policy, every)
    assert float(terms.log_pf.detach().sum(-1).exp().sum()) == pytest.approx(1.0)
    texts = env.tokens_of(every.final_states)
    row = texts.index([*PROOF, DONE])
    log_reward = terms.log_reward
    assert float(log_reward[row]) == 0.0
    assert sorted(set(log_reward.tolist())) == [-3.0, -2.0, 0.0]
    assert (log_reward == 0).sum() == 1
    told = [place for place, token in enumerate(texts[row]) if token in (OPENED, DONE)]
    own = terms.log_pf.detach()[row]
    assert own[told].abs().max() == 0
    assert (own[[0, 1, 3, 4]] < 0).all()


@pytest.mark.slow
def test_a_language_model_writes_tactics() -> None:
    """log P_F of a tactic is the sum of its tokens' log-probabilities, its end of line included."""
    transformers = pytest.importorskip("transformers")
    from gflow.language import HuggingFacePolicy, LanguageModel

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=BYTES, n_positions=256, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=BYTE_STOP, eos_token_id=BYTE_STOP,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    checker = RecordedChecker()
    talk = Transcripts(checker, checker.theorems, reply_length=30)
    legal = torch.zeros(BYTES, dtype=torch.bool)
    legal[list(b"intros.\n")] = True
    env = TokenEnvironment(
        BYTES, BYTE_STOP, OutcomeReward(talk), 9, legal=legal, tool=talk,
        prompts=byte_prompts(talk.goals),
    )  # fmt: skip
    policy = HuggingFacePolicy(env, LanguageModel(model))
    first = encode_bytes("intros.\n")
    whole = [*first, *talk.said(0, ("intros.",)), BYTE_STOP]
    batch = Sampler(env).along(torch.tensor([whole]), torch.tensor([len(whole)]))
    terms = TrajectoryBalance().evaluate(env, policy, batch)
    assert float(terms.log_reward[0]) == -15.0
    prompt = byte_prompts(talk.goals)[0]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + first])).logits[0, len(prompt) - 1 :].double()
    allowed = legal.clone()
    allowed[BYTE_STOP] = True
    log_p = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    expected = sum(float(log_p[place, token]) for place, token in enumerate(first))
    found = terms.log_pf.detach()[0]
    assert float(found[: len(first)].sum()) == pytest.approx(expected, abs=1e-4)
    assert float(found[len(first) : -1].abs().max()) == 0.0  # the goal, by the checker
