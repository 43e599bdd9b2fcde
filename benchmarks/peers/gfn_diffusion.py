"""gfn-diffusion's own classes, from a checkout of its repository, with the settings of its README.

https://github.com/GFNOrg/gfn-diffusion (Sendera et al. 2024, https://arxiv.org/abs/2402.05098). Its
modules have top-level names (`models`, `energies`, `utils`), so they are imported here alone. Older
revisions (7c350b4, say) hold the number of steps in the network and embed one time for all rows;
newer ones (0f90700) take a discretizer and embed a time for every row. Both are driven here.
"""

import inspect
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

SEARCH = SimpleNamespace(
    max_iter_ls=200, burn_in=100, ld_step=0.01, ld_schedule=True, target_acceptance_rate=0.574
)
"""The local search of its README: `--local_search --ld_step 0.01 --ld_schedule`."""

CYCLE, REMEMBERED = 100, 600_000


class GfnDiffusion:
    """Trajectory balance on 25 Gaussians as its `train.py` does it.

    Args:
        checkout: Folder of the repository.
        steps: T.
        rate: Diffusion rate.
        batch: Trajectories per iteration.
        scores: Read the score of the target.
        search: Every other batch backward from what Langevin chains found, with two memories.
    """

    def __init__(
        self,
        checkout: Path,
        steps: int,
        rate: float,
        batch: int,
        scores: bool,
        search: bool = False,
    ) -> None:
        sys.path.insert(0, str(checkout / "energy_sampling"))
        self.losses: Any = import_module("gflownet_losses")
        utils: Any = import_module("utils")
        energies: Any = import_module("energies.twenty_five_gmm")
        self.energy = energies.TwentyFiveGaussianMixture(device="cpu")
        kind: Any = import_module("models.gfn").GFN
        own_steps = "trajectory_length" in inspect.signature(kind).parameters
        self.gfn = kind(
            2, 64, 64, 64, 64,
            t_scale=rate,
            langevin=scores,
            learned_variance=False,
            clipping=True,
            langevin_scaling_per_dimension=False,
            pis_architectures=True,
            zero_init=True,
            device=torch.device("cpu"),
            **({"trajectory_length": steps} if own_steps else {}),
        )  # fmt: skip
        self.optimizer = utils.get_gfn_optimizer(self.gfn, 1e-3, 1e-1, 1e-3)
        grid = None if own_steps else partial(utils.uniform_discretizer, trajectory_length=steps)
        self.grid = [] if grid is None else [grid]
        self.batch, self.iteration = batch, 0
        self.memories: list[Any] = []
        if search:
            self.search: Any = import_module("langevin").langevin_dynamics
            kind = import_module("buffer").ReplayBuffer
            self.memories = [
                kind(REMEMBERED, "cpu", self.energy.log_reward, batch, prioritized="rank")
                for _ in range(2)
            ]

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
        states, log_pf, log_pb, _ = sample(start, *self.grid, None, self.energy.log_reward)
        log_reward = self.energy.log_reward(states[:, -1])
        return states, log_reward + log_pb.sum(-1) - log_pf.sum(-1)

    def train_step(self) -> None:
        """One iteration."""
        self.gfn.zero_grad()
        loss = self._back() if self.memories and self.iteration % 2 else self._ahead()
        loss.backward()
        self.optimizer.step()
        self.iteration += 1

    def _ahead(self) -> Tensor:
        """The loss of fresh trajectories; their ends are remembered where there is a search."""
        start = torch.zeros(self.batch, 2)
        log_reward, remember = self.energy.log_reward, bool(self.memories)
        found = self.losses.fwd_tb(start, self.gfn, log_reward, *self.grid, return_exp=remember)
        if not remember:
            return torch.as_tensor(found)
        loss, states, _, _, log_r = found
        self.memories[0].add(states[:, -1], log_r)
        return torch.as_tensor(loss)

    def _back(self) -> Tensor:
        """The loss of trajectories backward from what the search found."""
        seen, better = self.memories
        log_reward = self.energy.log_reward
        if self.iteration % CYCLE < 2:
            start, _ = seen.sample()
            better.add(*self.search(start, log_reward, "cpu", SEARCH))
        ends, _ = better.sample()
        return torch.as_tensor(self.losses.bwd_tb(ends, self.gfn, log_reward, *self.grid))
