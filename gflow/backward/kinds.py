"""The backward policies that there are, each with its settings."""

from typing import Any

from gflow.backward.base import BackwardPolicy, Start, start_at
from gflow.backward.count import CountRegression, TrajectoryCount
from gflow.backward.fits import LikelihoodBackward, PessimisticBackward
from gflow.bounds import Bounds, Count, Probability, Rate
from gflow.checks import check_range
from gflow.environment.base import Environment
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.policies.split import SplitPolicy

DECAY = Bounds(0, 1, open_low=True)


class Learned(BackwardPolicy):
    """A head of the policy, trained by the objective.

    Args:
        start: "uniform" zeroes the head, so that P_B starts uniform over actions.
    """

    name, head = "learned", "learned"

    def __init__(self, start: Start = "random") -> None:
        self.start = start

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """The policy itself."""
        start_at(self.start, policy)
        return policy, []


class Fixed(BackwardPolicy):
    """One that nothing trains."""

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """The policy itself."""
        return policy, []


class Uniform(Fixed):
    """Uniform over the parents of a state."""

    name, head = "uniform", "uniform"


class MaximumEntropy(Fixed):
    """In proportion to the number of trajectories to each parent, which the environment knows."""

    name, head = "maxent", "maxent"


class Separate(BackwardPolicy):
    """A second network, trained by the objective.

    Args:
        start: "uniform" zeroes its last layer, so that P_B starts uniform over actions.
    """

    name, head, network = "separate", "uniform", "backward"

    def __init__(self, start: Start = "random") -> None:
        self.start = start

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """Both networks as one policy."""
        assert network is not None
        start_at(self.start, network)
        return SplitPolicy(policy, network, detached=False), []


class Pessimistic(BackwardPolicy):
    """A second network, fitted to the trajectories of recent batches.

    Args:
        lr: Learning rate of the fit.
        decay: The rate is multiplied by it after every batch. P_B must come to rest for the sampler
            to converge: 0.999 is published for grids; nearer to 1 suits long runs.
        steps: Gradient steps per batch.
        batches: Batches that are remembered.
        start: "uniform" zeroes the last layer, so that P_B starts uniform over actions.

    Reference:
        Jang et al., Pessimistic Backward Policy for GFlowNets, 2024,
        https://arxiv.org/abs/2405.16012
    """

    name, head, network = "pessimistic", "uniform", "backward"

    def __init__(
        self,
        lr: Rate = 1e-3,
        decay: float = 0.999,
        steps: Count = 8,
        batches: Count = 20,
        start: Start = "uniform",
    ) -> None:
        check_range("Pessimistic", DECAY, decay=decay)
        check_range("Pessimistic", Bounds(1), steps=steps, batches=batches)
        check_range("Pessimistic", Bounds(0, 1000, open_low=True), lr=lr)
        self.lr, self.decay, self.steps, self.batches = lr, decay, steps, batches
        self.start = start

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """Both networks as one policy, and the fit of the second."""
        assert network is not None
        start_at(self.start, network)
        fit = PessimisticBackward(env, network, self.lr, self.decay, self.batches, self.steps)
        return SplitPolicy(policy, network, detached=True), [fit]


class TrajectoryLikelihood(BackwardPolicy):
    """A second network, fitted to each batch, of which a slower copy is used.

    Args:
        lr: Learning rate of the fit.
        decay: The rate is multiplied by it after every batch. P_B must come to rest for the sampler
            to converge: 0.999 is published for grids; nearer to 1 suits long runs.
        tau: Share that the copy moves per batch.
        start: "uniform" zeroes the last layer, so that P_B starts uniform over actions.

    Reference:
        Gritsaev et al., Optimizing Backward Policies in GFlowNets via Trajectory Likelihood
        Maximization, 2024, https://arxiv.org/abs/2410.15474
    """

    name, head, network = "tlm", "uniform", "backward"

    def __init__(
        self,
        lr: Rate = 1e-3,
        decay: float = 0.999,
        tau: Probability = 0.25,
        start: Start = "uniform",
    ) -> None:
        check_range("TrajectoryLikelihood", DECAY, decay=decay)
        check_range("TrajectoryLikelihood", Bounds(0, 1), tau=tau)
        check_range("TrajectoryLikelihood", Bounds(0, 1000, open_low=True), lr=lr)
        self.lr, self.decay, self.tau, self.start = lr, decay, tau, start

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """Both networks as one policy, and the fit of the second."""
        assert network is not None
        start_at(self.start, network)
        fit = LikelihoodBackward(network, self.lr, self.decay, self.tau)
        return SplitPolicy(policy, network, detached=True), [fit]


class LearnedMaximumEntropy(BackwardPolicy):
    """In proportion to a learned number of trajectories to each parent.

    Args:
        lr: Learning rate of the fit.
        decay: The rate is multiplied by it after every batch.
        steps: Gradient steps per batch.

    Reference:
        Mohammadpour et al., Maximum entropy GFlowNets with soft Q-learning, 2024,
        https://arxiv.org/abs/2312.14331
    """

    name, head, network = "learned_maxent", "uniform", "log_flow"

    def __init__(self, lr: Rate = 1e-3, decay: float = 0.999, steps: Count = 1) -> None:
        check_range("LearnedMaximumEntropy", DECAY, decay=decay)
        check_range("LearnedMaximumEntropy", Bounds(1), steps=steps)
        check_range("LearnedMaximumEntropy", Bounds(0, 1000, open_low=True), lr=lr)
        self.lr, self.decay, self.steps = lr, decay, steps

    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """A policy whose P_B is that of the numbers, and their fit."""
        assert network is not None
        count = TrajectoryCount(network)
        fit = CountRegression(count, self.lr, self.decay, self.steps)
        return SplitPolicy(policy, count, detached=True), [fit]
