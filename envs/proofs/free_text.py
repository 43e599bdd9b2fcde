"""Tactics as free text: a language model writes them line by line, and the checker answers.

A text is a transcript: a tactic, the end of its line, what the checker says, the next tactic. The
checker is the tool of a `TokenEnvironment`, its words are moves of chance that are certain, so that
log P_F of a tactic is the sum over its tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative, Temperature
from gflow.checks import checked
from gflow.envs.proofs.checker import Checker, Done, Open, Reply, Theorem
from gflow.envs.proofs.pool import CheckerPool
from gflow.language.model import LanguageModel
from gflow.language.prefixes import PrefixReward
from gflow.language.prompts import Prompts
from gflow.language.reference import token_log_probs

Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]

BYTES, BYTE_STOP = 257, 256
"""Tokens of texts of bytes, and the one that ends them."""

PENALTY = 50.0
"""What logits of tokens lose that no tactic is made of."""


def encode_bytes(text: str) -> list[int]:
    """The bytes of a text, as tokens."""
    return list(text.encode())


def decode_bytes(tokens: Sequence[int]) -> str:
    """The text of bytes; what is no text is replaced."""
    return bytes(token for token in tokens if token < BYTE_STOP).decode(errors="replace")


def byte_prompts(texts: Sequence[str]) -> list[list[int]]:
    """Prompts: the goals of theorems, and the end of the line."""
    return [encode_bytes(f"{text}\n") for text in texts]


class Transcripts:
    """What a checker says to tactics that are written line by line: the tool of an environment.

    Each sequence of tactics is asked once. A text goes on after "done" or "error" at its own cost:
    it then is no proof.

    Args:
        checker: One checker, or a pool of them.
        theorems: Prompt k is about theorem k.
        reply_length: R, tokens of an answer, at most; longer ones are cut.
        tell: The goals that are left, or nothing but "open"; "done" and "error" in any case.
        encode: A text to tokens; bytes by default.
        decode: Tokens to a text.

    Attributes:
        goals: The texts of the goals at the beginning, for prompts.
    """

    @checked
    def __init__(
        self,
        checker: "Checker | CheckerPool",
        theorems: Sequence[Theorem],
        reply_length: Count = 64,
        tell: Literal["goals", "status"] = "goals",
        encode: Encode = encode_bytes,
        decode: Decode = decode_bytes,
    ) -> None:
        self.pool, self.theorems = CheckerPool.of(checker), tuple(theorems)
        self.reply_length, self.tell = reply_length, tell
        self.encode, self.decode = encode, decode
        starts = self.pool.start(self.theorems)
        self.goals = [start.text for start in starts]
        self._known: dict[tuple[int, tuple[str, ...]], Reply] = {
            (number, ()): start for number, start in enumerate(starts)
        }
        self._pieces: dict[int, str] = {}

    def piece(self, token: int) -> str:
        """The text of one token."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self.decode([token])
        return found

    @property
    def error(self) -> list[int]:
        """What is said of tactics that fail."""
        return list(self.encode("error\n"))[: self.reply_length]

    def after(self, theorem: int, tactics: tuple[str, ...]) -> Reply:
        """What the checker says after tactics: the first end counts."""
        found = self._known.get((theorem, tactics))
        if found is not None:
            return found
        before = self.after(theorem, tactics[:-1])
        reply = before
        if isinstance(before, Open):
            (reply,) = self.pool.apply([(before.handle, tactics[-1])])
        self._known[theorem, tactics] = reply
        return reply

    def said(self, theorem: int, tactics: tuple[str, ...]) -> list[int]:
        """The tokens of the checker's answer after tactics."""
        reply = self.after(theorem, tactics)
        text = "done" if isinstance(reply, Done) else "error"
        if isinstance(reply, Open):
            text = "open" if self.tell == "status" else reply.text
        return list(self.encode(f"{text}\n"))[: self.reply_length]

    def read(self, tokens: Sequence[int], theorem: int) -> tuple[tuple[str, ...], str]:
        """The tactics of a transcript, and what is written of the next one."""
        tactics: tuple[str, ...] = ()
        begin = 0
        for place in range(len(tokens)):
            if place < begin or "\n" not in self.piece(tokens[place]):
                continue
            tactics = (*tactics, self.decode(tokens[begin:place]).strip())
            begin = place + 1 + len(self.said(theorem, tactics))
        return tactics, self.decode(tokens[begin:])

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, R) int64 the answer where a line of the policy has ended, -1 elsewhere."""
        found = torch.full((len(tokens), self.reply_length), -1, dtype=torch.int64)
        rows = zip(tokens.tolist(), length.tolist(), prompt.tolist(), strict=True)
        for place, (row, size, theorem) in enumerate(rows):
            if size and "\n" in self.piece(row[size - 1]):
                tactics, rest = self.read(row[:size], theorem)
                if tactics and not rest:
                    words = self.said(theorem, tactics)
                    found[place, : len(words)] = torch.tensor(words)
        return found.to(tokens.device)

    def outcome(self, tokens: Sequence[int], theorem: int) -> str:
        """`done`, `open` or `error` of a transcript as it stands."""
        return self.outcomes(tokens, theorem)[0][-1]

    def outcomes(self, tokens: Sequence[int], theorem: int) -> tuple[list[str], list[bool]]:
        """`done`, `open` or `error` of all prefixes, and which tokens are not the checker's."""
        tactics: tuple[str, ...] = ()
        state, begin = "open", 0  # `state` is of the lines that are written in whole
        found, own = [state], []
        for place, token in enumerate(tokens):
            own.append(place >= begin)
            if place < begin:
                found.append(state)
            elif "\n" in self.piece(token):
                tactics = (*tactics, self.decode(tokens[begin:place]).strip())
                reply = self.after(theorem, tactics)
                ended, state = state != "open", "open" if isinstance(reply, Open) else "error"
                if isinstance(reply, Done) and not ended:
                    state = "done"
                begin = place + 1 + len(self.said(theorem, tactics))
                found.append(state)
            else:  # it is to stop where the proof is done
                found.append("open" if state == "open" else "error")
        return found, own


class OutcomeReward(PrefixReward):
    """log v of what became of a proof: 0 if it is done, -a if it is open, -b after an error.

    Args:
        transcripts: Reads texts.
        vocabulary: V.
        incomplete: a.
        error: b.
    """

    @checked
    def __init__(
        self,
        transcripts: Transcripts,
        vocabulary: Count = BYTES,
        incomplete: NotNegative = 15.0,
        error: NotNegative = 20.0,
    ) -> None:
        super().__init__(vocabulary)
        self.transcripts = transcripts
        self.values = {"done": 0.0, "open": -incomplete, "error": -error}

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) of all prefixes; those behind the end are as open."""
        return self.read(tokens, length, prompt)[0]

    def read(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and (B, n) bool the tokens that are not the checker's."""
        found = torch.full((len(tokens), tokens.shape[1] + 1), self.values["open"])
        own = torch.zeros(tokens.shape, dtype=torch.bool)
        rows: Any = zip(tokens.tolist(), length.tolist(), prompt.tolist(), strict=True)
        for place, (row, size, theorem) in enumerate(rows):
            outcomes, mine = self.transcripts.outcomes(row[:size], theorem)
            found[place, : size + 1] = torch.tensor([self.values[one] for one in outcomes])
            own[place, :size] = torch.tensor(mine, dtype=torch.bool)
        return found, own


class ProofPosterior(PrefixReward):
    r"""The posterior of a language model over tactics, given what the checker says of the proof.

    .. math:: \log R(\tau) = \sum_{t \text{ of the policy}} \log p(t \mid \text{before}) + \log v

    over the tokens of the tactics and the stop: what the checker says is certain, whatever the
    model thinks of it.

    Args:
        model: The model; its adapters are off.
        prompts: What it reads first.
        outcome: log v, and which tokens are the checker's.
        stop: Number of the stop token.
        legal: (V,) bool what tactics are made of; all else is left out of p.
        temperature: T of R^(1/T).
    """

    @checked
    def __init__(
        self,
        model: LanguageModel,
        prompts: Prompts,
        outcome: OutcomeReward,
        stop: Natural,
        legal: Tensor,
        temperature: Temperature = 1.0,
    ) -> None:
        super().__init__(model.vocabulary, temperature)
        self.model, self.prompts, self.outcome, self.stop = model, prompts, outcome, stop
        kept = legal.clone()
        kept[stop] = True
        self.shift = torch.zeros(len(kept)).masked_fill(~kept, -PENALTY)

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) of all prefixes."""
        value, own = self.outcome.read(tokens, length, prompt)
        said, ends = token_log_probs(
            self.model, self.prompts, prompt, tokens, self.stop, self.shift
        )
        assert ends is not None
        said = said.cpu().to(value).masked_fill(~own, 0.0)
        return value + ends.cpu().to(value) + torch.nn.functional.pad(said.cumsum(1), (1, 0))
