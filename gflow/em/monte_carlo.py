"""Monte Carlo EM: a Markov chain for every row in place of a sampler that learns."""

from typing import Any

import torch

from gflow.behaviours.base import Sampling
from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.learner import MStep
from gflow.em.mixing import BackAndForth
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.policies.even import EvenPolicy
from gflow.sampling.sampler import Sampler
from gflow.state import tensors, tree_map


class MonteCarloEM:
    """EM whose E-step is some rounds of Metropolis-Hastings on the latents of drawn rows.

    Every row has a chain, which goes on where it stopped. Candidates are made by undoing some moves
    and taking others, all equally likely (`BackAndForth` by `EvenPolicy`): nothing is learned about
    where posteriors are.

    Args:
        env: The environment of latents, with the reward of the E-step.
        m_step: Takes the steps of the model; its own pace and latents are not read.
        batch_size: Rows drawn at a time.
        mixing: The rounds.
        seed: Of everything random.

    Reference:
        Wei and Tanner, A Monte Carlo implementation of the EM algorithm, 1990
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        m_step: MStep,
        batch_size: Count = 64,
        mixing: BackAndForth | None = None,
        seed: int = 0,
    ) -> None:
        numbered = require_numbered(env, "MonteCarloEM", "Moves with densities are not for it.")
        self.env, self.m_step, self.batch_size = env, m_step, batch_size
        self.mixing = BackAndForth() if mixing is None else mixing
        self.mixing.check(env)
        self.generator = torch.Generator().manual_seed(seed)
        self.sampling = Sampling(
            EvenPolicy(numbered.num_actions), Sampler(env), generator=self.generator
        )
        data = m_step.reward.data
        start = self.sampling.sampler.forward(
            self.sampling.policy,
            len(data),
            condition=data.conditions,
            generator=self.generator,
        )
        self.latents = start.final_states

    def step(self) -> dict[str, float]:
        """Some chains move on, and the model takes a step; mean log p(x, z), share accepted."""
        reward = self.m_step.reward
        rows = torch.randint(len(reward.data), (self.batch_size,), generator=self.generator)
        rows = rows.unique()
        condition = reward.data.conditions[rows]
        current = self.sampling.sampler.backward(
            self.sampling.policy,
            tree_map(lambda t: t[rows], self.latents),
            condition=condition,
            generator=self.generator,
        )
        current, accepted = self.mixing.mix(self.sampling, current)
        objects = current.final_states
        for mine, new in zip(tensors(self.latents), tensors(objects), strict=True):
            mine[rows] = new
        value = self.m_step.step(objects, condition)
        reward.version += 1
        return {"log_joint": float(value), "acceptance": float(accepted)}

    def state_dict(self) -> dict[str, Any]:
        """The chains, the model and its optimiser, and the generator."""
        return {
            "latents": tensors(self.latents),
            "m_step": self.m_step.state_dict(),
            "version": self.m_step.reward.version,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        for mine, saved in zip(tensors(self.latents), state["latents"], strict=True):
            mine.copy_(saved)
        self.m_step.load_state_dict(state["m_step"])
        self.m_step.reward.version = state["version"]
        self.generator.set_state(state["generator"])
