"""Parsing: neighbouring trees of a sentence are joined under labels until one is left."""

from functools import cache

import torch
from torch import Tensor

from gflow.em.observations import Observations
from gflow.em.reward import JointReward
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.grammar.forest import NO_WORD, Forest, extents, roots
from gflow.envs.grammar.report import parses
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import LogReward

LARGEST_KEY = 2**62


class Parser(DiscreteEnvironment[Forest]):
    r"""Labelled binary trees over the words of sentences.

    **What is built.** A binary tree over n words, each of its n - 1 inner nodes labelled by one of
    N nonterminals. **State.** `Forest`; at first every word is a tree. The words are part of it,
    so that sentences can stand side by side in a batch; the condition of a trajectory is the number
    of its sentence, and without conditions the first sentence is meant.

    **Forward actions.** g N + A joins the trees at both sides of gap g under the label A. With one
    tree left the object is finished.

    **Backward actions.** g takes the node at gap g away, if it is a root. A tree is built in
    (n - 1)! / prod (nodes under each node, itself included) orders; hence the maximum-entropy
    backward policy.

    **Reward.** Any `LogReward` of forests: `GrammarReward` is the joint probability of words and
    tree.

    **Size.** (2n - 2)! / (n! (n - 1)!) N^(n-1) trees over n words.

    Args:
        sentences: (K, L) int64 words below V, `NO_WORD` behind the last, at least two in each; or
            `Observations` of them, which know what a model dreams, too.
        reward: How good a tree is.
        nonterminals: N.
        vocabulary: V; by default as many as occur.

    Example:
        >>> from gflow.rewards.base import FunctionReward
        >>> flat = FunctionReward(lambda forest: forest.label.sum(-1).double())
        >>> env = Parser(torch.tensor([[0, 1, 0]]), flat, nonterminals=2)
        >>> forest = env.step(env.initial(1), torch.tensor([3]))
        >>> env.show(forest), env.forward_mask(forest).int().tolist()
        (['0 (1 1 0)'], [[1, 1, 0, 0]])
    """

    source_reads_condition = True

    def __init__(
        self,
        sentences: Tensor | Observations,
        reward: LogReward[Forest],
        nonterminals: int,
        vocabulary: int | None = None,
    ) -> None:
        self.data = Observations.of(sentences)
        words: Tensor = self.data.data
        if words.dim() != 2 or not words.numel() or words.dtype != torch.int64:
            raise ShapeError(
                f"Parser: sentences must be (K, L) int64, got {words.dtype} {tuple(words.shape)}."
            )
        if nonterminals < 1:
            raise ConfigError(f"Parser: need at least one nonterminal, got {nonterminals}.")
        there, most = words != NO_WORD, int(words.max()) + 1
        vocabulary = most if vocabulary is None else vocabulary
        if int(words.min()) < NO_WORD or most > vocabulary:
            raise ConfigError(
                f"Parser: words are numbered 0 ... {vocabulary - 1}, and {NO_WORD} stands behind "
                f"the last, got {int(words.min())} ... {most - 1}."
            )
        gap = bool((there[:, 1:] & ~there[:, :-1]).any())
        if gap or bool((there.sum(-1) < 2).any()):
            raise ConfigError(
                "Parser: sentences have at least two words, and nothing between them. Leave out "
                "shorter ones: there is nothing to parse in them."
            )
        self.reward = reward
        self.nonterminals, self.vocabulary = nonterminals, vocabulary
        self.longest = words.shape[1]
        self.condition_dim = int(isinstance(reward, JointReward))
        gaps = self.longest - 1
        self.horizon = gaps
        self.num_actions, self.num_backward_actions = gaps * nonterminals, gaps
        self.feature_sizes = (
            (vocabulary + 1,) * self.longest
            + (nonterminals + 1,) * gaps
            + (self.longest + 1,) * (2 * gaps)
        )
        # A word or none; a label, one of g + 1 beginnings and one of L - g - 1 ends, or none.
        sizes = [vocabulary + 1] * self.longest
        sizes += [1 + nonterminals * (g + 1) * (gaps - g) for g in range(gaps)]
        self._radix = [1]
        for size in sizes:
            self._radix.append(self._radix[-1] * size)
        if self._radix[-1] <= LARGEST_KEY:
            self.num_keys = self._radix.pop()
        else:
            self.has_keys = False  # type: ignore[misc]

    # ------------------------------------------------------------------ sources

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Forest:
        """B times the first sentence, nothing joined."""
        return self.of_words(
            self.data.at(torch.zeros(batch_size, dtype=torch.int64, device=device))
        )

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> Forest:
        """The sentences whose numbers are the conditions, (B, 1)."""
        if condition is None:
            return self.initial(batch_size, device)
        return self.of_words(self.data.rows(condition.to(device)))

    def of_words(self, words: Tensor) -> Forest:
        """Forests of single words, (B, L)."""
        none = words.new_zeros(words.shape[0], self.longest - 1)
        return Forest(words.contiguous(), torch.full_like(none, self.nonterminals), none, none)

    # ------------------------------------------------------------------ moves

    def forward_mask(self, states: Forest) -> Tensor:
        """(B, A) every label at every gap between two trees."""
        free = states.gaps & ~states.joined
        return free.repeat_interleave(self.nonterminals, 1)

    def backward_mask(self, states: Forest) -> Tensor:
        """(B, G) roots."""
        return roots(states)

    def is_terminal(self, states: Forest) -> Tensor:
        """(B,) one tree holds all words."""
        return states.complete

    def is_initial(self, states: Forest) -> Tensor:
        """(B,) nothing is joined."""
        return ~states.joined.any(-1)

    def backward_action(self, states: Forest, actions: Tensor) -> Tensor:
        """(B,) the gap."""
        return actions // self.nonterminals

    def forward_action(self, states: Forest, backward_actions: Tensor) -> Tensor:
        """(B,) the gap and the label that was there."""
        label = states.label.gather(1, backward_actions[:, None]).squeeze(1)
        return backward_actions * self.nonterminals + label.clamp(max=self.nonterminals - 1)

    def _step(self, states: Forest, actions: Tensor) -> Forest:
        gap, label = actions[:, None] // self.nonterminals, actions[:, None] % self.nonterminals
        start, end = extents(states)
        return Forest(
            states.words,
            states.label.scatter(1, gap, label),
            states.left.scatter(1, gap, start.gather(1, gap)),
            states.right.scatter(1, gap, end.gather(1, gap)),
        )

    def _backstep(self, states: Forest, actions: Tensor) -> Forest:
        gap = actions[:, None]
        return Forest(
            states.words,
            states.label.scatter(1, gap, self.nonterminals),
            states.left.scatter(1, gap, 0),
            states.right.scatter(1, gap, 0),
        )

    def reaches(self, states: Forest, objects: Forest) -> Tensor:
        """(B,) every node of the forest is one of the tree, over the same words."""
        kept = (
            (states.label == objects.label)
            & (states.left == objects.left)
            & (states.right == objects.right)
        )
        same = (states.words == objects.words).all(-1)
        return same & (kept | ~states.joined).all(-1)

    def max_entropy_logits(self, states: Forest) -> Tensor:
        """(B, G) log of the nodes in the tree whose root is taken away."""
        size = (states.right - states.left - 1).clamp(min=1)
        return size.to(torch.get_default_dtype()).log()

    # ------------------------------------------------------------------ numbers and words

    def encode(self, states: Forest) -> Tensor:
        """(B, L + 3 G) words, labels, beginnings and ends."""
        return torch.cat([states.words + 1, states.label, states.left, states.right], 1)

    def key(self, states: Forest) -> Tensor:
        """(B,) words, labels, beginnings and ends in mixed radix."""
        gaps = torch.arange(self.longest - 1, device=states.label.device)
        place = states.left * (self.longest - 1 - gaps) + states.right - gaps - 2
        node = (1 + states.label + self.nonterminals * place).where(states.joined, 0)
        return (torch.cat([states.words + 1, node], 1) * self._places(node.device)).sum(-1)

    def show(self, states: Forest) -> list[str]:
        """Trees in brackets, each with its label in front."""
        return parses(states)

    @cache
    def _places(self, device: torch.device) -> Tensor:
        return torch.tensor(self._radix, device=device)
