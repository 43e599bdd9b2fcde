"""Worker: trajectory balance on a hypergrid with torchgfn, by its own sampler and loss.

The faster of the two loops that torchgfn offers: sampling without gradients and log-probabilities
computed again in the loss. Nothing optional is on: no debug checks, no counting of modes, no
validation of the arguments of distributions. With the word "tutorial", as its own examples train:
the log-probabilities of sampling are kept with their graph, Adam is the default one, and
distributions validate.
"""

import sys

import torch

TUTORIAL = "tutorial" in sys.argv[1:]

from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP
from protocol import R0, R1, R2, WIDTH, Case, Progress, serve


class TorchGFN:
    """Two of torchgfn's MLPs on one trunk."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.batch = case.batch
        reward = {"R0": R0, "R1": R1, "R2": R2}
        self.env = HyperGrid(case.dim, case.side, reward_fn_kwargs=reward)
        one_hot = KHotPreprocessor(case.side, case.dim)
        forward = MLP(one_hot.output_dim, case.dim + 1, WIDTH, n_hidden_layers=2)
        backward = MLP(one_hot.output_dim, case.dim, trunk=forward.trunk)
        with torch.no_grad():
            for head in (forward.last_layer, backward.last_layer):
                head.weight *= case.head_scale
                head.bias *= case.head_scale
            forward.last_layer.bias[-1] += case.stop_bias

        actions = self.env.n_actions
        pf = DiscretePolicyEstimator(forward, actions, preprocessor=one_hot)
        pb = DiscretePolicyEstimator(backward, actions, preprocessor=one_hot, is_backward=True)
        self.sampler = Sampler(pf)
        self.gflownet = TBGFlowNet(pf, pb, init_logZ=0.0)
        self.parameters = sum(p.numel() for p in self.gflownet.parameters())
        self.optimizer = torch.optim.Adam(
            [
                {"params": self.gflownet.pf_pb_parameters(), "lr": case.learning_rate},
                {"params": self.gflownet.logz_parameters(), "lr": case.log_z_learning_rate},
            ],
            fused=not TUTORIAL,
        )

    def train(self, iterations: int) -> Progress:
        """Sample, score and step."""
        actions = 0.0
        for _ in range(iterations):
            with torch.set_grad_enabled(TUTORIAL):
                trajectories = self.sampler.sample_trajectories(
                    self.env, n=self.batch, save_logprobs=TUTORIAL
                )
            loss = self.gflownet.loss(self.env, trajectories, recalculate_all_logprobs=not TUTORIAL)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            actions += trajectories.terminating_idx.sum().item()
        mean_length = actions / (iterations * self.batch)
        return Progress(mean_length, loss.item(), self.gflownet.logZ.item())


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributions.Distribution.set_default_validate_args(TUTORIAL)
    serve(TorchGFN, ["torchgfn", "torch"])
