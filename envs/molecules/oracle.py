"""Scores that are dear: computed once per molecule, in workers, and kept in a file. No tensors."""

import csv
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gflow.errors import ConfigError
from gflow.rewards.pool import WorkerPool

Function = Callable[[list[str]], Sequence[float]]


class Answer(NamedTuple):
    """What was found of a molecule.

    Attributes:
        value: The score; NaN if it has none.
        seconds: Of one core.
    """

    value: float
    seconds: float


class Oracle:
    """A function of molecules that no molecule is asked twice of, in this process or a later one.

    Answers stand in a file, one JSON object a line, written as they come: a process that is killed
    loses only what its workers were computing. A line that was cut short is left out.

    Args:
        path: The file; made if it is not there.
        function: ``SMILES -> scores``, NaN for what has none, as `Docking.energies`; must be
            picklable if there are workers.
        about: What the scores depend on, in plain words and numbers; it stands in the first line.
        workers: Processes that compute; 0 computes in this one. Close with `close`.

    Raises:
        ConfigError: The file is about something else, or is none of this kind.

    Attributes:
        calls: Molecules that were computed by this object.
    """

    def __init__(
        self, path: Path, function: Function, about: Mapping[str, Any], workers: int = 0
    ) -> None:
        self.path, self.function, self.calls = Path(path), function, 0
        self.about = json.loads(json.dumps(dict(about)))
        self.known: dict[str, Answer] = {}
        self.pool = WorkerPool(workers, chunk=1)
        if self.path.exists() and self.path.stat().st_size:
            self._read()
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append([{"about": self.about}])

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """One score per molecule; those that are not known are computed, and kept."""
        fresh = [text for text in dict.fromkeys(smiles) if text not in self.known]
        size = max(2 * self.pool.workers, 1)
        for start in range(0, len(fresh), size):
            group = fresh[start : start + size]
            found = self.pool.map(partial(_timed, self.function), group)
            answers = dict(zip(group, (Answer(*pair) for pair in found), strict=True))
            self._append([_line(text, answer) for text, answer in answers.items()])
            self.known.update(answers)
            self.calls += len(group)
        return [self.known[text].value for text in smiles]

    def seconds(self, smiles: Sequence[str]) -> float:
        """Seconds of one core that known molecules took when they were computed."""
        return sum(self.known[text].seconds for text in smiles)

    def write_csv(self, path: Path) -> None:
        """All that is known, the lowest score first, as a table with SMILES, score and seconds."""
        rows = sorted(self.known.items(), key=lambda row: (math.isnan(row[1].value), row[1].value))
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["smiles", "score", "seconds"])
            table.writerows([text, a.value, f"{a.seconds:.2f}"] for text, a in rows)

    def close(self) -> None:
        """End the workers, if there are any."""
        self.pool.close()

    def _read(self) -> None:
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
            about = head["about"]
            for row in lines:
                value = math.nan if row["score"] is None else float(row["score"])
                self.known[row["smiles"]] = Answer(value, float(row["seconds"]))
        except (ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"Oracle: {self.path} is no file of scores ({error}). Name another one; an old one "
                f"is kept as it is."
            ) from error
        for key in sorted(about.keys() | self.about.keys()):
            if about.get(key) != self.about.get(key):
                raise ConfigError(
                    f"Oracle: the scores in {self.path} are of {key}={about.get(key)!r}, and now "
                    f"it is {self.about.get(key)!r}. Name another file for others."
                )
        with self.path.open("r+b") as file:
            file.truncate(len(whole) + 1)

    def _append(self, rows: list[dict[str, Any]]) -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _line(smiles: str, answer: Answer) -> dict[str, Any]:
    score = None if math.isnan(answer.value) else answer.value
    return {"smiles": smiles, "score": score, "seconds": round(answer.seconds, 3)}


def _timed(function: Function, smiles: list[str]) -> list[tuple[float, float]]:
    found = []
    for text in smiles:
        begun = time.process_time()
        (value,) = function([text])
        found.append((float(value), time.process_time() - begun))
    return found
