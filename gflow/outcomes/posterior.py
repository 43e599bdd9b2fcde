r"""Q(y | s, a): which outcome a move of a sampler of rewards serves.

In the flow of a reward r, the move a from s serves the outcome y with probability

.. math:: Q(y \mid s, a) = r(y) F(s \mid y) P_F(a \mid s, y) / N(a \mid s),

N being the sum of the numerator over all y. Two networks for it are here: over listed outcomes, and
symbol by symbol over what is left of a sequence.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.masking import sample_masked
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.state import batch_size, take, to_device, where


@dataclass(frozen=True)
class Moves:
    """M transitions.

    Attributes:
        states: M states s.
        actions: (M,) int64 what was done there.
        children: M states that this led to; s itself for stops.
        ends: (M,) bool: the child is a finished object, and the only outcome that the move serves.
    """

    states: Any
    actions: Tensor
    children: Any
    ends: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, rows: Tensor) -> "Moves":
        """Some of them."""
        return Moves(
            take(self.states, rows), self.actions[rows], take(self.children, rows), self.ends[rows]
        )


class Posterior(nn.Module, ABC):
    """A distribution over outcomes for each move; moves that end have the one that they reach."""

    def sample(
        self,
        env: DiscreteEnvironment[Any],
        moves: Moves,
        generator: torch.Generator,
        explore: float = 0.0,
        number: int = 1,
    ) -> list[Any]:
        """M objects as outcomes, one for each move, so many times; without gradient.

        Args:
            env: The environment.
            moves: M moves.
            generator: Source of randomness, on the CPU.
            explore: Probability of an even choice in place of the network's.
            number: How many times.
        """
        with torch.no_grad():
            found = self._sample(env, moves, generator, explore, number)
        return [where(moves.ends, moves.children, drawn) for drawn in found]

    def log_prob(
        self, env: DiscreteEnvironment[Any], moves: Moves, objects: Sequence[Any]
    ) -> Tensor:
        """(M, D) log Q of D times M objects that the children of the moves lead to."""
        return self._log_prob(env, moves, objects).masked_fill(moves.ends[:, None], 0.0)

    @abstractmethod
    def _sample(
        self,
        env: DiscreteEnvironment[Any],
        moves: Moves,
        generator: torch.Generator,
        explore: float,
        number: int,
    ) -> list[Any]:
        """So many times M objects; anything for moves that end."""

    @abstractmethod
    def _log_prob(
        self, env: DiscreteEnvironment[Any], moves: Moves, objects: Sequence[Any]
    ) -> Tensor:
        """(M, D) log-probabilities, finite for moves that end."""


class ListedPosterior(Posterior):
    """Q over K listed objects, only those that the child leads to as far as that is known.

    Args:
        env: An environment with keys.
        objects: K objects, all different.
        encoder: Encodes states; by default their categorical features.
        width: Units of the layers.

    Raises:
        IncompatibleError: If states cannot be encoded, or told apart.
    """

    keys: Tensor
    order: Tensor

    @checked
    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        objects: Any,
        encoder: StateEncoder | None = None,
        width: Count = 128,
    ) -> None:
        super().__init__()
        self.objects = objects
        keys, order = env.object_key(objects).sort()
        self.register_buffer("keys", keys, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.encoder = FeatureEncoder(env, width) if encoder is None else encoder
        self.action = nn.Embedding(env.num_actions, self.encoder.out_features)
        self.hidden = nn.Linear(self.encoder.out_features, width)
        self.head = nn.Linear(width, batch_size(objects))
        self._told: tuple[Moves, Tensor] | None = None

    def logits(self, env: Environment[Any], moves: Moves) -> Tensor:
        """(M, K) logits."""
        x = self.encoder(env, moves.children) + self.action(moves.actions)
        logits: Tensor = self.head(F.relu(self.hidden(F.relu(x))))
        return logits

    def index(self, env: DiscreteEnvironment[Any], objects: Any) -> Tensor:
        """(M,) int64 rows of objects in the list.

        Raises:
            IncompatibleError: If one is not listed.
        """
        key = env.object_key(objects)
        place = torch.searchsorted(self.keys, key.contiguous()).clamp(max=len(self.keys) - 1)
        missing = self.keys[place] != key
        if bool(missing.any()):
            row = int(missing.nonzero()[0])
            raise IncompatibleError(
                f"{env.name}: {env.shown(objects, row)} is not among the {len(self.keys)} outcomes "
                f"that are listed. List all objects that can be built."
            )
        return self.order[place]

    def _allowed(self, env: DiscreteEnvironment[Any], moves: Moves) -> Tensor:
        """(M, K) bool: what the children lead to, as far as the environment can tell."""
        if self._told is not None and self._told[0] is moves:
            return self._told[1]
        count, device = len(self.keys), moves.actions.device
        first, group = Distinct(env.num_keys)(env.key(moves.children))
        rows = first.repeat_interleave(count)
        which = torch.arange(count, device=device).repeat(len(first))
        objects = to_device(self.objects, device)
        known = env.reaches(take(moves.children, rows), take(objects, which))
        if known is None:
            allowed = torch.ones(len(moves), count, dtype=torch.bool, device=device)
        else:
            allowed = known.view(len(first), count)[group]
        self._told = moves, allowed
        return allowed

    def _sample(
        self,
        env: DiscreteEnvironment[Any],
        moves: Moves,
        generator: torch.Generator,
        explore: float,
        number: int,
    ) -> list[Any]:
        logits, allowed = self.logits(env, moves), self._allowed(env, moves)
        objects = to_device(self.objects, moves.actions.device)
        return [
            take(objects, drawn(explored(logits, explore, generator), allowed, generator))
            for _ in range(number)
        ]

    def _log_prob(
        self, env: DiscreteEnvironment[Any], moves: Moves, objects: Sequence[Any]
    ) -> Tensor:
        rows = torch.stack([self.index(env, some) for some in objects], 1)
        allowed = self._allowed(env, moves)
        logits = self.logits(env, moves).masked_fill(~allowed, -torch.inf)
        return logits.log_softmax(-1).gather(1, rows)


class SequencePosterior(Posterior):
    """Q over what is left of a sequence, symbol by symbol from left to right.

    The network reads the symbols so far, those of the child and those that were filled in since,
    which places the child had filled, and the action. It is for environments with `fills_places`:
    states are (M, L) tokens with blanks, and every filling of these is an object that they lead to
    (`Autoregressive` and `AnyOrder` of `gflow.envs.sequences.env`).

    Args:
        env: A sequence environment whose objects fill all places.
        width: Units of the layers.

    Raises:
        IncompatibleError: If it is no such environment.
    """

    offset: Tensor

    @checked
    def __init__(self, env: DiscreteEnvironment[Any], width: Count = 256) -> None:
        super().__init__()
        if not getattr(env, "fills_places", False):
            raise IncompatibleError(
                f"SequencePosterior fills the blanks of sequences (`fills_places`), which those of "
                f"{env.name} are not. Use ListedPosterior, where objects can be listed."
            )
        length, symbols = len(env.feature_sizes), env.feature_sizes[0]
        self.length, self.blank = length, symbols - 1
        self.register_buffer("offset", torch.arange(length) * symbols, persistent=False)
        table = torch.empty(length * symbols, width)
        self.table = nn.Parameter(table.normal_(0, length**-0.5))
        self.filled = nn.Linear(length, width)
        self.action = nn.Embedding(env.num_actions, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, self.blank)

    def logits(self, tokens: Tensor, filled: Tensor, actions: Tensor) -> Tensor:
        """(M, A) of the symbol at the first blank of (M, L) tokens."""
        x = F.embedding_bag(tokens + self.offset, self.table, mode="sum")
        x = x + self.filled(filled.to(x.dtype)) + self.action(actions)
        logits: Tensor = self.head(F.relu(self.hidden(F.relu(x))))
        return logits

    def _allowed(self, env: Any, places: Tensor) -> Tensor:
        """(M, A) bool: symbols that each place may hold."""
        if env.allowed is None:
            return torch.ones(len(places), self.blank, dtype=torch.bool, device=places.device)
        allowed: Tensor = env.allowed.to(places.device)[places]
        return allowed

    def _sample(
        self,
        env: DiscreteEnvironment[Any],
        moves: Moves,
        generator: torch.Generator,
        explore: float,
        number: int,
    ) -> list[Any]:
        count = len(moves)
        tokens: Tensor = moves.children.repeat(number, 1)
        filled, actions = tokens != self.blank, moves.actions.repeat(number)
        for place in range(self.length):
            at = torch.full_like(actions, place)
            logits = explored(self.logits(tokens, filled, actions), explore, generator)
            symbol = drawn(logits, self._allowed(env, at), generator)
            column = torch.where(filled[:, place], tokens[:, place], symbol)
            tokens = tokens.index_copy(1, at[:1], column[:, None])
        return list(tokens.split(count))

    def _log_prob(
        self, env: DiscreteEnvironment[Any], moves: Moves, objects: Sequence[Any]
    ) -> Tensor:
        copies, count = len(objects), len(moves)
        every = torch.cat(list(objects))
        filled = (moves.children != self.blank).repeat(copies, 1)
        rows, places = (~filled).nonzero(as_tuple=True)
        before = torch.arange(self.length, device=rows.device) < places[:, None]
        seen = torch.where(filled[rows] | before, every[rows], self.blank)
        logits = self.logits(seen, filled[rows], moves.actions.repeat(copies)[rows])
        legal = self._allowed(env, places)
        symbol = every[rows, places].clamp(max=self.blank - 1)
        log_prob = logits.masked_fill(~legal, -torch.inf).log_softmax(-1)
        found = log_prob.gather(1, symbol[:, None]).squeeze(1)
        return found.new_zeros(len(every)).index_add(0, rows, found).view(copies, count).T


def explored(logits: Tensor, explore: float, generator: torch.Generator) -> Tensor:
    """(M, K) logits, even in some rows at random."""
    if not explore:
        return logits
    coin = torch.rand(len(logits), generator=generator).to(logits.device) < explore
    return logits.masked_fill(coin[:, None], 0.0)


def drawn(logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """(M,) int64 choices among legal ones, by a generator on the CPU."""
    return sample_masked(logits.cpu(), mask.cpu(), generator).to(logits.device)
