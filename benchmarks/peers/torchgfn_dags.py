"""Worker: modified detailed balance on graphs with torchgfn, by its own sampler, score and loss.

Its graph policies carry heads for building nodes, too. To have equal parameters the network here is
a plain perceptron that fills those heads with constants, and that reads the adjacency without the
loop over graphs of torchgfn's own module.
"""

from typing import Any

import pandas as pd
import torch
from dag_case import STOP, DagCase, serve
from gfn.actions import GraphActions, GraphActionType
from gfn.estimators import DiscreteGraphPolicyEstimator
from gfn.gflownet import ModifiedDBGFlowNet
from gfn.gym.bayesian_structure import BayesianStructure
from gfn.gym.helpers.bayesian_structure.priors import UniformPrior
from gfn.gym.helpers.bayesian_structure.scores import BGeScore
from gfn.samplers import Sampler
from gfn.utils.modules import GraphActionUniform
from protocol import Progress
from tensordict import TensorDict
from torch import nn


class EdgeMLP(nn.Module):
    """d^2 bits to the logits of d^2 edges and of the stop."""

    def __init__(self, variables: int, width: int) -> None:
        super().__init__()
        self.variables, self.edges_dim = variables, variables**2
        self.input_dim = self.edges_dim
        self.trunk = nn.Sequential(
            nn.Linear(self.edges_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, self.edges_dim + 1)

    def forward(self, graphs: Any) -> TensorDict:
        """Logits of every part of an action."""
        count, d = len(graphs), self.variables
        bits = torch.zeros(count, d, d)
        source, target = graphs.edge_index
        number = source // d  # all graphs have d nodes
        bits[number, source - number * d, target - number * d] = 1
        out = self.head(self.trunk(bits.flatten(1)))
        kind = torch.full((count, 3), -torch.inf)
        kind[:, GraphActionType.ADD_EDGE] = 0.0
        kind[:, GraphActionType.EXIT] = out[:, -1]
        return TensorDict(
            {
                GraphActions.ACTION_TYPE_KEY: kind,
                GraphActions.NODE_CLASS_KEY: torch.zeros(count, d),
                GraphActions.NODE_INDEX_KEY: torch.zeros(count, d),
                GraphActions.EDGE_CLASS_KEY: torch.zeros(count, 1),
                GraphActions.EDGE_INDEX_KEY: out[:, :-1],
            },
            batch_size=count,
        )


class TorchGFN:
    """torchgfn's environment, BGe score, sampler and modified detailed balance."""

    def __init__(self, case: DagCase) -> None:
        torch.manual_seed(0)
        self.batch = case.batch
        score = BGeScore(pd.DataFrame(case.data), UniformPrior())
        self.env = BayesianStructure(case.variables, score.state_evaluator)
        network = EdgeMLP(case.variables, case.width)
        with torch.no_grad():
            network.head.weight *= case.head_scale
            network.head.bias *= case.head_scale
            network.head.bias[-1] += STOP
        uniform = GraphActionUniform(case.variables**2, 1, case.variables)
        pf = DiscreteGraphPolicyEstimator(network)
        pb = DiscreteGraphPolicyEstimator(uniform, is_backward=True)
        self.sampler, self.gflownet = Sampler(pf), ModifiedDBGFlowNet(pf, pb)
        self.parameters = sum(p.numel() for p in network.parameters())
        self.optimizer = torch.optim.Adam(network.parameters(), case.learning_rate, fused=True)

    def train(self, iterations: int) -> Progress:
        """Sample, score and step."""
        actions = 0.0
        for _ in range(iterations):
            with torch.no_grad():
                trajectories = self.sampler.sample_trajectories(self.env, n=self.batch)
            loss = self.gflownet.loss(self.env, trajectories.to_transitions())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            actions += trajectories.terminating_idx.sum().item()
        return Progress(actions / (iterations * self.batch), loss.item(), 0.0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributions.Distribution.set_default_validate_args(False)
    serve(TorchGFN, ["torchgfn", "torch"])
