"""K objectives as one: the loss of each run from its own rows of the flow terms."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gflow.objective import Objective
from gflow.stacked.parameters import stack
from gflow.terms import FlowTerms

Answer = dict[str, Tensor]
"""Numbers by name, () of one run or (K,) of all."""

Ask = Callable[[Any, FlowTerms], Answer]


class StackedObjective:
    """The objectives of K runs, which differ in nothing but their parameters.

    The formula goes through `torch.func.vmap`, so that what normalises over a batch does so within
    a run. Formulas that look at their numbers (VarGrad with conditions groups them) are asked run
    by run: the same numbers, later.

    Args:
        objectives: K objectives. Their parameters become views of the stacked ones.

    Attributes:
        stacked: The parameters, (K, ...) by name.
        one_by_one: Why runs are asked one by one; empty if they are not.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self.stacked = stack(objectives)
        self.one_by_one = ""

    def loss(self, terms: FlowTerms) -> Tensor:
        """(K,) losses of (K B, ...) terms, whose rows come run after run, with gradients."""
        return self._read(_loss, terms)["loss"]

    @torch.no_grad()
    def numbers(self, terms: FlowTerms) -> Answer:
        """(K,) means of what objectives believe of log Z, and their metrics, by name."""
        return self._read(_numbers, terms)

    def parts(self, terms: FlowTerms) -> dict[str, Tensor]:
        """(K, B, ...) tensors of the terms by name."""
        held = {name: value for name, value in vars(terms).items() if isinstance(value, Tensor)}
        return {name: v.unflatten(0, (len(self.objectives), -1)) for name, v in held.items()}

    def terms_of(self, parts: dict[str, Tensor], terms: FlowTerms, number: int) -> FlowTerms:
        """The terms of one run."""
        own = {name: value[number] for name, value in parts.items()}
        return FlowTerms(**own, has_log_pb=terms.has_log_pb)

    def _read(self, ask: Ask, terms: FlowTerms) -> Answer:
        parts = self.parts(terms)
        if self.one_by_one:
            return self._one_by_one(ask, parts, terms)
        asked = _Asked(self.objectives[0], ask)

        def single(held: dict[str, Tensor], parts: dict[str, Tensor]) -> Answer:
            own = FlowTerms(**parts, has_log_pb=terms.has_log_pb)
            found: Answer = functional_call(asked, held, (own,))
            return found

        held = {f"objective.{name}": value for name, value in self.stacked.items()}
        try:
            return vmap(single, in_dims=(0 if held else None, 0))(held, parts)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            self.one_by_one = str(error).splitlines()[0]
            return self._one_by_one(ask, parts, terms)

    def _one_by_one(self, ask: Ask, parts: dict[str, Tensor], terms: FlowTerms) -> Answer:
        answers = []
        for number, objective in enumerate(self.objectives):
            held = {f"objective.{n}": v[number] for n, v in self.stacked.items()}
            own = self.terms_of(parts, terms, number)
            answers.append(functional_call(_Asked(objective, ask), held, (own,)))
        return {name: torch.stack([a[name] for a in answers]) for name in answers[0]}


def _loss(objective: Any, terms: FlowTerms) -> Answer:
    return {"loss": objective(terms)}


def _numbers(objective: Any, terms: FlowTerms) -> Answer:
    log_z = objective.log_z_estimate(terms)
    if terms.from_source is not None:  # only those say what flows out of the source
        log_z = log_z[terms.from_source]
    metrics = {name: torch.as_tensor(value) for name, value in objective.metrics(terms).items()}
    return {"log_z": log_z.mean(), **metrics}


class _Asked(nn.Module):
    """A question to an objective as the forward pass of a module."""

    def __init__(self, objective: Objective, ask: Ask) -> None:
        super().__init__()
        self.objective, self.ask = objective, ask

    def forward(self, terms: FlowTerms) -> Answer:
        """The answer."""
        return self.ask(self.objective, terms)
