"""Training on a collection of graphs, different ones at every step."""

from typing import Any

import torch

from gflow.envs.node_subsets import NodeSubsets
from gflow.errors import ConfigError, IncompatibleError
from gflow.rollout import Sampler
from gflow.training import TrainConfig, Trainer
from gflow.trajectories import Trajectories


class GraphTrainer(Trainer):
    """A `Trainer` whose batches are about graphs drawn anew from the environment's collection.

    Every batch holds ``batch_size / repeat`` different graphs (as far as there are so many),
    `repeat` trajectories of each. Trajectories carry the number of their graph as condition, so
    that log-partition variance compares those of the same graph.

    Args:
        env: A node-by-node environment; graphs are drawn from its `turn`.
        policy: The policy.
        objective: One that needs no single log Z: "db" and "subtb", or "vargrad" with repeat >= 2.
        config: How to train; without replay.
        repeat: Trajectories per graph.
        options: As for `Trainer`.

    Raises:
        ConfigError: If `repeat` does not divide the batch size, or a replay memory is asked for.
        IncompatibleError: If the objective has one log Z for all graphs, or compares trajectories
            and has only one per graph.
    """

    env: NodeSubsets[Any]

    def __init__(
        self,
        env: NodeSubsets[Any],
        policy: Any,
        objective: Any,
        config: TrainConfig = TrainConfig(),
        *,
        repeat: int = 1,
        **options: Any,
    ) -> None:
        if repeat < 1 or config.batch_size % repeat:
            raise ConfigError(
                f"GraphTrainer: repeat must divide the batch size {config.batch_size}, got "
                f"{repeat}."
            )
        if config.replay:
            raise ConfigError("GraphTrainer keeps no replay memory. Set replay=0.")
        if objective.name == "tb" and len(env.turn) > 1:
            raise IncompatibleError(
                f"TrajectoryBalance learns one log Z, and each of the {len(env.turn)} graphs has "
                f"its own. Use LogPartitionVariance, DetailedBalance or SubTrajectoryBalance."
            )
        if objective.name == "vargrad" and repeat < 2:
            raise IncompatibleError(
                "LogPartitionVariance compares trajectories of the same graph. Set repeat=2 or "
                "more."
            )
        super().__init__(env, policy, objective, config, **options)
        self.repeat = repeat

    def sample(self) -> Trajectories[Any]:
        """The next training batch, on fresh graphs."""
        turn, count = self.env.turn, self.config.batch_size
        order = torch.randperm(len(turn), generator=self.generator, device=self.device).cpu()
        drawn = turn[order[: count // self.repeat]].repeat_interleave(self.repeat)
        view = self.env.on(drawn)
        graphs = view.initial(count, self.device).graph
        return Sampler(view, self.config.plan).forward(
            self.policy,
            count,
            exploration=self.exploration,
            condition=graphs[:, None].to(torch.get_default_dtype()),
            generator=self.generator,
            device=self.device,
        )
