"""Worker: trajectory balance on a hypergrid in plain tensors, with no library at all.

The yardstick of what PyTorch allows: integer states, only the rows that still move, a sum of
embeddings in place of a linear layer on one-hot input, sampling without gradients followed by one
pass over all visited states for both policies, fused Adam. Nothing is checked.
"""

import torch
from protocol import R0, R1, R2, WIDTH, Case, Progress, serve
from torch import Tensor, nn
from torch.nn import functional as F


class Network(nn.Module):
    """Logits of d + 1 forward and d backward actions, side by side."""

    first_row: Tensor

    def __init__(self, case: Case) -> None:
        super().__init__()
        dim, side = case.dim, case.side
        self.embedding = nn.Parameter(torch.randn(dim * side, WIDTH) / dim**0.5)
        self.bias = nn.Parameter(torch.zeros(WIDTH))
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.heads = nn.Linear(WIDTH, 2 * dim + 1)
        with torch.no_grad():
            self.heads.weight *= case.head_scale
            self.heads.bias *= case.head_scale
            self.heads.bias[dim] += case.stop_bias
        self.register_buffer("first_row", torch.arange(dim) * side)

    def forward(self, states: Tensor) -> Tensor:
        """(N, d) int64 to (N, 2d + 1)."""
        rows = states + self.first_row
        features = F.embedding_bag(rows, self.embedding, mode="sum") + self.bias
        return self.heads(F.relu(self.hidden(F.relu(features))))


class Sketch:
    """The work of an iteration in few tensor operations."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.case = case
        self.network, self.log_z = Network(case), nn.Parameter(torch.zeros(()))
        groups = [
            {"params": self.network.parameters(), "lr": case.learning_rate},
            {"params": [self.log_z], "lr": case.log_z_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.parameters = sum(p.numel() for p in [*self.network.parameters(), self.log_z])

    def train(self, iterations: int) -> Progress:
        """Sample, score and step."""
        visits = 0
        for _ in range(iterations):
            loss = self._loss(*self._rollout())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            visits += len(self._visited)
        mean_length = visits / (iterations * self.case.batch)
        return Progress(mean_length, loss.item(), self.log_z.item())

    def bare(self) -> None:
        """The passes of sampling without gradient, then one forward and backward pass over all."""
        with torch.no_grad():
            for states in self._fronts:
                self.network(states)
        self.network(self._visited).sum().backward()

    @torch.no_grad()
    def _rollout(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States (N, d), actions (N,) and trajectories (N,), step by step, and ends (B, d)."""
        dim, top = self.case.dim, self.case.side - 1
        states = torch.zeros(self.case.batch, dim, dtype=torch.long)
        rows = torch.arange(self.case.batch)
        ends = torch.empty_like(states)
        fronts: list[tuple[Tensor, Tensor, Tensor]] = []
        while rows.numel():
            logits = self.network(states)[:, : dim + 1].clone()
            logits[:, :dim].masked_fill_(states == top, -torch.inf)
            noise = torch.empty_like(logits).exponential_().log()
            actions = (logits - noise).argmax(-1)
            fronts.append((states, actions, rows))
            stops = actions == dim
            ends[rows[stops]] = states[stops]
            moves = ~stops
            axes = actions[moves]
            states = states[moves].scatter_add(1, axes[:, None], torch.ones_like(axes)[:, None])
            rows = rows[moves]
        self._fronts = [front for front, _, _ in fronts]
        self._visited, all_actions, all_rows = (
            torch.cat(parts) for parts in zip(*fronts, strict=True)
        )
        return self._visited, all_actions, all_rows, ends

    def _loss(self, states: Tensor, actions: Tensor, rows: Tensor, ends: Tensor) -> Tensor:
        dim, top = self.case.dim, self.case.side - 1
        logits = self.network(states)
        moves = logits[:, :dim].masked_fill(states == top, -torch.inf)
        log_pf = torch.cat([moves, logits[:, dim : dim + 1]], 1).log_softmax(-1)
        log_pf = log_pf.gather(1, actions[:, None]).squeeze(1)

        # By trajectory: each state but the first of a row was entered by the action before it.
        order = torch.argsort(rows, stable=True)
        states, actions, by_row = states[order], actions[order], rows[order]
        entered = torch.zeros_like(by_row, dtype=torch.bool)
        entered[1:] = by_row[1:] == by_row[:-1]
        parents = logits[order, dim + 1 :].masked_fill(states == 0, -torch.inf)[entered]
        log_pb = parents.log_softmax(-1).gather(1, actions[:-1][entered[1:], None]).squeeze(1)

        score = torch.zeros(self.case.batch)
        score = score.index_add(0, rows, log_pf).index_add(0, by_row[entered], -log_pb)
        return (self.log_z + score - log_reward(ends, self.case.side)).square().mean()


def log_reward(states: Tensor, side: int) -> Tensor:
    """(N, d) int64 to (N,)."""
    offset = (states / (side - 1) - 0.5).abs()
    ring, band = (offset > 0.25).all(-1), ((offset > 0.3) & (offset < 0.4)).all(-1)
    return (R0 + R1 * ring + R2 * band).log()


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(Sketch, ["torch"])
