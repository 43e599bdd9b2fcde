"""Texts: tokens after a prompt, written from left to right until the stop token."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError
from gflow.language.law import TokenLaw
from gflow.language.projected import Projected
from gflow.language.prompts import Prompts
from gflow.language.tools import Tool
from gflow.rewards.base import LogReward

LARGEST_KEY = 2**62


@dataclass(frozen=True)
class Text:
    """B texts behind their prompts.

    Attributes:
        tokens: (B, L) int64; `blank` behind the end.
        prompt: (B,) int64 numbers of the prompts.
        pending: (B, R) int64 what the tool has yet to say, `blank` behind it; R = 0 without a tool.
        by_tool: (B, L) bool tokens that the tool wrote; (B, 0) without a tool.
    """

    tokens: Tensor
    prompt: Tensor
    pending: Tensor
    by_tool: Tensor


class TokenEnvironment(DiscreteEnvironment[Text]):
    """Texts of legal tokens, which end by the stop token.

    **Actions.** The V tokens of the vocabulary by their own numbers; `stop` ends the text and is no
    part of it. **Backward action.** One: drop the last token; texts form a tree, so that P_B is 1.
    **Prompts.** The condition is the number of a prompt where there are several. **Lengths.** The
    stop is illegal below `min_length` tokens of the policy, and all that is left at `max_length`.
    **Tool.** What it says is chance's, with probability 1; its tokens count in neither length.

    Args:
        vocabulary: V.
        stop: Number of the stop token.
        reward: `LogReward` of `Text`.
        max_length: Most tokens that the policy writes.
        min_length: Fewest.
        legal: (V,) bool tokens that the policy may write; all but the stop by default.
        prompts: The prompts, or lists of their tokens; by default one that is the stop token.
        tool: What answers in the midst of a text.
        decode: Token numbers to a string, for people.

    Raises:
        ConfigError: If no text is possible.
    """

    append_only: ClassVar[bool] = True
    source_reads_condition = True
    has_forced_terminals = False
    num_backward_actions = 1

    @checked
    def __init__(
        self,
        vocabulary: Count,
        stop: Natural,
        reward: LogReward[Text],
        max_length: Count,
        min_length: Natural = 0,
        legal: Tensor | None = None,
        prompts: Prompts | Sequence[Sequence[int]] | None = None,
        tool: Tool | None = None,
        decode: Callable[[list[int]], str] | None = None,
    ) -> None:
        if stop >= vocabulary or min_length > max_length:
            raise ConfigError(
                f"{self.name}: the stop must be one of the {vocabulary} tokens and min_length at "
                f"most max_length, got stop={stop}, min_length={min_length} and "
                f"max_length={max_length}."
            )
        legal = torch.ones(vocabulary, dtype=torch.bool) if legal is None else legal.clone()
        if tuple(legal.shape) != (vocabulary,) or legal.dtype != torch.bool:
            raise ConfigError(
                f"{self.name}: `legal` must be a ({vocabulary},) bool, got {legal.dtype} of shape "
                f"{tuple(legal.shape)}."
            )
        legal[stop] = False
        if not bool(legal.any()):
            raise ConfigError(f"{self.name}: no token is legal beside the stop.")
        self.num_actions = self.blank = vocabulary
        self.stop_action, self.reward, self.legal = stop, reward, legal
        self.min_length, self.max_length, self.tool = min_length, max_length, tool
        made = [[stop]] if prompts is None else prompts
        self.prompts = made if isinstance(made, Prompts) else Prompts(made)
        self.replies = 0 if tool is None else tool.reply_length
        self.length = max_length * (1 + self.replies)
        self.horizon = self.length + 1
        self.every_state_stops = min_length == 0 and tool is None
        self.has_movers = self.chance_adds = tool is not None
        self.condition_dim = int(len(self.prompts) > 1)
        self.source_reads_condition = len(self.prompts) > 1
        self.feature_sizes = (vocabulary + 1,) * self.length + (len(self.prompts),)
        self.decode = decode
        self._radix = (vocabulary + 1) * (2 if tool is not None else 1)
        size = len(self.prompts) * self._radix**self.length
        self.num_keys = size if size <= LARGEST_KEY else None
        if self.num_keys is None:
            self.has_keys = False  # type: ignore[misc]

    # ------------------------------------------------------------------ states

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Text:
        """B empty texts behind the first prompt."""
        return self._empty(torch.zeros(batch_size, dtype=torch.int64, device=device))

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> Text:
        """B empty texts behind the prompts that conditions (B, 1) call."""
        return self._empty(self.prompts.numbers(condition, batch_size).to(device))

    def _empty(self, prompt: Tensor) -> Text:
        def blanks(width: int) -> Tensor:
            return torch.full((len(prompt), width), self.blank, device=prompt.device)

        told = self.length if self.replies else 0
        flags = torch.zeros(len(prompt), told, dtype=torch.bool, device=prompt.device)
        return Text(blanks(self.length), prompt, blanks(self.replies), flags)

    def size(self, states: Text) -> Tensor:
        """(B,) int64 number of tokens, the tool's included."""
        return (states.tokens != self.blank).sum(-1)

    def key(self, states: Text) -> Tensor:
        """(B,) digits of the tokens, and of who wrote them, with the prompt behind."""
        digits = (states.tokens + 1) % (self.blank + 1)
        if self.replies:
            digits = digits + (self.blank + 1) * states.by_tool
        places = self._radix ** torch.arange(self.length, device=digits.device)
        code: Tensor = (digits * places).sum(-1) + self._radix**self.length * states.prompt
        return code

    def encode(self, states: Text) -> Tensor:
        """(B, L + 1) the tokens, and the prompt."""
        return torch.cat([states.tokens, states.prompt[:, None]], 1)

    def condition_encoder(self) -> nn.Module | None:
        """One number for each prompt, so that log Z can be learned for each."""
        if self.conditioning is not None or len(self.prompts) == 1:
            return super().condition_encoder()
        return PromptCode(len(self.prompts))

    # ------------------------------------------------------------------ moves

    def flags(self, states: Text) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is legal in each of B states.

        Returns:
            (B,) bool whether the policy may write a token, (B,) bool whether it may stop, and (B,)
            int64 what the tool says next, -1 where it is silent; None without a tool.
        """
        own = self.size(states)
        if not self.replies:
            return own < self.max_length, own >= self.min_length, None
        own = own - states.by_tool.sum(-1)
        silent = states.pending[:, 0] == self.blank
        says = states.pending[:, 0].masked_fill(silent, -1)
        return silent & (own < self.max_length), silent & (own >= self.min_length), says

    def forward_mask(self, states: Text) -> Tensor:
        """(B, V) legal tokens."""
        write, stop, says = self.flags(states)
        mask = write[:, None] & self.legal.to(write.device)
        mask[:, self.stop_action] = stop
        if says is not None:
            mask = torch.where(says[:, None] >= 0, self._only(says), mask)
        return mask

    def backward_mask(self, states: Text) -> Tensor:
        """(B, 1) whether there is a token."""
        return states.tokens[:, :1] != self.blank

    def is_terminal(self, states: Text) -> Tensor:
        """(B,) False: all texts end by the stop."""
        return torch.zeros_like(states.prompt, dtype=torch.bool)

    def is_initial(self, states: Text) -> Tensor:
        """(B,) no token is there."""
        return states.tokens[:, 0] == self.blank

    def backward_action(self, states: Text, actions: Tensor) -> Tensor:
        """(B,) zeros: drop the last token."""
        return torch.zeros_like(actions)

    def forward_action(self, states: Text, backward_actions: Tensor) -> Tensor:
        """(B,) the last token."""
        return states.tokens.gather(1, self._last(states)).squeeze(1)

    def reaches(self, states: Text, objects: Text) -> Tensor:
        """(B,) the text begins so."""
        begins = (states.tokens == objects.tokens) | (states.tokens == self.blank)
        return begins.all(-1) & (states.prompt == objects.prompt)

    def mover(self, states: Text) -> Tensor | None:
        """(B,) chance's turn while the tool has something to say; None without a tool."""
        if not self.replies:
            return None
        says = states.pending[:, 0] != self.blank
        return torch.where(says, CHANCE, AGENT)

    @property
    def has_chance(self) -> bool:
        """Whether there is a tool."""
        return self.tool is not None

    def chance_law(self, states: Text) -> Categorical:
        """What the tool says, for certain."""
        return Categorical(None, self._only(states.pending[:, 0]))

    def forward_law(self, states: Text, outputs: Tensor) -> Categorical:
        """softmax(outputs) over legal tokens, of which `Projected` makes no table."""
        if not isinstance(outputs, Projected):
            return super().forward_law(states, outputs)
        write, stop, says = self.flags(states)
        assert self.stop_action is not None
        return TokenLaw(outputs, self.legal.to(write.device), self.stop_action, write, stop, says)

    def law(self, states: Text, outputs: Tensor) -> Categorical:
        """The policy's, or what the tool says; see `Environment.law`."""
        if isinstance(outputs, Projected):
            return self.forward_law(states, outputs)  # which knows of the tool
        found: Categorical = super().law(states, outputs)
        return found

    def _only(self, tokens: Tensor) -> Tensor:
        """(B, V) bool: one token each."""
        return tokens[:, None] == torch.arange(self.blank, device=tokens.device)

    def _last(self, states: Text) -> Tensor:
        return (self.size(states) - 1).clamp(min=0)[:, None]

    def _step(self, states: Text, actions: Tensor) -> Text:
        size = self.size(states)
        # Rows with no room left step along with the others; what becomes of them is not read.
        at = size.clamp(max=self.length - 1)[:, None]
        tokens = states.tokens.scatter(1, at, actions[:, None])
        if self.tool is None:
            return replace(states, tokens=tokens)
        says = states.pending[:, 0] != self.blank
        by_tool = states.by_tool.scatter(1, at, says[:, None])
        rest = nn.functional.pad(states.pending[:, 1:], (0, 1), value=self.blank)
        reply = self.tool.reply(tokens, at.squeeze(1) + 1, states.prompt)
        reply = reply.masked_fill(reply < 0, self.blank)
        return Text(tokens, states.prompt, torch.where(says[:, None], rest, reply), by_tool)

    def _backstep(self, states: Text, actions: Tensor) -> Text:
        last = self._last(states)
        tokens = states.tokens.scatter(1, last, self.blank)
        if not self.replies:
            return replace(states, tokens=tokens)
        said = states.by_tool.gather(1, last)
        dropped = states.tokens.gather(1, last)
        again = torch.cat([dropped, states.pending[:, :-1]], 1)
        pending = torch.where(said, again, self.blank)
        return Text(tokens, states.prompt, pending, states.by_tool.scatter(1, last, False))

    # ------------------------------------------------------------------ for people

    def tokens_of(self, states: Text) -> list[list[int]]:
        """The tokens of B texts as lists."""
        sizes = self.size(states).tolist()
        rows = states.tokens.tolist()
        return [row[:size] for row, size in zip(rows, sizes, strict=True)]

    def show(self, states: Text) -> list[str]:
        """The texts, or their token numbers where nothing decodes them."""
        rows = self.tokens_of(states)
        if self.decode is None:
            return [" ".join(map(str, row)) for row in rows]
        return [self.decode(row) for row in rows]


class PromptCode(nn.Module):
    """One free number per prompt behind a one-hot code: what log Z reads."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.out_features = count

    def forward(self, condition: Tensor) -> Any:
        """(B, K) one-hot codes of conditions (B, 1)."""
        code = nn.functional.one_hot(condition[:, 0].long(), self.out_features)
        return code.to(condition.dtype)
