"""Small language models from nothing, pre-trained on texts that are made up on the fly."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Natural, Rate
from gflow.checks import checked
from gflow.language.model import require_transformers

Draw = Callable[[int, torch.Generator, float], tuple[Tensor, Tensor]]
"""(count, generator, part of the training that is done) to (count, n) tokens and (count, n) bool
which of them are learned; the first never is."""

Say = Callable[[int, float], None]
"""Called with the step and the loss per token."""

WARM_UP = 50
"""Steps over which the learning rate rises."""


@checked
def small_gpt2(
    vocabulary: Count,
    layers: Count,
    width: Count,
    positions: Count,
    bos: Natural,
    eos: Natural,
    seed: int = 0,
    heads: Count = 4,
) -> Any:
    """A GPT-2 with random weights, in the default precision.

    Args:
        vocabulary: Number of tokens.
        layers: Number of blocks.
        width: Number of features.
        positions: Longest text with its prompt.
        bos: Number of the token that opens texts.
        eos: Number of the token that ends them.
        seed: Of the weights.
        heads: Heads of attention in each block.

    Raises:
        MissingExtraError: If `transformers` is not installed.
    """
    transformers = require_transformers()
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        bos_token_id=bos,
        eos_token_id=eos,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.GPT2LMHeadModel(config).to(torch.get_default_dtype())


def token_loss(network: nn.Module, tokens: Tensor, learned: Tensor) -> Tensor:
    """() mean of -log p over the tokens that are learned.

    Args:
        network: A causal model of Hugging Face.
        tokens: (B, n) int64.
        learned: (B, n) bool, False in the first column.
    """
    logits = network(input_ids=tokens[:, :-1]).logits
    wanted = tokens[:, 1:].masked_fill(~learned[:, 1:], -100)
    return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())


@checked
def pretrain(
    network: Any,
    draw: Draw,
    steps: Natural,
    batch_size: Count = 64,
    lr: Rate = 2e-3,
    seed: int = 0,
    say: Say | None = None,
) -> float:
    """Train all weights on made-up texts, with a learning rate that falls as a cosine does.

    Args:
        network: A causal model of Hugging Face, trained in place.
        draw: Makes the texts of a batch.
        steps: Number of steps.
        batch_size: Texts of a step.
        lr: Learning rate at its highest.
        seed: Of the texts.
        say: Told of the progress, a hundred times.

    Returns:
        The loss per token at the end, as a mean over the last tenth of the steps.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr, betas=(0.9, 0.98), weight_decay=0.01)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    network.train()
    losses = []
    for step in range(steps):
        loss = token_loss(network, *draw(batch_size, generator, step / steps))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if say is not None and (step + 1) % max(1, steps // 100) == 0:
            say(step + 1, float(losses[-1]))
    network.eval()
    last = losses[-max(1, steps // 10) :]
    return float(torch.stack(last).mean()) if last else math.nan
