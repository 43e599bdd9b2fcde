"""A small environment with moves of chance, to test what deals with them."""

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward, LogReward


class SlippingGrid(DiscreteEnvironment[Tensor]):
    r"""A grid on ice: the agent says along which axis it wants to go, and the ice may decide else.

    **What is built.** A cell, as on a `HyperGrid`.

    **State.** (B, D + 1) int64: coordinates, and 0 on the agent's turn, else one more than the axis
    that it has announced, on chance's.

    **Forward actions.** The agent announces axis i or stops (D); chance moves one up along axis i:
    the announced one with probability 1 - slip, else any other, as far as there is room (what is
    impossible is shared out in proportion).

    **Backward actions.** At a cell, i D + j undoes a move along i after j had been announced; where
    an axis was announced, D^2 takes that back.

    **Reward.** Any `LogReward` of states; by default the sum of the coordinates.

    **Size.** side^D cells and at most D times as many states on chance's turn.

    Args:
        dim: D, at least 2.
        side: Values per coordinate.
        slip: Probability of another axis, strictly between 0 and 1.
        reward: The reward.
    """

    has_forced_terminals = False

    def __init__(
        self,
        dim: int = 2,
        side: int = 3,
        slip: float = 0.2,
        reward: LogReward[Tensor] | None = None,
    ) -> None:
        if dim < 2 or side < 2 or not 0 < slip < 1:
            raise ConfigError(
                f"SlippingGrid: need dim and side of at least 2 and slip in (0, 1), got {dim}, "
                f"{side} and {slip}."
            )
        self.dim, self.side, self.slip = dim, side, slip
        self.reward = FunctionReward(_height) if reward is None else reward
        self.num_actions, self.num_backward_actions = dim + 1, dim**2 + 1
        self.stop_action = dim
        self.feature_sizes = (side,) * dim + (dim + 1,)
        self.horizon = 2 * dim * (side - 1) + 1
        self.num_keys = side**dim * (dim + 1)

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """The corner 0, on the agent's turn."""
        return torch.zeros(batch_size, self.dim + 1, dtype=torch.int64, device=device)

    def mover(self, states: Tensor) -> Tensor:
        """(B,) chance's turn where an axis was announced."""
        return torch.where(states[:, -1] > 0, CHANCE, AGENT)

    def chance_law(self, states: Tensor) -> Categorical:
        """The announced axis with probability 1 - slip, else another."""
        axis = torch.arange(self.num_actions, device=states.device)
        said = axis == states[:, -1:] - 1
        share = torch.where(said, 1 - self.slip, self.slip / (self.dim - 1))
        return Categorical(share.to(torch.get_default_dtype()).log(), self.forward_mask(states))

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, D + 1) axes with room, and the stop on the agent's turn."""
        return torch.cat([states[:, :-1] < self.side - 1, states[:, -1:] == 0], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, D^2 + 1) moves that could have come here, or the announcement alone."""
        cells, turn = states[:, :-1], states[:, -1:] > 0
        one = torch.eye(self.dim, dtype=torch.int64, device=states.device)
        before = cells[:, None] - one  # (B, D, D) the cell of which axis i led here
        moved = (cells > 0)[:, :, None] & (before < self.side - 1)
        return torch.cat([moved.flatten(1) & ~turn, turn], 1)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        turn = states[:, -1:] > 0
        axis = actions.clamp(max=self.dim - 1)[:, None]
        moved = states.scatter_add(1, axis, torch.ones_like(axis))
        moved[:, -1] = 0
        said = states.clone()
        said[:, -1] = axis[:, 0] + 1
        return torch.where(turn, moved, said)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        took_back = actions[:, None] == self.dim**2
        axis, said = actions[:, None] // self.dim, actions % self.dim
        before = states.scatter_add(1, axis.clamp(max=self.dim - 1), torch.full_like(axis, -1))
        before[:, -1] = said + 1
        quiet = states.clone()
        quiet[:, -1] = 0
        return torch.where(took_back, quiet, before)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) what undoes a move of chance, or an announcement."""
        said = states[:, -1]
        return torch.where(said > 0, actions * self.dim + said - 1, self.dim**2)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the axis moved along, or announced."""
        took_back = backward_actions == self.dim**2
        return torch.where(took_back, states[:, -1] - 1, backward_actions // self.dim)

    def key(self, states: Tensor) -> Tensor:
        """(B,) digits of the coordinates, then whose turn it is."""
        place = self.side ** torch.arange(self.dim + 1, device=states.device)
        return (states * place).sum(-1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        """All of them by their keys, with the source for announcements that are impossible."""
        code = torch.arange(self.num_keys or 0, device=device)[:, None]
        place = self.side ** torch.arange(self.dim, device=device)
        cells, turn = code // place % self.side, code // self.side**self.dim
        full = cells.gather(1, (turn - 1).clamp(min=0)) == self.side - 1
        return torch.cat([cells, turn], 1).masked_fill(full & (turn > 0), 0)


def _height(states: Tensor) -> Tensor:
    return states[:, :-1].sum(-1).to(torch.get_default_dtype())
