"""Molecules made of blocks by reactions, one after another."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gflow.distinct import text_keys
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.keys import hash_rows
from gflow.envs.molecules.extras import MoleculeError, several
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.rewards import molecule_reward, of_built
from gflow.envs.molecules.scoring import Record
from gflow.envs.reactions.blocks import SHIPPED as BLOCKS
from gflow.envs.reactions.blocks import make_block, read_blocks
from gflow.envs.reactions.chemist import NO_BLOCK, Chemist, Remembered
from gflow.envs.reactions.laboratory import Laboratory, Node, Reaction, Route
from gflow.envs.reactions.templates import SHIPPED as TEMPLATES
from gflow.envs.reactions.templates import Template, read_templates
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.pools import Pool, open_pool
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward

NOTHING, MOLECULE, BLOCK, OUTCOME = range(4)
"""What a state is: s0; a molecule; one with a slot chosen, which waits for the other block; one
with a reaction, of whose products one is to be chosen."""


class View(NamedTuple):
    """What a state says.

    Attributes:
        kind: `NOTHING`, `MOLECULE`, `BLOCK` or `OUTCOME`.
        node: The molecule that was made last; None in s0.
        slot: Of the reaction that is chosen, or -1.
        block: The other block that is chosen, or -1.
        products: Of the reaction.
    """

    kind: int
    node: Node | None = None
    slot: int = -1
    block: int = NO_BLOCK
    products: tuple[str, ...] = ()


class Reactions(DiscreteEnvironment[Tensor]):
    r"""Molecules with a route of synthesis: a block, then reactions by templates, then stop.

    A state is a molecule with the number of reactions that made it, or such a molecule with a
    reaction that is being chosen: first the template and the place in it that the molecule takes
    (a *slot*), then the other block if it needs one, then which of its different products. A
    state is written as a route, and of all routes of that length to a molecule the first in the
    order of numbers stands for all of them. So every state carries a route that can be followed.

    **Forward actions.** With n blocks, ``i < n`` takes block i, as the first one or as the other
    reactant; ``n + j`` chooses slot j; then `max_outcomes` choose a product, in the order of
    SMILES; the last one stops. That needs at least one reaction: every object is a product.

    **Backward actions** are the last steps of all routes to a molecule, in order: template, slot,
    block and what reacted, each being reached from blocks in the reactions that are left.

    **Counting.** A molecule that is reached by m different numbers of reactions is m finished
    states; they share its reward equally. So molecules, as told apart by canonical SMILES, are
    sampled in proportion to the reward, by however many routes they are made.

    What reactions there are is said by `gflow.envs.reactions.chemist.Chemist`. Chemistry is done on
    the host, for distinct states and once each, in workers if there are any. Stereo is left out.

    Args:
        reward: A `Goal`, a short form of one such as ``"qed"``, or any `LogReward` of states.
        beta: Inverse temperature of the reward.
        templates: A file of templates, or templates; those that come with the library by default.
        blocks: A file of molecules, or SMILES; those that come with the library by default.
        max_steps: Largest number of reactions.
        max_outcomes: Products of one reaction that are told apart; further ones are left out.
        max_ways: Largest number of last steps to a molecule.
        skip_invalid: Pass over lines of the file of blocks that are no molecule.
        workers: Processes for reactions and scores; 0 for this one. Close with `close`.
        capacity: Number of results remembered, of each kind.
        scalarization: Keep the properties apart, as scores that this makes a log-reward; beta must
            then be 1. If it reads a condition, so do the environment and policies for it.
        timeout: Seconds that one molecule may take; None for no limit. Needs workers.
        pool: Where workers are: "local", "ray", "ray://HOST:PORT", or a `Pool` (see `open_pool`).

    Raises:
        ConfigError: Sizes out of range, a file that cannot be read, or blocks that do not react.

    References:
        Koziarski et al., RGFN: Synthesizable Molecular Generation Using GFlowNets, 2024,
        https://arxiv.org/abs/2406.08506. Cretu et al., SynFlowNet, 2024,
        https://arxiv.org/abs/2405.01155.
    """

    has_forced_terminals = False

    def __init__(
        self,
        reward: str | Sequence[str] | Goal | LogReward[Tensor] = "qed",
        beta: float = 1.0,
        templates: str | Path | Sequence[Template] = TEMPLATES,
        blocks: str | Path | Sequence[str] = BLOCKS,
        max_steps: int = 3,
        max_outcomes: int = 8,
        max_ways: int = 64,
        skip_invalid: bool = False,
        workers: int = 0,
        capacity: int = 200_000,
        scalarization: Scalarization | None = None,
        timeout: float | None = None,
        pool: str | Pool = "local",
    ) -> None:
        if min(max_steps, max_outcomes, max_ways) < 1:
            raise ConfigError(
                f"Reactions: need max_steps, max_outcomes and max_ways of at least 1, got "
                f"{max_steps}, {max_outcomes} and {max_ways}."
            )
        if isinstance(templates, str | Path):
            templates = read_templates(templates)
        if isinstance(blocks, str | Path):
            found = read_blocks(blocks, skip_invalid)
        else:
            found = tuple(make_block(smiles, "Reactions") for smiles in blocks)
        smiles = tuple(dict.fromkeys(block.smiles for block in found))
        chemist = Chemist(templates, smiles, max_steps, max_outcomes, capacity)
        self.goal = None if isinstance(reward, LogReward) else Goal.read(reward)
        self.lab = Laboratory(
            chemist, self.goal, open_pool(pool, workers, timeout), max_ways, capacity
        )
        self.chemist, self.max_steps, self.max_ways = chemist, max_steps, max_ways
        self.max_outcomes = max_outcomes
        self.num_blocks, self.num_slots = len(smiles), len(chemist.slots)
        self.first_outcome = self.num_blocks + self.num_slots
        self.stop_action = self.first_outcome + max_outcomes
        self.num_actions, self.num_backward_actions = self.stop_action + 1, max_ways
        self.horizon = 2 + 3 * max_steps
        step = (self.num_slots + 1, self.num_blocks + 2, max_outcomes + 1)
        self.feature_sizes = (self.num_blocks + 1, *step * max_steps)
        self.views = Remembered(self._view, capacity)
        self.beta = beta
        self.reward = molecule_reward(reward, self.goal, self.records, beta, scalarization)
        if isinstance(self.reward, VectorReward):
            self.condition_dim = self.reward.condition_dim

    # ------------------------------------------------------------------ what a state says

    def read(self, states: Tensor) -> list[View]:
        """What each of B states says."""
        return [self.views[tuple(row)] for row in states.tolist()]

    def _view(self, row: Route) -> View:
        if not row[0]:
            return View(NOTHING)
        end = 1
        while end < len(row) and row[end + 2]:
            end += 3
        node = self.lab.at(row[:end])
        if end == len(row) or not row[end]:
            return View(MOLECULE, node)
        slot = row[end] - 1
        if not row[end + 1]:
            return View(BLOCK, node, slot)
        block = NO_BLOCK if row[end + 1] > self.num_blocks else row[end + 1] - 1
        return View(OUTCOME, node, slot, block, self.lab.react([(slot, node.smiles, block)])[0])

    def _rows(self, routes: Sequence[Sequence[int]], like: Tensor) -> Tensor:
        width = 1 + 3 * self.max_steps
        padded = [[*route, *[0] * (width - len(route))] for route in routes]
        return torch.tensor(padded, dtype=torch.int64, device=like.device).view(-1, width)

    @cached_property
    def _allowed(self) -> tuple[Tensor, Tensor]:
        """(n,) bool the first blocks, and (slots, n) bool the other blocks of each slot."""
        first = torch.zeros(self.num_blocks, dtype=torch.bool)
        first[list(self.chemist.starts)] = True
        other = torch.zeros(self.num_slots, self.num_blocks, dtype=torch.bool)
        for slot, blocks in enumerate(self.chemist.partners):
            other[slot, list(blocks)] = True
        return first, other

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, 1 + 3 max_steps) zeros: nothing."""
        width = 1 + 3 * self.max_steps
        return torch.zeros(batch_size, width, dtype=torch.int64, device=device)

    # ------------------------------------------------------------------ masks

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) bool; see `DiscreteEnvironment.forward_mask`."""
        views = self.read(states)
        first, other = self._allowed
        n, mask = self.num_blocks, torch.zeros(len(views), self.num_actions, dtype=torch.bool)
        kind = torch.tensor([view.kind for view in views])
        slot = torch.tensor([view.slot for view in views])
        mask[kind == NOTHING, :n] = first
        waits = kind == BLOCK
        mask[waits, :n] = other[slot[waits]]
        many = torch.tensor([len(view.products) for view in views])
        mask[:, self.first_outcome : -1] = torch.arange(self.max_outcomes) < many[:, None]
        stop = self.num_actions - 1 - n
        pairs = [
            (row, n + j)
            for row, (what, node, *_) in enumerate(views)
            if what == MOLECULE and node is not None
            for j in (*node.slots, *[stop] * (node.steps > 0))
        ]
        if pairs:
            rows, columns = zip(*pairs, strict=True)
            mask[list(rows), list(columns)] = True
        return mask.to(states.device)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, P) bool: one way for each last step, and one back from a choice."""
        many = [
            len(node.ways) if kind == MOLECULE and node and node.steps else int(kind > NOTHING)
            for kind, node, *_ in self.read(states)
        ]
        count = torch.tensor(many, device=states.device)
        return torch.arange(self.max_ways, device=states.device) < count[:, None]

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) False: molecules end by the stop action alone."""
        return torch.zeros(len(states), dtype=torch.bool, device=states.device)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) bool: no block is there."""
        return states[:, 0] == 0

    # ------------------------------------------------------------------ steps

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Children; states stay where an action is not legal."""
        rows = states.tolist()
        asked: list[Reaction] = []
        made: dict[int, tuple[str, int]] = {}
        for at, (view, action) in enumerate(self._pairs(states, actions)):
            kind, node, slot, _, products = view
            if not self._legal(view, action):
                continue
            if node is None:
                made[at] = self.chemist.blocks[action], 0
            elif kind == OUTCOME:
                made[at] = products[action - self.first_outcome], node.steps + 1
            elif kind == BLOCK:
                rows[at] = [*node.route, slot + 1, action + 1]
                asked.append((slot, node.smiles, action))
            else:
                slot = action - self.num_blocks
                rows[at] = [*node.route, slot + 1]
                if not self.chemist.takes_block[slot]:
                    rows[at].append(self.num_blocks + 1)
                    asked.append((slot, node.smiles, NO_BLOCK))
        self.lab.react(asked)
        for at, node in zip(made, self.lab.found(list(made.values())), strict=True):
            rows[at] = node.route
        return self._rows(rows, states)

    def _legal(self, view: View, action: int) -> bool:
        kind, node, slot, _, products = view
        if node is None:
            return action in self.chemist.starts
        if kind == MOLECULE:
            return action - self.num_blocks in node.slots
        if kind == BLOCK:
            return action in self.chemist.partners[slot]
        return 0 <= action - self.first_outcome < len(products)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        """Parents."""
        return self._rows([self._back(*pair)[0] for pair in self._pairs(states, actions)], states)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) int64: the choice that `backward_actions` takes back."""
        moves = [self._back(*pair)[1] for pair in self._pairs(states, backward_actions)]
        return torch.tensor(moves, device=states.device)

    def _pairs(self, states: Tensor, actions: Tensor) -> list[tuple[View, int]]:
        return list(zip(self.read(states), actions.tolist(), strict=True))

    def _back(self, view: View, action: int) -> tuple[Route, int]:
        """The parent, and the action there that leads here."""
        kind, node, slot, block, _ = view
        if node is None:
            return (), 0
        n = self.num_blocks
        if kind == OUTCOME and block != NO_BLOCK:
            return (*node.route, slot + 1), block
        if kind != MOLECULE:
            return node.route, n + slot
        if not node.ways:
            return (), node.route[0] - 1
        way = node.ways[min(action, len(node.ways) - 1)]
        block = n if way.block == NO_BLOCK else way.block
        return (*way.before, way.slot + 1, block + 1), self.first_outcome + way.outcome

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) int64: the last step that an action was, among all that lead to its molecule."""
        parents, children = self.read(states), self.read(self._step(states, actions))
        found = []
        for parent, child in zip(parents, children, strict=True):
            before = None if parent.kind != OUTCOME or parent.node is None else parent.node.route
            ways = child.node.ways if child.kind == MOLECULE and child.node else ()
            same = [(w.slot, w.block, w.before) for w in ways]
            step = parent.slot, parent.block, before
            found.append(same.index(step) if step in same else 0)
        return torch.tensor(found, dtype=torch.int64, device=states.device)

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, P) log of the number of routes to each parent."""
        counts = torch.ones(len(states), self.max_ways)
        for row, (kind, node, *_) in enumerate(self.read(states)):
            if kind == MOLECULE and node is not None and node.ways:
                routes = [float(way.routes) for way in node.ways]
                counts[row, : len(routes)] = torch.tensor(routes)
        return counts.log().to(states.device)

    # ------------------------------------------------------------------ objects

    def key(self, states: Tensor) -> Tensor:
        """(B,) int64 hash of the routes that stand for the states."""
        return hash_rows(states)

    def object_key(self, states: Tensor) -> Tensor:
        """(B,) int64 of their SMILES: the same after any number of reactions."""
        return text_keys(self.smiles(states)).to(states.device)

    def log_multiplicity(self, states: Tensor) -> Tensor:
        """(B,) log m, where m different numbers of reactions lead to the molecule."""
        same = [float(record.assemblies) for record in self.records(states)]
        return torch.tensor(same, device=states.device).log()

    def partial_log_reward(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of what was made last, which is a molecule too; 0 of s0."""
        return of_built(self.log_reward, states, states[:, 0] > 0, condition)

    def smiles(self, states: Tensor) -> list[str]:
        """Canonical SMILES of what was made last; empty for s0."""
        return ["" if view.node is None else view.node.smiles for view in self.read(states)]

    def records(self, states: Tensor) -> list[Record]:
        """SMILES, reward, properties and m; each molecule scored once."""
        return self.lab.records(self.smiles(states))

    def states_from_smiles(self, smiles: Sequence[str]) -> Tensor:
        """States that are these molecules by their shortest routes, e.g. for replay.

        Raises:
            MoleculeError: If no route leads to one.
        """
        where, given = "Reactions.states_from_smiles", []
        for text in several(smiles, "Reactions.states_from_smiles"):
            written = make_block(text, where).smiles
            steps = self.chemist.lengths(written)
            if not steps:
                raise MoleculeError(
                    f"{where}: no route of at most {self.max_steps} reactions leads to {text!r}."
                )
            given.append((written, steps[0]))
        return self._rows([node.route for node in self.lab.found(given)], self.initial(1))

    def show(self, states: Tensor) -> list[str]:
        """SMILES of what was made last, or ``(empty)``; with the choices that are open."""
        shown = []
        for kind, node, slot, block, _ in self.read(states):
            text = "(empty)" if node is None else node.smiles
            if kind in (BLOCK, OUTCOME):
                text += f" + {self.chemist.templates[self.chemist.slots[slot][0]].name}"
                text += f" + {self.chemist.blocks[block]}" * (block != NO_BLOCK)
            shown.append(text)
        return shown

    def reward_values(self, states: Tensor) -> Tensor:
        """(B,) the raw reward, before any inverse temperature."""
        return torch.tensor([record.value for record in self.records(states)])

    def close(self) -> None:
        """End the worker processes, if there are any."""
        self.lab.close()
