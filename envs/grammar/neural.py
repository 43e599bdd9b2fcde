"""Grammars whose probabilities come from networks over embeddings of symbols."""

from typing import Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count
from gflow.checks import checked
from gflow.envs.grammar.model import GrammarModel
from gflow.envs.grammar.rules import Rules
from gflow.errors import UnknownNameError

Kind = Literal["cfg", "ncfg"]


class NeuralGrammar(GrammarModel):
    r"""log p(words, tree) of a grammar with neural probabilities.

    Each symbol has an embedding e. S -> A and T -> w are read from U (e + g(e)) with a perceptron
    g, A -> X Y from a linear layer over e to all pairs. In an "ncfg" the embedding of a symbol's
    parent is added to its own, so that what it expands into depends on where it stands; it is then
    no context-free grammar over N symbols, but one over pairs of them.

    Args:
        nonterminals: N.
        preterminals: M.
        vocabulary: V.
        kind: "cfg" or "ncfg".
        width: Size of embeddings.
        longest: Most words of sentences that are drawn.
        generator: For the initial weights.

    Reference:
        Kim et al., Compound probabilistic context-free grammars for grammar induction, 2019,
        https://arxiv.org/abs/1906.10225; Hu et al., GFlowNet-EM for learning compositional latent
        variable models, 2023, https://arxiv.org/abs/2302.06576
    """

    @checked
    def __init__(
        self,
        nonterminals: Count,
        preterminals: Count,
        vocabulary: Count,
        kind: Kind = "cfg",
        width: Count = 64,
        longest: Count = 20,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(longest)
        if kind not in ("cfg", "ncfg"):
            raise UnknownNameError("kind of grammar", kind, ("cfg", "ncfg"))
        self.nonterminals, self.preterminals = nonterminals, preterminals
        self.kind = kind
        symbols = nonterminals + preterminals
        self.symbol = nn.Parameter(torch.empty(symbols + 1, width))  # S is the last
        self.above: nn.Parameter | None = None
        if kind == "ncfg":
            self.above = nn.Parameter(torch.empty(nonterminals + 1, width))
        self.start = _Unary(width, nonterminals)
        self.word = _Unary(width, vocabulary)
        self.pair = nn.Linear(width, symbols * symbols)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            elif name in ("symbol", "above"):
                nn.init.normal_(parameter, generator=generator)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)

    def rules(self) -> Rules:
        """The log-probabilities as they are now, with gradients."""
        n, m = self.nonterminals, self.preterminals
        symbol = self.symbol[None]  # (Q, N + M + 1, width)
        if self.above is not None:
            symbol = symbol + self.above[:, None]
        pairs = self.pair(symbol[:, :n]).log_softmax(-1)
        return Rules(
            self.start(self.symbol[-1]).log_softmax(-1),
            pairs.unflatten(-1, (n + m, n + m)),
            self.word(symbol[:, n:-1]).log_softmax(-1),
        )


class _Unary(nn.Module):
    """U (e + g(e)), with g a perceptron of two layers."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.out = nn.Linear(width, outputs)

    def forward(self, embedding: Tensor) -> Tensor:
        found: Tensor = self.out(embedding + self.change(embedding))
        return found
