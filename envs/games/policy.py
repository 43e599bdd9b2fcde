"""A residual convolutional network that reads boards."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Natural, complaint
from gflow.distinct import Distinct
from gflow.environment.movers import player_index
from gflow.envs.games.board import RowGame
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Backward, Policy, PolicyOutput
from gflow.policies.told import told

PLANES = 5


class BoardPolicy(Policy):
    """The trunk of AlphaZero's network without batch normalisation, and a head for each player.

    A 3 x 3 convolution, then `blocks` of two more with what went in added to what comes out. On it
    stand a policy head for each player, of which that of the player to move is heard, and heads of
    log F if asked for; each is a 1 x 1 convolution and a linear layer.

    With `symmetric` the network sees one image of each position, that with the smallest key, and
    its answer is turned back; the answers of several images with that key are averaged. So images
    of each other have equal flows and the same moves under their names there, exactly, as they have
    at the solution: no drawing at random, no mean over all images would do more, and there are
    fewer positions to look at instead of more (of tic-tac-toe 765 in place of 5,478).

    On CPUs equal images are looked at once, and finished positions not at all: whatever is said of
    these, nobody listens. Told a condition, it looks at each image anew: equal ones differ by that.

    Args:
        game: A game on a board.
        width: Channels of the convolutions.
        blocks: Residual blocks.
        head_width: Channels of a head.
        log_flow: How many flows: 0, 1, or one for each player (`Needs.flows`).
        symmetric: Whether to look at one image of each position.

    Raises:
        IncompatibleError: If the game is on no such board.
        ConfigError: If a size is none.

    Reference:
        Silver et al., Mastering chess and shogi by self-play, 2017, https://arxiv.org/abs/1712.01815
    """

    backward: Backward = "uniform"
    moves: Tensor

    def __init__(
        self,
        game: RowGame,
        width: int = 32,
        blocks: int = 3,
        head_width: int = 32,
        log_flow: int = 0,
        symmetric: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(game, RowGame):
            raise IncompatibleError(
                f"BoardPolicy reads the planes of a board, and {game.name} has none. Use MLPPolicy."
            )
        for name, value, hint in (
            ("width", width, Count), ("blocks", blocks, Natural), ("head_width", head_width, Count),
        ):  # fmt: skip
            reason = complaint(value, hint)
            if reason is not None:
                raise ConfigError(f"BoardPolicy: {name} {reason}.")
        self.has_log_flow = bool(log_flow)
        self.num_flows, self.symmetric = int(log_flow), symmetric
        self.first = nn.Conv2d(PLANES, width, 3, padding=1)
        self.told = told(game, width, owner="BoardPolicy")
        self.blocks: Any = nn.ModuleList(_Block(width) for _ in range(blocks))
        reads = head_width * game.cells
        self.heads = nn.Conv2d(width, game.num_players * head_width, 1)
        self.logits: Any = nn.ModuleList(
            nn.Linear(reads, game.num_actions) for _ in range(game.num_players)
        )
        self.flow: nn.Module | None = None
        if log_flow:
            self.flow = nn.Sequential(
                nn.Conv2d(width, head_width, 1),
                nn.LeakyReLU(),
                nn.Flatten(),
                nn.Linear(reads, self.num_flows),
            )
        self.register_buffer("moves", game.move_images(), persistent=False)
        self._distinct = Distinct(game.num_keys)

    def forward(self, env: Any, states: Tensor, condition: Tensor | None = None) -> PolicyOutput:
        """(N, A) logits of the player to move, and flows; see `Policy.forward`."""
        return self._asked(env, states, condition, self.has_log_flow)

    def forward_logits(self, env: Any, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, A) logits of the player to move alone."""
        return self._asked(env, states, condition, False).forward_logits

    # ------------------------------------------------------------------ which positions are seen

    def _asked(
        self, env: RowGame, states: Tensor, condition: Tensor | None, flows: bool
    ) -> PolicyOutput:
        """What the network says of N positions, each seen as the image that stands for it."""
        images = keys = None
        seen = states
        if self.symmetric:
            seen, images, keys = self._representatives(env, states)
        rows = place = None
        if states.device.type == "cpu":  # where counting is free
            rows = (~env.is_terminal(seen)).nonzero().squeeze(1)
            condition = None if condition is None else condition[rows]
            if keys is not None and self.told is None:
                chosen, place = self._distinct(keys[rows])
                seen = seen[rows[chosen]]
            else:
                seen = seen[rows]
        logits, flow = self._network(env, seen, flows, condition)
        if place is not None:
            logits, flow = logits[place], None if flow is None else flow[place]
        if images is not None:
            back = images if rows is None else images[rows]
            logits = self._turned_back(logits, back)
        if rows is not None and len(rows) < len(states):
            logits = _padded(logits, rows, len(states))
            flow = None if flow is None else _padded(flow, rows, len(states))
        return PolicyOutput(logits, None, flow)

    def _representatives(self, env: RowGame, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image of each of N positions with the smallest key, which these are, and that key.

        Returns:
            N positions, (N, G) bool which images have the smallest key, and (N,) keys.
        """
        seen = [env.image(states, which) for which in range(env.num_symmetries)]
        keys = torch.stack([env.key(image) for image in seen], 1)
        smallest, which = keys.min(1)
        rows = torch.arange(len(states), device=states.device)
        return torch.stack(seen, 1)[rows, which], keys == smallest[:, None], smallest

    def _turned_back(self, logits: Tensor, images: Tensor) -> Tensor:
        """(N, A) logits of positions from those of their images, the mean of equal images."""
        each = logits[:, self.moves]  # (N, G, A) what the image says of where move a goes
        weight = images / images.sum(1, keepdim=True)
        return (each * weight[..., None]).sum(1)

    # ------------------------------------------------------------------ the network

    def _network(
        self, env: RowGame, states: Tensor, flows: bool, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(N, A) logits of the player to move, and (N,) or (N, n) flows if asked for."""
        x = self.first(env.planes(states).to(self.first.weight.dtype))
        x = F.leaky_relu(x if self.told is None else x + self.told(condition)[..., None, None])
        for block in self.blocks:
            x = block(x)
        heard = F.leaky_relu(self.heads(x)).unflatten(1, (len(self.logits), -1)).flatten(2)
        player = player_index(env.mover(states))
        said = torch.stack([head(heard[:, i]) for i, head in enumerate(self.logits)], 1)
        logits = said.gather(1, player[:, None, None].expand(-1, 1, said.shape[2])).squeeze(1)
        if not flows or self.flow is None:
            return logits, None
        flow = self.flow(x)
        return logits, flow if self.num_flows > 1 else flow.squeeze(1)


class _Block(nn.Module):
    """Two convolutions, and what went in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.two = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, R, C) as it came."""
        return F.leaky_relu(x + self.two(F.leaky_relu(self.one(x))))


def _padded(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """(count, ...) zeros but for `rows`."""
    return values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)
