"""Grammars as latent-variable models: p(words, tree), with the tree as the latent."""

from abc import abstractmethod

import torch
from torch import Tensor

from gflow.em.model import LatentModel
from gflow.envs.grammar.derive import derive
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.inside import log_marginal
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import log_joint


class GrammarModel(LatentModel):
    """log p(words, tree) by the rules of a grammar; a subclass says which.

    Latents are finished trees of `Parser`, which hold their words.

    Args:
        longest: Most words of sentences that are drawn.
    """

    def __init__(self, longest: int = 20) -> None:
        super().__init__()
        self.longest = longest

    @abstractmethod
    def rules(self) -> Rules:
        """The log-probabilities as they are now, with gradients."""

    def log_prob(self, x: Tensor, z: Forest) -> Tensor:
        """(B,) log p(x, z), with gradients.

        Args:
            x: (B, L) words; those that `z` holds are read.
            z: B trees.
        """
        return log_joint(self.rules(), z)

    def partial_log_prob(self, x: Tensor, z: Forest) -> Tensor:
        """(B,) log-probability of what no further move can change.

        Of all nodes, or, where expansions depend on the parent, of those that have one.
        """
        return log_joint(self.rules(), z)

    def log_marginal(self, words: Tensor) -> Tensor:
        """(B,) log p(words), with gradients, by the inside algorithm."""
        return log_marginal(self.rules(), words)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Forest]:
        """`count` sentences of at most `longest` words, (count, L), and their trees."""
        forest = derive(self.rules(), count, self.longest, generator)
        return forest.words, forest


class FixedGrammar(GrammarModel):
    """A grammar that is not learned.

    Args:
        rules: Its probabilities.
        smoothing: Share of every distribution that is spread evenly over all outcomes, so that no
            tree is impossible: a log-reward must be finite.
        longest: Most words of sentences that are drawn.
    """

    top: Tensor
    pairs: Tensor
    words: Tensor

    def __init__(self, rules: Rules, smoothing: float = 0.0, longest: int = 20) -> None:
        super().__init__(longest)
        dtype = torch.get_default_dtype()
        for name in ("top", "pairs", "words"):
            log = getattr(rules, name).detach().to(dtype)
            size = log[0, 0].numel() if name == "pairs" else log.shape[-1]
            share = (1 - smoothing) * log.exp() + smoothing / size
            self.register_buffer(name, share.log())

    def rules(self) -> Rules:
        """The log-probabilities."""
        return Rules(self.top, self.pairs, self.words)
