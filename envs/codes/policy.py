"""What fills a grid of codes for a picture: a perceptron that reads both."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.encoder import DataEncoder
from gflow.envs.sequences.base import SequenceEnvironment
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.policies.heads import Heads


class PictureNetwork(nn.Module):
    """Two layers over the pixels.

    Args:
        pixels: P.
        width: Units of the hidden layer.
        out_features: Numbers that come out.
    """

    def __init__(self, pixels: int, width: int, out_features: int) -> None:
        super().__init__()
        self.out_features = out_features
        self.layers: Any = nn.Sequential(
            nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, out_features)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, out_features) for (B, P) pictures."""
        features: Tensor = self.layers(pictures)
        return features


class CodePolicy(Policy):
    r"""q(z | x), cell by cell: features of the picture beside those of the cells filled so far.

    A last layer has K logits for each cell, of which those of the first empty cell are heard.
    Without `autoregressive` the filled cells are not read, which is mean field:
    :math:`q(z \mid x) = \prod_i q_i(z_i \mid x)`.

    Args:
        env: Codes, in raster order.
        pictures: The `Observations` of the reward, or an encoder of them.
        width: Units of the layers.
        features: Numbers that are kept of a picture, and of the cells.
        autoregressive: Whether the cells filled so far are read.
        log_flow: Whether there is a head of log F.

    Raises:
        IncompatibleError: If the environment writes in another order, or is not conditional.
        ConfigError: If a size is none.
    """

    backward = "uniform"

    @checked
    def __init__(
        self,
        env: SequenceEnvironment,
        pictures: Any,
        width: Count = 128,
        features: Count = 64,
        autoregressive: bool = True,
        log_flow: bool = False,
    ) -> None:
        super().__init__()
        if not getattr(env, "append_only", False) or not env.condition_dim:
            raise IncompatibleError(
                f"CodePolicy fills cells in raster order for the picture that a condition calls, "
                f"and {env.name} does not. Use `codes(cells, symbols, JointReward(...))`."
            )
        self.has_log_flow = bool(log_flow)
        self.cells, self.symbols = env.length, env.num_symbols
        self.picture = (
            pictures
            if isinstance(pictures, DataEncoder)
            else picture_encoder(pictures, width, features)
        )
        self.filled: Any = None
        if autoregressive:
            self.filled = nn.Sequential(
                nn.Linear(self.cells * self.symbols, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, features),
            )
        self.both: Any = nn.Sequential(
            nn.Linear(self.picture.out_features + features * autoregressive, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.head = Heads(width, self.cells * self.symbols, log_flow=int(log_flow))

    def forward(self, env: Any, states: Tensor, condition: Tensor | None = None) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        out = self.head.all(self._read(states, self._seen(condition)))
        return PolicyOutput(self._of_cell(states, out.forward_logits), None, out.log_flow)

    def forward_logits(self, env: Any, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, K) logits of the first empty cell."""
        return self._ahead(states, self._seen(condition))

    def begin(self, env: Any, count: int, condition: Tensor | None = None) -> Session:
        """A rollout that looks at each picture once."""
        seen = self._seen(condition)

        def session(states: Tensor, rows: Tensor) -> Tensor:
            return self._ahead(states, seen if len(rows) == count else seen[rows])

        return session

    def _ahead(self, states: Tensor, seen: Tensor) -> Tensor:
        return self._of_cell(states, self.head.ahead(self._read(states, seen)))

    def _seen(self, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ConfigError("CodePolicy: it fills codes for pictures, and got no condition.")
        seen: Tensor = self.picture(condition)
        return seen

    def _read(self, states: Tensor, seen: Tensor) -> Tensor:
        """(N, width) of states, and what was seen of their pictures."""
        if self.filled is not None:
            symbols = torch.arange(self.symbols, device=states.device)
            marks = (states[..., None] == symbols).flatten(1).to(seen.dtype)  # none for the blank
            seen = torch.cat([seen, self.filled(marks)], 1)
        read: Tensor = self.both(seen)
        return read

    def _of_cell(self, states: Tensor, logits: Tensor) -> Tensor:
        """(N, K) of (N, L K) logits: those of the first empty cell; of the last if all are full."""
        place = (states < self.symbols).sum(1).clamp(max=self.cells - 1)
        rows = torch.arange(len(states), device=states.device)
        return logits.view(-1, self.cells, self.symbols)[rows, place]


def picture_encoder(pictures: Any, width: int, features: int) -> DataEncoder:
    """A fresh encoder of the pictures that conditions call, for policies and log Z.

    Args:
        pictures: The `Observations` of the reward.
        width: Units of the hidden layer.
        features: Numbers that come out.
    """
    pixels = pictures.data.shape[1]
    return DataEncoder(pictures, PictureNetwork(pixels, width, features))
