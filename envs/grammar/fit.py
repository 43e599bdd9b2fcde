"""Learning a grammar without a sampler: exact EM by the inside algorithm, and Monte-Carlo EM."""

import torch
from torch import Tensor

from gflow.envs.grammar.inside import log_marginal
from gflow.envs.grammar.metropolis import TreeChains, random_trees
from gflow.envs.grammar.model import GrammarModel
from gflow.envs.grammar.rules import Rules


def inside_step(
    model: GrammarModel, optimizer: torch.optim.Optimizer, words: Tensor, grad_clip: float = 0.0
) -> Tensor:
    """() mean log p(words) before a step up its gradient.

    It is the gradient of an M-step after an exact E-step: the expected counts of all rules.

    Args:
        model: Fitted in place.
        optimizer: Of its parameters.
        words: (B, L) sentences.
        grad_clip: Largest norm of the gradient; 0 does not clip.
    """
    return _up(model, optimizer, model.log_marginal(words).mean(), grad_clip)


def chains_step(
    model: GrammarModel,
    optimizer: torch.optim.Optimizer,
    words: Tensor,
    steps: int,
    generator: torch.Generator | None = None,
    grad_clip: float = 0.0,
) -> Tensor:
    """() mean log p(words, tree) before a step up its gradient, the trees by Markov chains.

    Args:
        model: Fitted in place.
        optimizer: Of its parameters.
        words: (B, L) sentences.
        steps: Candidates of each chain, which begins at a random tree.
        generator: Source of all randomness.
        grad_clip: Largest norm of the gradient; 0 does not clip.

    Reference:
        Wei and Tanner, A Monte Carlo implementation of the EM algorithm, 1990
    """
    with torch.no_grad():
        rules = model.rules()
        start = random_trees(words, rules.nonterminals, generator)
        trees = TreeChains(rules, start, generator).run(steps)
    return _up(model, optimizer, model.log_prob(words, trees).mean(), grad_clip)


def _up(
    model: GrammarModel, optimizer: torch.optim.Optimizer, value: Tensor, grad_clip: float
) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    (-value).backward()
    if grad_clip:
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), grad_clip)
    optimizer.step()
    return value.detach()


def reestimated(rules: Rules, words: Tensor) -> Rules:
    """The grammar after one step of EM with tables: expected counts of all rules, normalised.

    Args:
        rules: The grammar before; rules that are never expected keep their distribution.
        words: (B, L) all sentences.

    Reference:
        Baker, Trainable grammars for speech recognition, 1979
    """
    with torch.enable_grad():
        parts = [part.detach().clone().requires_grad_() for part in vars(rules).values()]
        total = log_marginal(Rules(*parts), words).sum()
        counts = torch.autograd.grad(total, parts)
    top, pairs, leaves = (
        _shares(count, old, dims)
        for count, old, dims in zip(counts, parts, ((0,), (-2, -1), (-1,)), strict=True)
    )
    return Rules(top, pairs, leaves)


def _shares(count: Tensor, old: Tensor, dims: tuple[int, ...]) -> Tensor:
    total = count.sum(dims, keepdim=True)
    share = (count / total.where(total > 0, 1.0)).log()
    return share.where(total > 0, old.detach())
