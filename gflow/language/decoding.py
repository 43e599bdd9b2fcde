"""Decoding: what people do with a language model that nobody trained for the purpose."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count, NotNegative, Probability, Temperature
from gflow.checks import checked
from gflow.errors import ConfigError, IncompatibleError
from gflow.language.diverse import diverse_search, legal_log_probs, weights
from gflow.language.env import Text, TokenEnvironment
from gflow.language.model import LanguageModel, require_transformers


class Decoder:
    """Texts of a model by sampling and by search, under the rules of an environment.

    Legal tokens, both lengths and the stop are those of the environment; what a step leaves is
    normalised over what is legal, so that scores are log-probabilities of texts. The searches are
    those of Hugging Face, but for diverse beams, which it has no longer. All texts of the first
    prompt come first.

    Args:
        env: The environment, without a tool.
        model: Its model.
        adapted: Ask the model with its adapters rather than without.

    Raises:
        IncompatibleError: If a tool writes too, or the vocabularies differ.
    """

    def __init__(self, env: TokenEnvironment, model: LanguageModel, adapted: bool = False) -> None:
        if env.tool is not None or env.num_actions != model.vocabulary:
            what = "has a tool" if env.tool is not None else f"has {env.num_actions} tokens"
            raise IncompatibleError(
                f"Decoder writes all words itself, of the model's {model.vocabulary} tokens, and "
                f"{env.name} {what}. Give one of the same vocabulary without a tool, or sample "
                f"with `Sampler` and a `HuggingFacePolicy`."
            )
        self.env, self.model, self.adapted = env, model, adapted

    @checked
    def sampled(
        self,
        prompts: Tensor,
        count: Count,
        temperature: Temperature = 1.0,
        nucleus: Probability = 1.0,
        generator: torch.Generator | None = None,
    ) -> Text:
        """(K * count) texts by sampling.

        Args:
            prompts: (K,) int64 their numbers.
            count: Texts of each.
            temperature: Logits are divided by it.
            nucleus: Each step keeps the fewest likeliest tokens of at least this probability.
            generator: Source of randomness.

        Reference:
            Holtzman et al., The Curious Case of Neural Text Degeneration, 2020,
            https://arxiv.org/abs/1904.09751
        """
        if not nucleus:
            raise ConfigError("Decoder: a nucleus of probability 0 has no token; give more.")
        seed = int(torch.randint(2**62, (1,), generator=generator))
        with torch.random.fork_rng(devices=[]):  # `generate` knows no generator but the global one
            torch.manual_seed(seed)
            return self._generate(
                prompts.repeat_interleave(count),
                do_sample=True,
                temperature=temperature,
                top_p=nucleus,
                top_k=0,
            )

    def greedy(self, prompts: Tensor) -> Text:
        """(K,) texts of the likeliest token at each step, behind prompts (K,)."""
        return self._generate(prompts, do_sample=False)

    @checked
    def beams(self, prompts: Tensor, count: Count, beams: Count) -> Text:
        """(K * count) likeliest texts that a beam search finds, the likeliest first.

        Args:
            prompts: (K,) int64 their numbers.
            count: Texts of each.
            beams: Texts that are kept at each step. Long ones are not favoured.

        Raises:
            ConfigError: If there are fewer beams than texts, or fewer texts than asked for.
        """
        if beams < count:
            raise ConfigError(f"Decoder: {count} texts need as many beams, got beams={beams}.")
        if beams == 1:
            return self.greedy(prompts)
        found = self._generate(
            prompts,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=count,
            length_penalty=0.0,
            early_stopping=False,
        )
        rows = torch.cat([found.prompt[:, None], found.tokens], 1)
        if len(torch.unique(rows, dim=0)) < len(torch.unique(prompts)) * count:
            raise ConfigError(self._too_few())
        return found

    @checked
    def diverse_beams(
        self, prompts: Tensor, groups: Count, beams: Count = 1, penalty: NotNegative = 1.0
    ) -> Text:
        """(K * groups) texts: the best of each group of a diverse beam search.

        Groups take their steps one after another; a token costs `penalty` for each beam of earlier
        groups that took it at the same place.

        Args:
            prompts: (K,) int64 their numbers.
            groups: Number of groups, and of texts.
            beams: Beams of each group.
            penalty: In nats.

        Reference:
            Vijayakumar et al., Diverse Beam Search, 2018, https://arxiv.org/abs/1610.02424
        """
        found = diverse_search(
            self.env, self.model, prompts, groups, beams, penalty, adapted=self.adapted
        )
        return self._texts(found[:, :, 0].flatten(0, 1), prompts.repeat_interleave(groups))

    def _too_few(self) -> str:
        return (
            f"Decoder: there are fewer texts of {self.env.min_length} to {self.env.max_length} "
            f"legal tokens than were asked for. Ask for fewer, with fewer beams."
        )

    def _generate(self, prompts: Tensor, **how: Any) -> Text:
        transformers = require_transformers()
        tokens, there = self.env.prompts.at(prompts.to(self.model.device))
        config = transformers.GenerationConfig(
            max_new_tokens=self.env.max_length + 1,
            eos_token_id=self.env.stop_action,
            pad_token_id=self.env.stop_action,
            use_cache=True,
            **how,
        )
        rule = transformers.LogitsProcessorList([_Legal(self.env, tokens.shape[1])])
        network = self.model.model
        kept, network.generation_config = network.generation_config, config
        try:
            with torch.no_grad(), weights(self.model, self.adapted):
                found = network.generate(
                    input_ids=tokens, attention_mask=there.long(), logits_processor=rule
                )
        finally:
            network.generation_config = kept
        each = len(found) // max(len(prompts), 1)
        return self._texts(found[:, tokens.shape[1] :], prompts.repeat_interleave(each))

    def _texts(self, written: Tensor, prompts: Tensor) -> Text:
        """Texts of (B, n) tokens, which end before the first stop."""
        env = self.env
        assert env.stop_action is not None
        over = (written == env.stop_action).cumsum(1) > 0
        if not bool(over.any(1).all()):
            raise ConfigError(self._too_few())
        condition = prompts[:, None].to(torch.get_default_dtype())
        states = env.start(len(prompts), prompts.device, condition)
        width = min(env.length, written.shape[1])
        states.tokens[:, :width] = written.masked_fill(over, env.blank)[:, :width].to(
            states.tokens.device
        )
        return states


class _Legal:
    """What Hugging Face asks at each step: log-probabilities over the tokens that are legal.

    Args:
        env: The environment.
        opened: Length of the prompts.
    """

    def __init__(self, env: TokenEnvironment, opened: int) -> None:
        self.env, self.opened = env, opened

    def __call__(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """(B, V) of scores (B, V) behind tokens (B, n)."""
        return legal_log_probs(self.env, scores, tokens.shape[1] - self.opened)
