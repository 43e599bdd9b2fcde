"""Rewards of ended proofs: a posterior given that they are accepted, or those of Proof Flow."""

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gflow.bounds import NotNegative, Positive
from gflow.checks import checked
from gflow.envs.proofs.tree import DONE, FAILED, ProofTree
from gflow.rewards.base import LogReward

if TYPE_CHECKING:
    from gflow.policies.base import Policy


class Reference(ABC):
    """How likely tactics are before the checker is asked."""

    @abstractmethod
    def log_prob(self, tree: ProofTree, theorem: Tensor, place: Tensor, action: Tensor) -> Tensor:
        """(N,) log-probability of candidates, (N,) int64, at open places, (N,) int64 each."""


class UniformReference(Reference):
    """All candidates at a goal alike."""

    def log_prob(self, tree: ProofTree, theorem: Tensor, place: Tensor, action: Tensor) -> Tensor:
        """(N,) minus the log of their number."""
        count = tree.allowed(tree.rows(theorem, place)).sum(-1).clamp(min=1)
        return -count.to(torch.get_default_dtype()).log()


class PolicyReference(Reference):
    """A policy that is not trained any more, one fitted to human proofs say.

    Args:
        policy: For the same environment.
    """

    def __init__(self, policy: "Policy") -> None:
        self.policy = policy

    @torch.no_grad()
    def log_prob(self, tree: ProofTree, theorem: Tensor, place: Tensor, action: Tensor) -> Tensor:
        """(N,) by one pass of the policy."""
        from gflow.envs.proofs.env import ProofEnv

        env, states = ProofEnv(tree, _Nothing()), torch.stack([theorem, place], 1)
        logits = self.policy.forward_logits(env, states)
        return env.forward_law(states, logits).log_prob(action.to(logits.device)).cpu()


class _Nothing(LogReward[Tensor]):
    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.zeros(len(states))


class ProofReward(LogReward[Tensor]):
    """What rewards of proofs share: the log-probabilities of their tactics under a reference.

    Args:
        tree: Of the environment.
        reference: How likely tactics are beforehand.
    """

    def __init__(self, tree: ProofTree, reference: Reference | None = None) -> None:
        self.tree, self.reference = tree, reference or UniformReference()
        self._known: dict[int, list[float]] = {}

    def steps(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the tactics of proofs, and how long these are.

        Args:
            states: (B, 2).

        Returns:
            (B, D) log p_ref of the last tactic, of the one before, ..., then zeros; (B, D) lengths
            of the tactics in bytes with their end, then zeros.
        """
        tree, theorem, place = self.tree, states[:, 0].cpu(), states[:, 1].cpu()
        line = tree.ancestors(place)
        made = line[:, :-1] > 0
        row, column = made.nonzero(as_tuple=True)
        child, theorem = line[row, column], theorem[row]
        parent, action = tree.parent(child), tree.action(child)
        log_p = torch.zeros(made.shape)
        if len(row):
            log_p[row, column] = self.reference.log_prob(tree, theorem, parent, action).to(log_p)
        rows, length = tree.rows(theorem, parent).tolist(), torch.zeros(made.shape)
        sizes = [
            len(tree.candidates[r][a].encode()) + 1 if a < len(tree.candidates[r]) else 1
            for r, a in zip(rows, action.tolist(), strict=True)
        ]
        length[row, column] = torch.tensor(sizes, dtype=length.dtype)
        return log_p.to(states.device), length.to(states.device)

    def status(self, states: Tensor) -> Tensor:
        """(B,) int64 what became of the proofs."""
        return self.tree.status(self.tree.rows(states[:, 0], states[:, 1])).to(states.device)


class PosteriorReward(ProofReward):
    r"""The posterior of a reference over proofs, given that the checker accepts them.

    .. math:: \log R(\tau) = \beta \sum_t \log p_{ref}(t_t \mid s_t) + \log v(\text{outcome})

    with v = 1 for proofs, e^-a for those that are not complete after D tactics, and e^-b for those
    that end in an error. With beta = 1 the sum of all R is at most 1, and Z is about the
    probability that the reference finds a proof. Errors are many: b must be larger than what beta
    takes from proofs, or Z is theirs.

    Args:
        tree: Of the environment.
        reference: How likely tactics are beforehand; by default all candidates alike.
        beta: Weight of the reference; 0 makes all proofs alike.
        incomplete: a.
        error: b.
    """

    @checked
    def __init__(
        self,
        tree: ProofTree,
        reference: Reference | None = None,
        beta: NotNegative = 1.0,
        incomplete: NotNegative = 5.0,
        error: NotNegative = 10.0,
    ) -> None:
        super().__init__(tree, reference)
        self.beta, self.incomplete, self.error = beta, incomplete, error

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        log_p, _ = self.steps(states)
        status = self.status(states)
        outcome = torch.full_like(log_p[:, 0], -self.incomplete)
        outcome = outcome.masked_fill(status == DONE, 0.0)
        outcome = outcome.masked_fill(status >= FAILED, -self.error)
        return self.beta * log_p.sum(-1) + outcome


class PaperReward(ProofReward):
    r"""Proof Flow's reward, for finite lists of tactics.

    .. math:: \log R = 0, \quad -15 + \alpha \ln \frac{c - l}{c}, \quad
              \frac1n \sum_i \frac1{l_i} \log p_{ref}(t_i \mid s_i)

    for proofs, for what ends in an error (l is the mean length of its tactics, in bytes), and for
    what is not complete after D tactics. Nothing is below -30.

    Over texts of free length this is no target: every text that fails has about e^-15, and there
    are so many of them that Z is theirs. Use `PosteriorReward` there.

    Args:
        tree: Of the environment.
        reference: How likely tactics are beforehand; by default all candidates alike.
        alpha: Weight of the length.
        longest: c.
        incomplete: log R of what is not complete, in place of the third form.
    """

    @checked
    def __init__(
        self,
        tree: ProofTree,
        reference: Reference | None = None,
        alpha: NotNegative = 8.0,
        longest: Positive = 88.0,
        incomplete: float | None = None,
    ) -> None:
        super().__init__(tree, reference)
        self.alpha, self.longest, self.incomplete = alpha, longest, incomplete

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        log_p, length = self.steps(states)
        count = (length > 0).sum(-1).clamp(min=1)
        mean = (length.sum(-1) / count).clamp(max=self.longest - math.exp(-15))
        error = -15 + self.alpha * ((self.longest - mean) / self.longest).log()
        if self.incomplete is None:
            limit = (log_p / length.clamp(min=1)).sum(-1) / count
        else:
            limit = torch.full_like(error, self.incomplete)
        status = self.status(states)
        value = torch.where(status >= FAILED, error, limit).masked_fill(status == DONE, 0.0)
        return value.clamp(min=-30)
