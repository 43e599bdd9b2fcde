"""What searchers found, drawn by how new it is and by how good."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.conditions.draws import in_turns
from gflow.environment.base import Environment
from gflow.language.prefixes import PrefixReward
from gflow.memory.columns import Columns
from gflow.memory.rescore import ends_of, rescored
from gflow.sampling.sampler import Sampler
from gflow.searchers.search import Found
from gflow.state import to_device
from gflow.trajectories import Trajectories

FindsDraw = Literal["reward", "uniform"]


class Finds:
    """The latest `capacity` trajectories that searchers found, with the batch whose weights did.

    Of texts the scores of all prefixes are kept, before any temperature (`PrefixReward`); of other
    objects the reward, which is computed anew once its version is another.

    Args:
        env: The environment, whose moves are numbered.
        capacity: Trajectories.
        draw: How those are drawn that need not be new: in proportion to the "reward", or
            "uniform".

    Attributes:
        device: Where the reward computes when it scores anew.
    """

    def __init__(self, env: Environment[Any], capacity: int, draw: FindsDraw) -> None:
        self.env, self.capacity, self.draw = env, capacity, draw
        self.device: torch.device | str = "cpu"
        self._columns = Columns(capacity, {})
        self._next = 0

    def __len__(self) -> int:
        return self._columns.size

    def add(self, found: Found) -> None:
        """Remember trajectories, in place of the oldest where there is no room."""
        env, rows = self.env, torch.arange(len(found["length"]))[-self.capacity :]
        widths = {"actions": env.horizon, "prefixes": env.horizon}
        columns = {}
        for name, value in found.items():
            if name in widths:
                value = value[:, : widths[name]]
                value = torch.nn.functional.pad(value, (0, widths[name] - value.shape[1]))
            columns[name] = value[rows]
        slots = (self._next + torch.arange(len(rows))) % self.capacity
        self._next = (self._next + len(rows)) % self.capacity
        self._columns.write(columns, slots)

    def column(self, name: str) -> Any:
        """(M, ...) one of the columns, or None."""
        return self._columns.get(name)

    # ------------------------------------------------------------------ rewards of now

    def log_reward(self, rows: Tensor | None = None) -> Tensor:
        """(M,) the rewards of (M,) slots as the reward is now; of all by default."""
        rows = torch.arange(len(self)) if rows is None else rows
        reward = self.env.reward
        if isinstance(reward, PrefixReward):
            self._renew("edition", reward.edition, rows)
            last = self.column("length")[rows, None] - 1  # without the stop
            found: Tensor = self.column("prefixes")[rows].gather(1, last).squeeze(1)
            return found / reward.temperature
        self._renew("version", reward.version, rows)
        found = self.column("log_reward")[rows]
        return found

    def _renew(self, mark: str, now: int, rows: Tensor) -> None:
        """Score those of the slots anew whose `mark` is not that of `now`."""
        stale = rows[self.column(mark)[rows] != now].unique()
        if not len(stale):
            return
        condition = self.column("condition")
        condition = None if condition is None else condition[stale]
        actions, length = self.column("actions")[stale].long(), self.column("length")[stale]
        objects = ends_of(Sampler(self.env), actions, length, condition)
        reward = self.env.reward
        if isinstance(reward, PrefixReward):
            scores = reward.prefixes_of(to_device(objects, self.device)).cpu()
            pad = self.column("prefixes").shape[1] - scores.shape[1]
            values = torch.nn.functional.pad(scores, (0, pad))
            self._columns.rewrite("prefixes", values, stale)
        else:
            log_reward, several = rescored(self.env, objects, condition, self.device)
            self._columns.rewrite("log_reward", log_reward, stale)
            if several is not None:
                self._columns.rewrite("scores", several, stale)
        self._columns.rewrite(mark, torch.full_like(stale, now), stale)

    # ------------------------------------------------------------------ out

    def rows(
        self, count: int, repeat: int, recent: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """(count,) slots, a share of `recent` of them by how new they are, and the rest by reward.

        Without conditions each trajectory is one or the other. With conditions all of one condition
        are, `repeat` of them in a row; conditions are equally likely, among those of the newest
        batch or among all. Nothing is drawn twice where there is enough.

        Args:
            count: How many.
            repeat: Trajectories of one condition.
            recent: Share.
            generator: Source of all randomness.
        """
        on = generator.device if generator is not None else torch.device("cpu")

        def noise(size: int) -> Tensor:
            return torch.rand(size, generator=generator, device=on, dtype=torch.float64).cpu()

        made, condition = self.column("made"), self.column("condition")
        weight = torch.zeros(len(self), dtype=torch.float64)
        if self.draw == "reward":
            weight = self.log_reward().to(torch.float64)
        everything = torch.arange(len(self))

        def drawn(among: Tensor, size: int, new: bool) -> Tensor:
            unit = noise(len(among))
            # Gumbel's noise: the largest keys are a sample without replacement.
            keys = made[among] + unit if new else weight[among] - (-unit.log()).log()
            best = among[torch.argsort(keys, descending=True, stable=True)[:size]]
            return best[torch.arange(size) % len(best)]

        if condition is None:
            new = round(recent * count)
            parts = [(everything, new, True), (everything, count - new, False)]
            return torch.cat([drawn(*part) for part in parts if part[1]])
        group = torch.unique(condition, dim=0, return_inverse=True)[1]
        turns = torch.bincount(in_turns(count, repeat)).tolist()
        new = round(recent * len(turns))
        chosen = []
        for among, size in ((group[made == made.max()].unique(), new),
                            (group.unique(), len(turns) - new)):  # fmt: skip
            order = torch.argsort(noise(len(among)))
            chosen += among[order[torch.arange(size) % len(order)]].tolist()
        rows = [
            drawn((group == which).nonzero().squeeze(1), size, place < new)
            for place, (which, size) in enumerate(zip(chosen, turns, strict=True))
        ]
        return torch.cat(rows)

    def sample(
        self, rows: Tensor, sampler: Sampler, device: torch.device | str = "cpu"
    ) -> Trajectories[Any]:
        """The trajectories of (B,) slots, repeated on a device, with the reward of now."""
        self.device = device
        log_reward = self.log_reward(rows)
        length = self.column("length")[rows]
        actions = self.column("actions")[rows, : int(length.max())].long()
        known = {name: self.column(name) for name in ("scores", "condition")}
        told = {name: None if v is None else v[rows].to(device) for name, v in known.items()}
        batch = sampler.along(
            actions.to(device), length.to(device), log_reward=log_reward.to(device), **told
        )
        reward = self.env.reward
        if isinstance(reward, PrefixReward):
            reward.recall(batch.final_states, self.column("prefixes")[rows])
        return batch

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"columns": self._columns.state_dict(), "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._columns.load_state_dict(state["columns"])
        self._next = state["next"]
