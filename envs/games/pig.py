"""Pig: a game with a die."""

from functools import cache

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.keys import LARGEST_KEY
from gflow.environment.movers import CHANCE
from gflow.envs.games.base import Game
from gflow.errors import ConfigError

ROLL, HOLD = 0, 1


class Pig(Game[Tensor]):
    r"""Roll as often as you dare: a one loses the points of the turn, holding keeps them.

    Both players have the same number of turns, so that games end. Who reaches the target wins at
    once; else whoever has more points after the last turn.

    **State.** (B, 5) int64: points of the first and of the second player, points of this turn,
    turns that are over, and 1 while the die rolls.

    **Moves.** Of a player: 0 rolls, 1 holds (not before the first roll). Of chance: face a + 1 of
    the die.

    **Size.** Some (target + sides)^2 target turns positions.

    Args:
        target: Points that win.
        sides: Of the die.
        turns: Of each player.
        scale: lambda; see `Game`.

    Raises:
        ConfigError: If a number is too small.

    Example:
        >>> game = Pig(target=6, sides=6, turns=2)
        >>> game.show(game.play([[0, 3, 1], [0, 0]]))
        ['4 : 0, second to roll or hold', '0 : 0, second to roll or hold']
    """

    def __init__(
        self, target: int = 6, sides: int = 4, turns: int = 3, scale: float = 10.0
    ) -> None:
        super().__init__(scale)
        if target < 1 or sides < 2 or turns < 1:
            raise ConfigError(
                f"Pig: need a target of at least 1, a die of at least 2 sides and at least 1 turn, "
                f"got target={target}, sides={sides}, turns={turns}."
            )
        self.target, self.sides, self.turns = target, sides, turns
        self.num_actions = sides
        rolls = -(-target // 2)  # of a turn at most: each adds two points or more
        self.horizon = 2 * turns * 2 * rolls
        most = target + sides  # points that are one too many
        self.feature_sizes = (most, most, target, 2 * turns + 1, 2)
        self.num_keys = most * most * target * (2 * turns + 1) * 2
        if self.num_keys > LARGEST_KEY:
            raise ConfigError(f"Pig: target={target} and turns={turns} do not fit in 62 bits.")

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, 5) no points, the first player's turn."""
        return torch.zeros(batch_size, 5, dtype=torch.int64, device=device)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) nothing was rolled."""
        return (states == 0).all(1)

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) somebody has reached the target, or all turns are over."""
        return (states[:, :2] >= self.target).any(1) | (states[:, 3] == 2 * self.turns)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) all faces for chance; roll, and hold once there is something to keep."""
        rolling, going = states[:, 4:] == 1, ~self.is_terminal(states)[:, None]
        action = torch.arange(self.num_actions, device=states.device)
        mine = (action == ROLL) | ((action == HOLD) & (states[:, 2:3] > 0))
        return (rolling | mine) & going

    def mover(self, states: Tensor) -> Tensor:
        """(B,) +1 or -1 by turns, chance while the die rolls."""
        return torch.where(states[:, 4] == 1, CHANCE, 1 - 2 * (states[:, 3] % 2))

    def chance_law(self, states: Tensor) -> Categorical:
        """All faces alike."""
        return Categorical(None, self.forward_mask(states))

    def result(self, states: Tensor) -> Tensor:
        """(B,) who has more points."""
        return (states[:, 0] - states[:, 1]).sign()

    def key(self, states: Tensor) -> Tensor:
        """(B,) all numbers as digits."""
        return (states * self._places(states.device)).sum(1)

    def move_text(self, action: int) -> str:
        """What players say."""
        return ("roll", "hold")[action] if action < 2 else str(action + 1)

    def show(self, states: Tensor) -> list[str]:
        """Points, and what comes next."""
        lines = []
        for row, over in zip(states.tolist(), self.is_terminal(states).tolist(), strict=True):
            first, second, turn, gone, rolling = row
            who = self.player_names[gone % 2]
            so_far = f" with {turn} this turn" if turn else ""
            then = "the die rolls" if rolling else f"{who} to roll or hold{so_far}"
            lines.append(f"{first} : {second}, {'over' if over else then}")
        return lines

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        points, turn, gone = states[:, :2], states[:, 2], states[:, 3]
        rolling = states[:, 4] == 1
        lost = rolling & (actions == 0)
        total = turn + (actions + 1).where(rolling, 0)
        mine = points.gather(1, (gone % 2)[:, None]).squeeze(1)
        keeps = (~rolling & (actions == HOLD)) | (rolling & ~lost & (mine + total >= self.target))
        points = points.scatter_add(1, (gone % 2)[:, None], total.where(keeps, 0)[:, None])
        ends = keeps | lost
        rolls = ~rolling & (actions == ROLL)
        return torch.cat(
            [
                points,
                torch.stack([total.where(~ends, 0), gone + ends, rolls.long()], 1),
            ],
            1,
        )

    @cache
    def _places(self, device: torch.device) -> Tensor:
        return torch.tensor([1, *self.feature_sizes[:-1]], device=device).cumprod(0)
