"""Language models: texts as an environment, models of Hugging Face as policies and as rewards."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.behaviours.sources import Sources
    from gflow.language.decoding import Decoder
    from gflow.language.edits import edit_distance
    from gflow.language.embeddings import (
        Embedding,
        MeanPooled,
        SentenceEncoder,
        embedding_diversity,
    )
    from gflow.language.env import Text, TokenEnvironment
    from gflow.language.given import written
    from gflow.language.law import TokenLaw
    from gflow.language.listed import ListedTexts
    from gflow.language.measures import log_ratio_variance, text_metrics
    from gflow.language.memory import TextMemory
    from gflow.language.model import LanguageModel
    from gflow.language.policy import HuggingFacePolicy
    from gflow.language.policy_gradient import (
        GradientConfig,
        PolicyGradient,
        less_others,
        surrogate,
    )
    from gflow.language.prefixes import Constrained, PrefixReward, TextReward
    from gflow.language.projected import Projected
    from gflow.language.prompts import Prompts
    from gflow.language.reference import ReferenceLM, SuffixLM, token_log_probs
    from gflow.language.schedule import TemperatureSchedule
    from gflow.language.tools import LookupTool, Tool

_HOME = {
    "Constrained": "gflow.language.prefixes",
    "Decoder": "gflow.language.decoding",
    "Embedding": "gflow.language.embeddings",
    "GradientConfig": "gflow.language.policy_gradient",
    "HuggingFacePolicy": "gflow.language.policy",
    "LanguageModel": "gflow.language.model",
    "ListedTexts": "gflow.language.listed",
    "LookupTool": "gflow.language.tools",
    "MeanPooled": "gflow.language.embeddings",
    "PolicyGradient": "gflow.language.policy_gradient",
    "PrefixReward": "gflow.language.prefixes",
    "Projected": "gflow.language.projected",
    "Prompts": "gflow.language.prompts",
    "ReferenceLM": "gflow.language.reference",
    "SentenceEncoder": "gflow.language.embeddings",
    "Sources": "gflow.behaviours.sources",
    "SuffixLM": "gflow.language.reference",
    "TemperatureSchedule": "gflow.language.schedule",
    "Text": "gflow.language.env",
    "TextMemory": "gflow.language.memory",
    "TextReward": "gflow.language.prefixes",
    "TokenEnvironment": "gflow.language.env",
    "TokenLaw": "gflow.language.law",
    "Tool": "gflow.language.tools",
    "embedding_diversity": "gflow.language.embeddings",
    "edit_distance": "gflow.language.edits",
    "less_others": "gflow.language.policy_gradient",
    "log_ratio_variance": "gflow.language.measures",
    "surrogate": "gflow.language.policy_gradient",
    "text_metrics": "gflow.language.measures",
    "token_log_probs": "gflow.language.reference",
    "written": "gflow.language.given",
}

__all__ = [
    "Constrained",
    "Decoder",
    "Embedding",
    "GradientConfig",
    "HuggingFacePolicy",
    "LanguageModel",
    "ListedTexts",
    "LookupTool",
    "MeanPooled",
    "PolicyGradient",
    "PrefixReward",
    "Projected",
    "Prompts",
    "ReferenceLM",
    "SentenceEncoder",
    "Sources",
    "SuffixLM",
    "TemperatureSchedule",
    "Text",
    "TextMemory",
    "TextReward",
    "TokenEnvironment",
    "TokenLaw",
    "Tool",
    "edit_distance",
    "embedding_diversity",
    "less_others",
    "log_ratio_variance",
    "surrogate",
    "text_metrics",
    "token_log_probs",
    "written",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
