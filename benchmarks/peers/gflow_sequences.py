"""Worker: trajectory balance on sequences with this library."""

import sys
from typing import Any

import torch
from gflow_hypergrid import trained
from protocol import WIDTH
from sequence_case import (
    BETA,
    DEPTH,
    EXPONENT,
    FEATURES,
    HEADS,
    PEAK,
    RADIUS,
    SequenceCase,
    SequenceProgress,
    serve,
)

from gflow import DiscreteEnvironment, MLPPolicy
from gflow.envs.sequences.bits import ModesFound, NearModes, bit_sequences
from gflow.envs.sequences.tfbind import tf_binding
from gflow.objectives import TrajectoryBalance
from gflow.policies.transformer import CausalTransformer
from gflow.training.trainer import TrainConfig, Trainer

COMPILED = sys.argv[1:] == ["compiled"]


class GFlow:
    """The library as a user drives it: a trainer and its steps, compiled or not."""

    def __init__(self, case: SequenceCase) -> None:
        torch.manual_seed(0)
        self.found: ModesFound | None = None
        env: DiscreteEnvironment[Any]
        if case.task == "tfbind":
            env = tf_binding(torch.tensor(case.values), "left_to_right", EXPONENT, PEAK)
        else:
            reward = NearModes(torch.tensor(case.modes), word=8, beta=BETA, form="distance")
            env = bit_sequences(reward, "any" if case.task == "bits-any" else "left_to_right")
            self.found = ModesFound(reward, RADIUS) if case.learn else None
        policy: MLPPolicy | CausalTransformer
        if case.network == "mlp":
            policy = MLPPolicy(env, width=WIDTH, depth=2, backward="uniform")
        else:
            policy = CausalTransformer(env, FEATURES, DEPTH, HEADS)
        with torch.no_grad():
            policy.head.weight *= case.head_scale
            policy.head.bias *= case.head_scale
        objective = TrajectoryBalance(log_z=case.first_log_z)
        config = TrainConfig(
            batch_size=case.batch,
            lr=case.learning_rate,
            log_z_lr=case.log_z_learning_rate,
            compile=COMPILED,
        )
        callbacks = [] if self.found is None else [self.found]
        self.trainer = Trainer(env, policy, objective, config, callbacks=callbacks)
        parts = [*policy.parameters(), *objective.parameters()]
        self.parameters = sum(p.numel() for p in parts)

    def train(self, iterations: int) -> SequenceProgress:
        """Sample, evaluate and step."""
        length, record = trained(self.trainer, iterations)
        modes = None if self.found is None else len(self.found)
        return SequenceProgress(length, record["loss"], record["log_z"], modes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(GFlow, ["torch", "gflow-torch"])
