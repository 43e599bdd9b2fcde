"""gfn-diffusion's own classes, from a checkout of its repository, with the settings of its README.

https://github.com/GFNOrg/gfn-diffusion (Sendera et al. 2024, https://arxiv.org/abs/2402.05098). Its
modules have top-level names (`models`, `energies`, `utils`), so they are imported here alone.
"""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class GfnDiffusion:
    """Trajectory balance on 25 Gaussians as its `train.py` does it.

    Args:
        checkout: Folder of the repository.
        steps: T.
        rate: Diffusion rate.
        batch: Trajectories per iteration.
        scores: Read the score of the target.
    """

    def __init__(self, checkout: Path, steps: int, rate: float, batch: int, scores: bool) -> None:
        sys.path.insert(0, str(checkout / "energy_sampling"))
        self.losses: Any = import_module("gflownet_losses")
        utils: Any = import_module("utils")
        energies: Any = import_module("energies.twenty_five_gmm")
        self.energy = energies.TwentyFiveGaussianMixture(device="cpu")
        self.gfn = import_module("models.gfn").GFN(
            2, 64, 64, 64, 64,
            t_scale=rate,
            langevin=scores,
            learned_variance=False,
            clipping=True,
            langevin_scaling_per_dimension=False,
            pis_architectures=True,
            zero_init=True,
            device=torch.device("cpu"),
        )  # fmt: skip
        self.optimizer = utils.get_gfn_optimizer(self.gfn, 1e-3, 1e-1, 1e-3)
        self.grid = partial(utils.uniform_discretizer, trajectory_length=steps)
        self.batch = batch

    @property
    def parameters(self) -> int:
        """Number of those that this setting uses: a score's scale is made in any case."""
        unused = [] if self.gfn.langevin else list(self.gfn.langevin_scaling_model.parameters())
        total = sum(p.numel() for p in self.gfn.parameters())
        return total - sum(p.numel() for p in unused)

    def log_weight(self) -> tuple[Tensor, Tensor]:
        """(B, T + 1, d) new trajectories and their (B,) log-weights."""
        start = torch.zeros(self.batch, 2)
        sample = self.gfn.get_trajectory_fwd
        states, log_pf, log_pb, _ = sample(start, self.grid, None, self.energy.log_reward)
        log_reward = self.energy.log_reward(states[:, -1])
        return states, log_reward + log_pb.sum(-1) - log_pf.sum(-1)

    def train_step(self) -> None:
        """One iteration."""
        self.gfn.zero_grad()
        start = torch.zeros(self.batch, 2)
        loss = self.losses.fwd_tb(start, self.gfn, self.energy.log_reward, self.grid)
        loss.backward()
        self.optimizer.step()
