"""Steps of a calculation, rewarded by how likely the model finds them and the true answer."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.environment.rewarded import with_reward
from gflow.envs.language.arithmetic import ASKED, Problem, answer_in
from gflow.language.env import Text, TokenEnvironment
from gflow.language.model import LanguageModel
from gflow.language.prompts import Prompts
from gflow.language.reference import SuffixLM
from gflow.policies.base import Policy
from gflow.rewards.base import LogReward
from gflow.sampling.sampler import Sampler

ALLOWED = set("0123456789 ,=+-")
"""What steps are written with."""
ROWS = 64
"""Texts whose answers are read at a time."""


class ArithmeticReward(SuffixLM):
    """log R = log p(steps, answer | question) / T, by the model without its adapters.

    Args:
        model: The model.
        known: The problems.
        temperature: T.
        shots: Worked problems that the model reads before each question.
        opening: Tokens before everything.
    """

    def __init__(
        self,
        model: LanguageModel,
        known: Sequence[Problem],
        temperature: float = 1.0,
        shots: Sequence[Problem] = (),
        opening: Sequence[int] = (),
    ) -> None:
        before = "".join(f"{shot.demonstration}\n" for shot in shots)
        rows = [[*opening, *model.encode(before + problem.question)] for problem in known]
        suffixes = [model.encode(problem.suffix) for problem in known]
        super().__init__(model, Prompts(rows), suffixes, temperature)
        self.problems = list(known)

    @torch.no_grad()
    def answers(self, states: Text, most: int = 5) -> list[int | None]:
        """What the model without adapters says the answer is, behind B finished texts.

        It writes its likeliest tokens. Equal texts are read once.

        Args:
            states: The texts.
            most: Tokens that it writes.
        """
        table = torch.cat([states.prompt[:, None], states.tokens], 1)
        distinct, place = torch.unique(table, dim=0, return_inverse=True)
        said: list[int | None] = []
        for part in distinct.split(ROWS):
            said += [answer_in(text) for text in self._continued(part[:, 0], part[:, 1:], most)]
        return [said[row] for row in place.tolist()]

    def _continued(self, prompt: Tensor, tokens: Tensor, most: int) -> list[str]:
        """B texts of the `most` likeliest tokens, one after the other."""
        asked = torch.tensor(self.model.encode(ASKED), device=tokens.device)
        size = (tokens != self.vocabulary).sum(1)
        width = int(size.max()) + len(asked) + most
        row = torch.zeros(len(tokens), width, dtype=torch.int64, device=tokens.device)
        there = min(width, tokens.shape[1])
        row[:, :there] = tokens[:, :there]
        place = size[:, None] + torch.arange(len(asked), device=size.device)
        row = row.masked_fill(row == self.vocabulary, 0)
        row = row.scatter(1, place, asked.expand(len(row), -1))
        for time in range(most):
            at = size + len(asked) + time
            with self.model.reference():
                read = self.model.read(self.prompts, prompt, row[:, : int(at.max())])
            last = read.gather(1, at[:, None, None].expand(-1, 1, read.shape[2])).squeeze(1)
            next_token = self.model.logits(last).table().argmax(1)
            row = row.scatter(1, at[:, None], next_token[:, None])
        behind = (size + len(asked))[:, None] + torch.arange(most, device=size.device)
        return [self.model.decode(tokens) for tokens in row.gather(1, behind).tolist()]


def legal_tokens(model: LanguageModel) -> Tensor:
    """(V,) bool tokens that are made of digits, blanks, commas and the signs + - = alone."""
    texts = [model.decode([token]) for token in range(model.vocabulary)]
    return torch.tensor([bool(text) and not set(text) - ALLOWED for text in texts])


def accuracy(
    env: TokenEnvironment,
    policy: Policy,
    rows: Sequence[int],
    samples: int = 10,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    """How often a policy's steps lead the model to the true answer.

    Args:
        env: The environment, with an `ArithmeticReward`.
        policy: Writes the steps.
        rows: Numbers of the problems.
        samples: Texts of each.
        generator: Source of randomness.

    Returns:
        The share of texts whose answer is true, the share of problems whose most frequent answer
        is, the mean number of distinct texts of a problem, and the share of texts that are the
        steps of the question.
    """
    reward = env.reward
    assert isinstance(reward, ArithmeticReward)
    device = next(policy.parameters()).device
    asked = env.prompts.conditions[list(rows)].repeat_interleave(samples, 0).to(device)
    free = with_reward(env, _Unread(), env.condition_dim)
    batch = Sampler(free).forward(
        policy, len(asked), condition=asked, generator=generator, device=device
    )
    said, texts = reward.answers(batch.final_states), env.show(batch.final_states)
    single, majority, distinct, worked = 0, 0, 0, 0
    for place, row in enumerate(rows):
        mine = slice(place * samples, (place + 1) * samples)
        problem, own = reward.problems[row], texts[mine]
        known = [answer for answer in said[mine] if answer is not None]
        single += known.count(problem.answer)
        majority += bool(known) and Counter(known).most_common(1)[0][0] == problem.answer
        bare = ["".join(text.split()) for text in own]
        distinct += len(set(bare))
        worked += bare.count("".join(problem.steps.split()))
    return {
        "accuracy": single / (samples * len(rows)),
        "majority": majority / len(rows),
        "distinct": distinct / len(rows),
        "worked": worked / (samples * len(rows)),
    }


class _Unread(LogReward[Text]):
    """Nothing: for texts whose rewards nobody asks for."""

    def __call__(self, states: Text, condition: Tensor | None = None) -> Tensor:
        """(B,) zeros."""
        return torch.zeros(len(states.prompt), device=states.prompt.device)
