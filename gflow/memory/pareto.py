"""The Pareto order on vectors of scores, all to be made large, and what to do with its maxima."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import check_numbers, check_shapes, checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.shown import in_a_line
from gflow.state import batch_size, cat, take, tensors, to_device, tree_map
from gflow.trajectories import Trajectories

BLOCK = 512
"""Vectors compared with as many others at a time."""


def dominates(first: Tensor, second: Tensor) -> Tensor:
    """(...) bool: `first` (..., K) is nowhere smaller than `second` and somewhere larger."""
    return (first >= second).all(-1) & (first > second).any(-1)


def non_dominated(scores: Tensor, deduplicate: bool = False) -> Tensor:
    """(B,) bool: no other vector dominates this one.

    Args:
        scores: (B, K). NaN is refused: it would neither dominate nor be dominated.
        deduplicate: Of equal vectors keep the first only. Otherwise all or none of them are kept,
            because none dominates the others.

    Example:
        >>> points = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]])
        >>> non_dominated(points).tolist(), non_dominated(points, deduplicate=True).tolist()
        ([True, False, True, True], [True, False, True, False])
    """
    check_shapes("non_dominated", scores=(scores, "B K"))
    check_numbers("non_dominated", neg_inf=True, pos_inf=True, scores=scores)
    if not len(scores):
        return torch.zeros(0, dtype=torch.bool, device=scores.device)
    distinct, group = torch.unique(scores, dim=0, return_inverse=True)  # in lexicographic order
    rows = torch.arange(len(distinct), device=scores.device)
    front = rows[:0]
    for block in rows.flip(0).split(BLOCK):  # nothing is dominated by what comes later
        best = block
        for rivals in (*front.split(BLOCK), block):
            beaten = dominates(distinct[rivals], distinct[best][:, None]).any(1)
            best = best[~beaten]
        front = torch.cat([front, best])
    kept = torch.zeros_like(rows, dtype=torch.bool).index_fill(0, front, True)[group]
    if not deduplicate:
        return kept
    order = torch.arange(len(scores), device=scores.device)
    first = torch.full_like(order, len(scores)).scatter_reduce_(0, group, order, "amin")
    return kept & (first[group] == order)


def exact_front(graph: StateGraph[Any]) -> tuple[Any, Tensor]:
    """The objects of an enumerable environment that no other dominates, and their (N, K) scores."""
    objects = take(graph.states, graph.objects)
    scores = graph.env.scores(objects)
    rows = non_dominated(scores).nonzero().squeeze(1)
    return take(objects, rows), scores[rows]


class ParetoArchive:
    """The objects that no other object seen so far dominates, with their scores.

    A trainer callback. Objects and scores are held here, not as places in another memory, so the
    archive stays right whatever a replay buffer forgets. A front that was ever added is never
    lost unless something better was added later, or there is no room. When the reward has changed
    (`LogReward.version`), what is here is scored anew.

    Args:
        env: An environment with several scores.
        capacity: Most objects kept, or None for all. Without room, one of the two nearest to each
            other goes first, so that what is left covers the front.
        deduplicate: Keep one object of each vector of scores, the oldest.

    Attributes:
        device: Where the reward computes when it scores anew: where batches came from.

    Raises:
        IncompatibleError: If the environment has a single score, or states cannot be told apart.
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        capacity: Count | None = None,
        deduplicate: bool = False,
    ) -> None:
        if not env.num_scores or not env.has_keys:
            raise IncompatibleError(
                f"ParetoArchive: {env.name} has "
                f"{'no `key` to tell objects apart' if env.num_scores else 'a single reward'}. "
                f"It needs a VectorReward and states with keys."
            )
        self.env, self.capacity, self.deduplicate = env, capacity, deduplicate
        self._states: Any = take(env.initial(1), torch.zeros(0, dtype=torch.int64))
        self._scores = torch.zeros(0, env.num_scores)
        self._keys = torch.zeros(0, dtype=torch.int64)
        self._scored_by = env.reward.version
        self.device: torch.device | str = "cpu"

    def __repr__(self) -> str:
        return in_a_line(self, f"{len(self)} held")

    def __len__(self) -> int:
        self.refresh()
        return len(self._scores)

    @property
    def states(self) -> Any:
        """N objects that no other dominates, under the reward as it is."""
        self.refresh()
        return self._states

    @property
    def scores(self) -> Tensor:
        """(N, K) their scores."""
        self.refresh()
        return self._scores

    def __call__(self, trainer: Any, batch: Trajectories[Any], record: dict[str, float]) -> None:
        """See the objects of a training batch."""
        if batch.scores is None:
            raise IncompatibleError(
                f"ParetoArchive: trajectories of {self.env.name} carry no scores."
            )
        if len(batch.scores):
            self.add(batch.final_states, batch.scores)

    def add(self, objects: Any, scores: Tensor) -> int:
        """See finished objects with their (B, K) scores.

        Returns:
            How many of them are in the archive now.
        """
        check_shapes(
            "ParetoArchive", scores=(scores, f"{batch_size(objects)} {self.env.num_scores}")
        )
        rows, self.device = non_dominated(scores).nonzero().squeeze(1), scores.device
        objects, scores = to_device(take(objects, rows), "cpu"), scores[rows].cpu()
        old = len(self)
        states = cat([self._states, objects]) if old else objects
        scores = torch.cat([self._scores.to(scores.dtype), scores])
        keys = torch.cat([self._keys, self.env.object_key(objects)])
        return int((self._rank(states, scores, keys) >= old).sum())

    def absorb(self, state: dict[str, Any]) -> None:
        """See what another one has seen, given what its `state_dict` gave."""
        if len(state["keys"]):
            parts = iter(state["states"])
            self.add(tree_map(lambda _: next(parts), self.env.initial(1)), state["scores"])

    def refresh(self) -> None:
        """Score all anew, in one batch, if the reward has changed since."""
        version = self.env.reward.version
        if self._scored_by == version:
            return
        self._scored_by = version
        if len(self._scores):
            scores = self.env.scores(to_device(self._states, self.device)).cpu()
            self._rank(self._states, scores, self._keys)

    def _rank(self, states: Any, scores: Tensor, keys: Tensor) -> Tensor:
        """Keep what no other dominates, each object once; (N,) the rows that stay."""
        _, group = torch.unique(keys, return_inverse=True)
        order = torch.arange(len(keys))
        first = torch.full_like(order, len(keys)).scatter_reduce_(0, group, order, "amin")
        kept = (first[group] == order).nonzero().squeeze(1)
        kept = kept[non_dominated(scores[kept], self.deduplicate)]
        while self.capacity is not None and len(kept) > self.capacity:
            kept = kept[torch.arange(len(kept)) != _most_crowded(scores[kept])]
        self._states, self._scores, self._keys = take(states, kept), scores[kept], keys[kept]
        return kept

    def draw(self, count: int, generator: torch.Generator | None = None) -> tuple[Any, Tensor]:
        """`count` objects and their (count, K) scores, with replacement, all equally likely.

        Raises:
            ConfigError: If the archive is empty.
        """
        if not len(self):
            raise ConfigError("ParetoArchive: nothing was added yet, so nothing can be drawn.")
        on = generator.device if generator is not None else torch.device("cpu")
        rows = torch.randint(len(self), (count,), generator=generator, device=on).cpu()
        return take(self.states, rows), self.scores[rows]

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "states": tensors(self._states),
            "scores": self._scores,
            "keys": self._keys,
            "version": self._scored_by,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        parts = iter(state["states"])
        self._states = tree_map(lambda _: next(parts), self.env.initial(1))
        self._scores, self._keys = state["scores"], state["keys"]
        self._scored_by = state["version"]


def _most_crowded(scores: Tensor) -> int:
    """Of the two vectors nearest to each other, the one whose next neighbour is nearer."""
    if len(scores) < 3:
        return len(scores) - 1
    distance = torch.cdist(scores, scores).fill_diagonal_(torch.inf)
    pair = divmod(int(distance.argmin()), len(scores))
    second = [distance[row].topk(2, largest=False).values[1] for row in pair]
    return pair[int(second[1] < second[0])]
