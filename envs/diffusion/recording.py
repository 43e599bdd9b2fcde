"""A rollout of a diffusion that keeps the layers of its drift network, for one backward pass."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.diffusion.gaussian_steps import GaussianSteps
from gflow.policies.base import PolicyOutput
from gflow.policies.recorded import Recording
from gflow.state import take
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.envs.diffusion.policy import DiffusionPolicy

BLOCK_ROWS = 1800
"""States whose gradients are in work at a time on a CPU: what they need stays in its cache."""


class DriftRecording(Recording):
    """The layers of the drift network at all states of one rollout of B rows.

    Of each layer it keeps what it says before GELU. The states are held fixed, so the loss needs
    the gradient of the weights alone, and the states of a step depend on those before it in nothing
    else: once the rollout is done, all times go back through the network together, in blocks.

    Args:
        policy: Whose network it is.
        env: A diffusion with one time grid.
        count: B.
        condition: (B, C) or None.
    """

    def __init__(
        self,
        policy: "DiffusionPolicy",
        env: GaussianSteps,
        count: int,
        condition: Tensor | None = None,
    ) -> None:
        super().__init__(policy)
        self.network, self.env, self.condition = policy, env, condition
        like = policy.point.weight
        self.clock, self.gaps = env.clock(like)
        with torch.no_grad():
            times = policy.embedded(self.clock, self.gaps) + policy.point.bias
            self.gains = policy.gain_at(self.clock)
            self.told = None if policy.told is None else policy.told(condition)
        self.times, self.made, self.count = times.unbind(), 0, count
        width, depth = like.shape[0], len(policy.drift.layers)
        sizes = [(env.horizon, count, width)] * (depth + 1)
        self.before = policy.spare.borrow(self, like.detach(), *sizes)
        self._before = list(zip(*(layer.unbind() for layer in self.before), strict=True))
        self._active = like.new_empty(count, width)
        self.raw = like.new_empty(env.horizon, count, policy.drift.last.out_features)
        self.scores: list[Tensor] = []
        self.along: list[Tensor] = []
        *self._layers, self._last = [
            (layer.weight.detach().T, layer.bias.detach())
            for layer in [*policy.drift.layers, policy.drift.last]
        ]
        self._point = like.detach().T
        self._reads = policy.langevin or env.encode(env.initial(1)).path is not None

    @torch.no_grad()
    def __call__(self, states: Any, rows: Tensor) -> Tensor:
        """(B, A) forward outputs of the states of the next time."""
        policy, k = self.network, self.made
        self.made += 1
        gelu = torch.ops.aten.gelu.out
        before, seen = self._before[k], self._active
        torch.addmm(self.times[k], states.x, self._point, out=before[0])
        if self.told is not None:
            before[0].add_(self.told)
        gelu(before[0], out=seen)
        for number, (weight, bias) in enumerate(self._layers, 1):
            torch.addmm(bias, seen, weight, out=before[number])
            gelu(before[number], out=seen)
        weight, bias = self._last
        raw = torch.addmm(bias, seen, weight, out=self.raw[k])
        if not self._reads:
            return policy.assembled(raw, None, None, None)
        inputs = self.env.inputs(states.x, self.clock[k : k + 1], self.gaps[k : k + 1])
        score = policy.score_of(inputs, self.condition)
        along = None if score is None else policy.along_path(inputs, score)
        if score is not None:
            self.scores.append(score)
        if along is not None:
            self.along.append(along)
        gain = None if self.gains is None else self.gains[k : k + 1]
        return policy.assembled(raw, gain, score, along)

    def output(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs of all heads; see `Recording.output`. The last time alone is read anew."""
        policy, made = self.network, self.made
        done = made * self.count
        states = trajectories.states
        times = policy.embedded(self.clock[:made], self.gaps[:made])
        told = None if policy.told is None else policy.told(self.condition)
        layers = [*policy.drift.layers, policy.drift.last]
        weights = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
        raw = _Recorded.apply(
            self, states.x[:done], times, told, policy.point.weight, policy.point.bias, *weights
        )
        gain = policy.gain_at(self.clock[:made])
        score = torch.cat(self.scores) if self.scores else None
        along = torch.cat(self.along) if self.along else None
        ahead = policy.assembled(raw, gain, score, along)
        rest = torch.arange(done, trajectories.num_states, device=raw.device)
        given = None if condition is None else condition[rest]
        last = policy(env, take(states, rest), given)
        ahead = torch.cat([ahead, last.forward_logits])
        back, flow = (ahead if policy.both_directions else None), None
        if policy.back is not None or policy.flow is not None:
            read = policy.point(states.x[:done]).view(made, self.count, -1) + times[:, None]
            read = read if told is None else read + told
            if policy.back is not None:
                back = torch.cat([policy.back(read).flatten(0, 1), last.backward_logits])
            if policy.flow is not None:
                flow = torch.cat([policy.flow(read).flatten(), last.log_flow])
        return PolicyOutput(ahead, back, flow)


class _Recorded(torch.autograd.Function):
    """The drift network at states of a rollout: its outputs as they were, its gradients in blocks.

    Arguments after the recording: (N, d) states, (T, w) embedded times, (B, w) what the condition
    tells or None, weight and bias of the layer of points, of the layers, and of the last.
    """

    @staticmethod
    def forward(
        ctx: Any,
        recording: DriftRecording,
        x: Tensor,
        times: Tensor,
        told: Tensor | None,
        *weights: Tensor,
    ) -> Tensor:
        ctx.recording, ctx.told = recording, told is not None
        ctx.save_for_backward(x, *weights)  # autograd complains if one of them is changed
        return recording.raw[: recording.made].flatten(0, 1).clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        recording: DriftRecording = ctx.recording
        x, *weights = ctx.saved_tensors
        made, count = recording.made, recording.count
        width = weights[0].shape[0]
        found = [torch.zeros_like(tensor) for tensor in weights]
        times = grad.new_empty(made, width)
        told = grad.new_zeros(count, width) if ctx.told else None
        block = made if grad.device.type != "cpu" else max(1, BLOCK_ROWS // count)
        for first in range(0, made, block):
            end = min(first + block, made)
            at, rows = slice(first, end), slice(first * count, end * count)
            part = grad[rows]
            for number in reversed(range(len(recording.before))):
                place = 2 * number + 2
                held = recording.before[number][at].flatten(0, 1)
                found[place].addmm_(part.T, F.gelu(held))
                found[place + 1] += part.sum(0)
                part = torch.ops.aten.gelu_backward(part @ weights[place], held)
            found[0].addmm_(part.T, x[rows])
            runs = part.view(-1, count, width)
            torch.sum(runs, 1, out=times[at])
            if told is not None:
                told += runs.sum(0)
        found[1] = times.sum(0)
        return None, None, times, told, *found
