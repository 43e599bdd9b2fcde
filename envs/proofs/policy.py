"""A network that scores the candidates at a goal by their texts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, complaint
from gflow.envs.proofs.env import ProofEnv
from gflow.envs.proofs.features import goal_features, tactic_features
from gflow.envs.proofs.tree import ProofTree
from gflow.errors import ConfigError
from gflow.policies.base import Backward, Policy, PolicyOutput
from gflow.policies.told import told

Bag = tuple[Tensor, Tensor]
"""Features of texts one after the other, and (N,) int64 how many each text has."""


class Bags:
    """Bags of features of texts, made once for each text.

    Args:
        buckets: Numbers that features are hashed to.
    """

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        self._goals: dict[str, Bag] = {}
        self._tactics: dict[str, Bag] = {}

    def goals(self, texts: Sequence[str]) -> Bag:
        """Features of texts."""
        for text in texts:
            if text not in self._goals:
                self._goals[text] = bag([goal_features(text, self.buckets)])
        return joined([self._goals[text] for text in texts])

    def tactics(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> Bag:
        """The same of all candidates at each text, in their order."""
        for text, tactics in zip(texts, candidates, strict=True):
            if text not in self._tactics:
                self._tactics[text] = bag(
                    [tactic_features(text, tactic, self.buckets) for tactic in tactics]
                )
        return joined([self._tactics[text] for text in texts])


def bag(features: list[list[int]]) -> Bag:
    """Features of several texts, one after the other."""
    flat = torch.tensor([number for one in features for number in one], dtype=torch.int64)
    return flat, torch.tensor([len(one) for one in features], dtype=torch.int64)


def joined(bags: list[Bag]) -> Bag:
    """Bags one after the other."""
    features, sizes = zip(*bags, strict=True)
    return torch.cat(features), torch.cat(sizes)


def starts(sizes: Tensor) -> Tensor:
    """(N,) int64 where each begins, of (N,) sizes."""
    return sizes.cumsum(0) - sizes


class TacticPolicy(Policy):
    """Scores each candidate at a goal by a perceptron over three vectors.

    The goal and the candidate are sums of embeddings of hashed features (see `features`), their
    product is the third; how many tactics are left is added to the goal. Two states with the same
    text and as many tactics left are read alike, whatever led there, and for all theorems and
    environments there is one network. A head on the goal alone gives log F.

    Args:
        env: Says what it is told, and how many tactics may be left at most.
        width: Size of the vectors.
        hidden: Units of the perceptron.
        buckets: Numbers that features are hashed to.
        log_flow: Whether there is a head of log F.

    Raises:
        ConfigError: If a size is none.
    """

    backward: Backward = "uniform"

    def __init__(
        self,
        env: ProofEnv,
        width: int = 64,
        hidden: int = 128,
        buckets: int = 1 << 14,
        log_flow: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"width": width, "hidden": hidden, "buckets": buckets}
        for name, value in sizes.items():
            reason = complaint(value, Count)
            if reason is not None:
                raise ConfigError(f"TacticPolicy: {name} {reason}.")
        self.has_log_flow = log_flow
        self.goal = nn.EmbeddingBag(buckets, width, mode="mean")
        self.tactic = nn.EmbeddingBag(buckets, width, mode="mean")
        self.left = nn.Embedding(env.horizon + 1, width)
        self.told = told(env, width, owner="TacticPolicy")
        last = nn.Linear(hidden, 1)
        self.score = nn.Sequential(nn.Linear(3 * width, hidden), nn.ReLU(), last)
        self.direct = nn.EmbeddingBag(buckets, 1, mode="sum")
        nn.init.zeros_(self.direct.weight)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.flow: nn.Module | None = None
        if log_flow:
            self.flow = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self._bags = Bags(buckets)

    def forward(self, env: Any, states: Tensor, condition: Tensor | None = None) -> PolicyOutput:
        """(N, A) logits, and log F; see `Policy.forward`."""
        read, logits = self._read(env, states, condition)
        flow = None if self.flow is None else self.flow(read).squeeze(-1)
        return PolicyOutput(logits, None, flow)

    def forward_logits(self, env: Any, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, A) the logits alone."""
        return self._read(env, states, condition)[1]

    def _read(self, env: Any, states: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """(N, width) vectors of the goals, and (N, A) logits.

        Texts are looked at once, and so are pairs of text and tactics left.
        """
        tree: ProofTree = env.tree
        rows, level = env.rows(states), tree.level(states[:, 1])
        left = (tree.depth - level).clamp(0, self.left.num_embeddings - 1)
        known: dict[str, int] = {}
        place = [known.setdefault(tree.texts[row], len(known)) for row in rows.tolist()]
        first = dict(zip(place, rows.tolist(), strict=True))
        texts, device = list(known), self.left.weight.device
        candidates = [tree.candidates[first[i]] for i in range(len(texts))]
        where = torch.tensor(place, dtype=torch.int64, device=device)
        bags, sizes = self._bags.goals(texts)
        goals = self.goal(bags.to(device), starts(sizes).to(device))
        read = goals[where] + self.left(left.to(device))
        if self.told is not None:
            read = read + self.told(condition)
        logits = read.new_zeros(len(states), tree.width)
        counts = torch.tensor([len(tactics) for tactics in candidates])
        if not int(counts.sum()):
            return read, logits
        bags, sizes = self._bags.tactics(texts, candidates)
        bags, offsets = bags.to(device), starts(sizes).to(device)
        tactics, direct = self.tactic(bags, offsets), self.direct(bags, offsets).squeeze(-1)
        start = starts(counts).to(device)
        column = torch.arange(tree.width, device=device)
        row, action = (column < counts.to(device)[where][:, None]).nonzero(as_tuple=True)
        pair = start[where[row]] + action
        ours, theirs = read[row], tactics[pair]
        scored = self.score(torch.cat([ours, theirs, ours * theirs], 1)).squeeze(-1)
        return read, logits.index_put((row, action), scored + direct[pair])


class TheoremEncoder(nn.Module):
    """What log Z of a theorem is read from: the text of its proof before anything is done.

    Args:
        tree: Has the theorems.
        width: Size of the vector.
        buckets: Numbers that features are hashed to.

    Attributes:
        out_features: Size of the vector.
    """

    bags: Tensor
    sizes: Tensor

    def __init__(self, tree: ProofTree, width: int = 64, buckets: int = 1 << 14) -> None:
        super().__init__()
        self.out_features = width
        numbers = torch.arange(len(tree.theorems))
        rows = tree.rows(numbers, torch.zeros_like(numbers))
        bags, sizes = Bags(buckets).goals([tree.texts[row] for row in rows.tolist()])
        self.register_buffer("bags", bags, persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.table = nn.Parameter(torch.randn(buckets, width) * 0.1)
        self.own = nn.Parameter(torch.zeros(len(tree.theorems), width))

    def forward(self, condition: Tensor) -> Tensor:
        """(N, width) for conditions (N, 1)."""
        number, group = condition[:, 0].round().long().unique(return_inverse=True)
        sizes = self.sizes[number]
        begin = starts(sizes)
        inside = torch.arange(int(sizes.sum()), device=sizes.device)
        place = inside + (starts(self.sizes)[number] - begin).repeat_interleave(sizes)
        read = F.embedding_bag(self.bags[place], self.table, begin, mode="mean")
        return (read + self.own[number])[group]
