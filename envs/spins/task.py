"""`gflow train spins`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import WIDEST_STRIP, IsingReward
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class SpinsTask(Task[EnergyModel]):
    """Ising spins on a lattice, set one by one in any order.

    Attributes:
        height: Rows.
        width: Columns.
        coupling: sigma; each edge contributes 2 sigma s_i s_j to the log-reward.
        field: b; each spin contributes b s_i.
        periodic: Torus instead of grid.
        hidden: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy; all orders are equally likely under the uniform one.
    """

    name: ClassVar[str] = "spins"
    summary: ClassVar[str] = "Ising spins on a torus or grid; log Z by transfer matrix"
    train: ClassVar[TrainConfig] = TrainConfig(steps=2000, batch_size=64)
    run: ClassVar[RunOptions] = RunOptions(threads=1)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_log_reward",
        "magnetisation",
        "log_z",
        "log_z_error",
        "elbo",
        "ess",
    )

    height: Count = 3
    width: Count = 3
    coupling: float = 0.1
    field: float = 0.2
    periodic: bool = True
    hidden: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "uniform"

    def environment(self) -> EnergyModel:
        """The lattice."""
        reward = IsingReward(self.height, self.width, self.coupling, self.field, self.periodic)
        return EnergyModel(reward)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env, self.hidden, self.depth, own_backward(self.backward), log_flow=needs.log_flow
        )

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of configurations: Z without couplings and fields."""
        return self.height * self.width * math.log(2)

    def rewards(
        self, env: EnergyModel, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Log R is minus an energy, and that is reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Means over the sample, and how far they are from the exact ones."""
        reward = context.env.reward
        assert isinstance(reward, IsingReward)
        numbers = {
            "magnetisation": float(reward.magnetisation(objects).mean()),
            "neighbour_correlation": float(reward.neighbour_correlation(objects).mean()),
        }
        if min(self.height, self.width) <= WIDEST_STRIP:
            exact = reward.exact
            numbers |= {
                "magnetisation_error": abs(numbers["magnetisation"] - exact.magnetisation),
                "neighbour_correlation_error": abs(
                    numbers["neighbour_correlation"] - exact.neighbour_correlation
                ),
            }
        return numbers

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """Configurations, and their mean spins against exact ones."""
        from gflow.envs.spins.draw import lattices, means

        reward = shown.env.reward
        assert isinstance(reward, IsingReward)
        spins = reward.spins(shown.objects)
        exact = None if shown.target is None else reward.spins(shown.target[0])
        return {
            "configurations": lattices(spins, self.height, self.width),
            "mean_spins": means(shown, spins, exact),
        }
