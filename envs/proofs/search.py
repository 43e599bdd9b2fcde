"""Best-first search for proofs with a budget of calls of the checker, for many theorems at once."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gflow.bounds import Count, complaint
from gflow.envs.proofs.env import ProofEnv
from gflow.envs.proofs.tree import DONE, OPEN
from gflow.errors import ConfigError

if TYPE_CHECKING:
    from gflow.policies.base import Policy

PROVED, UNDECIDED, REFUTED = "proved", "open", "failed"
"""What is known of a node: a proof goes through it; nothing yet; there is none within reach."""


@dataclass
class Node:
    """A proof that is open, as the search sees it.

    Attributes:
        place: In the tree of its theorem.
        log_prob: Sum of the log-probabilities of its tactics.
        parent: The node before; None for the root.
        status: What is known of it.
        waiting: Children of which nothing is known.
        expanded: Whether its tactics were tried.
    """

    place: int
    log_prob: float
    parent: "Node | None"
    status: str = UNDECIDED
    waiting: int = 0
    expanded: bool = False

    def settle(self, status: str) -> None:
        """Set what is known, and what follows for the nodes before."""
        self.status = status
        before = self.parent
        if before is None or before.status == PROVED:
            return
        before.waiting -= 1
        if status == PROVED:
            before.settle(PROVED)
        elif before.waiting == 0 and before.expanded:
            before.settle(REFUTED)


@dataclass
class Search:
    """The search for proofs of one theorem.

    Attributes:
        theorem: Its number.
        root: The node of its beginning; what is known of that is known of the theorem.
        calls: How many tactics were tried.
        proofs: Proofs that were found, in their order.
        priorities: Of the nodes that were expanded, in their order.
    """

    theorem: int
    root: Node
    calls: int = 0
    proofs: list[tuple[str, ...]] = field(default_factory=list)
    priorities: list[float] = field(default_factory=list)
    _open: list[tuple[float, int, Node]] = field(default_factory=list, repr=False)
    _seen: dict[str, int] = field(default_factory=dict, repr=False)
    _count: int = field(default=0, repr=False)

    @property
    def status(self) -> str:
        """`proved`, `open` or `failed`."""
        return self.root.status

    @property
    def proof(self) -> tuple[str, ...] | None:
        """The first proof that was found."""
        return self.proofs[0] if self.proofs else None

    def push(self, node: Node, priority: float) -> None:
        """Put a node among those to be expanded; of equal ones the oldest goes first."""
        heapq.heappush(self._open, (-priority, self._count, node))
        self._count += 1

    def pop(self) -> Node | None:
        """The best node, if there is one."""
        if not self._open:
            return None
        priority, _, node = heapq.heappop(self._open)
        self.priorities.append(-priority)
        return node

    def is_new(self, text: str, left: int) -> bool:
        """Whether a goal was not seen with as many tactics left."""
        if self._seen.get(text, -1) >= left:
            return False
        self._seen[text] = left
        return True


@torch.no_grad()
def best_first(
    env: ProofEnv,
    theorems: Sequence[int],
    budget: int,
    policy: "Policy | None" = None,
    width: int | None = None,
    breadth_first: bool = False,
    dedupe: bool = True,
    first: bool = True,
    group: int = 64,
) -> list[Search]:
    """Search for proofs, the likeliest open goal first.

    The best open goal of each theorem is expanded: its tactics are tried in the order of their
    probabilities until one closes the proof. Goals with a text that was seen before are dropped.

    Args:
        env: Theorems and candidates; proofs are at most as long as its horizon.
        theorems: Numbers of theorems.
        budget: Calls of the checker for each of them.
        policy: Says what is likely; None takes all candidates alike.
        width: How many candidates are tried at a goal; None for all.
        breadth_first: Take the goal with the fewest tactics instead, so that the first proof is a
            shortest one.
        dedupe: Whether to drop goals that were seen.
        first: Stop at the first proof of a theorem.
        group: Theorems that are searched side by side; their goals go through the policy at once.

    Returns:
        A search for each theorem, in their order.

    Reference:
        Ho et al., Proof Flow, 2024, https://arxiv.org/abs/2410.13224

    Raises:
        ConfigError: A budget, width or group of none.
    """
    for name, value in (("budget", budget), ("group", group), ("width", width or 1)):
        reason = complaint(value, Count)
        if reason is not None:
            raise ConfigError(f"best_first: {name} {reason}.")
    searches = []
    for number in theorems:
        search = Search(number, Node(0, 0.0, None))
        search.push(search.root, 0.0)
        search.is_new(env.tree.texts[_row(env, number)], env.horizon)
        searches.append(search)
    for begin in range(0, len(searches), group):
        active = searches[begin : begin + group]
        while active:
            chosen = [(s, s.pop()) for s in active if s.calls < budget]
            going = [(s, node) for s, node in chosen if node is not None]
            if not going:
                break
            tried = _tactics(env, going, policy, width)
            _look_ahead(env, going, tried, budget)
            for (search, node), tactics in zip(going, tried, strict=True):
                _expand(env, search, node, tactics, budget, breadth_first, dedupe, first)
            active = [s for s, _ in going if not (first and s.proofs)]
    return searches


def _row(env: ProofEnv, theorem: int, place: int = 0) -> int:
    return int(env.tree.rows(torch.tensor([theorem]), torch.tensor([place])))


def _tactics(
    env: ProofEnv,
    going: list[tuple[Search, Node]],
    policy: "Policy | None",
    width: int | None,
) -> list[list[tuple[int, float]]]:
    """Candidates of each node with their log-probabilities, the likeliest first."""
    states = torch.tensor([[search.theorem, node.place] for search, node in going])
    mask = env.forward_mask(states)
    logits = torch.zeros(mask.shape)
    if policy is not None:
        device = next(policy.parameters()).device
        logits = policy.forward_logits(env, states.to(device)).cpu().to(logits)
    log_p: Tensor = logits.masked_fill(~mask, -torch.inf).log_softmax(-1)
    order = log_p.sort(stable=True, dim=-1, descending=True)
    counts = mask.sum(-1).clamp(max=width or mask.shape[1]).tolist()
    return [
        list(zip(actions[:count], values[:count], strict=True))
        for actions, values, count in zip(
            order.indices.tolist(), order.values.tolist(), counts, strict=True
        )
    ]


def _look_ahead(
    env: ProofEnv,
    going: list[tuple[Search, Node]],
    tried: list[list[tuple[int, float]]],
    budget: int,
) -> None:
    """Ask the checkers for all that may be looked at in one call, so that they work at once."""
    if len(going) < 2:
        return
    children = [
        (search.theorem, node.place * env.tree.width + action + 1)
        for (search, node), tactics in zip(going, tried, strict=True)
        for action, _ in tactics[: budget - search.calls]
    ]
    theorem, place = zip(*children, strict=True) if children else ((), ())
    env.tree.rows(torch.tensor(theorem).long(), torch.tensor(place).long())


def _expand(
    env: ProofEnv,
    search: Search,
    node: Node,
    tactics: list[tuple[int, float]],
    budget: int,
    breadth_first: bool,
    dedupe: bool,
    first: bool,
) -> None:
    """Try the tactics of a node; what is open goes among the nodes to be expanded."""
    tree = env.tree
    level = len(tree.actions(node.place)) + 1
    for action, log_p in tactics:
        if search.calls >= budget:
            return  # the node stays undecided
        search.calls += 1
        place = node.place * tree.width + action + 1
        row = _row(env, search.theorem, place)
        status = int(tree.status(torch.tensor(row)))
        if status == DONE:
            search.proofs.append(tree.proof(search.theorem, place))
            if node.status != PROVED:
                node.settle(PROVED)
            if first:
                return
        elif status == OPEN and level < env.horizon:
            if dedupe and not search.is_new(tree.texts[row], env.horizon - level):
                continue
            child = Node(place, node.log_prob + log_p, node)
            node.waiting += 1
            search.push(child, -float(level) if breadth_first else child.log_prob)
    node.expanded = True
    if node.waiting == 0 and node.status != PROVED:
        node.settle(REFUTED)
