"""Worker: modified detailed balance on graphs with this library."""

import sys

import torch
from dag_case import STOP, DagCase, serve
from gflow_hypergrid import trained
from protocol import Progress

from gflow.envs.dags.env import Dags
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.objectives import ModifiedDetailedBalance
from gflow.training.trainer import TrainConfig, Trainer

COMPILED = sys.argv[1:] == ["compiled"]


class GFlow:
    """The library as a user drives it: a trainer and its steps, compiled or not."""

    def __init__(self, case: DagCase) -> None:
        torch.manual_seed(0)
        env = Dags(case.variables, BGe(torch.tensor(case.data)))
        policy = DagPolicy(env, width=case.width, depth=2)
        with torch.no_grad():
            policy.head.weight *= case.head_scale
            policy.head.bias *= case.head_scale
            policy.head.bias[-1] += STOP
        config = TrainConfig(batch_size=case.batch, lr=case.learning_rate, compile=COMPILED)
        self.trainer = Trainer(env, policy, ModifiedDetailedBalance(), config)
        self.parameters = sum(p.numel() for p in policy.parameters())

    def train(self, iterations: int) -> Progress:
        """Sample, evaluate and step."""
        length, record = trained(self.trainer, iterations)
        return Progress(length, record["loss"], 0.0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(GFlow, ["torch", "gflow-torch"])
