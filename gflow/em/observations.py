"""The data that a latent-variable model explains: rows, which conditions call by their number."""

from typing import Any, NoReturn

import torch
from torch import Tensor

from gflow.conditions.draws import TableCondition
from gflow.deferred import require
from gflow.errors import ConfigError, IncompatibleError
from gflow.state import batch_size, cat, device_of, take, tensors, to_device

LARGEST = 2**24
"""Whole numbers below it are distinct as float32."""


class Observations:
    """N observed rows, and behind them those that the model dreamed last.

    A condition is the number of a row, (B, 1). What the sleep phase makes up has numbers beyond N
    until the next dream, so that rewards and policies read it as they read data; they must hold the
    same `Observations` for that. No dream has the numbers of one before it: who remembers an old
    one is refused. Copies of a policy share them.

    Args:
        data: N rows: a tensor, or a frozen dataclass of tensors, the batch first.

    Raises:
        ConfigError: If there are none, or too many to be numbered by floats.
    """

    def __init__(self, data: Any) -> None:
        tensors(data)  # refuses what is neither
        count = batch_size(data)
        if not 0 < count < LARGEST:
            raise ConfigError(f"Observations: needs between 1 and {LARGEST} rows, got {count}.")
        self.count, self._rows = count, data
        self._first: int = count
        self._dreams: int = 0

    @classmethod
    def of(cls, data: Any) -> "Observations":
        """`data` as observations, unless it is some already."""
        return data if isinstance(data, Observations) else cls(data)

    def __len__(self) -> int:
        """N, dreams not counted."""
        return self.count

    def __deepcopy__(self, memo: dict[int, Any]) -> "Observations":
        """Itself: data are no part of a network that reads them."""
        return self

    @property
    def data(self) -> Any:
        """The N observed rows."""
        return take(self._rows, torch.arange(self.count, device=device_of(self._rows)))

    @property
    def conditions(self) -> Tensor:
        """(N, 1) the numbers of all observed rows."""
        return torch.arange(self.count, dtype=torch.get_default_dtype())[:, None]

    def sampler(self, repeat: int = 1) -> TableCondition:
        """Draws observed rows, all equally likely, each for `repeat` trajectories in a row."""
        return TableCondition(self.conditions, repeat)

    def rows(self, condition: Tensor | None) -> Any:
        """(B,) the rows that conditions (B, 1) call.

        Raises:
            ConfigError: If there are no conditions, or they are no numbers of rows.
        """
        return self.at(self.numbers(condition))

    def at(self, numbers: Tensor) -> Any:
        """(B,) the rows at given `numbers`, (B,) int64, on the device of these."""
        if device_of(self._rows) != numbers.device:
            self._rows = to_device(self._rows, numbers.device)
        return take(self._rows, numbers)

    def numbers(self, condition: Tensor | None) -> Tensor:
        """(B,) int64 where the rows stand that conditions (B, 1) call: what `at` takes.

        Raises:
            ConfigError: If there are no conditions, or they are no numbers of rows.
        """
        if condition is None or condition.dim() != 2 or condition.shape[1] != 1:
            got = "none" if condition is None else f"some of shape {tuple(condition.shape)}"
            raise ConfigError(
                f"Observations: rows are called by conditions (B, 1), their numbers, got {got}. "
                f"Give the trainer `condition=observations.sampler()`."
            )
        column = condition[:, 0]
        numbers = column.long()
        dream = numbers >= self._first
        place = numbers - dream * (self._first - self.count)
        fine = (numbers == column) & (place >= 0)
        fine &= place < self.count + dream * self._dreams

        def complain() -> NoReturn:
            bad = float(column[~fine][0])
            raise ConfigError(
                f"Observations: there is no row {bad:g} among {self.count} rows of data and the "
                f"{self._dreams} dreams of the latest. Dreams are known where they were dreamed, "
                f"until the next: give reward, policy and log Z the same `Observations` "
                f"(JointReward(...).data), and let no memory keep dreams."
            )

        require(fine, complain, "numbers of rows")
        return place.where(fine, 0)

    def dream(self, rows: Any) -> Tensor:
        """(D, 1) the conditions that call D made-up rows from now on; earlier ones are forgotten.

        Raises:
            IncompatibleError: If they have another form than the data.
        """
        mine, other = tensors(self._rows), tensors(rows)
        forms = [[(t.shape[1:], t.dtype) for t in group] for group in (mine, other)]
        if forms[0] != forms[1]:
            raise IncompatibleError(
                f"Observations: rows of data have the form {_form(mine)}, and what the model made "
                f"up {_form(other)}. `LatentModel.sample` must return x as rows of the data are."
            )
        device, count = device_of(self._rows), batch_size(rows)
        if self._dreams != count:
            self._rows = cat([self.data, to_device(rows, device)])
        else:  # as many as the last time: their place is free
            for place, new in zip(mine, other, strict=True):
                place[self.count :] = new
        after = self._first + self._dreams
        self._first = after if after + count <= LARGEST else self.count
        self._dreams = count
        numbers = torch.arange(self._first, self._first + count, device=device)
        return numbers.to(torch.get_default_dtype())[:, None]


def _form(parts: list[Tensor]) -> str:
    return ", ".join(f"{tuple(t.shape[1:])} {t.dtype}" for t in parts)
