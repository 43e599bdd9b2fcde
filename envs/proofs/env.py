"""Proof search: tactics are applied to a theorem until it is proved or one fails."""

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.proofs.tree import OPEN, STATUSES, ProofTree
from gflow.rewards.base import LogReward


class ProofEnv(DiscreteEnvironment[Tensor]):
    r"""Sequences of tactics, judged by a proof checker.

    **What is built.** A sequence of at most D tactics that ends when the theorem is proved, when a
    tactic fails, or after D. Two different sequences are two objects, so that states form a tree
    and P_B = 1. **State.** (B, 2) int64: the number of the theorem, which is the condition of a
    trajectory, and the place in its tree (see `ProofTree`). Without conditions the first theorem is
    meant. The text that belongs to a state is `text`.

    **Forward actions.** The candidates at the goal, at most A. The checker is asked when a state is
    looked at for the first time: once for each, all of a batch in one call, each by the checker of
    its theorem.

    **Backward actions.** One, which takes the last tactic back.

    Args:
        tree: Theorems, candidates and the checker.
        reward: log R of ended proofs, such as `PosteriorReward`.

    Attributes:
        held_out: The same with theorems that are never trained on, to judge by.

    Reference:
        Ho et al., Proof Flow: preliminary study on generative flow network language model tuning
        for formal reasoning, 2024, https://arxiv.org/abs/2410.13224

    Example:
        >>> from gflow.envs.proofs import FixedTactics, PosteriorReward, RecordedChecker
        >>> record = RecordedChecker()
        >>> tree = ProofTree(record, record.theorems, FixedTactics(record.tactics), depth=4)
        >>> env = ProofEnv(tree, PosteriorReward(tree))
        >>> states = env.step(env.initial(1), torch.tensor([0]))
        >>> print(env.text(states)[0])
        P, Q : Prop
        H : P /\ Q
        ⊢ Q \/ P
    """

    source_reads_condition = True
    held_out: "ProofEnv | None" = None

    def __init__(self, tree: ProofTree, reward: LogReward[Tensor]) -> None:
        self.tree, self.reward = tree, reward
        self.horizon, self.num_actions, self.num_backward_actions = tree.depth, tree.width, 1
        self.num_keys = tree.places * len(tree.theorems)
        self.source_reads_condition = len(tree.theorems) > 1
        self.feature_sizes = (len(tree.theorems), *(tree.width + 1,) * tree.depth)

    # ------------------------------------------------------------------ sources

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """B times the first theorem, nothing done."""
        return torch.zeros(batch_size, 2, dtype=torch.int64, device=device)

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> Tensor:
        """The theorems whose numbers are the conditions, (B, 1)."""
        states = self.initial(batch_size, device)
        if condition is not None and self.source_reads_condition:
            states[:, 0] = condition[:, 0].to(device).round().long()
        return states

    # ------------------------------------------------------------------ moves

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) the candidates, where the proof is open and not too long."""
        allowed = self.tree.allowed(self.rows(states)).to(states.device)
        return allowed & (self.tree.level(states[:, 1]) < self.horizon)[:, None]

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, 1) anything was done."""
        return states[:, 1:] > 0

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) the proof is done or failed, or D tactics long."""
        return (self.status(states) != OPEN) | (self.tree.level(states[:, 1]) >= self.horizon)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) nothing was done."""
        return states[:, 1] == 0

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) the one there is."""
        return torch.zeros_like(actions)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the candidate that led here."""
        return self.tree.action(states[:, 1])

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([states[:, 0], self.tree.child(states[:, 1], actions)], 1)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([states[:, 0], self.tree.parent(states[:, 1])], 1)

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) the state is on the way to the object."""
        on_the_way = self.tree.ancestors(objects[:, 1]) == states[:, 1:]
        return on_the_way.any(-1) & (states[:, 0] == objects[:, 0])

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, 1) zeros: a single path leads to each state."""
        return torch.zeros(len(states), 1, device=states.device)

    # ------------------------------------------------------------------ numbers and words

    def encode(self, states: Tensor) -> Tensor:
        """(B, 1 + D) the theorem, and the candidates that were taken, the last first; 0 for none.

        Nothing of what the checker said: policies for many theorems read `text`.
        """
        line = self.tree.ancestors(states[:, 1])[:, :-1]
        taken = torch.where(line > 0, self.tree.action(line) + 1, 0)
        return torch.cat([states[:, :1], taken], 1)

    def key(self, states: Tensor) -> Tensor:
        """(B,) theorem and place."""
        return states[:, 0] * self.tree.places + states[:, 1]

    def rows(self, states: Tensor) -> Tensor:
        """(B,) int64 on the CPU: the rows of the tree, asking the checker for what is new."""
        return self.tree.rows(states[:, 0], states[:, 1])

    def status(self, states: Tensor) -> Tensor:
        """(B,) int64 what became of the proofs: `OPEN`, `DONE` or `FAILED` (`NOWHERE`)."""
        return self.tree.status(self.rows(states)).to(states.device)

    def text(self, states: Tensor) -> list[str]:
        """B canonical texts of the goals, or what became of the proof."""
        return [self.tree.texts[row] for row in self.rows(states).tolist()]

    def proof(self, states: Tensor) -> list[tuple[str, ...]]:
        """B sequences of tactics."""
        return [self.tree.proof(theorem, place) for theorem, place in states.tolist()]

    def show(self, states: Tensor) -> list[str]:
        """The theorem, the tactics and what became of it."""
        statuses = self.status(states).tolist()
        return [
            f"{self.tree.theorems[k].declaration} {' '.join(proof)} [{STATUSES[status]}]"
            for (k, _), proof, status in zip(
                states.tolist(), self.proof(states), statuses, strict=True
            )
        ]
