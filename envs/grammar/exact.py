"""How likely a parser is to build a tree, exactly, and how far it is from the posterior."""

import torch
from torch import Tensor

from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest, parents
from gflow.envs.grammar.inside import log_marginal
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import log_joint
from gflow.errors import ConfigError
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler

LONGEST = 9
"""Words of the longest sentences whose orders of building are summed over: 2^8 forests a tree."""


@torch.no_grad()
def log_tree_prob(
    env: Parser, policy: Policy, trees: Forest, condition: Tensor | None = None
) -> Tensor:
    """(B,) float64 log q(tree | words): the sum over all orders in which a tree can be built.

    These go through the forests that are parts of the tree, at most 2^(n - 1) of n words.

    Args:
        env: The parser's environment.
        policy: The parser.
        trees: B finished trees.
        condition: (B, 1) or None.

    Raises:
        ConfigError: If a sentence is too long.
    """
    longest = int(trees.length.max())
    if longest > LONGEST:
        raise ConfigError(
            f"log_tree_prob: orders of building are summed over for sentences of up to {LONGEST} "
            f"words, got one of {longest}."
        )
    size, device = longest - 1, trees.words.device
    subsets = torch.arange(2**size, device=device)
    has = (subsets[:, None] >> torch.arange(size, device=device)) & 1 == 1  # (S, size)
    has = torch.nn.functional.pad(has, (0, trees.label.shape[1] - size))
    # With a node, a part of the tree has all nodes under it.
    above = parents(trees)
    under = has[:, above.clamp(min=0)] & (above >= 0)  # (S, B, G): the parent is there
    missing = (under | (has[:, None] & ~trees.joined)) & ~(has[:, None] & trees.joined)
    valid = ~missing.any(-1)  # (S, B)
    which, row = valid.nonzero(as_tuple=True)
    inside = has[which]
    parts = Forest(
        trees.words[row],
        trees.label[row].where(inside, env.nonterminals),
        trees.left[row].where(inside, 0),
        trees.right[row].where(inside, 0),
    )
    given = None if condition is None else condition[row]
    law = env.forward_law(parts, policy.forward_logits(env, parts, given)).table().double()
    ahead = law.view(len(row), -1, env.nonterminals)  # (M, G, N)
    label = trees.label[row].clamp(max=env.nonterminals - 1)[..., None]
    step = ahead.gather(2, label).squeeze(2)[:, :size]
    table = step.new_full((2**size, len(trees.words), size), -torch.inf)
    table[which, row] = step
    reach = step.new_full((2**size, len(trees.words)), -torch.inf)
    reach[0] = 0.0
    for subset in range(1, 2**size):
        ways = [
            reach[subset - 2**g] + table[subset - 2**g, :, g]
            for g in range(size)
            if subset >> g & 1
        ]
        reach[subset] = torch.stack(ways).logsumexp(0).where(valid[subset], -torch.inf)
    whole = (trees.joined[:, :size].long() << torch.arange(size, device=device)).sum(-1)
    return reach.gather(0, whole[None]).squeeze(0)


@torch.no_grad()
def posterior_distance(
    env: Parser,
    policy: Policy,
    rules: Rules,
    condition: Tensor,
    samples: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""(R,) float64 estimates of the total variation between q(tree | words) and the posterior.

    .. math:: TV = \mathbb{E}_{z \sim q} \max\Bigl(0, 1 - \frac{p(z \mid x)}{q(z \mid x)}\Bigr)

    with both probabilities exact: the mean over samples is unbiased.

    Args:
        env: The parser's environment.
        policy: The parser.
        rules: The grammar.
        condition: (R, 1) numbers of short sentences.
        samples: Trees drawn for each.
        generator: Source of all randomness.
    """
    told = condition.repeat_interleave(samples, 0)
    trees = (
        Sampler(env)
        .forward(policy, len(told), condition=told, generator=generator, device=told.device)
        .final_states
    )
    log_q = log_tree_prob(env, policy, trees, told)
    log_p = (log_joint(rules, trees) - log_marginal(rules, trees.words)).double()
    excess = (1 - (log_p - log_q).exp()).clamp(min=0)
    return excess.view(len(condition), samples).mean(1)
