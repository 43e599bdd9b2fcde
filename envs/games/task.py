"""`gflow train tictactoe` and `gflow train connect4`."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, Positive
from gflow.envs.games.board import RowGame
from gflow.envs.games.connect4 import Connect4
from gflow.envs.games.pictures import line_of_play, move_probabilities
from gflow.envs.games.policy import BoardPolicy
from gflow.envs.games.tictactoe import TicTacToe
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

if TYPE_CHECKING:
    from gflow.arena import Labelled

G = TypeVar("G", bound=RowGame)

HEADLINE = ("loss", "optimal", "score_exact", "first_wins", "second_wins", "second_losses", "log_z")


@dataclass(frozen=True)
class RowGameTask(Task[G]):
    """A game on a board, with the network that reads boards."""

    objective: ClassVar[str] = "atb"
    headline: ClassVar[tuple[str, ...]] = (*HEADLINE, "log_z_error")

    @abstractmethod
    def network(self) -> dict[str, Any]:
        """Options of `BoardPolicy`."""

    def policy(self, env: G, needs: Needs) -> Policy:
        """The residual network."""
        return BoardPolicy(env, log_flow=needs.flows(env), **self.network())

    def rewards(self, env: G, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """None: the mean of e^(lambda u) says nothing of play."""
        return None

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The first positions of a game of likeliest moves, with all probabilities."""
        if context.policy is None:
            return {}
        path = folder / "line_of_play.png"
        line_of_play(context, path)
        return {"line_of_play": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "line_of_play": "Positions of a game of likeliest moves; probabilities of all.",
        }

    def report(self, context: Context) -> str:
        """The first moves and their probabilities."""
        env: RowGame = context.env
        start = env.initial(1, context.trainer.device)
        if context.policy is None:
            return ""
        probabilities = move_probabilities(env, context.policy, start)[0]
        best = probabilities.argsort(descending=True, stable=True)[:9].tolist()
        said = ", ".join(f"{env.move_text(a)} {float(probabilities[a]):.3f}" for a in best)
        return f"first moves: {said}"


@dataclass(frozen=True)
class TicTacToeTask(RowGameTask[TicTacToe]):
    """Tic-tac-toe against itself, measured on all positions.

    Attributes:
        rows: Of the board.
        columns: Of the board.
        line: Marks in a row that win.
        scale: lambda: log R = lambda times the result, 1, 0 or -1.
        width: Channels of the convolutions.
        blocks: Residual blocks.
        head_width: Channels of each head.
        symmetric: Whether the network sees one of the images of a position (turned, mirrored).
    """

    name: ClassVar[str] = "tictactoe"
    summary: ClassVar[str] = "tic-tac-toe of two adversarial flows; the best moves known exactly"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1000, batch_size=128, lr=3e-3, log_z_lr=5e-2, temperature=2.0, epsilon=0.1, ema=0.98
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=1000)

    rows: Count = 3
    columns: Count = 3
    line: Count = 3
    scale: Positive = 10.0
    width: Count = 32
    blocks: Natural = 3
    head_width: Count = 32
    symmetric: bool = True

    def environment(self) -> TicTacToe:
        """The game."""
        return TicTacToe(self.rows, self.columns, self.line, self.scale)

    def network(self) -> dict[str, Any]:
        """Options of `BoardPolicy`."""
        return _network(self)


@dataclass(frozen=True)
class Connect4Task(RowGameTask[Connect4]):
    """Connect Four against itself, on boards of any size.

    Attributes:
        rows: Of the board.
        columns: Of the board.
        line: Stones in a row that win.
        scale: lambda: log R = lambda times the result, 1, 0 or -1.
        width: Channels of the convolutions.
        blocks: Residual blocks.
        head_width: Channels of each head.
        symmetric: Whether the network sees one of the two images of a position (mirrored).
        positions: File of positions with the scores of all moves, a line of JSON each:
            {"moves": [3, 3], "scores": {"0": -2, ...}}; shares of best moves are measured on them.
    """

    name: ClassVar[str] = "connect4"
    summary: ClassVar[str] = "Connect Four of two adversarial flows, on boards of any size"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=2000,
        batch_size=128,
        lr=2e-3,
        log_z_lr=5e-2,
        temperature=2.0,
        epsilon=0.05,
        ema=0.98,
        chunk=8192,
    )
    run: ClassVar[RunOptions] = RunOptions(eval_every=100, eval_samples=100)
    exact_limit: ClassVar[int] = 1 << 20

    rows: Count = 6
    columns: Count = 7
    line: Count = 4
    scale: Positive = 10.0
    width: Count = 64
    blocks: Natural = 4
    head_width: Count = 32
    symmetric: bool = True
    positions: str = ""

    def environment(self) -> Connect4:
        """The game."""
        return Connect4(self.rows, self.columns, self.line, self.scale)

    def network(self) -> dict[str, Any]:
        """Options of `BoardPolicy`."""
        return _network(self)

    def policy(self, env: Connect4, needs: Needs) -> Policy:
        """The residual network; positions of another game are refused before it trains."""
        if self.positions:
            self._labelled(env).positions(env)
        return super().policy(env, needs)

    def _labelled(self, env: Connect4) -> "Labelled":
        from gflow.arena import Labelled

        return Labelled.load(Path(self.positions), env)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """`score_exact` and `sign_exact`: shares of best moves in the positions of the file."""
        if not self.positions:
            return {}
        from gflow.arena import PolicyPlayer, score_shares

        policy, env = context.policy, context.env
        if policy is None:
            return {}
        labelled = self._labelled(env)
        generator = torch.Generator().manual_seed(0)
        player = PolicyPlayer(policy, temperature=0.0)
        shares: dict[str, float] = score_shares(env, player, labelled, generator)
        return shares


def _network(task: TicTacToeTask | Connect4Task) -> dict[str, Any]:
    names = ("width", "blocks", "head_width", "symmetric")
    return {name: getattr(task, name) for name in names}
