"""Temperature conditioning: one sampler for R^beta at every beta of a range."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Positive
from gflow.checks import checked
from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler, UniformCondition
from gflow.conditions.temperatures import BesideOwn, GammaBeta, LogUniformCondition
from gflow.conditions.thermometer import MarksBeside, Thermometer
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError

if TYPE_CHECKING:
    from gflow.policies.base import Policy
    from gflow.terms import Needs


class Temperature(Conditioning):
    r"""R^beta, the inverse temperature beta drawn for every trajectory and told to the networks.

    They read beta by a `Thermometer`: from 0 to the largest beta, of a Gamma distribution to its
    95 % quantile; for log-uniform draws by ratios from the smallest to the largest. With `reads =
    "logits"` the policy's network is told nothing and its logits are multiplied by a number that
    depends on beta (`LogitScaled`): less is learned anew at each beta, and less can be.

    Args:
        draw: Distribution of beta.
        low: Smallest beta, of uniform and log-uniform draws.
        high: Largest beta of these.
        shape: Of Gamma draws; their mean is shape * scale.
        scale: Of Gamma draws.
        reads: Whether the first layer reads the code of beta, or logits are scaled by it.
        marks: Marks of the thermometer.
        repeat: Trajectories in a row that have one beta, at least 2 for vargrad.

    Reference:
        Kim et al., Learning to scale logits for temperature-conditional GFlowNets, 2023,
        https://arxiv.org/abs/2310.02823
    """

    name = "temperature"

    @checked
    def __init__(
        self,
        draw: Literal["uniform", "log_uniform", "gamma"] = "uniform",
        low: Positive = 0.5,
        high: Positive = 32.0,
        shape: Positive = 16.0,
        scale: Positive = 1.0,
        reads: Literal["layer", "logits"] = "layer",
        marks: Count = 32,
        repeat: Count = 1,
    ) -> None:
        if low > high:
            raise ConfigError(f"Temperature: low must not be above high, got {low} and {high}.")
        if marks < 2:
            raise ConfigError(f"Temperature: a thermometer has at least 2 marks, got {marks}.")
        self.draw, self.low, self.high = draw, low, high
        self.shape, self.scale, self.reads = shape, scale, reads
        self.marks, self.repeat = marks, repeat

    def environment(self, env: Environment[Any]) -> Environment[Any]:
        """The same on R^beta.

        Raises:
            IncompatibleError: Its sources read a condition that its reward does not.
        """
        if env.source_reads_condition and not env.condition_dim:
            raise IncompatibleError(
                f"{env.name} starts where its condition says, and a temperature would stand in "
                f"that place. Fix the temperature by its own options instead."
            )
        return env.with_temperature()

    def betas(self) -> ConditionSampler:
        """Draws beta alone."""
        match self.draw:
            case "uniform":
                return UniformCondition(self.low, self.high, self.repeat)
            case "log_uniform":
                return LogUniformCondition(self.low, self.high, self.repeat)
        return GammaBeta(self.shape, self.scale, self.repeat)

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> ConditionSampler:
        """Beta, after what the environment is told already."""
        return self.betas() if own is None else BesideOwn(own, self.betas())

    def thermometer(self) -> Thermometer:
        """What reads beta."""
        if self.draw == "log_uniform" and self.low < self.high:
            return Thermometer(self.low, self.high, self.marks, ratios=True)
        upper = GammaBeta(self.shape, self.scale).quantile(0.95) if self.draw == "gamma" else 0.0
        return Thermometer(0.0, upper or self.high, self.marks)

    def encoder(self, env: Environment[Any]) -> nn.Module:
        """The thermometer, beside what else the condition holds."""
        marks = self.thermometer()
        return marks if env.condition_dim == 1 else MarksBeside(env.condition_dim - 1, marks)

    def policy(
        self,
        env: Environment[Any],
        plain: Environment[Any],
        needs: "Needs",
        build: Callable[[Environment[Any]], "Policy"],
    ) -> "Policy":
        """A policy that reads beta, or one whose logits are scaled by it.

        Raises:
            IncompatibleError: Logits are to be scaled, and the objective reads flows, or there are
                no logits.
        """
        if self.reads == "layer":
            return build(env)
        from gflow.policies.logit_scaled import LogitScaled

        if needs.log_flow or needs.edge_flow:
            raise IncompatibleError(
                f"Temperature on {env.name}: scaled logits say nothing of how flows depend on the "
                f"temperature, which this objective reads. Use one that reads none (tb, vargrad), "
                f"or --condition-reads layer."
            )
        return LogitScaled(build(plain), env)

    def reference(self, env: Environment[Any]) -> Tensor | None:
        """Beta = 1, if it is among those that are trained on."""
        if env.condition_dim > 1:
            return None
        inside = self.draw == "gamma" or self.low <= 1 <= self.high
        return torch.ones(1, 1) if inside else None

    def without(self, log_reward: Tensor, condition: Tensor) -> Tensor:
        """Log R, whatever beta."""
        return log_reward / condition[:, -1].to(log_reward.dtype)
