"""A small model of words that writes tactics line by line, as a careful beginner would."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gflow.bounds import Natural
from gflow.checks import checked
from gflow.envs.language.kept import kept, progress
from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.envs.language.words import word_tokenizer
from gflow.envs.proofs.checker import Open
from gflow.envs.proofs.free_text import Transcripts
from gflow.envs.proofs.tactics import EQUATIONS, Tactics
from gflow.language.model import LanguageModel

BOS, EOS, LINE = "^", "$", "\n"
SAID = ("open", "done", "error")
MARKS = (".", ",", ":", "(", ")", "->", "<->", "<-", "/\\", "\\/", "~", "=", "+", "*")
TOLD = ("Theorem", "goal", "forall", "Prop", "True", "False", "nat")
VERBS = (
    "intros", "intro", "split", "left", "right", "assumption", "contradiction", "apply", "destruct",
    "rewrite", "induction", *(word.removesuffix(".") for word in EQUATIONS),
)  # fmt: skip
NAMES = (*"ABCDEFGPQRSTnmxyz", "H", *(f"H{number}" for number in range(20)))
WORDS = (BOS, EOS, LINE, *SAID, *MARKS, *TOLD, *VERBS, *NAMES, "0", "1")
"""What the small model reads and writes; of other words it knows nothing."""
PATTERN = r"\n|[\w']+|<->|->|<-|/\\|\\/|[^\s\w]"
POSITIONS = 256
"""Words of a prompt and a transcript, at most."""
BATCH = 32
TRIES = 3
"""Candidates that are drawn at a goal until one does not fail."""


class Attempts:
    """Transcripts of tactics drawn evenly from the candidates at each goal.

    A tactic that fails is drawn again, twice at most, so that not all attempts end at once.

    Args:
        transcripts: Asks the checker.
        prompts: The prompt of each theorem.
        tactics: Candidates.
        depth: Most tactics.
    """

    def __init__(
        self, transcripts: Transcripts, prompts: list[list[int]], tactics: Tactics, depth: int
    ) -> None:
        self.transcripts, self.prompts = transcripts, prompts
        self.tactics, self.depth = tactics, depth

    def written(self, theorem: int, generator: torch.Generator) -> list[int]:
        """The tokens of one attempt, without the prompt."""
        talk, taken, tokens = self.transcripts, tuple[str, ...](), list[int]()
        for _ in range(self.depth):
            reply = talk.after(theorem, taken)
            if not isinstance(reply, Open):
                break
            found = self.tactics.at(reply.text)
            draws = torch.randint(len(found), (TRIES,), generator=generator).tolist()
            tried = ((*taken, found[place]) for place in draws)
            taken = next(
                (one for one in tried if talk.said(theorem, one) != talk.error),
                (*taken, found[draws[-1]]),
            )
            tokens += [*talk.encode(f"{taken[-1]}\n"), *talk.said(theorem, taken)]
        return tokens

    def __call__(
        self, count: int, generator: torch.Generator, part: float
    ) -> tuple[Tensor, Tensor]:
        """(count, n) tokens, and which of them are learned: all behind the prompt."""
        numbers = torch.randint(len(self.prompts), (count,), generator=generator).tolist()
        stop = WORDS.index(EOS)
        rows = [[*self.written(number, generator), stop] for number in numbers]
        opened = torch.tensor([len(self.prompts[number]) for number in numbers])
        whole = [
            torch.tensor(self.prompts[number] + row)
            for number, row in zip(numbers, rows, strict=True)
        ]
        size = torch.tensor([len(row) for row in whole])
        tokens = pad_sequence(whole, batch_first=True, padding_value=stop)
        place = torch.arange(tokens.shape[1])
        return tokens, (place >= opened[:, None]) & (place < size[:, None])


def tidy(text: str) -> str:
    """A text of words as people write it: no blank before a full stop or around ends of lines."""
    return text.replace(" .", ".").replace(" \n", "\n").replace("\n ", "\n")


@checked
def written_base(
    folder: str, steps: Natural, seed: int, attempts: Callable[[LanguageModel], Attempts]
) -> LanguageModel:
    """The model that was pre-trained in a folder; trained now, and kept there, if it is not there.

    Args:
        folder: Where it is kept; nowhere if this is empty.
        steps: Steps of its training; 0 for random weights.
        seed: Of its weights and attempts.
        attempts: Makes the texts.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """

    def build() -> LanguageModel:
        bos, eos = WORDS.index(BOS), WORDS.index(EOS)
        network = small_gpt2(len(WORDS), 2, 64, POSITIONS, bos, eos, seed)
        model = LanguageModel(network, word_tokenizer(WORDS, BOS, EOS, PATTERN))
        if steps:
            made = attempts(model)
            try:
                pretrain(network, made, steps, BATCH, 3e-3, seed, progress(steps))
            finally:
                made.transcripts.pool.close()
        return model

    return kept(folder, build)
