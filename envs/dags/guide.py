"""What the scores already say about good actions, so that a network need not learn it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.envs.dags.env import DagState, dag_states
from gflow.envs.dags.local_scores import DeterminantScore


class DeltaGuide:
    """The change of log R by each edge, 0 for the stop.

    Greedy: it knows what an edge brings now, and not what it leaves to be gained.

    Args:
        score: The score of the graphs.
        beta: Inverse temperature of the reward.
    """

    def __init__(self, score: DeterminantScore, beta: float = 1.0) -> None:
        self.score, self.beta = score, beta

    def __call__(self, states: DagState) -> Tensor:
        """(B, d^2 + 1) logits."""
        return F.pad(self.beta * self.score.delta(states).flatten(1), (0, 1))


class CompletionGuide:
    r"""The flow into each child, had it no descendants but itself and one complete graph.

    .. math:: \log \frac{(R(s') + C) \, P_B(s \mid s')}{R(s)}, \quad P_B(s \mid s') = 1 / |E(s')|

    for an edge and 0 for the stop; the solution has F(s') in place of R(s') + C. Every graph can be
    completed, whatever edges it has, and where scores respect Markov equivalence all complete
    graphs have the same reward C. So while log R(s) is far below log C any edge is as good as any
    other, whatever it brings now, and later only what it brings counts.

    Args:
        score: The score of the graphs.
        beta: Inverse temperature of the reward.
    """

    def __init__(self, score: DeterminantScore, beta: float = 1.0) -> None:
        self.score, self.beta = score, beta
        complete = torch.ones(1, score.variables, score.variables).triu(1).bool()
        self._complete = beta * float(score(dag_states(complete)))

    def __call__(self, states: DagState) -> Tensor:
        """(B, d^2 + 1) logits."""
        value, delta = self.score.value_and_delta(states)
        missing = self._complete - self.beta * value
        edges = states.adjacency.flatten(1).sum(-1, keepdim=True) + 1
        flow = torch.logaddexp(self.beta * delta.flatten(1), missing[:, None]) - edges.log()
        return F.pad(flow, (0, 1))
