"""What is known of proofs: a tree for each theorem that grows where it is looked at."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from gflow.bounds import Count, complaint
from gflow.environment.keys import LARGEST_KEY
from gflow.envs.proofs.checker import Checker, Done, Failed, Open, Reply, Theorem
from gflow.envs.proofs.pool import CheckerPool
from gflow.envs.proofs.tactics import Tactics
from gflow.errors import ConfigError

OPEN, DONE, FAILED, NOWHERE = range(4)
"""What became of a proof; NOWHERE is behind the end of one, or behind a tactic that there is not.
A tactic that took too long has failed."""

STATUSES = ("open", "done", "failed", "nowhere")


class ProofTree:
    """The proofs of theorems by at most D tactics, each one of at most A candidates.

    A place is a number that says which candidates were taken: 0 is the root, and candidate a at
    place p leads to p A + a + 1. It means the same whatever was asked before. What a checker said
    of a place is kept in a row; rows are in the order in which they were asked for.

    Args:
        checker: One checker, or a pool of them.
        theorems: K of them.
        tactics: Candidates at open proofs.
        depth: D.

    Raises:
        ConfigError: There are no theorems, or more places than 62 bits can number.
        StatementError: A statement opens no proof.
    """

    def __init__(
        self,
        checker: Checker | CheckerPool,
        theorems: Sequence[Theorem],
        tactics: Tactics,
        depth: int,
    ) -> None:
        reason = complaint(depth, Count)
        if reason is not None or not theorems:
            raise ConfigError(f"ProofTree: {f'depth {reason}' if reason else 'no theorems'}.")
        self.pool, self.theorems = CheckerPool.of(checker), tuple(theorems)
        self.tactics, self.depth, self.width = tactics, depth, tactics.size
        first = [0]
        for level in range(depth + 1):
            first.append(first[-1] + self.width**level)
        self.places = first[-1]
        if self.places * len(theorems) > LARGEST_KEY:
            raise ConfigError(
                f"ProofTree: {len(theorems)} theorems, {depth} tactics deep with {self.width} "
                f"candidates each, have more than 2^62 places. Take fewer candidates or tactics."
            )
        self._first = torch.tensor(first[1:])
        self.texts: list[str] = []
        self.candidates: list[Sequence[str]] = []
        self.replies: list[Reply | None] = []
        self._row: dict[int, int] = {}
        self._status = torch.zeros(64, dtype=torch.int64)
        self._allowed = torch.zeros(64, self.width, dtype=torch.bool)
        self._append(None)  # row 0: nowhere
        for number, start in enumerate(self.pool.start(self.theorems)):
            self._row[number * self.places] = self._append(start)

    # ------------------------------------------------------------------ places

    def level(self, place: Tensor) -> Tensor:
        """(B,) int64 how many tactics lead to each place, (B,) int64."""
        return torch.searchsorted(self._first.to(place.device), place.contiguous(), right=True)

    def child(self, place: Tensor, action: Tensor) -> Tensor:
        """(B,) int64 the place behind a candidate; that at hand where no tactic may follow."""
        return torch.where(self.level(place) < self.depth, place * self.width + action + 1, place)

    def parent(self, place: Tensor) -> Tensor:
        """(B,) int64 the place before; the root's is the root."""
        return ((place - 1) // self.width).clamp(min=0)

    def action(self, place: Tensor) -> Tensor:
        """(B,) int64 the candidate that led here; of the root 0."""
        return (place - 1).clamp(min=0) % self.width

    def ancestors(self, place: Tensor) -> Tensor:
        """(B, D + 1) int64 the places on the way here, the root last; filled up with the root."""
        line = [place]
        for _ in range(self.depth):
            line.append(self.parent(line[-1]))
        return torch.stack(line, 1)

    # ------------------------------------------------------------------ rows

    def rows(self, theorem: Tensor, place: Tensor) -> Tensor:
        """(B,) int64 the rows of places, asking the checker for those that are new.

        The host reads the places; those on the way to new ones are asked for, too, level by level.
        """
        keys = (theorem * self.places + place).tolist()
        missing = {key for key in keys if key not in self._row}
        if missing:
            self._ask(missing)
        found = [self._row.get(key, 0) for key in keys]
        return torch.tensor(found, dtype=torch.int64)

    def status(self, rows: Tensor) -> Tensor:
        """(B,) int64 `OPEN`, `DONE`, `FAILED` or `NOWHERE`."""
        return self._status[rows]

    def allowed(self, rows: Tensor) -> Tensor:
        """(B, A) bool which candidates there are; none where the proof is not open."""
        return self._allowed[rows]

    def __len__(self) -> int:
        return len(self.texts)

    # ------------------------------------------------------------------ proofs as lists of tactics

    def actions(self, place: int) -> list[int]:
        """The candidates that lead to a place, the first first."""
        found = []
        while place:
            found.append((place - 1) % self.width)
            place = (place - 1) // self.width
        return found[::-1]

    def proof(self, theorem: int, place: int) -> tuple[str, ...]:
        """The tactics that lead to a place."""
        here, found = 0, []
        for action in self.actions(place):
            row = int(self.rows(torch.tensor([theorem]), torch.tensor([here])))
            found.append(self.candidates[row][action])
            here = here * self.width + action + 1
        return tuple(found)

    def place(self, theorem: int, proof: Iterable[str]) -> int | None:
        """Where tactics lead; None if one is no candidate at its place."""
        here = 0
        for tactic in proof:
            row = int(self.rows(torch.tensor([theorem]), torch.tensor([here])))
            candidates = self.candidates[row]
            if tactic not in candidates:
                return None
            here = here * self.width + candidates.index(tactic) + 1
        return here

    def close(self) -> None:
        """Release the checkers; what they said is kept."""
        self.pool.close()

    # ------------------------------------------------------------------ asking

    def _ask(self, keys: set[int]) -> None:
        """Rows for keys and for all on the way to them. What is nowhere gets none."""
        levels: list[set[int]] = []
        while keys:
            levels.append(keys)
            places = ((key // self.places, key % self.places) for key in keys)
            parents = {k * self.places + (p - 1) // self.width for k, p in places if p}
            keys = {key for key in parents if key not in self._row}
        for level in reversed(levels):
            asked: list[tuple[int, Open, str]] = []
            for key in sorted(level):
                theorem, place = divmod(key, self.places)
                row = self._row.get(theorem * self.places + (place - 1) // self.width, 0)
                reply, action = self.replies[row], (place - 1) % self.width
                if isinstance(reply, Open) and action < len(self.candidates[row]):
                    asked.append((key, reply, self.candidates[row][action]))
            new = [(key, reply, tactic) for key, reply, tactic in asked if key not in self._row]
            answers = self.pool.apply([(reply.handle, tactic) for _, reply, tactic in new])
            for (key, _, _), answer in zip(new, answers, strict=True):
                self._row[key] = self._append(answer)

    def _append(self, reply: Reply | None) -> int:
        row = len(self.texts)
        if row == len(self._status):
            self._status = torch.cat([self._status, torch.zeros_like(self._status)])
            self._allowed = torch.cat([self._allowed, torch.zeros_like(self._allowed)])
        candidates: Sequence[str] = ()
        match reply:
            case Open(text=text):
                status, candidates = OPEN, self.tactics.at(text)
                self._allowed[row, : len(candidates)] = True
            case Done():
                status, text = DONE, "done"
            case Failed(message):
                status, text = FAILED, f"failed: {message}"
            case None:
                status, text = NOWHERE, ""
            case _:
                status, text = FAILED, "failed: timed out"
        self._status[row] = status
        self.texts.append(text)
        self.candidates.append(candidates)
        self.replies.append(reply)
        return row
