"""Molecules grown fragment by fragment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gflow.distinct import text_keys
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.molecules.assembly import Assembly
from gflow.envs.molecules.core import core_fragment
from gflow.envs.molecules.extras import several
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.host import Host
from gflow.envs.molecules.measured import MeasuredMolecules
from gflow.envs.molecules.rewards import molecule_reward, of_built
from gflow.envs.molecules.scoring import Record
from gflow.envs.molecules.symmetry import Canonical, row_hash
from gflow.envs.molecules.tables import Tables, make_tables
from gflow.envs.molecules.vocabulary import Vocabulary, unmatched_port
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.pools import Pool
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward


@dataclass(frozen=True)
class MoleculeState:
    """B trees of at most N fragments with at most K ports, in canonical form.

    The tree has no root: bonds are stored at both ends. Nodes fill the front of the arrays.
    Nodes and symmetric ports are numbered canonically, so isomorphic trees are equal arrays.

    Attributes:
        fragment: (B, N) int64 fragment of each node, -1 for none.
        link: (B, N, K) int64 ``neighbour * K + its port``, -1 for an open port or none.
    """

    fragment: Tensor
    link: Tensor


class Molecules(MeasuredMolecules, DiscreteEnvironment[MoleculeState]):
    r"""Molecules as trees of fragments; the object is finished when no port is open.

    An action bonds a port of a new fragment to an open port. Masks keep every state finishable:
    an addition is legal only if one fragment per port that it leaves open still fits.

    **Actions.** With Q ports over all fragments of the vocabulary and R = N - 1, forward action
    ``r * Q + q`` bonds port q to the r-th open port, counted in the order of nodes and ports. From
    s0 only ``q`` = first ports are legal, with r = 0. Backward action i removes node i, a leaf.

    **Counting.** Actions are kept distinct although symmetric ports and equal leaves make some of
    them lead to isomorphic states. Between two classes of states s and s' the numbers a of
    forward and b of backward actions satisfy

    .. math:: a / b = |Aut(s)| |G_f| / |Aut(s')|

    where Aut acts on nodes and ports and G_f is the group of the added fragment f. The factors
    telescope, so one correction of the finished object, `log_symmetry` :math:`= \log(\prod_i
    |G_{f_i}| / |Aut(x)|)`, makes assemblies come in proportion to their reward. Different
    assemblies may still make the same molecule: `log_reward` shares the reward of a molecule among
    the m assemblies, within the limits of this environment, that make it. So molecules, not
    assemblies or their labels, are sampled in proportion to the reward. This needs a policy that
    is a function of the structure, not of the numbers of nodes: `MoleculePolicy` is one.

    **Equal states.** Isomorphic states are equal arrays: both steps renumber nodes and ports
    canonically, so the engine may compare, share and look up states as it does anywhere else.
    The numbers of other nodes may change in a step.

    Args:
        vocabulary: The fragments; by default those of `Vocabulary.default`.
        reward: A `Goal`, or a short form of one such as ``"qed"`` or ``["qed", "sa"]``, or any
            `LogReward` of molecule states.
        beta: Inverse temperature of the reward.
        max_fragments: N, at most 12.
        min_fragments: Molecules have at least this many fragments, and never less than two.
        workers: Processes that score molecules; 0 scores in this one. Close with `close`.
        capacity: Number of scored molecules remembered.
        scalarization: Keep the properties apart, as scores that this makes a log-reward; beta must
            then be 1. If it reads a condition, so do the environment and policies for it.
        timeout: Seconds that scoring one molecule may take; None for no limit. Needs workers.
        pool: Where workers are: "local", "ray", "ray://HOST:PORT", or a `Pool` (see `open_pool`).
        core: A scaffold held fixed, as SMILES with attachment points: s0 is this fragment alone,
            every molecule holds it, and it is never added nor removed. See `core_fragment`.

    Raises:
        ConfigError: If sizes disagree, or a port of the vocabulary cannot be closed or extended.

    Reference:
        Bengio et al., Flow network based generative models for non-iterative diverse candidate
        generation, 2021, https://arxiv.org/abs/2106.04399 (the setting); Jin et al., Junction tree
        variational autoencoder, 2018, https://arxiv.org/abs/1802.04364 (trees of fragments).
    """

    has_forced_terminals = True
    stop_action = None

    def __init__(
        self,
        vocabulary: Vocabulary | None = None,
        reward: str | Sequence[str] | Goal | LogReward[MoleculeState] = "qed",
        beta: float = 1.0,
        max_fragments: int = 6,
        min_fragments: int = 2,
        workers: int = 0,
        capacity: int = 200_000,
        scalarization: Scalarization | None = None,
        timeout: float | None = None,
        pool: str | Pool = "local",
        core: str = "",
    ) -> None:
        if not 2 <= min_fragments <= max_fragments <= 12:
            raise ConfigError(
                f"Molecules: need 2 <= min_fragments <= max_fragments <= 12, got "
                f"min_fragments={min_fragments}, max_fragments={max_fragments}."
            )
        self.vocabulary = vocabulary if vocabulary is not None else Vocabulary.default()
        self.max_fragments, self.min_fragments = max_fragments, min_fragments
        self._check_vocabulary()
        self.core = core_fragment(core, self.vocabulary.fragments) if core else None
        self.tables = self._make_tables()
        self._tables_on: dict[torch.device, Tables] = {torch.device("cpu"): self.tables}
        self.horizon = max_fragments - (self.core is not None)
        self.num_actions = (max_fragments - 1) * self.tables.num_ports
        self.num_backward_actions = max_fragments
        goal = None if isinstance(reward, LogReward) else Goal.read(reward)
        self.host = Host(
            self.vocabulary,
            goal,
            max_fragments,
            min_fragments,
            workers=workers,
            capacity=capacity,
            timeout=timeout,
            pool=pool,
            core=self.core,
        )
        self.beta = beta
        self.reward = molecule_reward(reward, goal, self.records, beta, scalarization)
        if isinstance(self.reward, VectorReward):
            self.condition_dim = self.reward.condition_dim

    def _check_vocabulary(self) -> None:
        fragments = self.vocabulary.fragments
        sizes = (1, 2) if self.min_fragments > 2 else (1,)
        for fragment in fragments:
            bad = unmatched_port(fragment, fragments, sizes)
            if bad is not None:
                raise ConfigError(
                    f"Molecules: port {bad[0]} of the fragment {fragment.smiles!r} may bond to no "
                    f"fragment with {bad[1]} port(s), so a molecule could get stuck there. Add a "
                    f"partner, or drop such fragments: `vocabulary.extensible()`."
                )

    def _make_tables(self) -> Tables:
        """The constants of the vocabulary and, after it, the core, which nothing may add."""
        if self.core is None:
            return make_tables(self.vocabulary.fragments)
        if self.core.ports + 1 > self.max_fragments:
            raise ConfigError(
                f"Molecules: the core {self.core.smiles!r} has {self.core.ports} ports, each of "
                f"which takes a fragment, and max_fragments={self.max_fragments} counts the core: "
                f"raise it to {self.core.ports + 1} or more, or leave ports out."
            )
        if self.min_fragments > 2 and unmatched_port(self.core, self.vocabulary.fragments, (2,)):
            raise ConfigError(
                f"Molecules: a port of the core {self.core.smiles!r} may bond to no fragment with "
                f"two ports, which min_fragments={self.min_fragments} needs: lower it to 2."
            )
        tables = make_tables((*self.vocabulary.fragments, self.core))
        is_core = tables.fragment_of == len(self.vocabulary)
        return replace(tables, allowed=tables.allowed & ~is_core)

    def tables_on(self, device: torch.device) -> Tables:
        """The constants of the vocabulary on a device."""
        if device not in self._tables_on:
            self._tables_on[device] = self.tables.to(device)
        return self._tables_on[device]

    # ------------------------------------------------------------------ states and masks

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> MoleculeState:
        """B empty trees, or B times the core alone."""
        n, k = self.max_fragments, self.tables.max_ports
        fragment = torch.full((batch_size, n), -1, device=device)
        if self.core is not None:
            fragment[:, 0] = len(self.vocabulary)
        return MoleculeState(fragment, torch.full((batch_size, n, k), -1, device=device))

    def open_ports(self, states: MoleculeState) -> Tensor:
        """(B, N*K) bool: ports without a bond."""
        tables = self.tables_on(states.link.device)
        return ((tables.port[states.fragment] < tables.num_ports) & (states.link < 0)).flatten(1)

    def open_slots(self, states: MoleculeState) -> Tensor:
        """(B, R) int64: ``node * K + port`` of the r-th open port, N*K where there are fewer."""
        is_open = self.open_ports(states)
        slots = is_open.shape[1]
        index = torch.arange(slots, device=is_open.device)
        return torch.where(is_open, index, slots).sort(1).values[:, : self.max_fragments - 1]

    def forward_mask(self, states: MoleculeState) -> Tensor:
        """(B, A) bool; see `DiscreteEnvironment.forward_mask`."""
        tables = self.tables_on(states.link.device)
        slots = self.open_slots(states)
        none = torch.full_like(slots[:, :1], tables.num_ports)
        ports = torch.cat([tables.port[states.fragment].flatten(1), none], 1).gather(1, slots)
        count = (states.fragment >= 0).sum(1)
        still_open = (slots < self.max_fragments * tables.max_ports).sum(1)
        empty = count == 0
        ports[:, 0] = torch.where(empty, tables.num_ports + 1, ports[:, 0])
        still_open = torch.where(empty, 2, still_open)  # the first fragment closes no port
        size = tables.ports[tables.fragment_of]  # (Q,)
        fits = (count + still_open - 1)[:, None] + size <= self.max_fragments
        if self.min_fragments > 2:
            early = (still_open == 1) & (count + 1 < self.min_fragments)
            fits = fits & ~(early[:, None] & (size == 1))
        return (tables.allowed[ports] & fits[:, None]).flatten(1)

    def backward_mask(self, states: MoleculeState) -> Tensor:
        """(B, P) bool: leaves, or the only node; never the core."""
        filled = (states.link >= 0).sum(2)
        node = states.fragment >= 0
        if self.core is not None:
            return node & (filled == 1) & (states.fragment != len(self.vocabulary))
        return node & ((filled == 1) | (node.sum(1, keepdim=True) == 1))

    def is_terminal(self, states: MoleculeState) -> Tensor:
        """(B,) bool: some fragment is there and no port is open."""
        return (states.fragment[:, 0] >= 0) & ~self.open_ports(states).any(1)

    def is_initial(self, states: MoleculeState) -> Tensor:
        """(B,) bool: no fragment is there, or none but the core."""
        return states.fragment[:, int(self.core is not None)] < 0

    # ------------------------------------------------------------------ steps

    def _step(self, states: MoleculeState, actions: Tensor) -> MoleculeState:
        return self._step_undone(states, actions)[0]

    def _step_undone(
        self, states: MoleculeState, actions: Tensor
    ) -> tuple[MoleculeState, Tensor | None]:
        fragment, link, number, _ = self.canonical(self._attach(states, actions)).form()
        new = (states.fragment >= 0).sum(1).clamp(max=self.max_fragments - 1)
        return MoleculeState(fragment, link), number.gather(1, new[:, None]).squeeze(1)

    def _backstep(self, states: MoleculeState, actions: Tensor) -> MoleculeState:
        return self.canonicalise(self._detach(states, actions))

    def backward_action(self, states: MoleculeState, actions: Tensor) -> Tensor:
        """(B,) int64: the number that the new node gets."""
        number = self._step_undone(states, actions)[1]
        assert number is not None
        return number

    def forward_action(self, states: MoleculeState, backward_actions: Tensor) -> Tensor:
        """(B,) int64: an action that puts leaf `backward_actions` back.

        Where several actions are equivalent (a symmetry maps them to each other), any of them:
        it need not be the one that was taken.
        """
        tables = self.tables_on(states.link.device)
        n, k = states.link.shape[1:]
        leaf = backward_actions.clamp(0, n - 1)
        links = states.link.gather(1, leaf[:, None, None].expand(-1, 1, k)).squeeze(1)  # (B, K)
        own = (links >= 0).int().argmax(1)  # 0 for the only node
        end = links.gather(1, own[:, None]).clamp(min=0)  # (B, 1): where the leaf hung
        node = end // k
        node = (node - (node > leaf[:, None]).long()).clamp(min=0)
        parent = self._detach(states, leaf)
        _, link, number, place = self.canonical(parent).form()
        there = place.flatten(1).gather(1, node * k + end % k)
        slot = number.gather(1, node) * k + there
        fragment = parent.fragment.gather(1, number.argsort(1))
        index = torch.arange(n * k, device=leaf.device)
        rank = (self.open_ports(MoleculeState(fragment, link)) & (index < slot)).sum(1)
        added = states.fragment.gather(1, leaf[:, None]).squeeze(1)
        q = tables.port[added].gather(1, own[:, None]).squeeze(1)
        return rank * tables.num_ports + q.clamp(max=tables.num_ports - 1)

    def _attach(self, states: MoleculeState, actions: Tensor) -> MoleculeState:
        """The children, with the new node last."""
        tables = self.tables_on(states.link.device)
        n, k = states.link.shape[1:]
        q = actions.remainder(tables.num_ports)
        rank = (actions // tables.num_ports).clamp(0, n - 2)
        slot = self.open_slots(states).gather(1, rank[:, None]).squeeze(1).clamp(max=n * k - 1)
        count = (states.fragment >= 0).sum(1)
        new = count.clamp(max=n - 1)
        place = new * k + tables.place_of[q]
        fragment = states.fragment.scatter(1, new[:, None], tables.fragment_of[q][:, None])
        others = torch.stack([place, slot], 1).masked_fill((count == 0)[:, None], -1)
        link = states.link.flatten(1).scatter(1, torch.stack([slot, place], 1), others)
        return MoleculeState(fragment, link.view_as(states.link))

    def _detach(self, states: MoleculeState, actions: Tensor) -> MoleculeState:
        """The parents, with the nodes that are left in the order they had."""
        n, k = states.link.shape[1:]
        gone = actions.clamp(0, n - 1)[:, None]  # (B, 1)
        index = torch.arange(n, device=gone.device)
        kept = (index + (index >= gone)).clamp(max=n - 1)  # (B, N): old number of each new node
        last = index == n - 1
        fragment = states.fragment.gather(1, kept).masked_fill(last, -1)
        link = states.link.gather(1, kept[..., None].expand(-1, -1, k))
        neighbour = link.div(k, rounding_mode="floor")
        gone = gone[..., None]
        moved = torch.where(neighbour > gone, link - k, link)
        return MoleculeState(fragment, moved.masked_fill((neighbour == gone) | last[:, None], -1))

    # ------------------------------------------------------------------ classes of states

    def canonical(self, states: MoleculeState) -> Canonical:
        """Messages from which the canonical form and the symmetry numbers are read."""
        tables = self.tables_on(states.link.device)
        return Canonical(tables, states.fragment, states.link)

    def canonicalise(self, states: MoleculeState) -> MoleculeState:
        """The same trees with canonical numbers of nodes and ports, as the steps return them."""
        fragment, link, _, _ = self.canonical(states).form()
        return MoleculeState(fragment, link)

    def key(self, states: MoleculeState) -> Tensor:
        """(B,) int64 hash of the canonical arrays: equal exactly for isomorphic trees."""
        return row_hash(states.fragment, states.link)

    def log_symmetry(self, states: MoleculeState) -> Tensor:
        """(B,) log of the number of labelled trajectories to a tree, over what they count as."""
        return self.canonical(states).log_overcount().to(torch.get_default_dtype())

    # ------------------------------------------------------------------ molecules

    def object_key(self, states: MoleculeState) -> Tensor:
        """(B,) int64 of their SMILES: the same for all that stand for one molecule."""
        return text_keys(record.smiles for record in self.records(states)).to(states.link.device)

    def log_multiplicity(self, states: MoleculeState) -> Tensor:
        """(B,) log m: the number of assemblies that make the same molecule."""
        same = [float(record.assemblies) for record in self.records(states)]
        return torch.tensor(same, device=states.link.device).log()

    def partial_log_reward(self, states: MoleculeState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of unfinished molecules, open ports holding hydrogen; 0 of s0."""
        return of_built(self.log_reward, states, ~self.is_initial(states), condition)

    def records(self, states: MoleculeState) -> list[Record]:
        """SMILES, raw reward, properties and number of assemblies of B finished objects."""
        return self.host.records(
            self.key(states).tolist(), states.fragment.tolist(), states.link.tolist()
        )

    def foresee(self, states: MoleculeState) -> bool:
        """Have the workers begin to score finished objects; see `Environment.foresee`."""
        begun = self.host.foresee(
            self.key(states).tolist(), states.fragment.tolist(), states.link.tolist()
        )
        return super().foresee(states) or begun

    def smiles(self, states: MoleculeState) -> list[str]:
        """Canonical SMILES; open ports are written ``*``. Empty for s0."""
        return self.host.smiles(states.fragment.tolist(), states.link.tolist())

    def show(self, states: MoleculeState) -> list[str]:
        """SMILES with ``*`` for open ports, or ``(empty)``."""
        return [smiles or "(empty)" for smiles in self.smiles(states)]

    def reward_values(self, states: MoleculeState) -> Tensor:
        """(B,) the raw reward of finished objects, before any inverse temperature."""
        return torch.tensor([record.value for record in self.records(states)])

    def decompose(self, smiles: str) -> list[Assembly]:
        """All assemblies that make this molecule, up to isomorphism; empty if there is none.

        Raises:
            MoleculeError: If `smiles` is not a valid SMILES.
        """
        return self.host.decompose(smiles)

    def states_from_smiles(self, smiles: Sequence[str]) -> MoleculeState:
        """Finished states that make these molecules, e.g. for replay.

        Raises:
            MoleculeError: Naming the molecule and what cannot be built of it.
        """
        n, k = self.max_fragments, self.tables.max_ports
        fragment = torch.full((len(smiles), n), -1)
        link = torch.full((len(smiles), n, k), -1)
        for row, text in enumerate(several(smiles, "Molecules.states_from_smiles")):
            assembly = self.host.one_assembly(text)
            fragment[row, : len(assembly.fragments)] = torch.tensor(assembly.fragments)
            for (i, p), (j, q) in assembly.bonds:
                link[row, i, p], link[row, j, q] = j * k + q, i * k + p
        return self.canonicalise(MoleculeState(fragment, link))

    def close(self) -> None:
        """End the worker processes, if there are any."""
        self.host.close()
