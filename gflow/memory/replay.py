"""Replay: finished trajectories or objects, rebuilt and re-evaluated when drawn again."""

from collections.abc import Hashable
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Count, NotNegative
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward
from gflow.errors import ConfigError, IncompatibleError
from gflow.memory.columns import Columns, narrowest
from gflow.memory.draw import (
    PRT_LEAST,
    ByRank,
    Draw,
    best,
    by_reward,
    prioritised,
    tenth,
    uniform,
)
from gflow.memory.keep import Distance, Keep, far_apart, hamming, names, weakest
from gflow.memory.rescore import ends_of, rescored
from gflow.memory.sorted_index import SortedIndex
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler
from gflow.shown import in_a_line
from gflow.state import take, to_device
from gflow.trajectories import Trajectories

Rebuild = Literal["actions", "backward"]


class ReplayBuffer:
    """A bounded memory of whole trajectories, or of their objects alone.

    Actions or objects are kept with rewards, scores and conditions. States of trajectories follow
    when they are drawn, and log-probabilities are never remembered. When the reward has changed
    (`LogReward.version`), what is drawn is scored anew in one batch, and so is all that is there
    where rewards decide what is drawn or kept.

    Args:
        env: The environment.
        capacity: Number of entries kept.
        keep: "recent" drops the oldest when full; "best" the lowest log-reward; "diverse" does so
            too, and takes in no object closer than `cutoff` to one that is there.
        draw: "uniform"; "reward": in proportion to it; "prt": half from the 90th percentile up,
            half from it down; "rank": by 1 / (0.01 n + rank); "top": among the `top` best;
            "tenth": half from the best tenth, half from the rest. By default "reward" with
            keep="best", else "uniform".
        rebuild: "actions" repeats the trajectories that were seen; "backward" draws new ones from
            their objects with the backward policy of the moment.
        distinct: Take in each object once, under each condition; always so with "prt".
        top: Size of the top.
        cutoff: Smallest distance between objects that are diverse.
        distance: ``(M objects, N objects) -> (M, N)``; by default the number of features that
            differ.

    Attributes:
        is_fair: Whether what is drawn is distributed as what was seen lately.
        device: Where the reward computes when it scores anew: where batches came from, or go.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        capacity: Count,
        keep: Keep = "recent",
        draw: Draw | None = None,
        rebuild: Rebuild = "actions",
        *,
        distinct: bool = False,
        top: Count = 100,
        cutoff: NotNegative = 1.0,
        distance: Distance | None = None,
    ) -> None:
        if rebuild == "actions" and not env.numbered:
            raise IncompatibleError(
                f"{env.name}: its moves have densities, so actions alone repeat no trajectory. "
                f"Draw new ones from the objects: rebuild='backward' (replay_rebuild='backward')."
            )
        if rebuild == "backward":
            who = "rebuild='backward' draws trajectories from objects"
            instead = "Repeat the actions: rebuild='actions' (replay_rebuild='actions')."
            require_backward(env, who, instead)
        draw = ("reward" if keep == "best" else "uniform") if draw is None else draw
        self.env, self.capacity, self.top, self.cutoff = env, capacity, top, cutoff
        self.keep, self.draw, self.rebuild = keep, draw, rebuild
        self.distinct = distinct or draw == "prt"
        self.distance = hamming(env) if distance is None else distance
        self.has_objects = self.distinct or keep == "diverse" or rebuild == "backward"
        self.is_fair = keep == "recent" and draw == "uniform" and not self.distinct
        if rebuild == "backward" and env.has_chance:  # what chance did is drawn anew by P_B
            self.is_fair = False
        self.order: SortedIndex | None = None
        if keep != "recent" or draw not in ("uniform", "reward"):
            self.order = SortedIndex()
        self._dtype = narrowest(getattr(env, "num_actions", 1))
        self._rank = ByRank()
        self._columns = Columns(capacity, {"objects": env.initial(1)})
        self._next = 0
        self.device: torch.device | str = "cpu"
        self._all_scored_by: int | None = None
        self._name_of: dict[int, Hashable] = {}
        self._known: set[Hashable] = set()

    def __repr__(self) -> str:
        return in_a_line(self, f"{len(self)} held")

    def __len__(self) -> int:
        return self._columns.size

    def __getattr__(self, name: str) -> Any:
        """Columns by name, such as `log_reward`; None for those that are not kept."""
        if name not in (
            "actions", "length", "log_reward", "scores", "condition", "objects", "key",
        ):  # fmt: skip
            raise AttributeError(name)
        if name in ("log_reward", "scores"):
            self.refresh()
        found = self._columns.get(name)
        return found.long() if name == "actions" and found is not None else found

    def _actions(self, rows: Tensor) -> Tensor:
        """(B, T) the actions in (B,) slots, which are kept as small numbers."""
        actions: Tensor = self._columns.get("actions")[rows]
        return actions.long()

    # ------------------------------------------------------------------ in

    def add(self, batch: Trajectories[Any]) -> None:
        """Remember the trajectories of a batch, dropping others if the memory is full.

        Those that begin elsewhere than at the source are left out where actions are repeated.
        """
        if self.rebuild == "actions" and batch.from_source is not None:
            batch = batch.select(batch.from_source.nonzero().squeeze(1))
        if not len(batch):
            return
        self.device = batch.length.device
        batch = batch.to("cpu")
        pad = self.env.horizon - batch.actions.shape[1]
        actions = torch.nn.functional.pad(batch.actions, (0, max(pad, 0)))[:, : self.env.horizon]
        actions = actions.to(self._dtype)
        self._add(
            {
                "actions": actions if self.rebuild == "actions" else None,
                "length": batch.length if self.rebuild == "actions" else None,
                "log_reward": batch.log_reward,
                "scores": batch.scores,
                "condition": batch.condition,
                "objects": batch.final_states if self.has_objects else None,
            }
        )

    def add_objects(
        self,
        objects: Any,
        log_reward: Tensor | None = None,
        scores: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> None:
        """Remember finished objects without trajectories, such as a data set.

        Args:
            objects: B finished objects.
            log_reward: (B,) target log-rewards if they are known already.
            scores: (B, K) raw objectives if they are known already.
            condition: (B, C) or None.

        Raises:
            ConfigError: If the memory repeats actions.
        """
        if self.rebuild != "backward":
            raise ConfigError(
                "ReplayBuffer: objects alone have no actions to repeat. Build the memory with "
                "rebuild='backward'."
            )
        if log_reward is None or (self.env.num_scores and scores is None):
            log_reward, scores = self.env.outcome(objects, condition)
            self.device = log_reward.device
        columns = {"log_reward": log_reward, "scores": scores, "condition": condition}
        moved = {k: None if v is None else v.cpu() for k, v in columns.items()}
        self._add({**moved, "objects": to_device(objects, "cpu")})

    def _add(self, columns: dict[str, Any]) -> None:
        columns = {name: value for name, value in columns.items() if value is not None}
        version, count = self.env.reward.version, len(columns["log_reward"])
        columns["version"] = torch.full((count,), version)
        if self.keep != "recent":
            self.refresh()
        if not len(self) or self._all_scored_by != version:
            self._all_scored_by = None if len(self) else version
        rows = torch.arange(count)
        called: list[Hashable] = []
        if self.distinct:
            if self.env.has_keys:
                columns["key"] = self.env.object_key(columns["objects"])
            called = names(columns.get("key"), columns["objects"], columns.get("condition"))
            fresh: dict[Hashable, int] = {}
            for row, name in enumerate(called):
                if name not in self._known:
                    fresh.setdefault(name, row)
            rows = rows[list(fresh.values())]
        if self.keep == "diverse" and len(rows):
            objects, value = take(columns["objects"], rows), columns["log_reward"][rows]
            stored = self.objects if len(self) else take(objects, rows[:0])
            better = torch.ones(len(rows), dtype=torch.bool)
            if len(self) == self.capacity and self.order is not None:
                better = value > self.order.values[0]
            objects, value, rows = take(objects, better), value[better], rows[better]
            rows = rows[far_apart(self.distance, self.cutoff, objects, value, stored)]
        rows, slots = self._make_room(rows, columns["log_reward"])
        if not len(rows):
            return
        self._columns.write({name: take(value, rows) for name, value in columns.items()}, slots)
        if self.order is not None:
            self.order.add(columns["log_reward"][rows], slots)
        if self.distinct:
            for slot, row in zip(slots.tolist(), rows.tolist(), strict=True):
                self._known.discard(self._name_of.get(slot))
                self._name_of[slot] = called[row]
            self._known.update(called[row] for row in rows.tolist())

    def _make_room(self, rows: Tensor, log_reward: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the new rows stay, and the slots they go to, which are free afterwards."""
        if self.keep == "recent":
            rows = rows[-self.capacity :]
            slots = (self._next + torch.arange(len(rows))) % self.capacity
            self._next = (self._next + len(rows)) % self.capacity
            gone = slots[slots < len(self)]
        else:
            assert self.order is not None
            excess = max(0, len(self) + len(rows) - self.capacity)
            gone, lost = weakest(self.order, log_reward[rows], excess)
            rows = rows[~lost]
            unused = torch.arange(len(self), min(self.capacity, len(self) + len(rows)))
            slots = torch.cat([gone, unused])[: len(rows)]
        if self.order is not None:
            self.order.remove(gone)
        return rows, slots

    # ------------------------------------------------------------------ rewards that change

    def refresh(self, slots: Tensor | None = None) -> None:
        """Score anew, in one batch, what an older version of the reward scored.

        Args:
            slots: Of these (M,) slots; None for all.
        """
        version = self.env.reward.version
        if not len(self) or self._all_scored_by == version:
            return
        old = self._columns.get("version") != version
        if slots is not None:
            asked = torch.zeros_like(old)
            asked[slots] = True
            old = old & asked
        stale = old.nonzero().squeeze(1)
        if len(stale):
            self._score(stale, version)
        if slots is None:
            self._all_scored_by = version

    def _score(self, stale: Tensor, version: int) -> None:
        """Score (M,) slots by the reward as it is."""
        condition = self._columns.get("condition")
        condition = None if condition is None else condition[stale]
        if self.has_objects:
            objects = take(self.objects, stale)
        else:
            sampler, actions = Sampler(self.env), self._actions(stale)
            objects = ends_of(sampler, actions, self.length[stale], condition)
        log_reward, scores = rescored(self.env, objects, condition, self.device)
        self._columns.rewrite("log_reward", log_reward, stale)
        self._columns.rewrite("version", torch.full_like(stale, version), stale)
        if scores is not None:
            self._columns.rewrite("scores", scores, stale)
        if self.order is not None:
            self.order.remove(stale)
            self.order.add(log_reward, stale)

    # ------------------------------------------------------------------ out

    def ready(self, count: int) -> bool:
        """Whether there is enough to draw from: a batch, or 10 distinct objects."""
        return len(self) >= self.least(count)

    def least(self, count: int) -> int:
        """How many must be remembered before `count` are drawn."""
        if self.draw == "prt":
            return PRT_LEAST
        return min(count, PRT_LEAST) if self.distinct else count

    def require_room(self, count: int) -> None:
        """Refuse a memory too small ever to draw `count` from.

        Raises:
            ConfigError: With the smallest capacity that will do.
        """
        if self.capacity < self.least(count):
            raise ConfigError(
                f"replay={self.capacity} remembers too little to be drawn from, which takes "
                f"{self.least(count)} with batches of {count} and draws by {self.draw}: raise "
                f"replay, or set it to 0."
            )

    def rows(
        self, count: int, generator: torch.Generator | None = None, draw: Draw | None = None
    ) -> Tensor:
        """(count,) int64 slots drawn with replacement, as the memory draws or by `draw`.

        Raises:
            ConfigError: If the memory is empty, or "prt" has fewer than 10 objects.
        """
        if not len(self):
            raise ConfigError("ReplayBuffer: nothing was added yet, so nothing can be drawn.")
        draw = self.draw if draw is None else draw
        if draw == "uniform":
            return uniform(count, len(self), generator)
        self.refresh()
        if draw == "reward":
            return by_reward(self.log_reward, count, generator)
        if self.order is None:
            self.order = SortedIndex()
            self.order.add(self.log_reward, torch.arange(len(self)))
        order = self.order
        if draw == "prt":
            return prioritised(order, count, generator)
        if draw == "rank":
            return self._rank(order, count, generator)
        if draw == "tenth":
            return tenth(order, count, generator)
        return best(order, count, self.top, generator)

    def sample(
        self,
        sampler: Sampler,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        policy: Policy | None = None,
    ) -> Trajectories[Any]:
        """`count` trajectories drawn with replacement and rebuilt on a device.

        Args:
            sampler: Rebuilds them.
            count: How many.
            generator: Source of all randomness.
            device: Where they are wanted.
            policy: Gives P_B where trajectories are drawn backward.

        Raises:
            ConfigError: If the memory is empty, or a policy is needed and not given.
        """
        self.device = device
        rows = self.rows(count, generator)
        if self.rebuild == "backward":
            return self.backward(rows, sampler, policy, generator, device)
        length = self.length[rows]
        return sampler.along(
            self._actions(rows)[:, : int(length.max())].to(device),
            length.to(device),
            **self._known_of(rows, device),
        )

    def backward(
        self,
        rows: Tensor,
        sampler: Sampler,
        policy: Policy | None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Trajectories[Any]:
        """Trajectories drawn backward from the objects in (B,) slots `rows`."""
        if policy is None or not self.has_objects:
            raise ConfigError(
                "ReplayBuffer: trajectories are drawn backward with the policy's P_B from objects: "
                "build the memory with rebuild='backward', and pass `policy`."
            )
        self.device = device
        return sampler.backward(
            policy,
            to_device(take(self.objects, rows), device),
            generator=generator,
            **self._known_of(rows, device),
        )

    def _known_of(self, rows: Tensor, device: torch.device | str) -> dict[str, Tensor | None]:
        self.refresh(rows)
        known = ("log_reward", "scores", "condition")
        columns = {name: self._columns.get(name) for name in known}
        return {k: None if v is None else v[rows].to(device) for k, v in columns.items()}

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "columns": self._columns.state_dict(),
            "next": self._next,
            "order": None if self.order is None else self.order.slots.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._columns.load_state_dict(state["columns"])
        self._all_scored_by = None
        self._next = state["next"]
        if state["order"] is not None:
            self.order = SortedIndex()
            if len(self):
                value = self._columns.get("log_reward")
                self.order.add(value[state["order"]], state["order"])
        if self.distinct and len(self):
            found = names(self.key, self.objects, self.condition)
            self._name_of, self._known = dict(enumerate(found)), set(found)
