"""Diverse beam search, for all prompts and groups together."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from gflow.language.env import TokenEnvironment
from gflow.language.model import LanguageModel


def diverse_search(
    env: TokenEnvironment,
    model: LanguageModel,
    prompts: Tensor,
    groups: int,
    beams: int,
    penalty: float,
    adapted: bool = False,
) -> Tensor:
    """What the beams of each group end as, the best first.

    A group prefers what costs least: log p of a text and the penalties on its way. Ends are kept if
    they are among the `beams` best candidates of their step. With one group, or without a penalty,
    this is a beam search that favours no length. Groups that are done take no more tokens.

    Args:
        env: Says what is legal.
        model: The model.
        prompts: (K,) int64 their numbers.
        groups: G.
        beams: N, of each group.
        penalty: What a token costs for each beam of an earlier group that took it at that place.
        adapted: Ask the model with its adapters.

    Returns:
        (K, G, N, L + 1) int64 tokens with the stop behind them; only the token 0 without a stop for
        beams that found no end.
    """
    count, tokens = len(prompts), env.num_actions
    stop, longest = env.stop_action, env.max_length
    assert stop is not None
    device = model.device
    with torch.no_grad(), weights(model, adapted):
        rows = prompts.to(device).repeat_interleave(groups * beams)
        features, cache, mask = model.open(env.prompts, rows)
        running = torch.zeros(count, groups, beams, longest + 1, dtype=torch.int64, device=device)
        ended = running.clone()
        scores = torch.full((count, groups, beams), -torch.inf, device=device)
        best = scores.clone()
        scores[:, :, 0] = 0.0
        for size in range(longest + 1):
            law = legal_log_probs(env, model.logits(features).table(), size)
            law = law.view(count, groups, beams, tokens)
            taken = law.new_zeros(count, tokens)
            parent = torch.zeros(count, groups, beams, dtype=torch.int64, device=device)
            before, running = running, running.clone()
            for g in range(groups):  # each waits for those before it
                seen = law[:, g] - penalty * taken[:, None] if g else law[:, g]
                score, at = (scores[:, g, :, None] + seen).flatten(1).topk(2 * beams)
                row, token = at // tokens, at % tokens
                paths = before[:, g].gather(1, row[:, :, None].expand(-1, -1, longest + 1))
                paths[:, :, size] = token
                ends = token == stop
                finished = score.masked_fill(~ends, -torch.inf)[:, :beams]
                both = torch.cat([best[:, g], finished], 1)
                best[:, g], place = both.topk(beams)
                stack = torch.cat([ended[:, g], paths[:, :beams]], 1)
                ended[:, g] = stack.gather(1, place[:, :, None].expand(-1, -1, longest + 1))
                going = score.masked_fill(ends, -torch.inf)
                scores[:, g], place = going.topk(beams)
                running[:, g] = paths.gather(1, place[:, :, None].expand(-1, -1, longest + 1))
                parent[:, g] = row.gather(1, place)
                there = (scores[:, g] > best[:, g, -1:]).to(taken.dtype)  # not yet done
                taken.scatter_add_(1, token.gather(1, place), there)
            # Scores only fall: what runs behind the last of the ends will not come before it.
            if size == longest or not bool((scores[:, :, 0] > best[:, :, -1]).any()):
                break
            first = torch.arange(count * groups, device=device).view(count, groups, 1) * beams
            cache.batch_select_indices((first + parent).flatten())
            chosen = running[:, :, :, size].flatten()[:, None]
            mask = torch.cat([mask, torch.ones_like(chosen, dtype=torch.bool)], 1)
            features = model.forward(chosen, mask, cache)[:, 0]
    ended[best == -torch.inf] = 0 if stop else 1
    return ended


def weights(model: LanguageModel, adapted: bool) -> AbstractContextManager[None]:
    """The model with its adapters, or without."""
    return nullcontext() if adapted else model.reference()


def legal_log_probs(env: TokenEnvironment, logits: Tensor, size: int) -> Tensor:
    """(B, V) log-probabilities of what may follow `size` tokens, -inf for all else."""
    assert env.stop_action is not None
    legal = env.legal.to(logits.device)
    mask = legal.clone() if size < env.max_length else torch.zeros_like(legal)
    mask[env.stop_action] = size >= env.min_length
    return logits.masked_fill(~mask, -torch.inf).log_softmax(-1)
