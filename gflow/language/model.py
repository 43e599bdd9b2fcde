"""Causal language models of Hugging Face, with adapters that can be switched off."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Positive
from gflow.checks import checked
from gflow.errors import ConfigError, MissingExtraError
from gflow.language.projected import Projected
from gflow.language.prompts import Prompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Precision = Literal["float32", "bfloat16", "float64"]


class LanguageModel(nn.Module):
    """A causal language model, and the same without its adapters.

    Texts are read as they are written: prompts first, which the texts of a batch share, then the
    texts. Dropout is off throughout, so that what is sampled and what is trained on agree.

    Args:
        model: Any causal model of Hugging Face, changed in place.
        tokenizer: Its tokenizer, for those that need one.

    Attributes:
        adapted: Whether there are adapters.
        checkpointing: Activations are made anew in the backward pass.
        passes: Passes of the network so far, for tests and accounts.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase | None" = None
    ) -> None:
        super().__init__()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            for name in ("dropout", "attention_dropout", "activation_dropout"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)
        self.model: Any = model
        self.tokenizer = tokenizer
        self.adapted, self.checkpointing, self.passes = False, False, 0
        self._switch: Callable[[], Any] | None = None
        _require_head(model)

    @classmethod
    def load(cls, name: str, precision: Precision = "float32") -> "LanguageModel":
        """A model by its name on the hub or its folder, or a GGUF file; nothing is quantised.

        Args:
            name: Name, folder, or path of a file that ends in ``.gguf``.
            precision: Of its numbers.

        Raises:
            MissingExtraError: If the packages for it are not installed.
            ConfigError: If there is no such model here.
        """
        transformers = require_transformers()
        path = Path(name)
        file = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
        if file:
            require_package("gguf", "reading GGUF files")
        where = str(path.parent) if file else name
        dtype = getattr(torch, precision)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **file)
            model = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=dtype, **file)
        except (OSError, ValueError) as e:
            raise ConfigError(
                f"LanguageModel: there is no causal language model {name!r} here. Give the folder "
                f"of one (`save_pretrained`), a .gguf file, or a name that the hub or its cache "
                f"knows."
            ) from e
        if file:  # as numbers of full precision it counts as quantised, and could not be saved
            model.hf_quantizer, model.is_quantized = None, False
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
        return cls(model, tokenizer)

    # ------------------------------------------------------------------ adapters

    @checked
    def adapt(
        self,
        rank: Count = 16,
        alpha: Positive = 16.0,
        targets: Sequence[str] | str | None = None,
        seed: int = 0,
    ) -> "LanguageModel":
        """Add low-rank adapters, which say nothing at first, and freeze all else.

        Args:
            rank: Rank of each.
            alpha: Their products are scaled by alpha / rank.
            targets: Names of the layers; by default those known for the architecture, else all
                linear ones.
            seed: Of their weights.

        Returns:
            This model.

        Raises:
            MissingExtraError: If `peft` is not installed.

        Reference:
            Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021,
            https://arxiv.org/abs/2106.09685
        """
        peft = require_package("peft", "adapters of language models")
        from transformers.pytorch_utils import Conv1D

        found = _TARGETS.get(self.model.config.model_type, "all-linear")
        config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=rank,
            lora_alpha=alpha,
            lora_dropout=0.0,
            bias="none",
            target_modules=found if targets is None else targets,
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in self.model.modules()),
        )
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # peft asks transformers for what that calls otherwise now.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            torch.manual_seed(seed)
            wrapped = peft.get_peft_model(self.model, config)
        self.adapted, self._switch = True, wrapped.disable_adapter
        for parameter in self.parameters():
            if parameter.requires_grad:  # adapters are trained in full precision
                wide = torch.promote_types(parameter.dtype, torch.float32)
                parameter.data = parameter.data.to(wide)
        return self

    @contextmanager
    def reference(self) -> Iterator[None]:
        """The model as it was before adapters, without gradients."""
        with torch.no_grad():
            if self._switch is None:
                yield
                return
            asked = [p for p in self.parameters() if p.requires_grad]
            with self._switch():
                yield
            for parameter in self.parameters():
                parameter.requires_grad_(False)
            for parameter in asked:
                parameter.requires_grad_(True)

    def save_memory(self) -> "LanguageModel":
        """Make activations anew in the backward pass, which costs time; returns this model.

        Prompts are then read once for each text.
        """
        how = {"use_reentrant": False}
        newer = getattr(self.model, "activation_checkpointing_enable", None)
        (self.model.gradient_checkpointing_enable if newer is None else newer)(how)
        self.checkpointing = True
        return self

    # ------------------------------------------------------------------ reading

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self.head.weight.device
        return device

    @property
    def head(self) -> Any:
        """The layer from features to logits."""
        return self.model.get_output_embeddings()

    @property
    def width(self) -> int:
        """Number of features."""
        width: int = self.head.in_features
        return width

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        size: int = self.head.out_features
        return size

    def read(self, prompts: Prompts, numbers: Tensor, tokens: Tensor) -> Tensor:
        """(B, n + 1, W) features after each prompt and after each of the tokens behind it.

        Args:
            prompts: The table.
            numbers: (B,) int64 the prompt of each text.
            tokens: (B, n) int64 texts, padded at the end with any token of the vocabulary.
        """
        keep = self.checkpointing and torch.is_grad_enabled()
        if keep:  # without a cache: what is not kept cannot be shared
            opened, there = prompts.at(numbers)
            whole = torch.cat([opened, tokens], 1)
            mask = torch.cat([there, torch.ones_like(tokens, dtype=torch.bool)], 1)
            self.model.train()  # no dropout is left; activations are dropped in this mode alone
            features: Tensor = self.forward(whole, mask)
            self.model.eval()
            return features[:, opened.shape[1] - 1 :]
        last, cache, mask = self.open(prompts, numbers)
        if not tokens.shape[1]:
            return last[:, None]
        mask = torch.cat([mask, torch.ones_like(tokens, dtype=torch.bool)], 1)
        return torch.cat([last[:, None], self.forward(tokens, mask, cache)], 1)

    def open(self, prompts: Prompts, numbers: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Read the prompts of B texts, each distinct one once.

        Returns:
            (B, W) features at their ends, the memory of B rows, and (B, P) bool where it counts.
        """
        distinct, place = torch.unique(numbers.to(self.device), return_inverse=True)
        tokens, there = prompts.at(distinct)
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        last = self.forward(tokens, there, cache)[:, -1]
        cache.batch_select_indices(place)
        return last[place], cache, there[place]

    def forward(self, tokens: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """(B, n, W) features at n tokens that follow what a memory holds, which takes them in.

        Args:
            tokens: (B, n) int64.
            mask: (B, m + n) bool which of the m tokens in memory and of these are there. Those that
                are not stand at the left.
            cache: The memory, or None.
        """
        self.passes += 1
        position = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        found = self.model.base_model(
            input_ids=tokens,
            attention_mask=mask.long(),
            position_ids=position,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        features: Tensor = found.last_hidden_state
        return features

    def logits(self, features: Tensor) -> Projected:
        """The logits of (N, W) features, of which no table is made."""
        return Projected(features, self.head)

    # ------------------------------------------------------------------ for people

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without any that open or close texts."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        text: str = self._tokenizer.decode(list(tokens))
        return text

    @property
    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise ConfigError(
                "LanguageModel: it was built without a tokenizer, so it reads numbers of tokens "
                "alone. Build it with LanguageModel(model, tokenizer)."
            )
        return self.tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> "LanguageModel":
        """A copy whose adapters switch by themselves."""
        other = LanguageModel.__new__(LanguageModel)
        nn.Module.__init__(other)
        memo[id(self)] = other
        for name, value in vars(self).items():
            if name not in ("_modules", "_parameters", "_buffers", "_switch"):
                setattr(other, name, value if name == "tokenizer" else copy.deepcopy(value, memo))
        other.model = copy.deepcopy(self.model, memo)
        wrapped = getattr(self._switch, "__self__", None)
        other._switch = None if wrapped is None else copy.deepcopy(wrapped, memo).disable_adapter
        return other


_TARGETS = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "gptj": ["q_proj", "k_proj", "v_proj", "out_proj"],
}


def _require_head(model: Any) -> None:
    """Refuse models whose logits are not one linear layer of the last features."""
    tokens = torch.tensor([[1, 0, 1]], device=model.device)
    with torch.no_grad():
        model.eval()
        features = model.base_model(input_ids=tokens).last_hidden_state
        mine, theirs = model.get_output_embeddings()(features), model(input_ids=tokens).logits
    if mine.shape == theirs.shape and torch.allclose(mine, theirs, rtol=1e-2, atol=1e-2):
        return
    raise ConfigError(
        f"LanguageModel: the logits of a {type(model).__name__} are not its output layer applied "
        f"to its last features (it scales or clips them), which is what is read here. Use a model "
        f"of another architecture, such as GPT-2 or Llama."
    )


def require_transformers() -> Any:
    """The package `transformers`.

    Raises:
        MissingExtraError: If it is not installed.
    """
    return require_package("transformers", "language models")


def require_package(name: str, purpose: str) -> Any:
    """A package of the extra `lm`.

    Raises:
        MissingExtraError: If it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as e:
        raise MissingExtraError(name, "lm", purpose) from e
