"""A language model as a policy over texts."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.language.env import Text, TokenEnvironment
from gflow.language.model import LanguageModel
from gflow.language.projected import Projected
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.trajectories import Trajectories

READS_PROMPTS = (
    "a language model reads its prompt and nothing else that it is told. Leave --condition out, or "
    "write the condition into the prompts."
)
"""Why samplers of texts are told nothing more."""


class HuggingFacePolicy(Policy):
    """A causal language model over the tokens of a `TokenEnvironment`; P_B is 1.

    A rollout reads one new token a step and remembers keys and values, of prompts too. A loss reads
    each text once, from its prompt to its end, with gradients; of the logits only those that are
    asked for are made (`Projected`).

    Its state holds what is trained: adapters, or everything where there are none.

    Args:
        env: The environment, of the model's own vocabulary.
        model: The model, with adapters or without.
        log_flow: Whether to have a log-flow head over the features, for objectives that read one.

    Raises:
        IncompatibleError: If the vocabularies differ, or there are conditions beside the prompt.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363
    """

    backward = "uniform"

    def __init__(self, env: TokenEnvironment, model: LanguageModel, log_flow: bool = False) -> None:
        super().__init__()
        if not isinstance(env, TokenEnvironment) or env.num_actions > model.vocabulary:
            raise IncompatibleError(
                f"HuggingFacePolicy writes texts of the model's {model.vocabulary} tokens, and "
                f"{env.name} has {getattr(env, 'num_actions', 'other')} actions. Build a "
                f"TokenEnvironment with vocabulary={model.vocabulary}."
            )
        if env.conditioning is not None:
            raise IncompatibleError(f"HuggingFacePolicy: {READS_PROMPTS}")
        self.model, self.has_log_flow = model, log_flow
        self.flow_head: nn.Linear | None = None
        if log_flow:
            self.flow_head = nn.Linear(model.width, 1)
            nn.init.zeros_(self.flow_head.weight)
            nn.init.zeros_(self.flow_head.bias)
        self._trained = {name for name, value in self.named_parameters() if value.requires_grad}

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Outputs for N states, each read from its beginning."""
        size = (states.tokens != env.blank).sum(-1)  # type: ignore[attr-defined]
        width = int(size.max()) if len(size) else 0
        read = self._read(env, states, width)
        last = size[:, None, None].expand(-1, 1, read.shape[-1])
        return self._outputs(read.gather(1, last).squeeze(1), env, table=True)

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for all stored states by one pass over the B final texts."""
        moves = trajectories.length - trajectories.stopped.long()
        width = int(moves.max()) if len(moves) else 0
        read = self._read(env, trajectories.final_states, width)
        row, time = trajectories.first_visits()
        return self._outputs(read[row, time.clamp(max=width)], env, table=False)

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> "Session | None":
        """A rollout that remembers keys and values."""
        return _Rollout(self, env)

    def _read(self, env: Any, states: Text, width: int) -> Tensor:
        tokens = states.tokens[:, :width]
        tokens = tokens.masked_fill(tokens == env.blank, 0)
        return self.model.read(env.prompts, states.prompt, tokens)

    def _outputs(self, features: Tensor, env: Any, table: bool) -> PolicyOutput:
        scores: Any = Projected(features, self.model.head)
        log_flow = None
        if self.flow_head is not None:
            log_flow = self.flow_head(features.to(self.flow_head.weight.dtype)).squeeze(-1)
        return PolicyOutput(scores.table() if table else scores, log_flow=log_flow)

    def state_dict(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """What is trained."""
        found: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: value for name, value in found.items() if name in self._trained}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take back what `state_dict` gave."""
        own = super().state_dict()
        rest = {name: value for name, value in own.items() if name not in self._trained}
        return super().load_state_dict({**rest, **state}, strict, assign)


class _Rollout:
    """Keys and values of the live rows of one rollout, which are all equally long."""

    def __init__(self, policy: HuggingFacePolicy, env: Any) -> None:
        self.policy, self.env, self.time = policy, env, 0
        self.cache: Any = None
        self.mask = self.rows = torch.zeros(0)

    def __call__(self, states: Text, rows: Tensor) -> Tensor:
        """(L, V) logits of the live rows, in ascending order."""
        model = self.policy.model
        if not self.time:
            last, self.cache, self.mask = model.open(self.env.prompts, states.prompt)
            self.rows = rows
        else:
            if rows.shape[0] < self.rows.shape[0]:
                kept = torch.searchsorted(self.rows, rows)
                self.cache.batch_select_indices(kept)
                self.mask, self.rows = self.mask[kept], rows
            token = states.tokens[:, self.time - 1, None]
            token = token.masked_fill(token == self.env.blank, 0)
            self.mask = torch.cat([self.mask, torch.ones_like(token, dtype=torch.bool)], 1)
            last = model.forward(token, self.mask, self.cache)[:, 0]
        self.time += 1
        return model.logits(last).table()
