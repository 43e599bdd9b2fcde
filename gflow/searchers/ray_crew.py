"""Searchers in Ray's workers, on this machine or on the nodes of a cluster."""

import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from gflow.errors import ConfigError
from gflow.machines.cluster import connect, disconnect, dumps, is_remote, kill, loads
from gflow.rewards.pool import WorkerError
from gflow.rewards.worker import import_path
from gflow.searchers.crew import AHEAD
from gflow.searchers.search import Found, Search

LOSSES = 5
"""Searchers that may be lost one after the other, with nothing delivered between."""


@dataclass
class _Post:
    """One searcher.

    Attributes:
        search: What it does.
        actor: The worker that does it.
        asked: What it has been asked for and has not delivered, the oldest first.
        knows: Whether it was told the newest weights.
        losses: How many workers were lost here since one delivered.
    """

    search: Search
    actor: Any = None
    asked: deque[Any] = field(default_factory=deque)
    knows: bool = True
    losses: int = 0


class RayCrew:
    """Searchers on Ray until they are closed, collected, or this process ends.

    What `Crew` is on one machine, with weights that go through Ray's store of objects. A searcher
    that dies, alone or with its node, is replaced; what it delivered before stays.

    Args:
        searches: What each of them does.
        pool: "ray" or "ray://HOST:PORT"; see `gflow.rewards.pools.open_pool`.

    Raises:
        ConfigError: If the cluster cannot be reached, or something cannot be pickled.
        MissingExtraError: If Ray is not installed.
    """

    def __init__(self, searches: list[Search], pool: str) -> None:
        try:
            for search in searches:
                dumps(search)
        except Exception as e:
            raise ConfigError(
                f"Searchers: the environment, its reward, the policy and the conditions go to "
                f"other nodes by pickle, and something in them cannot: {e}. Or use workers=0."
            ) from e
        self.ray = connect(pool, len(searches))
        self.options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0}
        if is_remote(pool):
            self.options = {"num_cpus": 1, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self.posts = [_Post(search) for search in searches]
        self._end = weakref.finalize(self, _end, self.posts)
        self._told: Any = None
        for post in self.posts:
            self._man(post)

    def _man(self, post: _Post) -> None:
        """Start a worker for a post, with the newest weights."""
        search = replace(post.search, seed=(post.search.seed + 7919 * post.losses) % 2**63)
        actor = self.ray.remote(Searcher).options(**self.options)
        post.actor = actor.remote(dumps(search), import_path())
        post.knows = self._told is None
        post.asked.clear()
        for _ in range(AHEAD):
            self._ask(post)

    def _ask(self, post: _Post) -> None:
        told = None if post.knows else self._told
        post.knows = True
        post.asked.append(post.actor.find.remote(told))

    def tell(self, told: dict[str, Any]) -> None:
        """Show them what `news` says, with the next batch that each is asked for."""
        self._told = self.ray.put(told)
        for post in self.posts:
            post.knows = False

    def found(self, wait: bool) -> list[Found]:
        """What has been delivered since it was last asked.

        Args:
            wait: Wait for at least one batch.

        Raises:
            WorkerError: If a searcher failed, or several were lost in a row.
        """
        batches: list[Found] = []
        while True:
            first = {post.asked[0]: post for post in self.posts}
            limit = None if wait and not batches else 0
            done, _ = self.ray.wait(list(first), num_returns=1, timeout=limit)
            if not done or len(batches) >= AHEAD * len(self.posts):
                return batches
            batches.extend(self._received(first[done[0]]))

    def _received(self, post: _Post) -> list[Found]:
        try:
            found: Found = self.ray.get(post.asked.popleft())
        except self.ray.exceptions.RayTaskError as e:
            self.close()
            raise WorkerError(f"Searchers: a searcher failed:\n{e}") from None
        except self.ray.exceptions.RayError as e:
            post.losses += 1
            if post.losses > LOSSES:
                self.close()
                raise WorkerError(
                    f"Searchers: {post.losses} searchers were lost one after the other, the last "
                    f"one thus: {' '.join(str(e).split())[:300]}"
                ) from None
            self._man(post)
            return []
        post.losses = 0
        self._ask(post)
        return [found]

    def close(self) -> None:
        """End the searchers."""
        self._end()


class Searcher:
    """What runs in a worker of Ray.

    Args:
        code: A `Search`, as `dumps` pickled it.
        path: Folders that the asking process imports from, where this machine has them.
    """

    def __init__(self, code: bytes, path: list[str]) -> None:
        self.search: Search = loads(code, path)

    def find(self, told: dict[str, Any] | None) -> Found:
        """One batch, with new weights if there are some."""
        if told is not None:
            self.search.take(told)
        return self.search([0])[0]


def _end(posts: list[_Post]) -> None:
    for post in posts:
        kill(post.actor)
    disconnect()
