"""Molecules grown atom by atom."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.distinct import text_keys
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.atoms.canonical import arranged, canonical_order, resistance
from gflow.envs.atoms.chemistry import (
    KINDS,
    NITRO,
    AtomScorer,
    Structure,
    canonical,
    structure_of,
    structures,
)
from gflow.envs.molecules.extras import several
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.measured import MeasuredMolecules
from gflow.envs.molecules.rewards import molecule_reward, of_built
from gflow.envs.molecules.scoring import Record
from gflow.envs.molecules.symmetry import row_hash
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.base import LogReward
from gflow.rewards.pools import Pool, open_pool
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward


@dataclass(frozen=True)
class AtomState:
    """B connected molecules of at most N heavy atoms, in canonical form.

    Attributes:
        kind: (B, N) int64 kind 1 ... K of each atom, 0 for none; atoms fill the front.
        bond: (B, N, N) int64 order 1, 2, 3 of the bond between two atoms, 0 for none.
    """

    kind: Tensor
    bond: Tensor


class Atoms(MeasuredMolecules, DiscreteEnvironment[AtomState]):
    r"""Molecules as graphs of heavy atoms; hydrogens fill the valences that bonds leave free.

    Every molecule may be declared finished, so every state but s0 is a valid molecule.

    **Forward actions**, with N = `max_atoms`, K kinds and bonds of order o = 1 ... 3, in order:
    ``(i * K + k) * 3 + o - 1`` bonds a new atom of kind k to atom i (s0: i = 0 and o = 1, which
    bonds nothing); then, per pair of atoms i < j, three that close a ring by a bond; then stop.
    A bond is placed with its order and never changed.

    **Backward actions.** i removes atom i if it has one neighbour or none; then, per pair, remove
    the bond if it lies in a ring.

    **Counting.** Actions are kept distinct although symmetries make some of them lead to isomorphic
    molecules. Between two classes of molecules s and s' the numbers a of forward and b of backward
    actions satisfy a / b = |Aut(s)| / |Aut(s')|, so one correction of the finished molecule,
    `log_symmetry` = -log |Aut(x)|, makes classes come in proportion to their reward. Molecules
    with aromatic rings have m Kekulé structures that are not isomorphic: `log_reward` shares the
    reward among these. So molecules, as told apart by canonical SMILES, are sampled in proportion
    to the reward. This needs a policy that does not depend on the numbering: `AtomPolicy` is one;
    others may be used with a uniform backward policy.

    **Equal states.** Isomorphic states are equal arrays: both steps renumber atoms canonically.

    Args:
        reward: A `Goal`, a short form of one such as ``"qed"``, or any `LogReward` of states.
        beta: Inverse temperature of the reward.
        max_atoms: N, between 2 and 16.
        kinds: Names of kinds of atoms, with charge if any: ``"N+"``. Groups are kinds too, built
            at once and counted as one atom: ``"SO2"`` (sulfones, sulfonamides), ``"SO"``, ``"PO"``
            (phosphates), ``"NO2"``.
        max_order: Largest order of a bond.
        workers: Processes that score molecules; 0 scores in this one. Close with `close`.
        capacity: Number of scored molecules remembered.
        scalarization: Keep the properties apart, as scores that this makes a log-reward; beta must
            then be 1. If it reads a condition, so do the environment and policies for it.
        timeout: Seconds that scoring one molecule may take; None for no limit. Needs workers.
        pool: Where workers are: "local", "ray", "ray://HOST:PORT", or a `Pool` (see `open_pool`).

    Raises:
        ConfigError: Sizes out of range.
        UnknownNameError: A kind of atom that is not known.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765 (molecules
        of up to nine atoms C, N, O, F as in QM9).
    """

    has_forced_terminals = False

    def __init__(
        self,
        reward: str | Sequence[str] | Goal | LogReward[AtomState] = "qed",
        beta: float = 1.0,
        max_atoms: int = 9,
        kinds: Sequence[str] = ("C", "N", "O", "F"),
        max_order: int = 3,
        workers: int = 0,
        capacity: int = 200_000,
        scalarization: Scalarization | None = None,
        timeout: float | None = None,
        pool: str | Pool = "local",
    ) -> None:
        if not 2 <= max_atoms <= 16 or not 1 <= max_order <= 3:
            raise ConfigError(
                f"Atoms: need max_atoms in 2 ... 16 and max_order in 1 ... 3, got {max_atoms} and "
                f"{max_order}."
            )
        if not kinds or len(set(kinds)) < len(kinds):
            raise ConfigError(f"Atoms: kinds must be distinct and at least one, got {kinds}.")
        for kind in kinds:
            if kind not in KINDS:
                raise UnknownNameError("kind of atom", kind, tuple(KINDS))
        if "NO2" in kinds and set(NITRO) <= set(kinds):
            raise ConfigError(
                f"Atoms: the kinds {', '.join(NITRO)} make nitro as the group NO2 does, and one "
                f"molecule would be two graphs: leave out NO2, or one of {', '.join(NITRO)}."
            )
        self.max_atoms, self.max_order, self.kinds = max_atoms, max_order, tuple(kinds)
        n, k, top = max_atoms, len(kinds), max(KINDS[kind][2] for kind in kinds)
        pairs = n * (n - 1) // 2
        self.num_growths = n * k * 3
        self.num_actions = self.num_growths + 3 * pairs + 1
        self.stop_action = self.num_actions - 1
        self.num_backward_actions = n + pairs
        self.horizon = min(pairs, top * n // 2) + 2
        self.feature_sizes = (k + 1,) * n + (4,) * pairs
        ends = torch.triu_indices(n, n, 1)
        pair = torch.zeros(n, n, dtype=torch.int64)
        pair[ends[0], ends[1]] = pair[ends[1], ends[0]] = torch.arange(pairs)
        valence = torch.tensor([0, *(KINDS[kind][2] for kind in kinds)])
        self._constants = {torch.device("cpu"): (ends, pair, valence)}
        self.goal = None if isinstance(reward, LogReward) else Goal.read(reward)
        self.scorer, self.capacity = AtomScorer(self.goal), capacity
        self.pool, self.memory = open_pool(pool, workers, timeout), dict[int, Record]()
        self.beta = beta
        self.reward = molecule_reward(reward, self.goal, self.records, beta, scalarization)
        if isinstance(self.reward, VectorReward):
            self.condition_dim = self.reward.condition_dim

    def constants(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """(2, pairs) ends of the pairs, (N, N) number of each pair, (K + 1,) valences; int64."""
        if device not in self._constants:
            ends, pair, valence = self._constants[torch.device("cpu")]
            self._constants[device] = (ends.to(device), pair.to(device), valence.to(device))
        return self._constants[device]

    # ------------------------------------------------------------------ states and masks

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> AtomState:
        """B times nothing."""
        n = self.max_atoms
        return AtomState(
            torch.zeros(batch_size, n, dtype=torch.int64, device=device),
            torch.zeros(batch_size, n, n, dtype=torch.int64, device=device),
        )

    def free(self, states: AtomState) -> Tensor:
        """(B, N) int64: hydrogens of each atom, 0 where there is none."""
        return self.constants(states.kind.device)[2][states.kind] - states.bond.sum(2)

    def forward_mask(self, states: AtomState) -> Tensor:
        """(B, A) bool; see `DiscreteEnvironment.forward_mask`."""
        (i, j), _, valence = self.constants(states.kind.device)
        order = torch.arange(1, 4, device=valence.device)
        possible = order <= self.max_order
        free, count = self.free(states), (states.kind > 0).sum(1)
        fits = (free[..., None] >= order) & possible & (count < self.max_atoms)[:, None, None]
        taken = valence[1:, None] >= order  # (K, 3)
        grow = fits[:, :, None] & taken  # (B, N, K, 3)
        grow[:, 0, :, 0] |= (count == 0)[:, None]
        open_pair = (states.bond[:, i, j] == 0)[..., None] & possible
        close = open_pair & (torch.minimum(free[:, i], free[:, j])[..., None] >= order)
        return torch.cat([grow.flatten(1), close.flatten(1), (count > 0)[:, None]], 1)

    def backward_mask(self, states: AtomState) -> Tensor:
        """(B, P) bool: atoms at the end of a chain, the only atom, and bonds in rings."""
        i, j = self.constants(states.kind.device)[0]
        degree = (states.bond > 0).sum(2)
        leaf = (states.kind > 0) & (degree <= 1)
        in_ring = resistance(states.bond)[:, i, j] < 1 - 0.5 / self.max_atoms
        return torch.cat([leaf, (states.bond[:, i, j] > 0) & in_ring], 1)

    def is_terminal(self, states: AtomState) -> Tensor:
        """(B,) False: molecules end by the stop action alone."""
        return torch.zeros_like(states.kind[:, 0], dtype=torch.bool)

    def is_initial(self, states: AtomState) -> Tensor:
        """(B,) bool: no atom is there."""
        return states.kind[:, 0] == 0

    # ------------------------------------------------------------------ steps

    def _step(self, states: AtomState, actions: Tensor) -> AtomState:
        return self.canonicalise(self._add(states, actions)[0])

    def _backstep(self, states: AtomState, actions: Tensor) -> AtomState:
        return self.canonicalise(self._remove(states, actions)[0])

    def backward_action(self, states: AtomState, actions: Tensor) -> Tensor:
        """(B,) int64: the number that the new atom, or the new bond of a ring, gets."""
        child, u, v = self._add(states, actions)
        number = self.numbers(child)
        u, v = number.gather(1, u).squeeze(1), number.gather(1, v).squeeze(1)
        pair = self.constants(actions.device)[1][u, v]
        return torch.where(actions < self.num_growths, v, self.max_atoms + pair)

    def forward_action(self, states: AtomState, backward_actions: Tensor) -> Tensor:
        """(B,) int64: an action that puts back what `backward_actions` removes.

        Where several actions are equivalent, any of them.
        """
        n = self.max_atoms
        parent, u, v, order, kind = self._remove(states, backward_actions)
        number = self.numbers(parent)
        u, v = number.gather(1, u).squeeze(1), number.gather(1, v).squeeze(1)
        o = (order - 1).clamp(min=0)
        grow = (u * len(self.kinds) + (kind - 1).clamp(min=0)) * 3 + o
        close = self.num_growths + self.constants(u.device)[1][u, v] * 3 + o
        return torch.where(backward_actions < n, grow, close)

    def _add(self, states: AtomState, actions: Tensor) -> tuple[AtomState, Tensor, Tensor]:
        """The children with a new atom last, and the (B, 1) ends of the new bond, new atom last."""
        (i, j), _, _ = self.constants(actions.device)
        n, k = self.max_atoms, len(self.kinds)
        grows = actions < self.num_growths
        pair = ((actions - self.num_growths) // 3).clamp(0, len(i) - 1)
        count = (states.kind > 0).sum(1)
        new = count.clamp(max=n - 1)
        u = torch.where(grows, (actions // (3 * k)).clamp(max=n - 1), i[pair])[:, None]
        v = torch.where(grows, new, j[pair])[:, None]
        order = torch.where(u.squeeze(1) == v.squeeze(1), 0, actions % 3 + 1)[:, None]
        had = states.kind.gather(1, v)
        kind = torch.where(grows[:, None], (actions // 3 % k + 1)[:, None], had)
        both = torch.cat([u * n + v, v * n + u], 1)
        bond = states.bond.flatten(1).scatter(1, both, order.expand(-1, 2))
        return AtomState(states.kind.scatter(1, v, kind), bond.view_as(states.bond)), u, v

    def _remove(
        self, states: AtomState, actions: Tensor
    ) -> tuple[AtomState, Tensor, Tensor, Tensor, Tensor]:
        """The parents, the (B, 1) ends of the bond, the gone atom last, its order and the kind."""
        (i, j), _, _ = self.constants(actions.device)
        n = self.max_atoms
        atom = actions < n
        pair = (actions - n).clamp(0, len(i) - 1)
        gone = actions.clamp(max=n - 1)
        row = states.bond.gather(1, gone[:, None, None].expand(-1, 1, n)).squeeze(1)
        u = torch.where(atom, row.argmax(1), i[pair])[:, None]
        v = torch.where(atom, gone, j[pair])[:, None]
        both = torch.cat([u * n + v, v * n + u], 1)
        flat = states.bond.flatten(1)
        order = flat.gather(1, both[:, :1]).squeeze(1)
        bond = flat.scatter(1, both, torch.zeros_like(both)).view_as(states.bond)
        had = states.kind.gather(1, v)
        kind = states.kind.scatter(1, v, had.masked_fill(atom[:, None], 0))
        return AtomState(kind, bond), u, v, order, had.squeeze(1)

    # ------------------------------------------------------------------ classes of states

    def numbers(self, states: AtomState) -> Tensor:
        """(B, N) int64 canonical number of each atom."""
        return canonical_order(states.kind, states.bond)[0].argsort(1)

    def canonicalise(self, states: AtomState) -> AtomState:
        """The same molecules with canonical numbers of atoms, as the steps return them."""
        order, _ = canonical_order(states.kind, states.bond)
        return AtomState(*arranged(states.kind, states.bond, order))

    def key(self, states: AtomState) -> Tensor:
        """(B,) int64 hash of the canonical arrays: equal exactly for isomorphic molecules."""
        return row_hash(states.kind, states.bond)

    def encode(self, states: AtomState) -> Tensor:
        """(B, N + pairs) int64 kinds of atoms, then orders of bonds, in canonical order."""
        i, j = self.constants(states.kind.device)[0]
        return torch.cat([states.kind, states.bond[:, i, j]], 1)

    def log_symmetry(self, states: AtomState) -> Tensor:
        """(B,) minus the log of the number of automorphisms."""
        return -canonical_order(states.kind, states.bond)[1].to(torch.get_default_dtype())

    # ------------------------------------------------------------------ molecules

    def object_key(self, states: AtomState) -> Tensor:
        """(B,) int64 of their SMILES: the same for all that stand for one molecule."""
        return text_keys(record.smiles for record in self.records(states)).to(states.kind.device)

    def log_multiplicity(self, states: AtomState) -> Tensor:
        """(B,) log m, where m Kekulé structures stand for the same molecule."""
        same = [float(record.assemblies) for record in self.records(states)]
        return torch.tensor(same, device=states.kind.device).log()

    def partial_log_reward(self, states: AtomState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of unfinished molecules, which are molecules too; 0 of s0."""
        return of_built(self.log_reward, states, (states.kind > 0).any(1), condition)

    def records(self, states: AtomState) -> list[Record]:
        """SMILES, reward, properties and m, the Kekulé structures; each molecule scored once."""
        keys = self.key(states).tolist()
        fresh: dict[int, int] = {}
        for row, key in enumerate(keys):
            if key not in self.memory:
                fresh.setdefault(key, row)
        known: dict[int, Record] = {}
        if fresh:
            rows = torch.tensor(list(fresh.values()), device=states.kind.device)
            known = dict(zip(fresh, self._score(states.kind[rows], states.bond[rows]), strict=True))
        out = [known[key] if key in known else self.memory[key] for key in keys]
        self.memory.update(known)
        while len(self.memory) > self.capacity:
            del self.memory[next(iter(self.memory))]
        return out

    def _score(self, kind: Tensor, bond: Tensor) -> list[Record]:
        """Records of distinct molecules."""
        scored = self.pool.map(self.scorer, structures(self.kinds, kind.tolist(), bond.tolist()))
        forms = [form for _, same in scored for form in same if len(same) > 1]
        keys = iter(self.key(self.from_structures(forms)).tolist())
        return [
            record._replace(assemblies=len({next(keys) for _ in same})) if len(same) > 1 else record
            for record, same in scored
        ]

    def from_structures(self, given: Sequence[Structure]) -> AtomState:
        """States of molecules given as `gflow.envs.atoms.chemistry.Structure`."""
        raw = self.initial(len(given))
        for row, (atoms, bonds) in enumerate(given):
            for at, name in enumerate(atoms):
                raw.kind[row, at] = 1 + self.kinds.index(name)
            for i, j, order in bonds:
                raw.bond[row, i, j] = raw.bond[row, j, i] = order
        return self.canonicalise(raw)

    def states_from_smiles(self, smiles: Sequence[str]) -> AtomState:
        """States that are these molecules, e.g. for replay.

        Raises:
            MoleculeError: Naming the molecule and what cannot be built of it.
        """
        texts = several(smiles, "Atoms.states_from_smiles")
        given = [structure_of(text, self.kinds, self.max_atoms) for text in texts]
        return self.from_structures(given)

    def smiles(self, states: AtomState) -> list[str]:
        """Canonical SMILES; empty for s0."""
        given = structures(self.kinds, states.kind.tolist(), states.bond.tolist())
        return [canonical(structure) for structure in given]

    def show(self, states: AtomState) -> list[str]:
        """SMILES, or ``(empty)``."""
        return [smiles or "(empty)" for smiles in self.smiles(states)]

    def reward_values(self, states: AtomState) -> Tensor:
        """(B,) the raw reward, before any inverse temperature."""
        return torch.tensor([record.value for record in self.records(states)])

    def close(self) -> None:
        """End the worker processes, if there are any."""
        self.pool.close()
