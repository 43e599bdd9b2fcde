"""The sleep phase: what the model makes up teaches the sampler, which sees both sides of it."""

from collections.abc import Iterator
from typing import Any, NoReturn

import torch

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Count, Share
from gflow.checks import checked
from gflow.deferred import require
from gflow.em.reward import JointReward
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objective import Objective
from gflow.source import Source, source_refusal
from gflow.trajectories import Trajectories


class Dreams(Behaviour):
    """Trajectories drawn backward from latents z for rows x, (x, z) being drawn from the model.

    z is then an exact sample of p(z | x). Trained by maximum likelihood alone, with an `MStep` on
    rows of the data, this is the wake-sleep algorithm.

    Args:
        reward: The reward of the E-step, whose model dreams.

    Reference:
        Hinton et al., The wake-sleep algorithm for unsupervised neural networks, 1995
    """

    name = "dreams"
    gives = Source.TARGET

    def __init__(self, reward: JointReward) -> None:
        self.reward = reward

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Models that cannot be sampled from, and environments without moves back."""
        return self.reason(env) or super().refusal(env, objective)

    def reason(self, env: Environment[Any]) -> str | None:
        """Why nothing can be dreamed on `env`, or None."""
        if not self.reward.model.has_samples:
            return (
                f"{type(self.reward.model).__name__} defines no `sample(count, generator)`, which "
                f"returns pairs (x, z) of the model."
            )
        if not env.has_backward:
            return "trajectories to a dreamed z are drawn backward, and no moves back are defined."
        return None

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories, whose conditions call the rows dreamed last.

        Raises:
            IncompatibleError: If the model makes up latents that are not finished.
        """
        with torch.no_grad():
            x, z = self.reward.model.sample(count, sampling.generator)
        finished = sampling.env.can_end(z)

        def complain() -> NoReturn:
            row = int((~finished).nonzero()[0])
            raise IncompatibleError(
                f"{type(self.reward.model).__name__}.sample returned as z "
                f"{sampling.env.shown(z, row)} (row {row}), which is no finished object of "
                f"{sampling.env.name}. What the environment cannot build must be drawn anew there."
            )

        require(finished, complain, "dreamed latents")
        return sampling.sampler.backward(
            sampling.policy,
            z,
            condition=self.reward.data.dream(x).to(sampling.device),
            generator=sampling.generator,
        )


class Sleep(Around):
    r"""Another behaviour's batches, and after some of them a step on dreams.

    On dreams the sampler is trained by an objective of its own, maximum likelihood: it learns about
    all latents that the model likes, those that it never samples among them. The loss is

    .. math:: \mathbb{E}_{x, z \sim p} \bigl[-\log q(z \mid x)\bigr] + H(P_B(\tau \mid z))
              + KL(P_B(\tau \mid z) \,\|\, P_F(\tau \mid z, x)).

    Args:
        reward: The reward of the E-step, whose model dreams.
        objective: What dreams are trained by: `MaximumLikelihood`.
        share: Probability that a batch is followed by a dream.
        count: Trajectories dreamed at a time.
        inner: Where other batches come from; the policy itself by default.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576, with a share of 0.3 on images
    """

    name = "sleep"

    @checked
    def __init__(
        self,
        reward: JointReward,
        objective: Objective,
        share: Share = 1.0,
        count: Count = 32,
        inner: Behaviour | None = None,
    ) -> None:
        super().__init__(inner)
        self.dreams, self.objective = Dreams(reward), objective
        self.share, self.count = share, count
        self.gives = self.inner.gives

    @property
    def further_objective(self) -> Objective:
        """What dreams are trained by."""
        return self.objective

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What cannot be dreamed, or what the objective of dreams does not learn from."""
        if self.inner.further_objective is not None:
            return (
                f"{self.inner.name} has further batches with an objective of their own already, "
                f"and all further batches share one."
            )
        reason = source_refusal(self.dreams.gives, self.objective.learns_from)
        return self.dreams.reason(env) or reason or super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Those of the inner behaviour."""
        return self.inner.collect(sampling, count)

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        """A batch of dreams, with probability `share`."""
        if self.share < 1:
            g = sampling.generator
            on = g.device if g is not None else torch.device("cpu")
            if not bool(torch.rand((), generator=g, device=on) < self.share):
                return
        yield self.dreams.collect(sampling, self.count)
