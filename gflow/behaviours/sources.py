"""Texts from three sources: the policy, the policy at other temperatures, and a memory."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Count, NotNegative, Part, Temperature
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.language.memory import TextDraw, TextMemory, memory_refusal
from gflow.objective import Objective
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.source import Source
from gflow.trajectories import Trajectories

OWN, TEMPERED, OLD = 0, 1, 2


class Sources(Behaviour):
    """For each prompt of a batch all texts from one of three sources, chosen by shares.

    The policy as it is; the policy with its logits divided by a temperature, drawn for each prompt
    between `low` and `high`; and a `TextMemory`, where it holds texts of the prompt: else one of
    the other two is chosen. What is sampled is remembered, if the memory has a share. Exploration
    that the trainer asks for comes on top of either way of sampling.

    Args:
        own: Share of the policy as it is.
        tempered: Share of the policy at another temperature.
        remembered: Share of the memory.
        low: Lowest temperature.
        high: Highest.
        each: Choose for each "prompt", that is for a run of equal conditions in the batch, or for
            each "text".
        capacity: Texts of a prompt that are remembered.
        tolerance: Texts are near each other, and the worse is dropped, if their edit distance is
            below this times the sum of their lengths.
        draw: Remembered texts are drawn "uniform" or in proportion to their "reward".
        memory: The memory, in place of one by the last three.

    Raises:
        ConfigError: If no share is positive, or the temperatures are in the wrong order.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363
    """

    name = "sources"
    gives = Source.OWN | Source.OTHER

    @checked
    def __init__(
        self,
        own: NotNegative = 0.25,
        tempered: NotNegative = 0.5,
        remembered: NotNegative = 0.25,
        low: Temperature = 0.5,
        high: Temperature = 2.0,
        each: Literal["prompt", "text"] = "prompt",
        capacity: Count = 50,
        tolerance: Part = 0.25,
        draw: TextDraw = "uniform",
        memory: TextMemory | None = None,
    ) -> None:
        if own + tempered + remembered <= 0:
            raise ConfigError("Sources: one of own, tempered and remembered must be positive.")
        if low > high:
            raise ConfigError(f"Sources: low must not be above high, got {low:g} and {high:g}.")
        self.shares = (own, tempered, remembered)
        self.low, self.high, self.each = low, high, each
        self.capacity, self.tolerance, self.draw = capacity, tolerance, draw
        self.memory, self._metrics = (
            memory,
            {"from_memory": 0.0, "tempered": 0.0, "remembered": 0.0},
        )

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What is no text, and objectives of one distribution."""
        return memory_refusal(env) or super().refusal(env, objective)

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what does not fit, and make the memory that is filled."""
        super().check(env, objective)
        self._memory(env)

    def _memory(self, env: Any) -> TextMemory:
        if self.memory is None:
            self.memory = TextMemory(env, self.capacity, self.tolerance, self.draw)
        return self.memory

    @property
    def metrics(self) -> dict[str, float]:
        """Shares of the batch from memory and at another temperature, and how much is there."""
        return self._metrics

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories: sampled ones first, then those from memory."""
        env: Any = sampling.env
        memory, condition = self._memory(env), sampling.conditions(count)
        prompt = env.prompts.numbers(condition, count)
        kind, heat = self._choices(prompt, condition, memory.counts(prompt), sampling)
        new, old = (kind != OLD).nonzero().squeeze(1), (kind == OLD).nonzero().squeeze(1)
        parts = []
        if len(old):
            parts.append(
                memory.sample(
                    sampling.sampler,
                    prompt[old],
                    None if condition is None else condition[old.to(condition.device)],
                    sampling.generator,
                    sampling.device,
                )
            )
        if len(new):
            policy = sampling.policy
            if bool((kind == TEMPERED).any()):
                policy = Tempered(policy, heat[new].to(sampling.device))
            fresh = sampling.sampler.forward(
                policy,
                len(new),
                exploration=sampling.exploration,
                condition=None if condition is None else condition[new.to(condition.device)],
                generator=sampling.generator,
                device=sampling.device,
            )
            if self.shares[OLD]:  # else nobody asks, and prefixes may cost much
                memory.add(fresh)
            parts.insert(0, fresh)
        self._metrics = {
            "from_memory": len(old) / count,
            "tempered": int((kind == TEMPERED).sum()) / count,
            "remembered": float(len(memory)),
        }
        return Trajectories.join(parts)

    def _choices(
        self, prompt: Tensor, condition: Tensor | None, held: Tensor, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """(B,) which source each trajectory has, and (B,) by what its logits are divided."""
        g = sampling.generator
        on = g.device if g is not None else torch.device("cpu")
        group = torch.arange(len(prompt))
        if self.each == "prompt":
            told = prompt[:, None] if condition is None else condition.cpu()
            group = torch.unique_consecutive(told, dim=0, return_inverse=True)[1]
        groups = int(group.max()) + 1
        empty = torch.ones(groups, dtype=torch.bool).index_put((group,), held == 0)
        shares = torch.tensor(self.shares, dtype=torch.float64).repeat(groups, 1)
        shares[empty, OLD] = 0.0
        shares[shares.sum(1) == 0, OWN] = 1.0
        kind = torch.multinomial(shares.to(on), 1, generator=g).squeeze(1).cpu()
        unit = torch.rand(groups, generator=g, device=on).cpu()
        heat = torch.where(kind == TEMPERED, self.low + (self.high - self.low) * unit, 1.0)
        return kind[group], heat[group]

    def state_dict(self) -> dict[str, Any]:
        """The memory."""
        return {"memory": None if self.memory is None else self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        if self.memory is not None and state["memory"] is not None:
            self.memory.load_state_dict(state["memory"])


class Tempered(Policy):
    """A policy whose logits are divided by a temperature of each trajectory, to sample from.

    Args:
        policy: The policy.
        heat: (B,) temperatures of the B trajectories of one rollout.
    """

    def __init__(self, policy: Policy, heat: Tensor) -> None:
        super().__init__()
        self.policy, self.heat, self.backward = policy, heat, policy.backward

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """The policy's own: states alone do not say which trajectory they are of."""
        output: PolicyOutput = self.policy(env, states, condition)
        return output

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """A rollout that divides what the policy's says."""
        session = self.policy.begin(env, count, condition)

        def ask(states: Any, rows: Tensor) -> Tensor:
            if session is not None:
                logits = session(states, rows)
            else:
                given = None if condition is None else condition[rows]
                logits = self.policy.forward_logits(env, states, given)
            return logits / self.heat[rows, None].to(logits.dtype)

        return ask
