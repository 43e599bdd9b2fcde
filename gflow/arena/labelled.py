"""Positions with the score of every move: what a perfect player thinks of them, in a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.arena.positions import Positions
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, IllegalActionError
from gflow.training.atomic import write_text


@dataclass(frozen=True)
class Labelled:
    """N positions of one game.

    A file holds a line of JSON for each: ``{"moves": [3, 3, 2], "scores": {"0": -4, "1": 2}}``, the
    moves that lead there and the score of each legal move for who is to move; above 0 the move
    wins, at 0 it draws, and more is better.

    Attributes:
        history: (N, T) int64 moves, rows filled up with -1.
        scores: (N, A) float64, -inf for illegal moves.
    """

    history: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.history)

    @classmethod
    def of(
        cls, moves: Sequence[Sequence[int]], scores: Sequence[dict[int, float]], actions: int
    ) -> "Labelled":
        """Positions by their moves, with the score of each legal move out of `actions`."""
        length = max((len(row) for row in moves), default=0)
        history = torch.tensor([[*row, *[-1] * (length - len(row))] for row in moves])
        table = torch.full((len(moves), actions), -torch.inf, dtype=torch.float64)
        for row, known in enumerate(scores):
            for action, score in known.items():
                table[row, action] = score
        return cls(history.view(len(moves), length), table)

    def positions(self, env: DiscreteEnvironment[Any]) -> Positions:
        """The positions themselves.

        Raises:
            ConfigError: If a move is illegal, the game is over, or the moves that have scores are
                not the legal ones.
        """
        try:
            found = Positions.after(env, self.history)
        except IllegalActionError as error:
            raise ConfigError(f"Labelled positions of another game: {error}") from error
        wrong = (env.forward_mask(found.states) != self.scores.isfinite()).any(1)
        wrong |= env.is_terminal(found.states)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            legal = env.forward_mask(found.states)[row].nonzero().flatten().tolist()
            known = self.scores[row].isfinite().nonzero().flatten().tolist()
            raise ConfigError(
                f"Labelled position {row} (from 0) after the moves {found.moves_of(row)}: there "
                f"are scores for the moves {known}, and legal are {legal}."
            )
        return found

    def save(self, path: Path) -> None:
        """Write the file."""
        lines = []
        for row in range(len(self)):
            moves = [int(a) for a in self.history[row] if a >= 0]
            known = self.scores[row].isfinite().nonzero().flatten().tolist()
            scores = {str(a): float(self.scores[row, a]) for a in known}
            lines.append(json.dumps({"moves": moves, "scores": scores}))
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: Path, env: DiscreteEnvironment[Any]) -> "Labelled":
        """Read the file.

        Raises:
            ConfigError: If it cannot be read or a line is of another form.
        """
        try:
            text = path.read_text()
        except (OSError, ValueError) as error:
            raise ConfigError(f"The positions {path} cannot be read: {error}.") from error
        moves, scores = [], []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                before = [int(a) for a in entry["moves"]]
                if not all(0 <= a < env.num_actions for a in before):
                    raise ValueError(f"a move outside 0 ... {env.num_actions - 1}")
                moves.append(before)
                known = {int(a): float(s) for a, s in entry["scores"].items()}
                if not all(0 <= a < env.num_actions for a in known):
                    raise ValueError(f"a score for a move outside 0 ... {env.num_actions - 1}")
                scores.append(known)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"{path}, line {number}: a position is "
                    f'{{"moves": [..], "scores": {{"move": score}}}}; {error!r}.'
                ) from error
        if not moves:
            raise ConfigError(f"{path} holds no positions.")
        return cls.of(moves, scores, env.num_actions)
