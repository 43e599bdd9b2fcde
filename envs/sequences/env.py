"""Sequences over an alphabet, built in four orders, from which real tasks take a few lines.

States are (B, L) int64 tokens: symbols 0 ... A - 1, and A for the blank of a place not yet filled.
Rewards read them as they are; `Alphabet.decode` turns them into strings.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.base import SequenceEnvironment
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

__all__ = [
    "ORDERS",
    "Alphabet",
    "AnyOrder",
    "Autoregressive",
    "PrependAppend",
    "SequenceEnvironment",
    "VariableLength",
]


class Autoregressive(SequenceEnvironment):
    """Sequences of fixed length, written from left to right.

    **State.** (B, L) tokens, blanks at the end. **Forward actions.** The A symbols, each appended.
    **Backward action.** One: drop the last symbol; the states form a tree, so that P_B is 1.
    **Size.** A^L objects.

    Args:
        alphabet: The symbols.
        length: L.
        reward: `LogReward` of (B, L) tokens.
        allowed: (L, A) bool: symbols that each place may hold; all by default.

    Example:
        >>> from gflow import FunctionReward
        >>> env = Autoregressive("AB", 3, FunctionReward(lambda s: (s == 0).sum(-1).double()))
        >>> env.show(env.step(env.initial(2), torch.tensor([0, 1])))
        ['A__', 'B__']
    """

    append_only: ClassVar[bool] = True
    fills_places: ClassVar[bool] = True

    def __init__(
        self,
        alphabet: Alphabet | str | Sequence[str],
        length: int,
        reward: LogReward[Tensor],
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__(alphabet, length, reward, allowed)
        self.num_actions, self.num_backward_actions = self.num_symbols, 1
        self.horizon = length

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) the symbols allowed at the first blank."""
        room = states[:, -1:] == self.blank
        if self.allowed is None:
            return room.expand(-1, self.num_symbols)
        place = self.filled(states).clamp(max=self.length - 1)
        return self._on("allowed", states.device)[place] & room

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, 1) whether there is a symbol."""
        return states[:, :1] != self.blank

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) no blank is left."""
        return states[:, -1] != self.blank

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) all blank."""
        return states[:, 0] == self.blank

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) zeros: drop the last symbol."""
        return torch.zeros_like(actions)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the last symbol."""
        return states.gather(1, self._last(states)).squeeze(1)

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) every symbol is that of the object in its place."""
        return ((states == objects) | (states == self.blank)).all(-1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """(num_keys, L) all prefixes; the empty one in place of those that are not allowed."""
        found = self._prefixes(device)
        if found is None or self.allowed is None:
            return found
        fits = torch.nn.functional.pad(self._on("allowed", found.device), (0, 1), value=True)
        inside = fits[torch.arange(self.length, device=device), found].all(-1, keepdim=True)
        return found.where(inside, self.blank)

    def _last(self, states: Tensor) -> Tensor:
        return (self.filled(states) - 1).clamp(min=0)[:, None]

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        # The blank is the largest token, and of equal ones the first is found.
        return states.scatter(1, states.argmax(1, keepdim=True), actions[:, None])

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, self._last(states), self.blank)


class VariableLength(Autoregressive):
    """Sequences of at most L symbols, written from left to right until the policy stops.

    **State.** (B, L) tokens, blanks at the end. **Forward actions.** The A symbols, and `A` stops.
    **Backward action.** One: drop the last symbol. **Size.** Sum of A^l over the lengths allowed.

    Args:
        alphabet: The symbols.
        length: L, the largest length.
        reward: `LogReward` of (B, L) tokens with blanks at the end.
        min_length: Stopping is allowed from this length on; at 0 every state may stop.
    """

    fills_places = False

    def __init__(
        self,
        alphabet: Alphabet | str | Sequence[str],
        length: int,
        reward: LogReward[Tensor],
        min_length: int = 0,
    ) -> None:
        super().__init__(alphabet, length, reward)
        if not 0 <= min_length <= length:
            raise ConfigError(
                f"{self.name}: min_length must lie in 0 ... {length}, got {min_length}."
            )
        self.min_length = self.shortest = min_length
        self.num_actions = self.num_symbols + 1
        self.stop_action = self.num_symbols
        self.has_forced_terminals = False
        self.every_state_stops = min_length == 0
        self.horizon = length + 1

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A + 1) symbols while there is room, and the stop."""
        room = (states[:, -1:] == self.blank).expand(-1, self.num_symbols)
        if not self.min_length:
            return torch.nn.functional.pad(room, (0, 1), value=True)
        return torch.cat([room, states[:, self.min_length - 1, None] != self.blank], 1)

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) False: all objects end by a stop."""
        return torch.zeros_like(states[:, 0], dtype=torch.bool)


class PrependAppend(Autoregressive):
    """Sequences of fixed length that grow at both ends.

    **State.** (B, L) tokens of the string so far, blanks at the end.

    **Forward actions.** 0 ... A - 1 append a symbol, A ... 2A - 1 prepend it.

    **Backward actions.** 0 drops the last symbol, 1 the first. To prepend and to append are the
    same for a power of one letter, and so are the two drops: only appending and dropping the last
    are legal there, so that every legal action leads to a state of its own.

    **Size.** A^L objects.

    Args:
        alphabet: The symbols.
        length: L.
        reward: `LogReward` of (B, L) tokens.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """

    append_only = False
    fills_places = False
    # Parents differ in their numbers of trajectories: there is no closed form as in the base.
    max_entropy_logits = DiscreteEnvironment.max_entropy_logits  # type: ignore[assignment]

    def __init__(
        self,
        alphabet: Alphabet | str | Sequence[str],
        length: int,
        reward: LogReward[Tensor],
    ) -> None:
        super().__init__(alphabet, length, reward)
        self.num_actions, self.num_backward_actions = 2 * self.num_symbols, 2

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, 2A) everything while there is room, but no letter before a power of itself."""
        room = states[:, -1:] == self.blank
        symbols = torch.arange(self.num_symbols, device=states.device)
        first = states[:, :1]
        power = self._is_power(states)[:, None] & ((first == symbols) | (first == self.blank))
        return torch.cat([room.expand(-1, self.num_symbols), room & ~power], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, 2) drop the last if there is one; the first unless that is the same."""
        some = states[:, 0] != self.blank
        return torch.stack([some, some & ~self._is_power(states)], 1)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) 0 for what was appended, 1 for what was prepended."""
        return (actions >= self.num_symbols).long()

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) append the last symbol, or prepend the first."""
        last = super().forward_action(states, backward_actions)
        return torch.where(backward_actions == 0, last, states[:, 0] + self.num_symbols)

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) the string so far stands somewhere in the object."""
        beyond = torch.nn.functional.pad(objects, (0, self.length - 1), value=-1)
        windows = beyond.unfold(1, self.length, 1)  # (B, L, L): from every place on
        fits = (windows == states[:, None]) | (states == self.blank)[:, None]
        return fits.all(-1).any(-1)

    def _is_power(self, states: Tensor) -> Tensor:
        """(B,) no letter differs from the first."""
        return ((states == states[:, :1]) | (states == self.blank)).all(-1)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        symbols = actions % self.num_symbols
        longer = torch.cat([symbols[:, None], states[:, :-1]], 1)
        appended = super()._step(states, symbols)
        return torch.where((actions < self.num_symbols)[:, None], appended, longer)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        shorter = torch.nn.functional.pad(states[:, 1:], (0, 1), value=self.blank)
        return torch.where((actions == 0)[:, None], super()._backstep(states, actions), shorter)


class AnyOrder(SequenceEnvironment):
    """Sequences of fixed length whose places are filled in any order.

    **State.** (B, L) tokens, blanks anywhere. **Forward actions.** ``place * A + symbol``.
    **Backward actions.** i empties place i. **Size.** A^L objects, (A + 1)^L states.

    Args:
        alphabet: The symbols.
        length: L.
        reward: `LogReward` of (B, L) tokens.
        allowed: (L, A) bool: symbols that each place may hold; all by default.
    """

    fills_places: ClassVar[bool] = True

    def __init__(
        self,
        alphabet: Alphabet | str | Sequence[str],
        length: int,
        reward: LogReward[Tensor],
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__(alphabet, length, reward, allowed)
        self.num_actions, self.num_backward_actions = length * self.num_symbols, length
        self.horizon = length

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, L A) the symbols allowed at every blank."""
        free = (states == self.blank)[:, :, None]
        if self.allowed is not None:
            return (free & self._on("allowed", states.device)).flatten(1)
        return free.expand(-1, -1, self.num_symbols).flatten(1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, L) places that hold a symbol."""
        return states != self.blank

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) no blank is left."""
        return (states != self.blank).all(-1)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) all blank."""
        return (states == self.blank).all(-1)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) the place."""
        return actions // self.num_symbols

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the place and what it holds."""
        symbol = states.gather(1, backward_actions[:, None]).squeeze(1)
        return backward_actions * self.num_symbols + symbol

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) every symbol is that of the object in its place."""
        return ((states == objects) | (states == self.blank)).all(-1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """((A + 1)^L, L) all states; the empty one in place of those that are not allowed."""
        if self.num_keys is None:
            return None
        keys = torch.arange(self.num_keys, device=device)[:, None]
        digits = keys // self._on("radix", keys.device) % (self.num_symbols + 1)
        found = torch.where(digits > 0, digits - 1, self.blank)
        if self.allowed is None:
            return found
        fits = torch.nn.functional.pad(self._on("allowed", found.device), (0, 1), value=True)
        inside = fits[torch.arange(self.length, device=device), found].all(-1, keepdim=True)
        return found.where(inside, self.blank)

    def _radix(self) -> int:
        return self.num_symbols + 1

    def _count_keys(self) -> int:
        return int((self.num_symbols + 1) ** self.length)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        place = (actions // self.num_symbols)[:, None]
        return states.scatter(1, place, (actions % self.num_symbols)[:, None])

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], self.blank)


ORDERS: dict[str, type[Autoregressive] | type[PrependAppend] | type[AnyOrder]] = {
    "prepend_append": PrependAppend,
    "left_to_right": Autoregressive,
    "any": AnyOrder,
}
"""What builds sequences of fixed length, by order."""
