"""The parser's network: a transformer over the trees of a forest."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.reader import TreeReader, tops
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.trajectories import Trajectories

Backward = Literal["learned", "uniform", "maxent"]

TOGETHER = 48
"""So many forests are read together, whatever their sizes."""

SIZES = (3, 6, 10)
"""More are read in groups of up to so many trees, and of more."""


class ParserPolicy(Policy):
    """Reads each tree from the words up (`TreeReader`), and all trees of a forest by attention.

    Two neighbouring trees have a logit for being joined, and the labels of that a distribution; a
    tree has a logit for being taken apart, and log F is a sum over trees. The words of a sentence
    are part of the states, so the condition is not read.

    States of one trajectory share the vectors of their trees: a rollout computes the one that is
    new, and a loss those of the last forest.

    Args:
        env: The environment.
        width: Features, a multiple of `heads`.
        depth: Blocks of the transformer.
        heads: Attention heads.
        backward: Backward policy.
        log_flow: Whether to have a log-flow head.
        word_cost: What log F loses with every tree at first; log V is a good guess, as a sentence
            of n words has a probability of about V^-n.

    Raises:
        IncompatibleError: If the environment is no `Parser`.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        width: Count = 64,
        depth: Count = 2,
        heads: Count = 4,
        backward: Backward = "learned",
        log_flow: bool = False,
        word_cost: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(env, Parser):
            raise IncompatibleError(f"ParserPolicy reads sentences, and {env.name} has none.")
        if width % heads:
            raise ConfigError(
                f"ParserPolicy: width must be a multiple of heads, got {width} and {heads}."
            )
        self.backward, self.has_log_flow = backward, log_flow
        self.labels, self.gaps = env.nonterminals, env.longest - 1
        self.reader = TreeReader(env.vocabulary, env.nonterminals, width)
        self.place = nn.Embedding(env.longest, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.both = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())
        self.ahead = nn.Linear(width, 1 + env.nonterminals)  # of the pair, and of its labels
        self.back = nn.Linear(width, 1) if backward == "learned" else None
        self.flow: nn.Sequential | None = None
        if log_flow:
            last = nn.Linear(width, 1)
            nn.init.constant_(last.bias, -word_cost)
            self.flow = nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)

    def forward(
        self, env: Environment[Any], states: Forest, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        return self._outputs(states, *self._read(states))

    def forward_logits(
        self, env: Environment[Any], states: Forest, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head alone."""
        read, count, behind = self._trees(states, *self._read(states))
        return self._ahead(read, count, behind)

    def backward_logits(
        self, env: Environment[Any], states: Forest, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head alone, or None."""
        if self.back is None:
            return None
        return self._back(states, self._trees(states, *self._read(states))[0])

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The layer of the backward head."""
        return [] if self.back is None else [(self.back, slice(None))]

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for all stored states, whose trees are all among those of the last forests."""
        leaf, node = self._read(trajectories.final_states)
        row, _ = trajectories.first_visits()
        return self._outputs(trajectories.states, leaf[row], node[row])

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """A rollout that remembers the vectors of the trees."""
        return _Rollout(self, count)

    # ------------------------------------------------------------------ parts

    def _read(self, states: Forest) -> tuple[Tensor, Tensor]:
        """(N, L, width) and (N, G, width) vectors of words and nodes."""
        return self.reader.words(states.words), self.reader.nodes(states)

    def _trees(self, states: Forest, leaf: Tensor, node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, R, width) what the heads read of each tree; (N,) how many, (N, R) gaps behind."""
        vector, count, behind = tops(states, leaf, node)
        if vector.device.type != "cpu" or not len(count):  # reading numbers would cost more
            return self._attend(vector, count), count, behind
        most = int(count.max())
        vector, behind = vector[:, :most], behind[:, :most]
        if len(count) <= TOGETHER:
            return self._attend(vector, count), count, behind
        # Forests of about as many trees together: less is computed for what is not there.
        read, floor = torch.zeros_like(vector), 0
        for size in (*(limit for limit in SIZES if limit < most), most):
            rows = ((count > floor) & (count <= size)).nonzero().squeeze(1)
            if len(rows):
                part = self._attend(vector[rows, :size], count[rows])
                part = F.pad(part, (0, 0, 0, most - size)).to(read.dtype)
                read = read.index_copy(0, rows, part)
            floor = size
        return read, count, behind

    def _attend(self, vector: Tensor, count: Tensor) -> Tensor:
        """(N, R, width) of which the first `count` (N,) of R vectors are there."""
        place = torch.arange(vector.shape[1], device=vector.device)
        there = (place < count[:, None])[:, None, None]
        x = vector + self.place.weight[: vector.shape[1]]
        for block in self.blocks:
            x = block(x, there)
        read: Tensor = self.norm(x)
        return read

    def _outputs(self, states: Forest, leaf: Tensor, node: Tensor) -> PolicyOutput:
        read, count, behind = self._trees(states, leaf, node)
        flow = None
        if self.flow is not None:
            there = torch.arange(read.shape[1], device=read.device) < count[:, None]
            flow = self.flow(read).squeeze(-1).where(there, 0.0).sum(-1)
        back = None if self.back is None else self._back(states, read)
        return PolicyOutput(self._ahead(read, count, behind), back, flow)

    def _ahead(self, read: Tensor, count: Tensor, behind: Tensor) -> Tensor:
        """(N, A) logits of joining two trees, at the gap between them, and of the label."""
        batch, size = read.shape[0], read.shape[1] - 1
        pair = self.both(torch.cat([read[:, :-1], read[:, 1:]], -1))
        out = self.ahead(pair)
        logits = out[..., :1] + out[..., 1:].log_softmax(-1)  # (N, R - 1, labels)
        there = torch.arange(size, device=read.device) < count[:, None] - 1
        # The last column takes what is no pair.
        gap = behind[:, :-1].where(there, self.gaps)
        table = logits.new_zeros(batch, self.gaps + 1, self.labels)
        table = table.scatter(1, gap[..., None].expand(-1, -1, self.labels), logits)
        found: Tensor = table[:, : self.gaps].flatten(1)
        return found

    def _back(self, states: Forest, read: Tensor) -> Tensor:
        """(N, G) logits of taking trees apart, each at the gaps that it holds."""
        assert self.back is not None
        logit = self.back(read).squeeze(-1)  # (N, R)
        # A word's tree is numbered by the free gaps before it, and so is a gap within the tree.
        number = (~states.joined).long().cumsum(-1).clamp(max=logit.shape[1] - 1)
        found: Tensor = logit.gather(1, number)
        return found


class _Block(nn.Module):
    """Attention of all trees to all, then a perceptron at each; both are normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """(N, R, width), of which (N, 1, 1, R) bool are there."""
        asked = self.ask(self.norm_in(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=there)
        x = x + self.mix(mixed.transpose(1, 2).flatten(2))
        thought: Tensor = self.narrow(F.relu(self.widen(self.norm_out(x))))
        return x + thought


class _Rollout:
    """Vectors of the trees of the live rows of one rollout."""

    def __init__(self, policy: ParserPolicy, count: int) -> None:
        self.policy = policy
        self.rows = torch.arange(count, device=policy.place.weight.device)
        self.leaf: Tensor | None = None
        self.node: Tensor | None = None
        self.joined: Tensor | None = None

    def __call__(self, states: Forest, rows: Tensor) -> Tensor:
        """(L, A) forward logits of the live rows, in ascending order."""
        reader = self.policy.reader
        if self.leaf is None or self.node is None or self.joined is None:
            self.leaf = reader.words(states.words)
            self.node = self.leaf.new_zeros(*states.label.shape, self.leaf.shape[-1])
            self.joined = torch.zeros_like(states.joined)
            if bool(states.joined.any()):
                self.node = reader.nodes(states)
        else:
            if rows.shape[0] < self.rows.shape[0]:
                kept = torch.searchsorted(self.rows, rows)
                self.leaf, self.node = self.leaf[kept], self.node[kept]
                self.joined = self.joined[kept]
            self._join(states)
        self.rows, self.joined = rows, states.joined
        policy = self.policy
        return policy._ahead(*policy._trees(states, self.leaf, self.node))

    def _join(self, states: Forest) -> None:
        """Add the vector of the node that is new, if any is."""
        assert self.leaf is not None
        assert self.node is not None
        assert self.joined is not None
        new = states.joined & ~self.joined
        row = torch.arange(len(new), device=new.device)
        gap = new.long().argmax(-1)
        begin, end = states.left[row, gap], states.right[row, gap]
        both = torch.cat([self.leaf, self.node], 1)
        size = self.leaf.shape[1]
        # A child that ends or begins at the gap: its word, or the node that holds it.
        inside = self.joined & (states.right == (gap + 1)[:, None])
        inside = inside & (states.left == begin[:, None])
        left = torch.where(inside.any(-1), size + inside.long().argmax(-1), gap)
        inside = self.joined & (states.left == (gap + 1)[:, None])
        inside = inside & (states.right == end[:, None])
        right = torch.where(inside.any(-1), size + inside.long().argmax(-1), gap + 1)
        joined = self.policy.reader.node(states.label[row, gap], both[row, left], both[row, right])
        changed = self.node.clone()
        changed[row, gap] = torch.where(new.any(-1, keepdim=True), joined, self.node[row, gap])
        self.node = changed
