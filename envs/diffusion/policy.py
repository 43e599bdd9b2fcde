"""Networks of diffusion samplers."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.diffusion.gaussian_steps import DiffusionInputs, GaussianSteps
from gflow.envs.diffusion.recording import DriftRecording
from gflow.errors import ConfigError
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.policies.encoder import StateEncoder
from gflow.policies.heads import linear
from gflow.policies.spare import Spare
from gflow.policies.told import told

CLIP_OUTPUT = 1e4


class TimeFeatures(nn.Module):
    """Sines and cosines of 64 frequencies from 0.1 to 100 with learned phases, and two layers.

    Args:
        width: Units of the layers.
        generator: For the initial weights.
    """

    frequencies: Tensor

    def __init__(self, width: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.linspace(0.1, 100, 64), persistent=False)
        self.phase = nn.Parameter(torch.empty(64).normal_(generator=generator))
        self.hidden = linear(128, width, generator)
        self.out = linear(width, width, generator)

    def waves(self, time: Tensor) -> Tensor:
        """(N, 128) sines and cosines of (N,) times."""
        angle = time[:, None] * self.frequencies + self.phase
        return torch.cat([angle.sin(), angle.cos()], -1)

    def forward(self, time: Tensor) -> Tensor:
        """(N, width) features."""
        features: Tensor = self.out(F.gelu(self.hidden(self.waves(time))))
        return features


class Trunk(nn.Module):
    """GELU layers over the sum of what is read, and a last linear layer."""

    def __init__(
        self, width: int, depth: int, outputs: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth))
        self.last = linear(width, outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(..., outputs)."""
        x = F.gelu(x)
        for layer in self.layers:
            x = F.gelu(F.linear(x, layer.weight, layer.bias))
        out: Tensor = self.last(x)
        return out


class DiffusionPolicy(Policy):
    r"""The network of path integral samplers: embedded point plus embedded time, then GELU layers.

    Its last layer starts at zero, so that training starts from the reference process. With
    `langevin`, the drift is

    .. math:: f(x, t) = f_1(x, t) + f_2(t)\, \nabla \log R(x)

    with the score clipped and never differentiated through. Where one output serves both
    directions (`AnnealedLangevin`), the score of the annealed density follows the drift.

    Times of all points of a batch that share them are embedded once. Where the length of a step is
    not the same everywhere it is read too: variances depend on it.

    Args:
        env: Gives the sizes.
        width: Units per layer.
        depth: GELU layers after the first.
        log_flow: Have a head for log F with a trunk of its own.
        langevin: Read the score of the target.
        condition_encoder: As of `MLPPolicy`.
        generator: For the initial weights.

    Reference:
        Zhang and Chen, Path Integral Sampler, 2021, https://arxiv.org/abs/2111.15141; Sendera et
        al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """

    def __init__(
        self,
        env: GaussianSteps,
        width: int = 64,
        depth: int = 2,
        log_flow: bool = False,
        langevin: bool = False,
        condition_encoder: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 0:
            raise ConfigError(f"DiffusionPolicy: width must be positive, got {width}, {depth}.")
        self.dim, self.both_directions = env.dim, env.both_directions
        self.backward: Literal["learned", "uniform"] = (
            "learned" if env.num_backward_outputs else "uniform"
        )
        self.has_log_flow = log_flow
        self.langevin, self.spare = langevin, Spare()
        self.time = TimeFeatures(width, generator)
        self.point = linear(env.dim, width, generator)
        uneven = float(env.times.diff(dim=1).std()) > 1e-9 if env.times.shape[1] > 2 else False
        self.gap = linear(1, width, generator, bias=False) if uneven or len(env.times) > 1 else None
        self.told = told(env, width, condition_encoder, "DiffusionPolicy", generator)
        self.drift = Trunk(width, depth, env.num_drifts, generator)
        zero(self.drift.last)
        self.flow = Trunk(width, depth, 1, generator) if log_flow else None
        self.back = None
        if env.num_backward_outputs and not env.both_directions:
            self.back = Trunk(width, depth, env.num_backward_outputs, generator)
            zero(self.back.last)
        self.gain: nn.Sequential | None = None
        if langevin:
            self.gain_time = TimeFeatures(width, generator)
            self.gain = nn.Sequential(nn.GELU(), Trunk(width, depth - 1, 1, generator))
            last: Any = self.gain[1].last
            zero(last)
            nn.init.constant_(last.bias, 0.01)

    # ------------------------------------------------------------------ what is read

    def _read(self, inputs: DiffusionInputs, condition: Tensor | None, time: Tensor) -> Tensor:
        """(R, N / R, width) embedded points and times, given (R, width) times in equal runs."""
        points = self.point(inputs.x)
        if self.told is not None:
            points = points + self.told(condition)
        read: Tensor = points.view(len(time), -1, points.shape[-1]) + time[:, None]
        return read

    def embedded(self, time: Tensor, gap: Tensor) -> Tensor:
        """(R, width) embedded times, and lengths of steps where they differ."""
        embedded: Tensor = self.time(time)
        return embedded if self.gap is None else embedded + self.gap(gap.sqrt()[:, None])

    def _clock(self, inputs: DiffusionInputs) -> tuple[Tensor, Tensor]:
        """(R,) times that equally long runs of rows share, or one per row, and these embedded."""
        if self.gap is None:
            runs, counts = torch.unique_consecutive(inputs.time, return_counts=True)
            if bool((counts == len(inputs.time) // len(runs)).all()):
                return runs, self.time(runs)
        return inputs.time, self.embedded(inputs.time, inputs.gap)

    def _drift(
        self, read: Tensor, inputs: DiffusionInputs, condition: Tensor | None, gain: Tensor | None
    ) -> Tensor:
        """(N, A) drifts, and log-variances or scores, from what was read; `gain` is f_2, (R, 1)."""
        score = self.score_of(inputs, condition)
        along = None if score is None else self.along_path(inputs, score)
        return self.assembled(self.drift(read).flatten(0, 1), gain, score, along)

    def score_of(self, inputs: DiffusionInputs, condition: Tensor | None) -> Tensor | None:
        """(N, d) scores of the target, or None if nothing reads them."""
        reads = self.langevin or inputs.path is not None
        return inputs.score(condition) if reads else None

    def along_path(self, inputs: DiffusionInputs, score: Tensor) -> Tensor | None:
        """(N, d) scores of the annealed density, given those of the target; None without a path."""
        if inputs.path is None:
            return None
        return inputs.path.score(inputs.x.detach(), inputs.time, score)

    def assembled(
        self, raw: Tensor, gain: Tensor | None, score: Tensor | None, along: Tensor | None
    ) -> Tensor:
        """(N, A) forward outputs from what the network says (N, D), (R, 1) gains, and scores."""
        out = raw.clamp(-CLIP_OUTPUT, CLIP_OUTPUT)
        if gain is not None and score is not None:
            pull = (gain * score.view(len(gain), -1)).view(score.shape)
            out = out + (pull if self.dim == out.shape[1] else F.pad(pull, (0, self.dim)))
        return out if along is None else torch.cat([out, along], -1)

    def gain_at(self, runs: Tensor) -> Tensor | None:
        """(R, 1) f_2 at times, or None."""
        if self.gain is None:
            return None
        gain: Tensor = self.gain(self.gain_time(runs))
        return gain

    # ------------------------------------------------------------------ heads

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        inputs = env.encode(states)
        runs, times = self._clock(inputs)
        read = self._read(inputs, condition, times)
        ahead = self._drift(read, inputs, condition, self.gain_at(runs))
        back = ahead if self.both_directions else None
        if self.back is not None:
            back = self.back(read).flatten(0, 1)
        flow = None if self.flow is None else self.flow(read).flatten()
        return PolicyOutput(ahead, back, flow)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) drifts, then log-variances if they are learned, or scores."""
        inputs = env.encode(states)
        runs, times = self._clock(inputs)
        read = self._read(inputs, condition, times)
        return self._drift(read, inputs, condition, self.gain_at(runs))

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, 2 d) of the backward head, the forward outputs if they serve both, or None."""
        if self.both_directions:
            return self.forward_logits(env, states, condition)
        if self.back is None:
            return None
        inputs = env.encode(states)
        read = self._read(inputs, condition, self._clock(inputs)[1])
        found: Tensor = self.back(read).flatten(0, 1)
        return found

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """Times embedded once a batch, where all rows have the same time grid."""
        assert isinstance(env, GaussianSteps)
        if len(env.times) > 1:
            return None
        clock, gaps = env.clock(self.point.weight)
        times, gains = self.embedded(clock, gaps), self.gain_at(clock)
        at = iter(range(len(clock)))

        def session(states: Any, rows: Tensor) -> Tensor:
            k = next(at)
            inputs = env.inputs(states.x, clock[k : k + 1], gaps[k : k + 1])
            read = self._read(inputs, condition, times[k : k + 1])
            return self._drift(read, inputs, condition, None if gains is None else gains[k : k + 1])

        return session

    def record(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> DriftRecording | None:
        """The layers of the drift, where all rows have the same time grid; see `Policy.record`."""
        assert isinstance(env, GaussianSteps)
        return DriftRecording(self, env, count, condition) if len(env.times) == 1 else None

    def zero_backward_head(self) -> None:
        """Let the backward kernel start at the process's own; see `Policy.zero_backward_head`."""
        if self.back is None:
            super().zero_backward_head()
        else:
            zero(self.back.last)


def zero(layer: nn.Linear) -> None:
    """Zero weights and biases."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class DiffusionEncoder(StateEncoder):
    """Points and embedded times through GELU layers, for networks beside the policy.

    Args:
        env: Gives the dimension.
        width: D.
        depth: GELU layers after the first.
        generator: For the initial weights.
    """

    def __init__(
        self,
        env: GaussianSteps,
        width: int = 64,
        depth: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.out_features = width
        self.time = TimeFeatures(width, generator)
        self.point = linear(env.dim, width, generator)
        self.told = told(env, width, owner="DiffusionEncoder", generator=generator)
        self.trunk = Trunk(width, depth, width, generator)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, width) activations."""
        inputs = env.encode(states)
        read = self.point(inputs.x) + self.time(inputs.time)
        if self.told is not None:
            read = read + self.told(condition)
        out: Tensor = self.trunk(read)
        return out
