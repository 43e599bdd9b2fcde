"""Tree search guided by a network, in many games at once: PUCT with leaves in batches.

Reference:
    Silver et al., A general reinforcement learning algorithm that masters chess, shogi, and Go
    through self-play, Science 2018, https://arxiv.org/abs/1712.01815
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from gflow.arena.positions import turn, winner
from gflow.bounds import Count, Positive, Probability, check_fields
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.state import batch_size, device_of, take, tensors, tree_map

Evaluate = Callable[[Any], tuple[Tensor, Tensor]]
"""L states to (L, A) logits of moves and (L,) values in [-1, 1], as the first player sees them."""


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        simulations: Leaves that each tree grows.
        exploration: The constant of PUCT: how far the network's moves are trusted.
        noise: Parameter of the Dirichlet noise on the moves at the root, where noise is asked for.
        noise_share: Its share.
    """

    simulations: Count = 32
    exploration: Positive = 1.5
    noise: Positive = 1.0
    noise_share: Probability = 0.25

    def __post_init__(self) -> None:
        check_fields(self)


class TreeSearch:
    r"""Grows a tree for each of B positions; each simulation asks the network once, about B leaves.

    From the root on, the move is taken that makes Q + U largest,

    .. math:: U(s, a) = c\,P(a \mid s)\, \frac{\sqrt{1 + \sum_b N(s, b)}}{1 + N(s, a)},

    where Q is the mean value for who moves; of a move not yet tried it is the mean of the state.
    Moves of chance are drawn by its own law.

    Args:
        env: The game.
        evaluate: The network.
        options: How to search.
    """

    def __init__(
        self, env: DiscreteEnvironment[Any], evaluate: Evaluate, options: SearchOptions
    ) -> None:
        self.env, self.evaluate, self.options = env, evaluate, options

    @torch.no_grad()
    def __call__(
        self, states: Any, generator: torch.Generator, noise: bool = False
    ) -> tuple[Tensor, Tensor]:
        """How often each move was tried, (B, A), and the value found, (B,), for the first player.

        Args:
            states: B unfinished positions with a player to move.
            generator: Source of all randomness, on the CPU.
            noise: Whether to blur the network's moves at the root, to explore in self-play.
        """
        tree = _Trees(self.env, states, self.options, generator)
        tree.grow(tree.roots, states, self.evaluate)
        if noise:
            tree.blur()
        for number in range(1, self.options.simulations + 1):
            tree.simulate(number, self.evaluate)
        visits, total = tree.visits[tree.roots], tree.total[tree.roots]
        return visits, total.sum(1) / visits.sum(1)


class _Trees:
    """B trees of at most M nodes; node n of tree b is number b M + n in every table."""

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        states: Any,
        options: SearchOptions,
        generator: torch.Generator,
    ) -> None:
        self.env, self.options, self.generator = env, options, generator
        count, self.size = batch_size(states), options.simulations + 1
        device, nodes, moves = device_of(states), count * self.size, env.num_actions
        self.roots = torch.arange(count, device=device) * self.size
        self.states = tree_map(lambda t: t.new_zeros(nodes, *t.shape[1:]), states)
        self.child = torch.full((nodes, moves), -1, device=device)
        self.prior = torch.zeros(nodes, moves, device=device)  # 0 for illegal moves
        self.legal = torch.zeros(nodes, moves, dtype=torch.bool, device=device)
        self.visits = torch.zeros(nodes, moves, device=device)
        self.total = torch.zeros(nodes, moves, device=device)  # of values for the first player
        self.own = torch.zeros(nodes, device=device)  # value when it was grown
        self.side = torch.zeros(nodes, device=device)  # 1, -1, or 0 for chance
        self.over = torch.zeros(nodes, dtype=torch.bool, device=device)

    def grow(self, nodes: Tensor, states: Any, evaluate: Evaluate) -> None:
        """Fill in new nodes (L,) with their states, moves and values."""
        for kept, new in zip(tensors(self.states), tensors(states), strict=True):
            kept[nodes] = new
        over = self.env.is_terminal(states)
        self.over[nodes] = over
        ended, open_ = over.nonzero().squeeze(1), (~over).nonzero().squeeze(1)
        if len(ended):
            self.own[nodes[ended]] = winner(self.env, take(states, ended)).to(self.own.dtype)
        if not len(open_):
            return
        at, states = nodes[open_], take(states, open_)
        logits, value = evaluate(states)
        law, mover = self.env.forward_law(states, logits), turn(self.env, states)
        chance = mover == CHANCE
        if bool(chance.any()):
            law = law.where(~chance, self.env.chance_law(states))
        self.legal[at] = law.distinct
        self.prior[at] = law.table().exp().masked_fill(~law.distinct, 0.0).to(self.prior.dtype)
        self.side[at] = mover.masked_fill(chance, 0).to(self.side.dtype)
        self.own[at] = value.to(self.own.dtype)

    def blur(self) -> None:
        """Mix Dirichlet noise into the moves at the roots."""
        seed = int(torch.randint(1 << 62, (), generator=self.generator))
        legal = self.legal[self.roots]
        gamma = numpy.random.default_rng(seed).standard_gamma(
            self.options.noise, tuple(legal.shape)
        )
        noise = torch.as_tensor(gamma).to(self.prior).clamp(min=1e-30) * legal
        noise = noise / noise.sum(1, keepdim=True)
        share = self.options.noise_share
        self.prior[self.roots] = (1 - share) * self.prior[self.roots] + share * noise

    def simulate(self, number: int, evaluate: Evaluate) -> None:
        """Walk down every tree to a new leaf or an end, and carry its value up."""
        node, rows = self.roots.clone(), torch.arange(len(self.roots), device=self.roots.device)
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        fresh: list[tuple[Tensor, Tensor, Tensor]] = []
        while len(rows):
            at = node[rows]
            move = self._choose(at)
            steps.append((rows, at, move))
            below = self.child[at, move]
            new = below < 0
            fresh.append((rows[new], at[new], move[new]))
            rows, below = rows[~new], below[~new]
            node[rows] = below
            rows = rows[~self.over[below]]
        where, parents, moves = (torch.cat(parts) for parts in zip(*fresh, strict=True))
        if len(where):
            leaves = self.roots[where] + number
            self.child[parents, moves] = leaves
            node[where] = leaves
            states = self.env._step(take(self.states, parents), moves)
            self.grow(leaves, states, evaluate)
        value = self.own[node]
        for rows, at, move in steps:  # a tree takes part in a step at most once
            self.visits[at, move] += 1
            self.total[at, move] += value[rows]

    def _choose(self, at: Tensor) -> Tensor:
        visits, total, side = self.visits[at], self.total[at], self.side[at]
        legal, prior = self.legal[at], self.prior[at]
        tried = visits.sum(1)
        mean = ((self.own[at] + total.sum(1)) / (1 + tried))[:, None]
        worth = torch.where(visits > 0, total / visits.clamp(min=1), mean) * side[:, None]
        reach = self.options.exploration * (1 + tried).sqrt()[:, None] * prior / (1 + visits)
        best = (worth + reach).masked_fill(~legal, -math.inf).argmax(1)
        chance = side == 0
        if not bool(chance.any()):
            return best
        uniform = torch.rand(len(at), generator=self.generator).to(prior)
        drawn = (prior.cumsum(1) <= uniform[:, None]).sum(1).clamp(max=prior.shape[1] - 1)
        last = prior.shape[1] - 1 - legal.flip(1).long().argmax(1)  # rounding
        return torch.where(chance, drawn.minimum(last), best)
