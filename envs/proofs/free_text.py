"""Tactics as free text: a language model writes them line by line, and the checker answers.

A text is a transcript: a tactic, the end of its line, what the checker says, the next tactic. The
checker is the tool of a `TokenEnvironment`, its words are moves of chance that are certain, so that
log P_F of a tactic is the sum over its tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Count, NotNegative
from gflow.checks import checked
from gflow.envs.proofs.checker import Checker, Done, Open, Reply, Theorem
from gflow.envs.proofs.pool import CheckerPool
from gflow.language.prefixes import PrefixReward

Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]

BYTES, BYTE_STOP = 257, 256
"""Tokens of texts of bytes, and the one that ends them."""


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
            if place < begin or "\n" not in self.decode(tokens[place : place + 1]):
                continue
            tactics = (*tactics, self.decode(tokens[begin:place]).strip())
            begin = place + 1 + len(self.said(theorem, tactics))
        return tactics, self.decode(tokens[begin:])

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, R) int64 the answer where a line of the policy has ended, -1 elsewhere."""
        found = torch.full((len(tokens), self.reply_length), -1, dtype=torch.int64)
        rows = zip(tokens.tolist(), length.tolist(), prompt.tolist(), strict=True)
        for place, (row, size, theorem) in enumerate(rows):
            if size and "\n" in self.decode(row[size - 1 : size]):
                tactics, rest = self.read(row[:size], theorem)
                if tactics and not rest:
                    words = self.said(theorem, tactics)
                    found[place, : len(words)] = torch.tensor(words)
        return found.to(tokens.device)

    def outcome(self, tokens: Sequence[int], theorem: int) -> str:
        """`done`, `open` or `error` of a transcript as it stands."""
        tactics, rest = self.read(tokens, theorem)
        reply = self.after(theorem, tactics)
        if isinstance(reply, Done):
            goes_on = rest or (len(tactics) > 1 and self._ended(theorem, tactics[:-1]))
            return "error" if goes_on else "done"
        return "open" if isinstance(reply, Open) else "error"

    def _ended(self, theorem: int, tactics: tuple[str, ...]) -> bool:
        return not isinstance(self.after(theorem, tactics), Open)


class OutcomeReward(PrefixReward):
    """log v of what became of a proof: 0 if it is done, -a if it is open, -b after an error.

    The posterior of a model given acceptance is ``Constrained(ReferenceLM(...), this)``.

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
        found = torch.full((len(tokens), tokens.shape[1] + 1), self.values["open"])
        rows: Any = zip(tokens.tolist(), length.tolist(), prompt.tolist(), strict=True)
        for place, (row, size, theorem) in enumerate(rows):
            for end in range(size + 1):
                found[place, end] = self.values[self.transcripts.outcome(row[:end], theorem)]
        return found
