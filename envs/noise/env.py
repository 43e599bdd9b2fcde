"""Noise: any environment whose moves are disturbed by chance."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.environment.keys import LARGEST_KEY, hash_rows
from gflow.environment.movers import AGENT, CHANCE
from gflow.envs.noise.kernels import Kernel
from gflow.envs.noise.reward import reward_of_inner
from gflow.errors import IncompatibleError, ShapeError
from gflow.masking import representatives
from gflow.state import batch_size, device_of, take, where


@dataclass(frozen=True)
class NoisyState:
    """States of an environment, and what the agent means to do there.

    Attributes:
        inner: B states.
        announced: (B,) int64: 0 on the agent's turn; on chance's turn one more than the action that
            the agent has announced.
    """

    inner: Any
    announced: Tensor


class WithNoise(DiscreteEnvironment[NoisyState]):
    """Any environment, in which chance decides what becomes of the agent's intentions.

    **What is built.** An object of the environment. **State.** `NoisyState`.

    **Forward actions.** Those of the environment, twice over: the agent announces one, then chance
    executes one, as the kernel says; where that leaves no choice chance has a turn all the same. A
    stop is executed at once. Actions that lead to one state are announced as one, the first.

    **Backward actions.** With M actions beside the stop and P backward ones: i M + j undoes by i
    what was executed after j had been announced; P M takes an announcement back.

    **Reward.** That of the environment.

    **Size.** A further state for every state and every action that can be announced there.

    Args:
        env: The environment.
        kernel: What is executed when something is intended; see `gflow.envs.noise.kernels`.

    Raises:
        IncompatibleError: If moves have densities, are not all the agent's, or cannot be undone; if
            one state can be written in several ways, as molecules can, so that numbers of actions
            mean little.

    Example:
        >>> from gflow.envs.grids.hypergrid import HyperGrid
        >>> from gflow.envs.noise.kernels import TokenNoise
        >>> env = WithNoise(HyperGrid(2, 3), TokenNoise(0.5))
        >>> said = env.step(env.initial(1), torch.tensor([1]))
        >>> env.show(said), env.chance_law(said).table().exp().mul(4).round().tolist()
        (['(0, 0), 1 announced'], [[1.0, 3.0, 0.0]])
    """

    def __init__(self, env: DiscreteEnvironment[Any], kernel: Kernel) -> None:
        require_numbered(env, "WithNoise", "Noise replaces one numbered action by another.")
        if env.has_movers:
            raise IncompatibleError(
                f"WithNoise: some moves of {env.name} are not the agent's, and noise disturbs the "
                f"agent's alone. Let `mover` and `chance_law` of one environment say both."
            )
        if not env.has_backward:
            raise IncompatibleError(
                f"WithNoise: {env.name} defines no moves back, which noise needs to number its "
                f"own. Define `backward_mask` and `_backstep`."
            )
        if env.log_symmetry(env.initial(1)) is not None:
            raise IncompatibleError(
                f"WithNoise: a state of {env.name} can be written in several ways, which is why it "
                f"has a `log_symmetry`, and the number that the agent announces would be another "
                f"move in each. Noise needs states that are written in one way."
            )
        self.inner, self.kernel = env, kernel
        self.reward = reward_of_inner(env)
        self.num_actions, self.stop_action = env.num_actions, env.stop_action
        self.num_moves = env.num_actions - (env.stop_action is not None)
        self.num_backward_actions = env.num_backward_actions * self.num_moves + 1
        self.has_forced_terminals = env.has_forced_terminals
        self.horizon = 2 * env.horizon - (not env.has_forced_terminals)
        self.condition_dim = env.condition_dim
        self.source_reads_condition = env.source_reads_condition
        if env.feature_sizes:
            self.feature_sizes = (*env.feature_sizes, self.num_moves + 1)
        self.has_keys = env.has_keys  # type: ignore[misc]
        if env.num_keys is not None and env.num_keys * (self.num_moves + 1) <= LARGEST_KEY:
            self.num_keys = env.num_keys * (self.num_moves + 1)

    @property
    def name(self) -> str:
        """Name of the environment for messages."""
        return f"WithNoise({self.inner.name})"

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> NoisyState:
        """B sources, nothing announced."""
        return _quiet(self.inner.initial(batch_size, device))

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> NoisyState:
        """B sources for the conditions of a batch."""
        return _quiet(self.inner.start(batch_size, device, condition))

    # ------------------------------------------------------------------ whose move it is

    def mover(self, states: NoisyState) -> Tensor:
        """(B,) chance's turn where something was announced."""
        return torch.where(states.announced > 0, CHANCE, AGENT)

    def chance_law(self, states: NoisyState) -> Categorical:
        """What the kernel says of the legal actions, those with one result together."""
        legal, log_prob = self._executed(states.inner, (states.announced - 1).clamp(min=0))

        def classes() -> Tensor | None:
            return _first_legal(self.inner.forward_classes(states.inner), legal)

        return Categorical(log_prob, legal, classes)

    def _executed(self, inner: Any, intended: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A) bool what may be executed, and the kernel's (B, A) log-probabilities."""
        log_prob = self.kernel(self.inner, inner, intended)
        legal = self._moves(inner)
        if log_prob.shape != legal.shape:
            raise ShapeError(
                f"{self.name}: the kernel {self.kernel!r} must give (B, A) log-probabilities, "
                f"{tuple(legal.shape)}, got {tuple(log_prob.shape)}."
            )
        return legal & (log_prob > -torch.inf), log_prob

    def _may(self, inner: Any, intended: Tensor) -> Tensor:
        """(B, A) bool what may be executed."""
        return self._moves(inner) if self.kernel.everywhere else self._executed(inner, intended)[0]

    def _moves(self, inner: Any) -> Tensor:
        """(B, A) bool legal actions that are no stop."""
        legal = self.inner.forward_mask(inner)
        if self.stop_action is None:
            return legal
        return legal & (torch.arange(self.num_actions, device=legal.device) != self.stop_action)

    # ------------------------------------------------------------------ moves

    def forward_mask(self, states: NoisyState) -> Tensor:
        """(B, A) what may be announced, or what chance may execute."""
        turn = states.announced[:, None] > 0
        may = self._may(states.inner, (states.announced - 1).clamp(min=0))
        return torch.where(turn, may, self.inner.forward_mask(states.inner))

    def backward_mask(self, states: NoisyState) -> Tensor:
        """(B, P M + 1) every move back with all that may have been announced before it."""
        moves, turn = self.num_moves, states.announced[:, None] > 0
        before, possible = self._parents(states.inner)
        said = self._moves(before)
        classes = self.inner.forward_classes(before)
        if classes is not None:
            said = representatives(said, classes)
        said = said[:, :moves]
        if not self.kernel.everywhere:
            rows = torch.arange(len(said), device=said.device)
            taken = self.inner.forward_action(
                _repeated(states.inner, self.inner.num_backward_actions),
                rows % self.inner.num_backward_actions,
            )
            said = said & self._leads(before, taken, classes)
        undo = (said & possible[:, None]).view(len(turn), -1)
        return torch.cat([undo & ~turn, turn], 1)

    def _parents(self, inner: Any) -> tuple[Any, Tensor]:
        """B P states before every move back, and (B P,) bool whether there is one; else s0."""
        size = self.inner.num_backward_actions
        undo = torch.arange(size, device=device_of(inner)).repeat(batch_size(inner))
        before = self.inner._backstep(_repeated(inner, size), undo)
        possible = self.inner.backward_mask(inner).flatten()
        source = self.inner.initial(len(undo), device_of(inner))
        return where(possible, before, source), possible

    def _leads(self, before: Any, taken: Tensor, classes: Tensor | None) -> Tensor:
        """(N, M) bool: whether announcing j at N states may execute `taken` (N,), or its like."""
        count, moves = len(taken), self.num_moves
        said = torch.arange(moves, device=taken.device).repeat(count)
        may = self._may(_repeated(before, moves), said).view(count, moves, -1)
        taken = taken.clamp(0, self.num_actions - 1)[:, None]
        like = torch.arange(self.num_actions, device=taken.device) == taken
        if classes is not None:
            like = classes == classes.gather(1, taken)
        return (may & like[:, None]).any(-1)

    def is_terminal(self, states: NoisyState) -> Tensor:
        """(B,) the object is finished, and nothing announced."""
        return self.inner.is_terminal(states.inner) & (states.announced == 0)

    def is_initial(self, states: NoisyState) -> Tensor:
        """(B,) the source, and nothing announced."""
        return self.inner.is_initial(states.inner) & (states.announced == 0)

    def can_end(self, states: NoisyState) -> Tensor:
        """(B,) an object, and nothing announced."""
        return self.inner.can_end(states.inner) & (states.announced == 0)

    def forward_classes(self, states: NoisyState) -> Tensor | None:
        """(B, A) those of the environment, on chance's turn among what it may execute."""
        classes = self.inner.forward_classes(states.inner)
        if classes is None or self.kernel.everywhere:
            return classes
        turn = states.announced[:, None] > 0
        may = self._may(states.inner, (states.announced - 1).clamp(min=0))
        return torch.where(turn, _first_legal(classes, may), classes)  # type: ignore[arg-type]

    def backward_classes(self, states: NoisyState) -> Tensor | None:
        """(B, P M + 1) those of the environment, for each announcement by itself."""
        classes = self.inner.backward_classes(states.inner)
        if classes is None:
            return None
        said = torch.arange(self.num_moves, device=classes.device)
        undo = (classes[:, :, None] * self.num_moves + said).flatten(1)
        return torch.nn.functional.pad(undo, (0, 1), value=self.num_backward_actions - 1)

    def backward_action(self, states: NoisyState, actions: Tensor) -> Tensor:
        """(B,) what undoes an execution, or an announcement."""
        undo = self.inner.backward_action(states.inner, self._no_stop(actions))
        undo = undo * self.num_moves + states.announced - 1
        return undo.where(states.announced > 0, self.num_backward_actions - 1)

    def forward_action(self, states: NoisyState, backward_actions: Tensor) -> Tensor:
        """(B,) what was executed, or announced."""
        inner, back = states.inner, self._undone(backward_actions)
        taken = self.inner.forward_action(inner, back)
        if not self.kernel.everywhere and self.inner.forward_classes(inner) is not None:
            taken = self._likely(states, backward_actions, taken)
        spoken = (states.announced - 1).clamp(min=0)
        return torch.where(backward_actions == self.num_backward_actions - 1, spoken, taken)

    def _likely(self, states: NoisyState, backward_actions: Tensor, taken: Tensor) -> Tensor:
        """(B,) `taken`, or the first action like it where chance never executes that itself."""
        before, possible = self._parents(states.inner)
        size = self.inner.num_backward_actions
        at = torch.arange(len(taken), device=taken.device) * size + self._undone(backward_actions)
        before, taken = take(before, at), taken.where(possible[at], 0)
        classes = self.inner.forward_classes(before)
        assert classes is not None
        may = self._may(before, backward_actions % self.num_moves)
        like = may & (classes == classes.gather(1, taken[:, None]))
        itself = like.gather(1, taken[:, None]).squeeze(1)
        return taken.where(itself, like.long().argmax(1))

    def _step(self, states: NoisyState, actions: Tensor) -> NoisyState:
        turn, actions = states.announced > 0, self._no_stop(actions)
        moved = self.inner._step(states.inner, actions)
        classes = self.inner.forward_classes(states.inner)
        said = actions if classes is None else classes.gather(1, actions[:, None]).squeeze(1)
        return NoisyState(where(turn, moved, states.inner), (said + 1).masked_fill(turn, 0))

    def _backstep(self, states: NoisyState, actions: Tensor) -> NoisyState:
        took_back = actions == self.num_backward_actions - 1
        before = self.inner._backstep(states.inner, self._undone(actions))
        said = (actions % self.num_moves + 1).masked_fill(took_back, 0)
        return NoisyState(where(took_back, states.inner, before), said)

    def _no_stop(self, actions: Tensor) -> Tensor:
        return actions.clamp(max=self.num_moves - 1)

    def _undone(self, backward_actions: Tensor) -> Tensor:
        """(B,) the environment's own backward actions."""
        return (backward_actions // self.num_moves).clamp(max=self.inner.num_backward_actions - 1)

    # ------------------------------------------------------------------ values

    def encode(self, states: NoisyState) -> Any:
        """(B, K + 1) features, and what is announced; a pair if they are not categorical."""
        features = self.inner.encode(states.inner)
        if not self.feature_sizes:
            return features, states.announced
        return torch.cat([features, states.announced[:, None]], 1)

    def key(self, states: NoisyState) -> Tensor:
        """(B,) the key, then what is announced; a hash of both beyond 62 bits."""
        key = self.inner.key(states.inner)
        if self.num_keys is None:
            return hash_rows(torch.stack([key, states.announced], 1))
        assert self.inner.num_keys is not None
        return key + states.announced * self.inner.num_keys

    def object_key(self, states: NoisyState) -> Tensor:
        """(B,) that of the environment."""
        return self.inner.object_key(states.inner)

    def all_states(self, device: torch.device | str = "cpu") -> NoisyState | None:
        """All in the order of their keys, if the environment lists its own; s0 if impossible."""
        listed = None if self.num_keys is None else self.inner.all_states(device)
        if listed is None or self.num_keys is None:
            return None
        assert self.inner.num_keys is not None
        code = torch.arange(self.num_keys, device=device)
        announced = code // self.inner.num_keys
        may, classes = self._moves(listed), self.inner.forward_classes(listed)
        if classes is not None:
            may = representatives(may, classes)
        exists = torch.nn.functional.pad(may[:, : self.num_moves], (1, 0), value=True)
        exists = exists.T.flatten()  # as the keys: what is announced varies slowest
        states = NoisyState(take(listed, code % self.inner.num_keys), announced)
        return where(exists, states, self.initial(len(code), device))

    def log_multiplicity(self, states: NoisyState) -> Tensor | None:
        """(B,) that of the environment."""
        return self.inner.log_multiplicity(states.inner)

    def show(self, states: NoisyState) -> list[str]:
        """The environment's own lines, and the number of what is announced."""
        lines = zip(self.inner.show(states.inner), states.announced.tolist(), strict=True)
        return [f"{line}, {said - 1} announced" if said else line for line, said in lines]

    def written(self, states: NoisyState) -> list[Any]:
        """As the environment without noise writes objects."""
        return self.inner.written(states.inner)


def _quiet(inner: Any) -> NoisyState:
    device = device_of(inner)
    return NoisyState(inner, torch.zeros(batch_size(inner), dtype=torch.int64, device=device))


def _repeated(states: Any, times: int) -> Any:
    """Every state `times` times in a row."""
    rows = torch.arange(batch_size(states), device=device_of(states))
    return take(states, rows.repeat_interleave(times))


def _first_legal(classes: Tensor | None, legal: Tensor) -> Tensor | None:
    """(B, A) the same classes, named after the first action of each that is legal in `legal`."""
    if classes is None:
        return None
    each = torch.arange(legal.shape[1], device=legal.device).expand_as(legal)
    some = torch.full_like(classes, legal.shape[1])
    first = some.scatter_reduce(1, classes, each.where(legal, legal.shape[1]), "amin")
    return first.gather(1, classes).where(legal, each)
