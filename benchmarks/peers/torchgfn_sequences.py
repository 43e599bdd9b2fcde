"""Worker: trajectory balance on bit strings with torchgfn, by its own sampler and loss.

As in `torchgfn_hypergrid.py` the faster of its two loops: sampling without gradients, and
log-probabilities computed again in the loss. On the tree of prefixes it is told that P_B is 1,
which spares it the backward masks. The networks are ours: a sum of embeddings in place of a matrix
product with one-hot input, or PyTorch's transformer, and a constant for the logit of its exit,
which is never a choice.
"""

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym.bitSequence import BitSequence
from gfn.gym.bitSequenceNonAutoregressive import NonAutoregressiveBitSequence
from gfn.samplers import Sampler
from gfn.utils.modules import DiscreteUniform
from protocol import WIDTH
from sequence_case import (
    BETA,
    DEPTH,
    FEATURES,
    HEADS,
    NUM_BITS,
    NUM_MODES,
    RADIUS,
    SequenceCase,
    SequenceProgress,
    serve,
)
from torch import Tensor, nn
from torch.nn import functional as F


class TokenMLP(nn.Module):
    """(..., L) words, -1 for a blank, to the logits of all actions."""

    offset: Tensor

    def __init__(self, case: SequenceCase) -> None:
        super().__init__()
        self.input_dim, self.blank = case.length, case.symbols
        rows = case.length * (case.symbols + 1)
        self.table = nn.Parameter(torch.randn(rows, WIDTH) / case.length**0.5)
        self.bias = nn.Parameter(torch.zeros(WIDTH))
        self.hidden, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, case.actions)
        with torch.no_grad():
            self.head.weight *= case.head_scale
            self.head.bias *= case.head_scale
        self.register_buffer("offset", torch.arange(case.length) * (case.symbols + 1))

    def forward(self, states: Tensor) -> Tensor:
        """Logits."""
        words = states.masked_fill(states < 0, self.blank).flatten(0, -2) + self.offset
        x = F.relu(F.embedding_bag(words, self.table, mode="sum") + self.bias)
        out = F.pad(self.head(F.relu(self.hidden(x))), (0, 1))
        return out.unflatten(0, states.shape[:-1])


class Transformer(nn.Module):
    """(..., L) words, -1 for a blank, to the logits of all actions; it reads each prefix anew."""

    def __init__(self, case: SequenceCase) -> None:
        super().__init__()
        self.input_dim, self.blank = case.length, case.symbols
        self.symbol = nn.Embedding(case.symbols + 1, FEATURES)
        self.place = nn.Parameter(torch.randn(case.length + 1, FEATURES))
        block = nn.TransformerEncoderLayer(
            FEATURES, HEADS, 4 * FEATURES, dropout=0.0, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(FEATURES)
        self.blocks = nn.TransformerEncoder(block, DEPTH, norm, enable_nested_tensor=False)
        self.head = nn.Linear(FEATURES, case.actions)
        with torch.no_grad():
            self.head.weight *= case.head_scale
            self.head.bias *= case.head_scale

    def forward(self, states: Tensor) -> Tensor:
        """Logits."""
        words = states.masked_fill(states < 0, self.blank).flatten(0, -2)
        opened = F.pad(words, (1, 0), value=self.blank)
        read = self.blocks(self.symbol(opened) + self.place)[:, 0]
        return F.pad(self.head(read), (0, 1)).unflatten(0, states.shape[:-1])


class TorchGFN:
    """torchgfn's environment, sampler and loss."""

    def __init__(self, case: SequenceCase) -> None:
        torch.manual_seed(0)
        self.case = case
        if case.task == "bits":
            self.env = BitSequence(8, NUM_BITS, NUM_MODES, temperature=1 / BETA)
        else:
            modes = torch.tensor(case.modes)
            self.env = NonAutoregressiveBitSequence(
                8, NUM_BITS, NUM_MODES, reward_exponent=BETA * NUM_BITS, H=modes
            )
        self.env.modes = torch.tensor(case.modes)
        self.found = torch.zeros(NUM_MODES, dtype=torch.bool)
        network = TokenMLP(case) if case.network == "mlp" else Transformer(case)
        pf = DiscretePolicyEstimator(network, self.env.n_actions)
        pb = None
        if case.task != "bits":
            uniform = DiscreteUniform(self.env.n_actions - 1)
            uniform.input_dim = case.length
            pb = DiscretePolicyEstimator(uniform, self.env.n_actions, is_backward=True)
        self.sampler = Sampler(pf)
        self.gflownet = TBGFlowNet(pf, pb, init_logZ=case.first_log_z, constant_pb=pb is None)
        self.parameters = sum(p.numel() for p in self.gflownet.parameters())
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(pf.parameters()), "lr": case.learning_rate},
                {"params": self.gflownet.logz_parameters(), "lr": case.log_z_learning_rate},
            ],
            fused=True,
        )

    def train(self, iterations: int) -> SequenceProgress:
        """Sample, score and step."""
        actions = 0.0
        for _ in range(iterations):
            with torch.no_grad():
                trajectories = self.sampler.sample_trajectories(
                    self.env, n=self.case.batch, save_logprobs=False
                )
            loss = self.gflownet.loss(self.env, trajectories, recalculate_all_logprobs=True)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            actions += (trajectories.terminating_idx - 1).sum().item()  # less the exit
            if self.case.learn:
                self._look(trajectories.terminating_states.tensor)
        modes = int(self.found.sum()) if self.case.learn else None
        mean_length = actions / (iterations * self.case.batch)
        return SequenceProgress(mean_length, loss.item(), self.gflownet.logZ.item(), modes)

    def _look(self, words: Tensor) -> None:
        bits = (words[..., None] >> torch.arange(7, -1, -1) & 1).flatten(1)
        distance = (bits[:, None] != self.env.modes).sum(-1)
        self.found |= (distance <= RADIUS).any(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributions.Distribution.set_default_validate_args(False)
    serve(TorchGFN, ["torchgfn", "torch"])
