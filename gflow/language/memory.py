"""A memory of texts: of each prompt the best that differ, by their untempered scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gflow.bounds import Count, Part
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IllegalActionError, IncompatibleError
from gflow.language.env import Text, TokenEnvironment
from gflow.language.nearness import keep_the_better, near_each_other
from gflow.language.prefixes import PrefixReward
from gflow.memory.columns import narrowest
from gflow.sampling.sampler import Sampler
from gflow.shown import in_a_line
from gflow.state import take, to_device
from gflow.trajectories import Trajectories

TextDraw = Literal["uniform", "reward"]


class TextMemory:
    """Of each prompt at most `capacity` finished texts, no two of which are near each other.

    A text is near another if their edit distance is 0, or below `tolerance` times the sum of their
    lengths. What comes is taken in where its score is above that of all near ones that are there,
    which then go; if the memory of its prompt is full, the worst goes.

    Texts are remembered with the scores of all their prefixes, before any temperature: what is
    drawn is repeated, tools included, and rewarded by the temperature of now, without being scored
    again. Log-probabilities are not remembered. Once the reward forgets its scores, those of a
    prompt are made anew when it is next asked for.

    Args:
        env: The environment, with a `PrefixReward`.
        capacity: Texts of a prompt.
        tolerance: What is near; 0 keeps all that differ.
        draw: "uniform", or in proportion to the "reward" of now.

    Attributes:
        device: Where the reward computes when it scores anew: where batches came from, or go.

    Raises:
        IncompatibleError: If the environment writes no texts, or its reward scores no prefixes.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363
    """

    @checked
    def __init__(
        self,
        env: TokenEnvironment,
        capacity: Count = 50,
        tolerance: Part = 0.25,
        draw: TextDraw = "uniform",
    ) -> None:
        reason = memory_refusal(env)
        if reason is not None:
            raise IncompatibleError(f"TextMemory cannot remember objects of {env.name}: {reason}")
        self.env, self.capacity, self.tolerance, self.draw = env, capacity, tolerance, draw
        self._dtype = narrowest(env.blank + 1)
        self.device: torch.device | str = "cpu"
        self._shelf = torch.full((len(env.prompts),), -1)
        self._clear(0)

    def _clear(self, shelves: int) -> None:
        """Empty shelves, one for a prompt."""
        size, width = self.capacity, self.env.length
        self._count = torch.zeros(shelves, dtype=torch.int64)
        self._edition = torch.full((shelves,), self.reward.edition)
        self._tokens = torch.full((shelves, size, width), self.env.blank, dtype=self._dtype)
        self._length = torch.zeros(shelves, size, dtype=torch.int64)
        self._prefixes = torch.zeros(shelves, size, width + 1)

    @property
    def reward(self) -> PrefixReward:
        """What scores texts."""
        assert isinstance(self.env.reward, PrefixReward)
        return self.env.reward

    def __repr__(self) -> str:
        return in_a_line(self, f"{len(self)} held")

    def __len__(self) -> int:
        return int(self._count.sum())

    def counts(self, prompt: Tensor) -> Tensor:
        """(B,) int64 how many texts of each prompt are there."""
        shelf = self._shelf[prompt.cpu()]
        found = torch.zeros_like(shelf)
        found[shelf >= 0] = self._count[shelf[shelf >= 0]]
        return found

    def best(self, prompt: int) -> list[tuple[list[int], float]]:
        """The texts of a prompt and their scores, the best first."""
        shelf = int(self._shelf[prompt])
        if shelf < 0:
            return []
        self._refresh(torch.tensor([shelf]))
        count = int(self._count[shelf])
        length = self._length[shelf, :count].tolist()
        texts = self._tokens[shelf, :count].tolist()
        scores = self._scores(torch.tensor([shelf]))[0, :count].tolist()
        order = sorted(range(count), key=lambda i: -scores[i])
        return [(texts[i][: length[i]], scores[i]) for i in order]

    # ------------------------------------------------------------------ in

    def add(self, batch: Trajectories[Text]) -> None:
        """Remember the finished texts of a batch."""
        self._add(batch.whole.final_states)

    def seed(self, texts: Sequence[Sequence[int]], prompts: Sequence[int]) -> None:
        """Remember given texts: true sentences, demonstrations.

        Args:
            texts: Tokens without the stop, what the tool says included.
            prompts: The number of the prompt of each.

        Raises:
            ConfigError: If a text cannot be written, or there is not one prompt for each.
        """
        if len(texts) != len(prompts):
            raise ConfigError(
                f"TextMemory.seed: needs the number of a prompt for each of {len(texts)} texts, "
                f"got {len(prompts)}."
            )
        for start in range(0, len(texts), 256):
            part = slice(start, start + 256)
            self._add(self._written(texts[part], prompts[part], start))

    def _written(self, texts: Sequence[Sequence[int]], prompts: Sequence[int], first: int) -> Text:
        """The states in which given texts end."""
        rows = [torch.tensor(text, dtype=torch.int64) for text in texts]
        length = torch.tensor([len(row) for row in rows])
        number = torch.tensor(prompts)
        wrong = ((number < 0) | (number >= len(self.env.prompts))).nonzero()
        if len(wrong):
            raise ConfigError(
                f"TextMemory.seed: there is no prompt {int(number[wrong[0]])} among "
                f"{len(self.env.prompts)}."
            )
        tokens = pad_sequence(rows, batch_first=True)
        try:
            unknown = torch.zeros(len(length))
            given = self._conditions(number)
            return self._repeated(Sampler(self.env), tokens, length, given, unknown).final_states
        except IllegalActionError:
            if len(texts) > 1:  # which one is it?
                for i in range(len(texts)):
                    self._written(texts[i : i + 1], prompts[i : i + 1], first + i)
            env = self.env
            shown = list(texts[0]) if env.decode is None else repr(env.decode(list(texts[0])))
            raise ConfigError(
                f"TextMemory.seed: text {first}, {shown}, cannot be written behind prompt "
                f"{prompts[0]}: needs {env.min_length} to {env.max_length} legal tokens without "
                f"the stop, and behind each what the tool says."
            ) from None

    def _conditions(self, number: Tensor) -> Tensor | None:
        """(B, C) conditions that call prompts, all else 0."""
        width = self.env.condition_dim
        if not width:
            return None
        rest = torch.zeros(len(number), width - 1)
        return torch.cat([number[:, None].to(rest.dtype), rest], 1)

    def _add(self, states: Text) -> None:
        """Take in what is worth it, the best first."""
        if not len(states.prompt):
            return
        self.device = states.prompt.device
        prefixes = self.reward.prefixes_of(states).cpu()
        states = to_device(states, "cpu")
        length = (states.tokens != self.env.blank).sum(1)
        score = prefixes.gather(1, length[:, None]).squeeze(1)
        distinct, mine = torch.unique(states.prompt, return_inverse=True)
        shelves = self._shelves(distinct)
        self._refresh(shelves)
        order = self._candidates(states, score, shelves[mine])
        states, prefixes, mine = take(states, order), prefixes[order], mine[order]
        length, score = length[order], score[order]
        stays = self._chosen(states.tokens, length, score, shelves, mine)
        width = prefixes.shape[1]
        for place, shelf in enumerate(shelves.tolist()):
            old = stays[place, : self.capacity].nonzero().squeeze(1)
            new = stays[place, self.capacity :].nonzero().squeeze(1)
            count = len(old) + len(new)
            kept = self._prefixes[shelf, old]
            self._prefixes[shelf, : len(old)] = kept
            self._prefixes[shelf, len(old) : count, :width] = prefixes[new]
            for stored, given in ((self._tokens, states.tokens), (self._length, length)):
                both = torch.cat([stored[shelf, old], given[new].to(stored.dtype)])
                stored[shelf, :count] = both
            self._count[shelf] = count

    def _shelves(self, prompt: Tensor) -> Tensor:
        """(P,) int64 the shelves of distinct prompts, made where there are none."""
        missing = prompt[self._shelf[prompt] < 0]
        if len(missing):
            before, held = len(self._count), vars(self).copy()
            self._clear(before + len(missing))
            for name in ("_count", "_edition", "_tokens", "_length", "_prefixes"):
                getattr(self, name)[:before] = held[name]
            self._shelf[missing] = torch.arange(before, before + len(missing))
        return self._shelf[prompt]

    def _candidates(self, states: Text, score: Tensor, shelf: Tensor) -> Tensor:
        """(M,) int64 rows of new texts, the best first, each once.

        Without those that are no better than the worst of a full shelf.
        """
        full = self._count[shelf] == self.capacity
        order = torch.argsort(score, descending=True, stable=True)
        order = order[~(full & (score <= self._scores(shelf).min(1).values))[order]]
        whole = torch.cat([states.prompt[:, None], states.tokens], 1)[order]
        group = torch.unique(whole, dim=0, return_inverse=True)[1]
        place = torch.arange(len(order))
        first = torch.full_like(place, len(order)).scatter_reduce(0, group, place, "amin")
        return order[first[first < len(order)].sort().values]

    def _chosen(
        self, tokens: Tensor, length: Tensor, score: Tensor, shelves: Tensor, mine: Tensor
    ) -> Tensor:
        """(P, capacity + B) bool which of the texts on P shelves and of B new ones are there then.

        Args:
            tokens: (B, L) new texts, the best first.
            length: (B,).
            score: (B,).
            shelves: (P,) where they may go.
            mine: (B,) which of these.
        """
        new = len(length)
        place = torch.arange(self.capacity)
        stays = torch.zeros(len(shelves), self.capacity + new, dtype=torch.bool)
        stays[:, : self.capacity] = place < self._count[shelves][:, None]
        known = torch.cat([self._scores(shelves), score.expand(len(shelves), -1)], 1)
        # Pairs of new texts with those on their shelves, and with new ones of their prompt.
        row, column = (stays[mine] | self._rivals(mine)).nonzero(as_tuple=True)
        stored, rival = column < self.capacity, (column - self.capacity).clamp(min=0)
        other, other_length = tokens[rival], length[rival]
        at = (shelves[mine[row[stored]]], column[stored])
        other[stored], other_length[stored] = self._tokens[at].long(), self._length[at]
        near = torch.zeros(new, stays.shape[1], dtype=torch.bool)
        near[row, column] = near_each_other(
            tokens[row], length[row], other, other_length, self.tolerance
        )
        keep_the_better(stays, known, near, score, mine, self.capacity)
        return stays

    def _rivals(self, mine: Tensor) -> Tensor:
        """(B, capacity + B) bool earlier new texts of the same prompt."""
        same = (mine[:, None] == mine).tril(-1)
        return torch.nn.functional.pad(same, (self.capacity, 0))

    # ------------------------------------------------------------------ scores

    def _scores(self, shelves: Tensor) -> Tensor:
        """(P, capacity) the scores of texts; of none, anything."""
        found = self._prefixes[shelves].gather(2, self._length[shelves][..., None])
        return found.squeeze(2)

    def _refresh(self, shelves: Tensor) -> None:
        """Score anew what another edition of the reward scored."""
        stale = shelves[self._edition[shelves] != self.reward.edition]
        prompt = torch.empty(len(self._count), dtype=torch.int64)
        prompt[self._shelf[self._shelf >= 0]] = (self._shelf >= 0).nonzero().squeeze(1)
        for shelf in stale.tolist():
            count = int(self._count[shelf])
            if count:
                texts = self._state(prompt[shelf].expand(count), self._tokens[shelf, :count])
                found = self.reward.prefixes_of(to_device(texts, self.device)).cpu()
                self._prefixes[shelf, :count, : found.shape[1]] = found
            self._edition[shelf] = self.reward.edition

    def _state(self, prompt: Tensor, tokens: Tensor) -> Text:
        """Texts as far as rewards read them."""
        empty = self.env.start(len(prompt), condition=self._conditions(prompt))
        return replace(empty, tokens=tokens.long())

    # ------------------------------------------------------------------ out

    def sample(
        self,
        sampler: Sampler,
        prompt: Tensor,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Trajectories[Text]:
        """One remembered text for each of B prompts, as trajectories with the reward of now.

        Args:
            sampler: Of the environment.
            prompt: (B,) int64 prompts that have some (`counts`).
            condition: (B, C) what the trajectories are told, or None.
            generator: Source of all randomness.
            device: Where to put them.
        """
        self.device = device
        prompt = prompt.cpu()
        shelf = self._shelf[prompt]
        self._refresh(shelf.unique())
        count = self._count[shelf]
        on = generator.device if generator is not None else torch.device("cpu")
        if self.draw == "uniform":
            unit = torch.rand(len(shelf), generator=generator, device=on).cpu()
            slot = torch.minimum((unit * count).long(), count - 1)
        else:
            noise = torch.rand(len(shelf), self.capacity, generator=generator, device=on).cpu()
            log_reward = self._scores(shelf) / self.reward.temperature
            keys = log_reward - (-noise.log()).log()  # the largest is drawn in proportion
            empty = torch.arange(self.capacity) >= count[:, None]
            slot = keys.masked_fill(empty, -torch.inf).argmax(1)
        tokens, length = self._tokens[shelf, slot].long(), self._length[shelf, slot]
        self.reward.recall(self._state(prompt, tokens), self._prefixes[shelf, slot])
        return self._repeated(sampler, tokens.to(device), length.to(device), condition)

    def _repeated(
        self,
        sampler: Sampler,
        tokens: Tensor,
        length: Tensor,
        condition: Tensor | None,
        log_reward: Tensor | None = None,
    ) -> Trajectories[Text]:
        """The trajectories that write B texts and stop."""
        stop = self.env.stop_action
        assert stop is not None
        actions = torch.nn.functional.pad(tokens[:, : int(length.max())], (0, 1))
        actions = actions.scatter(1, length[:, None], stop)
        return sampler.along(actions, length + 1, condition=condition, log_reward=log_reward)

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The texts that are there, shelf by shelf, and what they scored."""
        prompt = (self._shelf >= 0).nonzero().squeeze(1)
        prompt = prompt[torch.argsort(self._shelf[prompt])]
        there = torch.arange(self.capacity) < self._count[:, None]
        return {
            "prompt": prompt,
            "count": self._count.clone(),
            "fresh": self._edition == self.reward.edition,
            "tokens": self._tokens[there],
            "length": self._length[there],
            "prefixes": self._prefixes[there],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._clear(len(state["prompt"]))
        self._shelf.fill_(-1)
        self._shelf[state["prompt"]] = torch.arange(len(state["prompt"]))
        self._count = state["count"].clone()
        self._edition[~state["fresh"]] = -1
        there = torch.arange(self.capacity) < self._count[:, None]
        for name in ("tokens", "length", "prefixes"):
            getattr(self, f"_{name}")[there] = state[name]


def memory_refusal(env: Environment[Any]) -> str | None:
    """Why a `TextMemory` cannot remember what an environment makes, or None."""
    if not isinstance(env, TokenEnvironment):
        return "it remembers texts. Use --replay, which remembers any objects."
    if not isinstance(env.reward, PrefixReward):
        return (
            f"its reward is {env.reward!r}, and texts are remembered with scores of all their "
            f"prefixes, which a PrefixReward gives. Write it as one (TextReward makes one of any "
            f"function of texts), or use --replay."
        )
    return None
