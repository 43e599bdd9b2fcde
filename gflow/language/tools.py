"""Tools: what answers in the midst of a text."""

from typing import Protocol

import torch
from torch import Tensor


class Tool(Protocol):
    """Reads what was written and may write on; its words are moves of chance that are certain.

    Attributes:
        reply_length: R, the most tokens of one reply.
    """

    reply_length: int

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, R) int64 what to write after each of B texts, -1 behind its end; all -1 for nothing.

        Asked whenever the policy has written a token. It must depend on its arguments alone.

        Args:
            tokens: (B, L) int64 the texts, prompts not included, the tool's own words included.
            length: (B,) int64 their lengths; what lies behind means nothing.
            prompt: (B,) int64 numbers of their prompts.
        """


class LookupTool:
    """A tool that is a table: after one token it says another. For tests and toys.

    Args:
        answers: What to say after which token.
    """

    reply_length = 1

    def __init__(self, answers: dict[int, int]) -> None:
        self.answers = answers

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, 1) the answer to the last token."""
        last = tokens.gather(1, (length - 1).clamp(min=0)[:, None])
        found = torch.full_like(last, -1)
        for asked, answer in self.answers.items():
            found = found.masked_fill((last == asked) & (length > 0)[:, None], answer)
        return found
