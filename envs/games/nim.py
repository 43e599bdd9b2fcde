"""Nim: games of uneven length and branching, whose perfect play is known."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from gflow.environment.keys import LARGEST_KEY
from gflow.envs.games.base import Game
from gflow.errors import ConfigError


class Nim(Game[Tensor]):
    r"""Players take any number of matches from one heap by turns; whoever takes the last one wins.

    **State.** (B, H + 1) int64: matches in each heap, and 0 on the first player's turn, else 1.

    **Moves.** M h + k - 1 takes k matches from heap h, for M = the largest heap.

    **Perfect play** (Bouton 1901). The player to move wins unless the exclusive or of the heaps is
    0. If the last one loses, the same as long as a heap holds two or more, and the reverse after.

    **Size.** 2 prod (heap + 1) positions.

    Args:
        heaps: Matches in each heap.
        last_loses: Whether whoever takes the last match loses.
        scale: lambda; see `Game`.

    Raises:
        ConfigError: If there are no heaps, or an empty one.

    Example:
        >>> game = Nim((1, 2))
        >>> start = game.initial(1)
        >>> game.forward_mask(start).int().tolist(), game.winning(start).tolist()
        ([[1, 0, 1, 1]], [True])
        >>> game.show(game.play([[2, 0]]))
        ['0 1, first to move']
    """

    def __init__(
        self, heaps: Sequence[int] = (1, 3, 5), last_loses: bool = False, scale: float = 10.0
    ) -> None:
        super().__init__(scale)
        self.heaps = tuple(heaps)
        if not self.heaps or min(self.heaps) < 1:
            raise ConfigError(
                f"Nim: there must be at least one heap of at least one match, got heaps={heaps}."
            )
        self.last_loses = last_loses
        self.most = max(self.heaps)
        self.num_actions = len(self.heaps) * self.most
        self.horizon = sum(self.heaps)
        self.feature_sizes = (*(heap + 1 for heap in self.heaps), 2)
        keys = 1
        for size in self.feature_sizes:
            keys *= size
        if keys > LARGEST_KEY:
            raise ConfigError(
                f"Nim: heaps={heaps} give {keys} positions, more than fit in 62 bits. Take fewer."
            )
        self.num_keys = keys

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, H + 1) full heaps, the first player's turn."""
        return torch.tensor([*self.heaps, 0], device=device).expand(batch_size, -1).clone()

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) nothing was taken."""
        return (states == self._start(states.device)).all(1)

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) nothing is left."""
        return (states[:, :-1] == 0).all(1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) as many as there are."""
        takes = torch.arange(1, self.most + 1, device=states.device)
        return (states[:, :-1, None] >= takes).flatten(1)

    def mover(self, states: Tensor) -> Tensor:
        """(B,) +1 or -1."""
        return 1 - 2 * states[:, -1]

    def result(self, states: Tensor) -> Tensor:
        """(B,) whose turn it would be did not take the last match."""
        return self.mover(states) if self.last_loses else -self.mover(states)

    def key(self, states: Tensor) -> Tensor:
        """(B,) the heaps and the turn as digits."""
        return (states * self._places(states.device)).sum(1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        """All by their keys; some are never reached on one of the players' turns."""
        sizes = torch.tensor(self.feature_sizes, device=device)
        keys = torch.arange(self.num_keys or 0, device=device)[:, None]
        return keys // self._places(sizes.device) % sizes

    def winning(self, states: Tensor) -> Tensor:
        """(B,) bool: the player to move wins by perfect play."""
        total, heaps = torch.zeros_like(states[:, 0]), states[:, :-1]
        for heap in heaps.unbind(1):
            total = total ^ heap
        if not self.last_loses:
            return total != 0
        return (total != 0) ^ (heaps <= 1).all(1)

    def best_moves(self, states: Tensor) -> Tensor:
        """(B, A) bool: legal moves that keep what the player to move can get."""
        legal = self.forward_mask(states)
        rows, actions = legal.nonzero(as_tuple=True)
        wins = torch.zeros_like(legal)
        wins[rows, actions] = ~self.winning(self._step(states[rows], actions))
        return torch.where(wins.any(1, keepdim=True), wins, legal)

    def move_text(self, action: int) -> str:
        """How many from which heap, counted from 1."""
        return f"{action % self.most + 1} from heap {action // self.most + 1}"

    def show(self, states: Tensor) -> list[str]:
        """Heaps, and whose turn it is."""
        return [
            f"{' '.join(map(str, heaps))}, {self.player_names[turn]} to move"
            for *heaps, turn in states.tolist()
        ]

    def board_text(self, states: Tensor) -> list[str]:
        """A line of strokes for each heap."""
        return [
            "\n".join(f"heap {i + 1}: {'|' * heap or '-'}" for i, heap in enumerate(heaps))
            for *heaps, _ in states.tolist()
        ]

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        heap, take = actions // self.most, actions % self.most + 1
        after = states.scatter_add(1, heap[:, None], -take[:, None])
        after[:, -1] = 1 - states[:, -1]
        return after

    @cache
    def _start(self, device: torch.device) -> Tensor:
        return torch.tensor([*self.heaps, 0], device=device)

    @cache
    def _places(self, device: torch.device) -> Tensor:
        sizes = torch.tensor([1, *self.feature_sizes[:-1]], device=device)
        return sizes.cumprod(0)
