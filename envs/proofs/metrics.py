"""What proofs that were sampled, or searched for, say about a policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gflow.envs.proofs.env import ProofEnv
from gflow.envs.proofs.search import Search, best_first
from gflow.envs.proofs.tree import DONE, FAILED, OPEN
from gflow.sampling.sampler import Sampler

if TYPE_CHECKING:
    from gflow.policies.base import Policy


def outcomes(env: ProofEnv, objects: Tensor) -> dict[str, float]:
    """Shares of proofs, of those that were not complete, and of errors."""
    status = env.status(objects)
    return {
        "proofs": float((status == DONE).double().mean()),
        "incomplete": float((status == OPEN).double().mean()),
        "errors": float((status >= FAILED).double().mean()),
    }


def distinct_proofs(
    env: ProofEnv,
    policy: "Policy",
    theorems: Sequence[int],
    samples: int,
    generator: torch.Generator,
) -> list[int]:
    """How many different proofs of each theorem are among samples of a policy.

    Args:
        env: The environment.
        policy: Is sampled.
        theorems: Numbers of theorems.
        samples: For each of them.
        generator: Source of all randomness.
    """
    asked = torch.tensor(theorems).repeat_interleave(samples)[:, None]
    condition = asked.to(torch.get_default_dtype()).to(generator.device)
    told = condition if env.source_reads_condition else None
    batch = Sampler(env).forward(
        policy, len(asked), condition=told, generator=generator, device=generator.device
    )
    ends = batch.final_states.cpu()
    found = ends[env.status(ends) == DONE].unique(dim=0)
    counts = torch.bincount(found[:, 0], minlength=len(env.tree.theorems))
    return [int(counts[number]) for number in theorems]


def solved(
    env: ProofEnv, policy: "Policy | None", budget: int, group: int = 64
) -> tuple[dict[str, float], list[Search]]:
    """The share of theorems that best-first search proves with a budget of calls, and how.

    Args:
        env: The theorems.
        policy: Leads the search; None takes all candidates alike.
        budget: Calls of the checker for each theorem.
        group: Theorems that are searched side by side.
    """
    searches = best_first(env, range(len(env.tree.theorems)), budget, policy, group=group)
    found = [search for search in searches if search.proofs]
    numbers = {
        "solved": len(found) / len(searches),
        "calls": sum(search.calls for search in searches) / len(searches),
    }
    return numbers, searches
