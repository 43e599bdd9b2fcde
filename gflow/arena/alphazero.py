"""A small AlphaZero, to measure runs against: the same network, taught by its own search.

Reference:
    Silver et al., A general reinforcement learning algorithm that masters chess, shogi, and Go
    through self-play, Science 2018, https://arxiv.org/abs/1712.01815
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.arena.players import PART, Player, pick
from gflow.arena.positions import Positions, require_game
from gflow.arena.search import SearchOptions, TreeSearch
from gflow.arena.self_play import Lessons, self_play
from gflow.bounds import Count, NotNegative, Rate, check_fields
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.masking import masked_log_softmax, sample_masked
from gflow.policies.base import Policy
from gflow.state import batch_size, take, to_device

NODES = 1 << 21
"""Nodes of trees that grow side by side, so that they fit into memory."""


@dataclass(frozen=True)
class AlphaZeroOptions:
    """How an AlphaZero learns.

    Attributes:
        games: Games of self-play side by side; a round plays them all to their ends.
        opening_plies: Plies of a game of self-play that are drawn by visits, before the most
            visited move is taken.
        batch_size: Positions of a gradient step.
        passes: How often, in the mean, a new position is learned from in its round.
        memory: Latest positions that are learned from.
        learning_rate: Of Adam.
        weight_decay: Of AdamW.
        max_norm: Largest norm of a gradient.
    """

    games: Count = 64
    opening_plies: Count = 10
    batch_size: Count = 256
    passes: Count = 8
    memory: Count = 30_000
    learning_rate: Rate = 1e-3
    weight_decay: NotNegative = 1e-4
    max_norm: NotNegative = 1.0

    def __post_init__(self) -> None:
        check_fields(self)


class AlphaZero:
    """A policy with a value, and what it has learned so far.

    The network is a policy of the library with one log-flow head, which is read as a value: tanh of
    it is the outcome that the first player may expect.

    Args:
        env: The game.
        policy: The network, with `log_flow` of one player.
        options: How to learn.
        search: How to search.
        seed: Of the random numbers.

    Attributes:
        rounds: Rounds of self-play so far.
        games: Games so far.
        updates: Gradient steps so far.
        seconds: Time spent on both.

    Raises:
        IncompatibleError: If it is no game of two, or the policy has no such head.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        policy: Policy,
        options: AlphaZeroOptions | None = None,
        search: SearchOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.env = require_game(env, "AlphaZero")
        if not policy.has_log_flow:
            raise IncompatibleError(
                f"AlphaZero: {type(policy).__name__} has no log-flow head to read a value from. "
                f"Make it with log_flow=True."
            )
        self.policy = policy
        self.options = options or AlphaZeroOptions()
        self.search = search or SearchOptions()
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), self.options.learning_rate, weight_decay=self.options.weight_decay
        )
        self.lessons: Lessons | None = None
        self.rounds = self.games = self.updates = 0
        self.seconds = 0.0

    # ------------------------------------------------------------------ the network

    @torch.no_grad()
    def evaluate(self, states: Any) -> tuple[Tensor, Tensor]:
        """(L, A) logits and (L,) values of positions, in parts."""
        parts = torch.arange(batch_size(states)).split(PART)
        found = [self._outputs(take(states, rows)) for rows in parts]
        logits, values = zip(*found, strict=True)
        return torch.cat(logits).cpu(), torch.cat(values).cpu()

    def _outputs(self, states: Any) -> tuple[Tensor, Tensor]:
        device = next(self.policy.parameters()).device
        output = self.policy(self.env, to_device(states, device))
        flow = output.log_flow
        if flow is None or flow.dim() != 1:
            raise IncompatibleError(
                f"AlphaZero reads one value of a position, and {type(self.policy).__name__} gives "
                f"{'none' if flow is None else tuple(flow.shape)}."
            )
        return output.forward_logits, flow.tanh()

    def player(self, simulations: int, name: str = "alphazero") -> "AlphaZeroPlayer":
        """It as a player that searches so much for each move."""
        options = SearchOptions(simulations, self.search.exploration)
        return AlphaZeroPlayer(TreeSearch(self.env, self.evaluate, options), name)

    # ------------------------------------------------------------------ learning

    def train(
        self,
        seconds: float = torch.inf,
        rounds: float = torch.inf,
        report: Callable[[dict[str, float]], None] | None = None,
        stop: Callable[[], Any] = bool,
    ) -> None:
        """Play and learn in turns until the time is up.

        Args:
            seconds: Wall time of this call; a round that is not finished then is thrown away.
            rounds: Further rounds at most.
            report: Told the numbers of each round.
            stop: Asked between plies and steps; true ends the training.
        """
        began, before, last = time.monotonic(), self.seconds, self.rounds + rounds
        search = TreeSearch(self.env, self.evaluate, self.search)

        def over() -> bool:
            return time.monotonic() - began >= seconds or bool(stop())

        while self.rounds < last and not over():
            self.policy.eval()
            new = self_play(
                self.env, search, self.options.games, self.options.opening_plies, self.generator,
                over,
            )  # fmt: skip
            if new is not None:
                kept = new if self.lessons is None else self.lessons.joined(new)
                self.lessons = kept.latest(self.options.memory)
                self.games += self.options.games
                numbers = self._learn(len(new), over)
                self.rounds += 1
            self.seconds = before + time.monotonic() - began
            if new is not None and report is not None:
                report({"round": self.rounds, "games": self.games, "updates": self.updates,
                        "seconds": self.seconds, "positions": len(new), **numbers})  # fmt: skip

    def _learn(self, new: int, over: Callable[[], bool]) -> dict[str, float]:
        assert self.lessons is not None
        self.policy.train()
        steps = max(1, self.options.passes * new // self.options.batch_size)
        total, done = torch.zeros(2), 0
        for _ in range(steps):
            rows = torch.randint(
                len(self.lessons), (self.options.batch_size,), generator=self.generator
            )
            losses = self.losses(self.lessons.take(rows))
            self.optimizer.zero_grad()
            losses.sum().backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.options.max_norm)
            self.optimizer.step()
            total, done = total + losses.detach().cpu(), done + 1
            if over():
                break
        self.updates += done
        policy_loss, value_loss = (total / done).tolist()
        return {"policy_loss": policy_loss, "value_loss": value_loss}

    def losses(self, lessons: Lessons) -> Tensor:
        """(2,) the cross-entropy of the moves and the squared error of the value."""
        logits, value = self._outputs(lessons.states)
        share = lessons.share.to(logits)
        mask = self.env.forward_mask(lessons.states).to(share.device)
        log_prob = masked_log_softmax(logits, mask)
        moves = -(share * log_prob.masked_fill(share == 0, 0.0)).sum(1).mean()
        return torch.stack([moves, (value - lessons.outcome.to(value)).square().mean()])

    # ------------------------------------------------------------------ keeping it

    def state_dict(self) -> dict[str, Any]:
        """What was learned, and how far; positions are not kept."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "counts": [self.rounds, self.games, self.updates],
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.rounds, self.games, self.updates = state["counts"]
        self.seconds = state["seconds"]


class AlphaZeroPlayer(Player):
    """Takes the move that the search tried most, ties at random.

    Args:
        search: The search.
        name: In tables.
        temperature: Above 0, moves are drawn in proportion to visits to the power of its inverse.
    """

    def __init__(self, search: TreeSearch, name: str = "alphazero", temperature: float = 0) -> None:
        self.search, self.name, self.temperature = search, name, temperature

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        part = max(1, NODES // self.search.options.simulations)
        visits = torch.cat(
            [
                self.search(take(positions.states, rows), generator)[0]
                for rows in torch.arange(len(positions)).split(part)
            ]
        )
        if self.temperature:
            return sample_masked(visits.log() / self.temperature, visits > 0, generator)
        return pick(visits == visits.amax(1, keepdim=True), generator)
