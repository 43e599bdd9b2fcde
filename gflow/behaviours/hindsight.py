"""Hindsight: a trajectory is as good for another condition as for the one it was sampled for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Probability
from gflow.checks import checked
from gflow.deferred import require
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories

Relabelling = Callable[[Tensor, Tensor], Tensor]
"""(N, K) scores of objects and the (N, C) conditions asked for to other conditions (N, C)."""


def own_direction(scores: Tensor, condition: Tensor) -> Tensor:
    """(N, C) the direction in which the scores lie; what else a condition holds stays.

    Objects without any score keep their condition.
    """
    length = scores.norm(dim=-1, keepdim=True)
    direction = (scores / length.where(length > 0, 1.0)).to(condition.dtype)
    num = scores.shape[1]
    return torch.cat([direction.where(length > 0, condition[:, :num]), condition[:, num:]], -1)


def relabelled(
    env: Environment[Any], batch: Trajectories[Any], condition: Tensor
) -> Trajectories[Any]:
    """The same whole trajectories as if they had been sampled for `condition` (B, C).

    Their log-rewards follow from the scores that they carry: no object is scored again.

    Raises:
        IncompatibleError: If trajectories carry no scores or no conditions, or are not whole.
    """
    if batch.scores is None or batch.condition is None:
        missing = "scores" if batch.scores is None else "conditions"
        raise IncompatibleError(
            f"relabelled: these trajectories of {env.name} carry no {missing}. Relabelling needs a "
            f"VectorReward whose scalarization reads a condition."
        )
    if batch.complete is not None:
        require(batch.complete, _refuse_unfinished, "whole trajectories")
    log_reward = env.target_from_scores(batch.final_states, batch.scores, condition)
    return replace(batch, condition=condition, log_reward=log_reward)


def _refuse_unfinished() -> NoReturn:
    raise IncompatibleError("relabelled: unfinished trajectories have no scores; leave them out.")


class Hindsight(Around):
    """Another behaviour's trajectories, a share of them relabelled with what they achieved.

    Goal-conditioned samplers rarely see a reward at first: few objects lie in the cone asked
    for. Each object lies in the middle of some cone, and teaches how to reach that. Where
    conditions follow from objects and not from their scores, `Achieved` does the same.

    Args:
        share: Share of the batch that is relabelled.
        inner: Where trajectories come from; the policy itself by default.
        relabel: Gives the other condition.

    Reference:
        Andrychowicz et al., Hindsight experience replay, 2017, https://arxiv.org/abs/1707.01495;
        Roy et al., Goal-conditioned GFlowNets, 2023, https://arxiv.org/abs/2306.04620
    """

    name = "hindsight"

    @checked
    def __init__(
        self,
        share: Probability = 0.3,
        inner: Behaviour | None = None,
        relabel: Relabelling = own_direction,
    ) -> None:
        super().__init__(inner)
        self.share, self.relabel = share, relabel
        self.gives = self.inner.gives | Source.OTHER

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only conditional environments with several scores and one source for all conditions."""
        if not env.num_scores or not env.condition_dim:
            return (
                "it needs a VectorReward whose scalarization reads a condition, such as "
                "gflow.rewards.scalarizations.Goals, and env.condition_dim set to its width. Where "
                "conditions follow from objects and not from scores: Achieved(outcome=...)."
            )
        if env.source_reads_condition:
            return "trajectories start where their condition says, so no other condition fits them."
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories of the inner behaviour, some relabelled."""
        batch = self.inner.collect(sampling, count)
        g = sampling.generator
        on = g.device if g is not None else torch.device("cpu")
        chosen = torch.randperm(len(batch), generator=g, device=on)
        chosen = chosen[: round(self.share * len(batch))].to(batch.length.device)
        if batch.complete is not None:
            chosen = chosen[batch.complete[chosen]]
        if not len(chosen):
            return batch
        assert batch.scores is not None
        assert batch.condition is not None
        condition = self.relabel(batch.scores[chosen], batch.condition[chosen])
        other = relabelled(sampling.env, replace(batch.select(chosen), complete=None), condition)
        return replace(
            batch,
            condition=batch.condition.index_put((chosen,), condition),
            log_reward=batch.log_reward.index_put((chosen,), other.log_reward),
        )
