"""Back and forth: K moves back from an object by P_B, K moves forward by P_F, accepted or not."""

from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from gflow.behaviours.acceptance import FILTERS, Filter, LogRatio
from gflow.deferred import require
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_backward, require_numbered
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.policies.base import Policy, PolicyOutput, backward_law
from gflow.state import where


@dataclass(frozen=True)
class Proposal:
    """B candidates, and what decides about them.

    Attributes:
        objects: B objects where chains are.
        candidates: B objects where they may go.
        back: (B, K) backward actions that led down from the objects.
        forth: (B, K) forward actions that led up to the candidates.
        log_down: (B,) float64 log P_B of the former.
        log_up: (B,) float64 log P_F of the latter.
        log_ratio: The parts of the log-ratio of Metropolis and Hastings.
    """

    objects: Any
    candidates: Any
    back: Tensor
    forth: Tensor
    log_down: Tensor
    log_up: Tensor
    log_ratio: LogRatio


class Proposer:
    r"""A Markov chain on finished objects that leaves R(x) / Z as it is, whatever the policy.

    From x by P_B down to m, K moves before it, from there by P_F up to x'. With

    .. math:: \log r = \log\frac{R(x')}{R(x)} + \log\frac{P_B(x' \to m)}{P_B(x \to m)}
              + \log\frac{P_F(m \to x)}{P_F(m \to x')}

    the candidate is accepted with probability min(1, r) (metropolis) or r / (1 + r) (barker). This
    is the search of `LocalSearch` with prefix="resampled", which draws whole trajectories and
    trains on them; here no more than 2 K + 1 states of each chain are looked at.

    Args:
        accept: "metropolis", "barker", or a `Filter`.

    Raises:
        UnknownNameError: There is no such filter.

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361
    """

    def __init__(self, accept: str | Filter = "metropolis") -> None:
        if isinstance(accept, str) and accept not in FILTERS:
            raise UnknownNameError("filter", accept, FILTERS)
        self.filter = FILTERS[accept]() if isinstance(accept, str) else accept

    @staticmethod
    def check(env: Environment[Any]) -> None:
        """Refuse environments where K moves back and K forward do not join finished objects.

        Raises:
            IncompatibleError: If there is a stop, chance, a condition, or no way back.
        """
        who = "Back-and-forth proposals undo moves of objects"
        numbered = require_numbered(env, who, "Moves with densities are not for them.")
        require_backward(env, who, "Sample fresh objects instead: accept='none'.")
        if numbered.stop_action is not None or env.has_chance or env.condition_dim:
            why = "a stop action" if numbered.stop_action is not None else "chance or a condition"
            raise IncompatibleError(
                f"{who} one by one, all of the same number of moves, and {env.name} has {why}. Use "
                f"`LocalSearch`, or sample fresh objects: accept='none'."
            )

    @torch.no_grad()
    def propose(
        self,
        env: DiscreteEnvironment[Any],
        policy: Policy,
        objects: Any,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> Proposal:
        """A candidate for each of B objects, K = `steps` moves back and forth.

        Raises:
            ConfigError: If there are not so many moves.
            IncompatibleError: If candidates come out unfinished.
        """
        if not 1 <= steps <= env.horizon:
            raise ConfigError(
                f"Back-and-forth proposals: the number of moves must lie in 1 ... {env.horizon} "
                f"for {env.name}, got {steps}."
            )
        return _Walk(env, policy, steps, generator).run(objects)

    @torch.no_grad()
    def along(
        self,
        env: DiscreteEnvironment[Any],
        policy: Policy,
        objects: Any,
        back: Tensor,
        forth: Tensor,
    ) -> Proposal:
        """The same along given actions.

        Args:
            env: The environment.
            policy: The policy.
            objects: B objects.
            back: (B, K) int64 backward actions.
            forth: (B, K) int64 forward actions.
        """
        return _Walk(env, policy, back.shape[1], None, back, forth).run(objects)

    @torch.no_grad()
    def move(
        self,
        env: DiscreteEnvironment[Any],
        policy: Policy,
        objects: Any,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> tuple[Any, Tensor]:
        """Where B chains are after a candidate each, and (B,) bool which were accepted."""
        found = self.propose(env, policy, objects, steps, generator)
        ratio = found.log_ratio
        accepted = self.filter.accept(lambda: ratio.reward, lambda: ratio, generator)
        return where(accepted, found.candidates, objects), accepted


class _Walk:
    """Down and up again; every state is shown to the policy once."""

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        policy: Policy,
        steps: int,
        generator: torch.Generator | None,
        back: Tensor | None = None,
        forth: Tensor | None = None,
    ) -> None:
        self.env, self.policy, self.steps, self.generator = env, policy, steps, generator
        self.given_back, self.given_forth = back, forth

    def run(self, objects: Any) -> Proposal:
        env = self.env
        states, output = objects, self.policy(env, objects)
        back, returning, down, up_again = [], [], [], []
        for step in range(self.steps):
            law = backward_law(env, self.policy, states, output.backward_logits)
            undo = self._choose(law, self.given_back, step)
            down.append(law.log_prob(undo).double())
            back.append(undo)
            returning.append(env.forward_action(states, undo))
            states = env._backstep(states, undo)
            output = self.policy(env, states)
            up_again.append(self._ahead(states, output).log_prob(returning[-1]).double())
        forth, up, down_again = [], [], []
        for step in range(self.steps):
            law = self._ahead(states, output)
            action = self._choose(law, self.given_forth, step)
            up.append(law.log_prob(action).double())
            forth.append(action)
            undo = env.backward_action(states, action)
            states = env._step(states, action)
            output = self.policy(env, states)
            law = backward_law(env, self.policy, states, output.backward_logits)
            down_again.append(law.log_prob(undo).double())
        require(env.can_end(states), self._refuse, "candidates")
        log_down, log_up = torch.stack(down).sum(0), torch.stack(up).sum(0)
        gain = env.target_log_reward(states) - env.target_log_reward(objects)
        return Proposal(
            objects,
            states,
            torch.stack(back, 1),
            torch.stack(forth, 1),
            log_down,
            log_up,
            LogRatio(
                reward=gain.double(),
                backward=torch.stack(down_again).sum(0) - log_down,
                forward=torch.stack(up_again).sum(0) - log_up,
                keep=torch.zeros_like(log_up),
            ),
        )

    def _ahead(self, states: Any, output: PolicyOutput) -> Any:
        return self.env.law(states, output.forward_logits)

    def _choose(self, law: Any, given: Tensor | None, step: int) -> Tensor:
        if given is not None:
            return given[:, step]
        chosen: Tensor = law.sample(self.generator)[0]
        return chosen

    def _refuse(self) -> NoReturn:
        raise IncompatibleError(
            f"Back-and-forth proposals need objects of one number of moves, and {self.steps} back "
            f"and forth in {self.env.name} did not lead to finished ones. Use `LocalSearch`."
        )
