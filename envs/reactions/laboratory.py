"""Routes by number: what is known of each, asked of workers once; no tensors here."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.scoring import Record, records_of
from gflow.envs.reactions.chemist import NO_BLOCK, Chemist, Remembered
from gflow.errors import ConfigError
from gflow.rewards.pools import Pool

Route = tuple[int, ...]
"""1 + the first block; then for each reaction 1 + the slot, 1 + the other block (one more than
there are blocks for none), and 1 + the product."""


class Way(NamedTuple):
    """A last step to a molecule, and the route to what reacts in it.

    Attributes:
        slot: See `gflow.envs.reactions.chemist.Step`.
        block: As there.
        outcome: As there.
        before: Canonical route to the molecule that reacts.
        routes: How many routes lead to it.
    """

    slot: int
    block: int
    outcome: int
    before: Route
    routes: int


class Node(NamedTuple):
    """A molecule after so many reactions.

    Attributes:
        smiles: Canonical SMILES.
        steps: Number of reactions.
        route: The first route to it in the order of numbers: it stands for all.
        slots: Places in templates that it can take.
        ways: All last steps to it.
    """

    smiles: str
    steps: int
    route: Route
    slots: tuple[int, ...]
    ways: tuple[Way, ...]


Reaction = tuple[int, str, int]
"""A slot, the molecule in it, and the other block."""

Job = tuple[Any, ...]


class Bench:
    """Does jobs where it is: products of a reaction, nodes, records; picklable.

    Args:
        chemist: Knows the reactions.
        goal: What is measured of finished molecules, or None.
    """

    def __init__(self, chemist: Chemist, goal: Goal | None) -> None:
        self.chemist, self.goal = chemist, goal
        self.routes = Remembered(self._route, 200_000)

    def __reduce__(self) -> tuple[Any, ...]:
        return Bench, (self.chemist, self.goal)

    def __call__(self, jobs: list[Job]) -> list[Any]:
        """Results in order; records are made together."""
        scored = [job[1] for job in jobs if job[0] == "record"]
        records = iter(self.records(scored) if scored else ())
        return [next(records) if what == "record" else self.do(what, *rest) for what, *rest in jobs]

    def do(self, what: str, *of: Any) -> Any:
        """Products of (slot, SMILES, block), or the node of (SMILES, steps)."""
        return self.chemist.react(*of) if what == "react" else self.node(*of)

    def node(self, smiles: str, steps: int) -> Node:
        """All that is known of a molecule after so many reactions."""
        chemist = self.chemist
        slots = chemist.open_slots[smiles] if steps < chemist.max_steps else ()
        ways = tuple(
            Way(
                step.slot,
                step.block,
                step.outcome,
                self.routes[step.before, steps - 1],
                chemist.counts[step.before, steps - 1],
            )
            for step in chemist.ways[smiles, steps]
        )
        return Node(smiles, steps, self.routes[smiles, steps], slots, ways)

    def _route(self, key: tuple[str, int]) -> Route:
        smiles, steps = key
        chemist = self.chemist
        if steps == 0:
            return (1 + chemist.number[smiles],)
        return min(
            (*self.routes[step.before, steps - 1], *numbers(step, len(chemist.blocks)))
            for step in chemist.ways[key]
        )

    def records(self, smiles: Sequence[str]) -> list[Record]:
        """Records, with the numbers of lengths of routes in place of assemblies."""
        molecules = [self.chemist.molecules[text] for text in smiles]
        lengths = [max(len(self.chemist.lengths(text)), 1) for text in smiles]
        return records_of(molecules, self.goal, lengths)


def numbers(step: Any, blocks: int) -> Route:
    """The three numbers of a reaction in a route."""
    return step.slot + 1, (blocks if step.block == NO_BLOCK else step.block) + 1, step.outcome + 1


class Laboratory:
    """What is known of routes, for one environment.

    Args:
        chemist: Knows the reactions.
        goal: What is measured of finished molecules, or None.
        pool: Where jobs are done.
        max_ways: Largest number of last steps to a molecule.
        capacity: Number of results kept of each kind.
    """

    def __init__(
        self, chemist: Chemist, goal: Goal | None, pool: Pool, max_ways: int, capacity: int
    ) -> None:
        self.chemist, self.bench, self.pool = chemist, Bench(chemist, goal), pool
        self.max_ways, self.capacity = max_ways, capacity
        self.nodes: dict[Route, Node] = {}
        self.products: dict[Reaction, tuple[str, ...]] = {}
        self.memory: dict[str, Record] = {}

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def _asked(self, known: dict[Any, Any], jobs: dict[Any, Job]) -> list[Any]:
        """What jobs give, one after another: remembered, or asked for together."""
        fresh = {key: job for key, job in jobs.items() if key not in known}
        if fresh:
            if len(known) + len(fresh) > self.capacity:
                known.clear()
                fresh = jobs
            known.update(zip(fresh, self.pool.map(self.bench, list(fresh.values())), strict=True))
        return [known[key] for key in jobs]

    def react(self, asked: Sequence[Reaction]) -> list[tuple[str, ...]]:
        """The different products of each reaction.

        Raises:
            ConfigError: If there is none although each of the reactants reacts with others.
        """
        found = self._asked(self.products, {key: ("react", *key) for key in asked})
        by_key = dict(zip(dict.fromkeys(asked), found, strict=True))
        for (slot, smiles, block), products in by_key.items():
            if not products:
                template = self.chemist.templates[self.chemist.slots[slot][0]]
                other = f" and {self.chemist.blocks[block]}" * (block != NO_BLOCK)
                raise ConfigError(
                    f"Reactions: the template {template.name!r} makes no sound product of "
                    f"{smiles}{other}, although each reacts with others: what one reactant must be "
                    f"like depends on the other. Narrow its patterns."
                )
        return [by_key[key] for key in asked]

    def found(self, given: Sequence[tuple[str, int]]) -> list[Node]:
        """Nodes of molecules after so many reactions.

        Raises:
            ConfigError: If more last steps lead to one than are numbered.
        """
        fresh: dict[tuple[str, int], Node] = {}
        self._asked(fresh, {key: ("node", *key) for key in given})
        if len(self.nodes) + len(fresh) > self.capacity:
            self.nodes.clear()
        for node in fresh.values():
            if len(node.ways) > self.max_ways:
                raise ConfigError(
                    f"Reactions: {len(node.ways)} last steps lead to {node.smiles}, and max_ways "
                    f"is {self.max_ways}. Give a larger one."
                )
            self.nodes[node.route] = node
        return [fresh[key] for key in given]

    def at(self, route: Route) -> Node:
        """The node of a route, which is followed if it is not known.

        Raises:
            ConfigError: If a reaction of it gives nothing.
        """
        if route not in self.nodes:
            smiles, steps = self.follow(route)[-1]
            self.nodes[route] = self.found([(smiles, steps)])[0]
        return self.nodes[route]

    def follow(self, route: Route) -> list[tuple[str, int]]:
        """The molecules of a route with the number of reactions so far."""
        chemist = self.chemist
        path = [(chemist.blocks[route[0] - 1], 0)]
        for at in range(1, len(route), 3):
            slot, block, outcome = route[at : at + 3]
            other = NO_BLOCK if block > len(chemist.blocks) else block - 1
            products = self.react([(slot - 1, path[-1][0], other)])[0]
            path.append((products[outcome - 1], path[-1][1] + 1))
        return path

    def records(self, smiles: Sequence[str]) -> list[Record]:
        """Records of finished molecules, each made once."""
        jobs = {text: ("record", text) for text in smiles}
        by_text = dict(zip(jobs, self._asked(self.memory, jobs), strict=True))
        return [by_text[text] for text in smiles]
