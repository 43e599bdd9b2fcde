"""Given texts as trajectories."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.language.env import Text, TokenEnvironment
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories


def written(
    env: TokenEnvironment,
    texts: Sequence[Sequence[int]],
    prompts: Sequence[int] | None = None,
    log_reward: Tensor | None = None,
) -> Trajectories[Text]:
    """Trajectories that write given texts and stop.

    Args:
        env: The environment.
        texts: Tokens without the stop; what a tool says in their midst is part of them.
        prompts: Number of the prompt of each; the first if None.
        log_reward: (B,) target log-rewards if they are known, or are not read.

    Raises:
        IllegalActionError: If a text cannot be written.
    """
    assert env.stop_action is not None
    length = torch.tensor([len(text) + 1 for text in texts])
    actions = torch.full((len(texts), int(length.max())), env.stop_action)
    for place, text in zip(actions, texts, strict=True):
        place[: len(text)] = torch.tensor(list(text), dtype=torch.int64)
    condition = None
    if env.condition_dim:
        numbers = torch.zeros(len(texts), dtype=torch.int64)
        if prompts is not None:
            numbers = torch.tensor(list(prompts))
        condition = env.prompts.conditions[numbers]
    return Sampler(env).along(actions, length, log_reward=log_reward, condition=condition)
