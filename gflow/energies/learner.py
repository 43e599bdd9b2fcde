"""The energy step: data are made likelier, what the sampler proposes in their place less likely."""

from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative
from gflow.checks import checked
from gflow.energies.proposals import Proposer
from gflow.energies.reward import EnergyReward, energy_of
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import ConfigError, NonFiniteLossError
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

Accept = Literal["metropolis", "barker", "none"]
Start = Literal["data", "chains"]


class ContrastiveStep(Learner):
    r"""Descends :math:`E_{x'}[\log \tilde p(x')] - E_x[\log \tilde p(x)]`, x data, x' negatives.

    That is the gradient of minus the mean log-likelihood where negatives come from p~ / Z. They are
    made from data by `Proposer`: K moves back and forth, accepted so that p~ / Z stays as it is,
    with K rising evenly to D, the number of all moves, over `warmup` steps; the point where the
    step vanishes is then that of maximum likelihood if the data are of the model. Or they are
    fresh objects of the sampler, which are of p~ / Z as far as it is trained (accept="none").

    One step for every step of the sampler, before it. Each raises `reward.version`.

    Args:
        reward: The reward that the sampler follows, whose network is trained.
        optimizer: Of the network's parameters.
        data: M finished objects.
        accept: How candidates are judged; "none" for fresh objects.
        warmup: Steps over which K rises; 0 for D from the first on.
        most: K at the end; 0 for D.
        count: Data, and negatives, of a step.
        rounds: Candidates one after the other in a step.
        start: Where chains begin in a step: at other "data" each time, or where the same "chains"
            were after the last step, whose start is forgotten.
        gradient_penalty: Weight of the mean squared gradient of log p~ by features of data.
        l2: Weight of the mean squares of log p~ of data and negatives.
        half_life: Steps in which the learning rate halves; 0 keeps it.
        grad_clip: Largest norm of the gradient; 0 does not clip.

    Raises:
        ConfigError: If there are no data, or the optimiser trains other parameters.

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361; for chains that go on, Tieleman, Training restricted
        Boltzmann machines using approximations to the likelihood gradient, 2008
    """

    @checked
    def __init__(
        self,
        reward: EnergyReward,
        optimizer: torch.optim.Optimizer,
        data: Tensor,
        *,
        accept: Accept = "metropolis",
        warmup: Natural = 1000,
        most: Natural = 0,
        count: Count = 128,
        rounds: Count = 1,
        start: Start = "data",
        gradient_penalty: NotNegative = 0.0,
        l2: NotNegative = 0.0,
        half_life: Natural = 0,
        grad_clip: NotNegative = 0.0,
    ) -> None:
        own = {id(p) for p in reward.network.parameters()}
        given = [p for group in optimizer.param_groups for p in group["params"]]
        if any(id(p) not in own for p in given):
            raise ConfigError(
                "ContrastiveStep: the optimiser holds parameters that are not the energy's. Build "
                "it with reward.network.parameters()."
            )
        if not len(data):
            raise ConfigError("ContrastiveStep: there are no data.")
        if accept == "none" and (start == "chains" or rounds > 1):
            raise ConfigError(
                "ContrastiveStep: fresh objects (accept='none') are no chains that could go on. "
                "Use accept='metropolis', or start='data' and rounds=1."
            )
        self.reward, self.optimizer, self.module = reward, optimizer, reward.network
        self.data, self.accept, self.warmup, self.most = data, accept, warmup, most
        self.count, self.rounds, self.start = count, rounds, start
        self.gradient_penalty, self.l2 = gradient_penalty, l2
        self.half_life, self.grad_clip = half_life, grad_clip
        self.proposer = Proposer(accept)
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.steps = 0
        self.chains: Tensor | None = None

    def moves(self, horizon: int) -> int:
        """K, the number of moves back and forth, of the next step."""
        most = min(self.most or horizon, horizon)
        if not self.warmup:
            return most
        return max(1, min(most, horizon * (self.steps + 1) // self.warmup))

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step; mean log p~ of data less that of negatives, K, the share accepted.

        Raises:
            ConfigError: If the environment has another reward than the one that is trained.
        """
        if energy_of(env.reward) is not self.reward:
            raise ConfigError(
                f"ContrastiveStep: the sampler of {env.name} follows {env.reward!r}, and another "
                f"reward is trained. Build the step with the environment's own `reward`."
            )
        device = batch.length.device
        if self.data.device != device:
            self.data = self.data.to(device)
        data = self._drawn(generator)
        negatives, numbers = self.negatives(env, policy, data, generator)
        numbers["energy_gap"] = self.step(data, negatives)
        self.reward.version += 1
        return numbers

    def _drawn(self, generator: torch.Generator) -> Tensor:
        rows = torch.randint(
            len(self.data), (self.count,), generator=generator, device=self.data.device
        )
        return self.data[rows]

    def negatives(
        self, env: Environment[Any], policy: Policy, data: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As many negatives as there are data in `data`, and numbers about them."""
        if self.accept == "none":
            sampler, device = Sampler(env), data.device
            fresh = sampler.forward(policy, len(data), generator=generator, device=device)
            objects: Tensor = fresh.final_states
            return objects, {}
        numbered = require_numbered(env, "ContrastiveStep", "Use accept='none'.")
        self.proposer.check(numbered)
        states, moves = data, self.moves(numbered.horizon)
        if self.start == "chains":
            if self.chains is None:
                self.chains = self._drawn(generator)
            states = self.chains.to(data.device)
        accepted = []
        for _ in range(self.rounds):
            states, taken = self.proposer.move(numbered, policy, states, moves, generator)
            accepted.append(taken)
        if self.start == "chains":
            self.chains = states
        return states, {
            "energy_acceptance": torch.stack(accepted).double().mean(),
            "energy_moves": torch.tensor(float(moves)),
        }

    def step(self, data: Tensor, negatives: Tensor) -> Tensor:
        """One step of the optimiser; () the mean log p~ of data less that of negatives before it.

        Args:
            data: (B, N) values.
            negatives: (B', N) values.

        Raises:
            NonFiniteLossError: If the loss is not finite.
        """
        network = self.reward.network
        features = network.features(data).requires_grad_(self.gradient_penalty > 0)
        good, bad = network(features), network.log_density(negatives)
        gap = good.mean() - bad.mean()
        loss = network.penalty() - gap
        if self.gradient_penalty:
            (slope,) = torch.autograd.grad(good.sum(), features, create_graph=True)
            loss = loss + self.gradient_penalty * slope.square().sum(1).mean()
        if self.l2:
            loss = loss + self.l2 * (good.square().mean() + bad.square().mean())
        if self.half_life:
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * 0.5 ** (self.steps / self.half_life)
        self.descend(loss, self._refuse, "the energy step")
        self.steps += 1
        value: Tensor = gap.detach()
        return value

    def _refuse(self) -> NoReturn:
        raise NonFiniteLossError(
            f"ContrastiveStep: after {self.steps} steps the loss of {self.reward!r} is not finite. "
            f"Lower the learning rate of the energy, set grad_clip, or set l2 or gradient_penalty."
        )

    def state_dict(self) -> dict[str, Any]:
        """The network, its optimiser, the number of steps, and the chains."""
        return {**super().state_dict(), "steps": self.steps, "chains": self.chains}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.steps, self.chains = state["steps"], state["chains"]
