"""Exact answers on enumerable environments, level by level in tensors.

`enumerate_states` lists all states and transitions. From the list follow the exact flows under any
backward policy, the exact distribution of the objects under any policy, and numbers of
trajectories. They are the oracle of the tests and the metrics of the users.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.environment.keys import WITHOUT_KEYS, check_num_keys
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import IncompatibleError, RewardError, ShapeError
from gflow.former import formerly
from gflow.masking import representatives, uniform_log_prob
from gflow.policies.base import Policy, backward_law
from gflow.state import batch_size, cat, equal_rows, shorten, take, to_device

S = TypeVar("S")


@dataclass(frozen=True)
class ExactFlows:
    """The unique solution for one backward policy.

    Attributes:
        log_flow: (N,) log F(s).
        log_pf: (E,) log P_F of each transition of the graph.
        log_pb: (E,) log P_B of each transition.
        log_stop: (N,) log P_F(stop | s); -inf where stopping is not allowed.
        log_z: log F(s0).
    """

    log_flow: Tensor
    log_pf: Tensor
    log_pb: Tensor
    log_stop: Tensor
    log_z: float


@dataclass(frozen=True)
class StateGraph(Generic[S]):
    """All N states and E transitions of an environment, stops excluded.

    Attributes:
        env: The environment.
        states: N states, the source first.
        parent: (E,) int64 row of the state that a transition leaves.
        child: (E,) int64 row of the state that it reaches.
        action: (E,) int64 forward action at the parent.
        backward_action: (E,) int64 action at the child that leads back.
        depth: (N,) int64 length of the longest path from the source.
        condition: (1, C) the condition that the states start from and the reward reads, or None.
    """

    env: DiscreteEnvironment[S]
    states: S
    parent: Tensor
    child: Tensor
    action: Tensor
    backward_action: Tensor
    depth: Tensor
    condition: Tensor | None = None

    def __repr__(self) -> str:
        moves, objects = len(self.parent), len(self.objects)
        return f"StateGraph({self.env!r}, {len(self)} states, {moves} moves, {objects} objects)"

    def __len__(self) -> int:
        return self.depth.shape[0]

    @cached_property
    def can_end(self) -> Tensor:
        """(N,) bool: states that are objects."""
        return self.env.can_end(self.states)

    @cached_property
    def movers(self) -> Tensor:
        """(N,) int64 whose move it is at each state (see `Environment.mover`)."""
        found = self.env.mover(self.states)
        return torch.full((len(self),), AGENT) if found is None else found

    @cached_property
    def objects(self) -> Tensor:
        """(X,) int64 rows of the objects."""
        return self.can_end.nonzero().squeeze(1)

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor]:
        """(N,) sorted keys and the rows they belong to."""
        found = torch.sort(self.env.key(self.states))
        return found.values, found.indices

    def rows(self, states: S) -> Tensor:
        """(B,) rows of given states.

        Raises:
            IncompatibleError: If a state is not in the graph.
        """
        values, order = self.keys
        keys = self.env.key(states).contiguous()
        place = torch.searchsorted(values, keys).clamp(max=len(self) - 1)
        if bool((values[place] != keys).any()):
            row = int((values[place] != keys).nonzero()[0])
            raise IncompatibleError(
                f"{self.env.name}: the state {self.env.shown(states, row)} is not among the "
                f"{len(self)} enumerated ones."
            )
        return order[place]

    @cached_property
    def levels(self) -> list[Tensor]:
        """Transitions grouped by the depth of their parent, in order."""
        at = self.depth[self.parent]
        order = torch.argsort(at, stable=True)
        return list(order.split(torch.bincount(at).tolist())) if len(order) else []

    @cached_property
    def levels_by_child(self) -> list[Tensor]:
        """Transitions grouped by the depth of their child, in order."""
        at = self.depth[self.child]
        order = torch.argsort(at, stable=True)
        return list(order.split(torch.bincount(at).tolist())) if len(order) else []

    def told(self, condition: Tensor) -> "StateGraph[S]":
        """The same list for another condition, (1, C) or (C,), as the default of every method.

        Raises:
            IncompatibleError: The states were listed for another one, as they start where it says.
        """
        other = replace(self, condition=self._given(condition))
        kept = ("can_end", "movers", "objects", "keys", "levels", "levels_by_child")
        vars(other).update({name: vars(self)[name] for name in kept if name in vars(self)})
        return other

    # ------------------------------------------------------------------ numbers

    def log_reward(self, condition: Tensor | None = None) -> Tensor:
        """(N,) float64 target log-reward of the objects, -inf for the other states.

        Objects with a reward of zero, log R = -inf, are without mass.
        """
        rows, condition = self.objects, self._given(condition)
        given = None if condition is None else condition.expand(len(rows), -1)
        value = self.env.target_log_reward(take(self.states, rows), given, zero=True).double()
        return value.new_full((len(self),), -torch.inf).index_put((rows,), value)

    def log_target(self, condition: Tensor | None = None) -> Tensor:
        """(X,) float64 exact log-probability of each object under the target.

        Raises:
            RewardError: If no object has a reward above zero.
        """
        value = self.log_reward(condition)[self.objects]
        symmetry = self.env.log_symmetry(take(self.states, self.objects))
        if symmetry is not None:
            value = value + symmetry.double()
        if not bool((value > -torch.inf).any()):
            raise RewardError(
                f"{self.env.name}: all {len(value)} objects have a reward of zero, so there is "
                f"nothing to sample."
            )
        return value.log_softmax(0)

    def _given(self, condition: Tensor | None) -> Tensor | None:
        """(1, C) the condition that holds: the one given, else that of the list.

        Raises:
            ShapeError: If it is no (1, C).
            IncompatibleError: If the states were listed for another one.
        """
        condition = checked_condition(self.env, condition)
        if condition is None:
            return self.condition
        if self.env.source_reads_condition:
            mine = self.condition
            if mine is None or not torch.equal(mine.double(), condition.double()):
                listed = "none" if mine is None else shorten(str(mine[0].tolist()))
                raise IncompatibleError(
                    f"{self.env.name}: its trajectories start where the condition says, and these "
                    f"{len(self)} states were listed for the condition {listed}, not "
                    f"{shorten(str(condition[0].tolist()))}. List them again: "
                    f"enumerate_states(env, condition=condition)."
                )
        return condition

    def log_num_trajectories(self) -> Tensor:
        """(N,) float64 log of the number of paths from the source to each state."""
        total = torch.full((len(self),), -torch.inf, dtype=torch.float64)
        total[0] = 0
        return self.summed_over_paths(total, torch.zeros(len(self.parent), dtype=torch.float64))

    def uniform_log_pb(self) -> Tensor:
        """(E,) float64 log P_B of the uniform backward policy over distinct parents.

        Raises:
            IncompatibleError: If the environment defines no moves back.
        """
        if not self.env.has_backward:
            raise IncompatibleError(
                f"{self.env.name} defines no moves back, so it has no backward policy, and flows "
                f"that need one are not defined."
            )
        mask = self.env.backward_mask(self.states)
        value = uniform_log_prob(mask, self.env.backward_classes(self.states)).double()
        return value[self.child]

    def max_entropy_log_pb(self) -> Tensor:
        """(E,) float64 log P_B = log n(parent) - log n(child): all trajectories equally likely."""
        count = self.log_num_trajectories()
        return count[self.parent] - count[self.child]

    # ------------------------------------------------------------------ policies on the graph

    @torch.no_grad()
    def log_pf(self, policy: Policy, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(E,) log P_F of every transition and (N,) log P_F(stop), float64, of a policy.

        Moves of chance have their own probabilities.

        Args:
            policy: Any policy for the environment.
            condition: (1, C) one condition for all; None for that of the list.
        """
        parts = []
        for part, given in self._parts(policy, condition):
            logits = policy.forward_logits(self.env, part, given)
            parts.append(self.env.law(part, logits).table().double().cpu())
        log_prob = torch.cat(parts)
        stop = self.env.stop_action
        log_stop = log_prob.new_full((len(self),), -torch.inf)
        if stop is not None:
            allowed = self.env.forward_mask(self.states)[:, stop]
            log_stop = log_prob[:, stop].masked_fill(~allowed, -torch.inf)
        if self.env.has_forced_terminals:
            log_stop = log_stop.masked_fill(self.env.is_terminal(self.states), 0.0)
        return log_prob[self.parent, self.action], log_stop

    @torch.no_grad()
    def log_pb(self, policy: Policy, condition: Tensor | None = None) -> Tensor:
        """(E,) float64 log P_B of every transition under a policy."""
        parts = []
        for part, given in self._parts(policy, condition):
            learned = None
            if policy.backward == "learned":
                learned = policy.backward_logits(self.env, part, given)
            law = backward_law(self.env, policy, part, learned)
            parts.append(law.table().double().cpu())
        return torch.cat(parts)[self.child, self.backward_action]

    def exact_flows(
        self, log_pb: Tensor | None = None, condition: Tensor | None = None
    ) -> ExactFlows:
        """The flows that every objective must find, for a backward policy.

        Moves and stops that only lead to rewards of zero have log-probability -inf.

        Args:
            log_pb: (E,) log P_B of every transition; uniform over parents by default.
            condition: (1, C) or None.

        Raises:
            IncompatibleError: If some moves are chance's: nobody chooses their probabilities, so
                that flows in proportion to the reward need not exist.
        """
        if self.env.has_movers and bool((self.movers == CHANCE).any()):
            raise IncompatibleError(
                f"{self.env.name}: some of its moves are chance's, whose probabilities no policy "
                f"can choose, so no flows in proportion to the reward are promised. "
                f"`expected_flows()` gives those that balance on average, "
                f"`terminal_distribution(policy)` what a policy reaches."
            )
        log_pb = self.uniform_log_pb() if log_pb is None else log_pb.double()
        log_reward = self.log_reward(condition)
        flow = log_reward.clone()
        for edges in reversed(self.levels):
            parents, inverse = torch.unique(self.parent[edges], return_inverse=True)
            value = flow[self.child[edges]] + log_pb[edges]
            out = group_logsumexp(value, inverse, len(parents))
            flow[parents] = torch.logaddexp(flow[parents], out)
        log_pf = flow[self.child] + log_pb - flow[self.parent]
        log_pf = log_pf.where(flow[self.child] > -torch.inf, -torch.inf)
        log_stop = (log_reward - flow).where(log_reward > -torch.inf, -torch.inf)
        return ExactFlows(flow, log_pf, log_pb, log_stop, float(flow[0]))

    def expected_flows(
        self,
        form: Literal["tree", "dag"] = "tree",
        log_pb: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> ExactFlows:
        """The flows of expected detailed balance, for moves of chance between the agent's.

        See `gflow.exact.expected.expected_flows`.
        """
        from gflow.exact.expected import expected_flows

        return expected_flows(self, form, log_pb, condition)

    def terminal_log_prob(self, log_pf: Tensor, log_stop: Tensor) -> Tensor:
        """(X,) float64 exact log-probability with which a policy builds each object.

        Args:
            log_pf: (E,) log P_F of every transition.
            log_stop: (N,) log-probability of ending in each state once there.
        """
        reach = torch.full((len(self),), -torch.inf, dtype=torch.float64)
        reach[0] = 0
        return (self.summed_over_paths(reach, log_pf.double()) + log_stop)[self.objects]

    def terminal_distribution(self, policy: Policy, condition: Tensor | None = None) -> Tensor:
        """(X,) float64 exact log-probability with which `policy` builds each object."""
        return self.terminal_log_prob(*self.log_pf(policy, condition))

    terminal_law = formerly("terminal_law", terminal_distribution)

    def summed_over_paths(self, start: Tensor, weight: Tensor) -> Tensor:
        """(N,) log-sums of the weights of all paths to each state, level by level.

        Args:
            start: (N,) log-weight with which paths begin at each state.
            weight: (E,) log-weight of every transition.
        """
        total = start.clone()
        for edges in self.levels_by_child:
            if not len(edges):
                continue
            children, inverse = torch.unique(self.child[edges], return_inverse=True)
            value = total[self.parent[edges]] + weight[edges]
            total[children] = group_logsumexp(value, inverse, len(children))
        return total

    # ------------------------------------------------------------------ helpers

    def _parts(
        self, policy: Policy, condition: Tensor | None, size: int = 65536
    ) -> Iterator[tuple[S, Tensor | None]]:
        """The states and their (., C) conditions in parts, where the policy is."""
        condition = self._given(condition)
        device = next((p.device for p in policy.parameters()), self.depth.device)
        for rows in torch.arange(len(self)).split(size):
            given = None if condition is None else condition.expand(len(rows), -1).to(device)
            yield to_device(take(self.states, rows), device), given


def enumerate_states(
    env: Environment[S], limit: int = 2_000_000, condition: Tensor | None = None
) -> StateGraph[S]:
    """List all states and transitions of an environment, breadth first.

    Args:
        env: An environment with keys.
        limit: Give up beyond this many states.
        condition: (1, C) or (C,) what the source and the reward read; needed where each trajectory
            starts where its condition says. It is the default of every method of the graph.

    Raises:
        IncompatibleError: If the environment has no keys, more states than `limit`, a cycle, or
            moves with densities; if the source reads a condition and there is none.
        ConfigError: If the keys do not fit into 62 bits.
    """
    env = require_numbered(env, "enumerate_states", "A continuum of states has no list.")
    if not env.has_keys:
        raise IncompatibleError(
            f"{env.name} cannot be enumerated: it defines no `key` (or its keys exceed 62 bits)."
        )
    check_num_keys(env)
    condition = checked_condition(env, condition)
    distinct = Distinct(None)
    frontier = env.start(1, condition=condition)
    if condition is None:
        _refuse_many_sources(env)
    store, known, size = [frontier], {int(env.key(frontier)[0]): 0}, 1
    edges: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    start = 0
    while batch_size(frontier):
        mask = env.forward_mask(frontier)
        classes = env.forward_classes(frontier)
        if classes is not None:
            mask = representatives(mask, classes)
        if env.stop_action is not None:
            mask = mask.clone()
            mask[:, env.stop_action] = False
        rows, actions = mask.nonzero(as_tuple=True)
        if not len(rows):
            break
        parents = take(frontier, rows)
        children = env._step(parents, actions)
        keys = env.key(children)
        undo = env.backward_action(parents, actions)
        first, group = distinct(keys)
        place = torch.empty(len(first), dtype=torch.int64)
        fresh: list[int] = []
        for i, k in enumerate(keys[first].tolist()):
            if k not in known:
                known[k] = size + len(fresh)
                fresh.append(i)
            place[i] = known[k]
        edges.append((rows + start, place[group], actions, undo))
        start, size = size, size + len(fresh)
        if size > limit:
            raise IncompatibleError(
                f"{env.name} has more than {limit} states; exact answers are for small ones. "
                f"Raise `limit` if there is memory for more."
            )
        frontier = take(children, first[torch.tensor(fresh, dtype=torch.int64)])
        store.append(frontier)
    empty = torch.zeros(0, dtype=torch.int64)
    parent, child, action, undo = (
        (torch.cat(part) for part in zip(*edges, strict=True)) if edges else (empty,) * 4
    )
    states = cat(store)
    depth = _longest_path(env, states, parent, child, action, size)
    return StateGraph(env, states, parent, child, action, undo, depth, condition)


def checked_condition(env: Environment[Any], condition: Tensor | None) -> Tensor | None:
    """(1, C) one condition, from (1, C) or (C,).

    Raises:
        ShapeError: If it holds several.
    """
    if condition is None:
        return None
    one = condition[None] if condition.dim() == 1 else condition
    if one.dim() != 2 or one.shape[0] != 1 or (env.condition_dim or one.shape[1]) != one.shape[1]:
        width = env.condition_dim or "C"
        raise ShapeError(
            f"{env.name}: exact answers are for one condition, (1, {width}), got "
            f"{tuple(condition.shape)}. Ask for one row after the other."
        )
    return one


def _refuse_many_sources(env: DiscreteEnvironment[Any]) -> None:
    """Refuse to guess which source is meant."""
    if not env.source_reads_condition:
        return
    some = env.start(8)
    if env.condition_dim or not bool(equal_rows(some, take(some, torch.zeros(8).long())).all()):
        raise IncompatibleError(
            f"{env.name}: each trajectory starts where its condition says, so its states can be "
            f"listed for one condition only. Give it: enumerate_states(env, condition=condition), "
            f"(1, {env.condition_dim or 'C'})."
        )


def _longest_path(
    env: DiscreteEnvironment[Any],
    states: Any,
    parent: Tensor,
    child: Tensor,
    action: Tensor,
    size: int,
) -> Tensor:
    """(N,) length of the longest path from the source; refuses cycles."""
    depth = torch.zeros(size, dtype=torch.int64)
    for _ in range(size + 1):
        longer = depth.scatter_reduce(0, child, depth[parent] + 1, "amax")
        if torch.equal(longer, depth):
            return depth
        depth = longer
    reached = env._step(take(states, parent), action)
    other = ~equal_rows(reached, take(states, child))
    if bool(other.any()):
        row = int(other.nonzero()[0])
        raise IncompatibleError(
            f"{env.name} cannot be enumerated: {env.shown(reached, row)} and "
            f"{env.shown(states, int(child[row]))} share the key {int(env.key(reached)[row])}, so "
            f"that some state seems to be reached from itself. `key` must differ for different "
            f"states. {WITHOUT_KEYS}"
        )
    row = int(depth.argmax())
    raise IncompatibleError(
        f"{env.name} has a cycle: the state {env.shown(states, row)} can be reached from itself. "
        f"If a move may be taken back, count the moves in the state."
    )


def group_logsumexp(value: Tensor, group: Tensor, count: int) -> Tensor:
    """(count,) logsumexp of the values in each group."""
    top = value.new_full((count,), -torch.inf).scatter_reduce_(0, group, value, "amax")
    top = top.masked_fill(top == -torch.inf, 0.0)
    return (value - top[group]).exp().new_zeros(count).index_add(
        0, group, (value - top[group]).exp()
    ).log() + top
