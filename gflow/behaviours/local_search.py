"""Local search: undo the end of a trajectory, build another, keep the better; train on all."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.behaviours.acceptance import FILTERS, Filter, LogRatio
from gflow.behaviours.backtracking import Backtracking, backtracking
from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Natural
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward
from gflow.errors import ConfigError, UnknownNameError
from gflow.evaluation.anchored import plain_log_reward
from gflow.evaluation.evaluate import evaluate
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories

Prefix = Literal["kept", "resampled"]


@dataclass(frozen=True)
class Revision:
    """One round of a local search over M chains.

    Attributes:
        current: M trajectories that the chains were in (others to the same objects, where the
            search resamples them).
        keep: (M,) int64 number of transitions kept of each.
        candidate: M trajectories, whole: what was kept and what was built after it.
        accepted: (M,) bool.
        following: M trajectories that the chains are in now.
    """

    current: Trajectories[Any]
    keep: Tensor
    candidate: Trajectories[Any]
    accepted: Tensor
    following: Trajectories[Any]


class LocalSearch(Behaviour):
    r"""Fresh trajectories, and revisions of them by undoing their ends and building others.

    Of B trajectories, M = B / (1 + I) are fresh, drawn as the trainer explores (what is left over
    by a division with a remainder is fresh too, and not revised). Then follow I rounds: of each
    chain K transitions are undone, the bare policy builds on from there, and a filter decides
    whether the chain goes over to the candidate. All candidates are trained on, accepted or not, as
    whole trajectories.

    The state of a chain is a whole trajectory t, distributed as R(x) P_B(t | x) / Z under the
    filters "metropolis" and "barker", for any policy, any kind of end, any lengths: see `LogRatio`.
    With prefix="resampled", another trajectory to the object is drawn from P_B first. That keeps
    the distribution too, and is the search of the paper, which goes back by P_B.

    Moves of chance among what is undone are drawn anew from chance's own law, which stands in P_F
    of the ratio; what is kept keeps its luck. In games no filter can tell a better end, as what one
    player wins the other loses: there only "none" is left, which makes branches of what was played.

    Args:
        iterations: I.
        steps: K: a whole number, a fraction of the trajectory, "random" for K uniform in 1 ... |t|,
            or a `Backtracking`. The stop counts as one.
        accept: "greedy" (better ones only), "metropolis", "barker", "none" (every candidate), or a
            `Filter`.
        prefix: "kept" undoes the trajectory's own transitions, "resampled" those of another one
            to its object.

    Reference:
        Kim et al., Local Search GFlowNets, 2024, https://arxiv.org/abs/2310.02710
    """

    name = "local_search"
    gives = Source.OWN | Source.OTHER

    @checked
    def __init__(
        self,
        iterations: Natural = 7,
        steps: int | float | str | Backtracking = "random",
        accept: str | Filter = "greedy",
        prefix: Prefix = "kept",
    ) -> None:
        if isinstance(accept, str) and accept not in FILTERS:
            raise UnknownNameError("filter", accept, FILTERS)
        self.iterations, self.prefix = iterations, prefix
        self.backtracking = backtracking(steps)
        self.filter = FILTERS[accept]() if isinstance(accept, str) else accept
        self._metrics: dict[str, Tensor | float] = {}

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Games, where no end is better for all, and missing moves back, as far as they matter."""
        if env.num_players > 1 and self.filter.judges:
            return (
                f"it prefers ends by one reward, and here {env.num_players} players have rewards "
                f"of their own. Use accept='none', or the behaviour on_policy."
            )
        if not env.has_backward and (self.prefix == "resampled" or self.filter.exact):
            what = "prefix='resampled' walks" if self.prefix == "resampled" else "its filter looks"
            return (
                f"{what} back with P_B, and no moves back are defined here. Use prefix='kept' and "
                f"accept='greedy' or 'none'."
            )
        return super().refusal(env, objective)

    @property
    def metrics(self) -> dict[str, Tensor | float]:
        """Share of candidates accepted, their mean gain in log R, objects scored."""
        return self._metrics

    def check_count(self, count: int) -> None:
        """At least one chain.

        Raises:
            ConfigError: If there is none for so many iterations.
        """
        if count < 1 + self.iterations:
            raise ConfigError(
                f"LocalSearch: {self.iterations} iterations need batches of at least "
                f"{1 + self.iterations} trajectories, got {count}. Raise batch_size (less what "
                f"replay takes of it) or lower iterations."
            )

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """M fresh trajectories, and I M candidates round by round.

        Raises:
            ConfigError: If there is no chain for so many iterations.
        """
        self.check_count(count)
        chains = count // (1 + self.iterations)
        fresh = sampling.fresh(count - chains * self.iterations)
        parts, accepted = [fresh], []
        current = fresh
        if self.iterations and len(fresh) > chains:
            current = fresh.select(torch.arange(chains, device=fresh.length.device))
        first = current
        for _ in range(self.iterations):
            revision = self.revise(sampling, current)
            parts.append(revision.candidate)
            accepted.append(revision.accepted)
            current = revision.following
        self._metrics = {"reward_calls": float(count)}
        if accepted:
            gain = self._gain(sampling, first, current)
            self._metrics["acceptance"] = torch.stack(accepted).double().mean()
            self._metrics["search_gain"] = gain.mean()
        return Trajectories.join(parts)

    @torch.no_grad()
    def revise(self, sampling: Sampling, current: Trajectories[Any]) -> Revision:
        """One round over M chains, by the bare policy.

        Args:
            sampling: What to sample with; its exploration is not used.
            current: M whole trajectories.
        """
        sampler, policy, generator = sampling.sampler, sampling.policy, sampling.generator
        if self.prefix == "resampled":
            current = sampler.backward(
                policy,
                current.final_states,
                log_reward=current.log_reward,
                scores=current.scores,
                condition=current.condition,
                generator=generator,
            )
        keep = self.backtracking.keep(current.length, generator)
        candidate = sampler.resume(policy, current, keep, generator=generator)

        accepted = self.filter.accept(
            lambda: self._gain(sampling, current, candidate),
            lambda: self.log_ratio(sampling, current, candidate, keep),
            generator,
        )
        row = torch.arange(len(current), device=keep.device)
        following = Trajectories.join([current, candidate]).select(row + len(row) * accepted)
        return Revision(current, keep, candidate, accepted, following)

    @torch.no_grad()
    def log_ratio(
        self,
        sampling: Sampling,
        current: Trajectories[Any],
        candidate: Trajectories[Any],
        keep: Tensor,
    ) -> LogRatio:
        """The parts of log r for M pairs of trajectories, under the policy as it is now.

        Args:
            sampling: Gives environment and policy.
            current: M whole trajectories.
            candidate: M that share their first `keep` transitions with them.
            keep: (M,) int64.

        Raises:
            IncompatibleError: If the environment defines no moves back.
        """
        who, instead = "LocalSearch: the log-ratio holds log P_B", "Use accept='greedy' or 'none'."
        require_backward(sampling.env, who, instead)
        both = Trajectories.join([current, candidate])
        terms = evaluate(sampling.env, sampling.policy, both)
        time = torch.arange(terms.log_pf.shape[1], device=keep.device)
        later = terms.mask & (time >= torch.cat([keep, keep])[:, None])
        old_pf, new_pf = terms.log_pf.double().where(later, 0.0).sum(-1).chunk(2)
        old_pb, new_pb = terms.log_pb.double().where(later, 0.0).sum(-1).chunk(2)
        old, new = both.log_reward.double().chunk(2)
        log_q = self.backtracking.log_prob
        return LogRatio(
            reward=new - old,
            backward=new_pb - old_pb,
            forward=old_pf - new_pf,
            keep=log_q(keep, candidate.length) - log_q(keep, current.length),
        )

    @staticmethod
    def _gain(sampling: Sampling, old: Trajectories[Any], new: Trajectories[Any]) -> Tensor:
        """(M,) log R(x') - log R(x), without what corrects for symmetry."""
        value = plain_log_reward(sampling.env, new) - plain_log_reward(sampling.env, old)
        return value.double()
