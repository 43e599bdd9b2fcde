"""From a pre-trained sampler of outcomes to samplers of rewards."""

from typing import Any

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.exact.graph import enumerate_states
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.monte_carlo import MonteCarlo
from gflow.outcomes.objects import MOST, listed_objects
from gflow.outcomes.posterior import ListedPosterior, Posterior, SequencePosterior
from gflow.outcomes.tabulated import PairTable
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.state import batch_size

LISTED = 5000
"""With more objects than this, what is left of a sequence is predicted symbol by symbol."""

SAME = (
    "numbered",
    "num_actions",
    "num_backward_actions",
    "stop_action",
    "horizon",
    "feature_sizes",
    "num_keys",
)
"""What environments with the same states and moves share."""


def same_moves(env: Environment[Any], pretrained: Environment[Any]) -> None:
    """Refuse an environment whose states and moves are not those of pre-training.

    Raises:
        IncompatibleError: With the first thing in which they differ.
    """
    kinds = [type(one).__name__ for one in (env, pretrained)]
    found = None if kinds[0] == kinds[1] else ("its kind", *kinds)
    for name in SAME:
        here, there = getattr(env, name, None), getattr(pretrained, name, None)
        if found is None and here != there:
            found = (name, str(here), str(there))
    if found is None and env.numbered:
        here, there = (_first_moves(one) for one in (env, pretrained))
        if here != there:
            found = ("the legal actions of the first state", str(here), str(there))
    if found is not None:
        what, here, there = found
        raise IncompatibleError(
            f"{env.name} has other states or moves than those of pre-training: {what} is {here} "
            f"here and {there} there. Choose options that change the reward alone, or pre-train "
            f"on these states."
        )


def same_states(env: Environment[Any], pretrained: Environment[Any]) -> None:
    """As `same_moves`, and refuse one that reads a condition.

    Raises:
        IncompatibleError: With the first thing in which they differ.
    """
    same_moves(env, pretrained)
    if env.condition_dim:
        raise IncompatibleError(
            f"{env.name} reads a condition, and conversion is to one reward. Fix the condition in "
            f"its options."
        )


def _first_moves(env: Any) -> list[int]:
    """Numbers of the actions that are legal at first."""
    legal: list[int] = env.forward_mask(env.initial(1))[0].nonzero().squeeze(1).tolist()
    return legal


def converted(flows: OutcomeFlows, env: DiscreteEnvironment[Any], draws: int = 0) -> Policy:
    """The sampler of the reward of `env` by conversion; nothing is trained.

    Args:
        flows: The frozen outcome-conditioned policy.
        env: The environment whose reward is wanted, with the same states.
        draws: Outcomes drawn for each state (`MonteCarlo`); 0 sums over all objects, at all states
            once (`PairTable`).

    Raises:
        IncompatibleError: If there are too many objects to list, or draws are not possible.
    """
    if draws:
        return MonteCarlo(flows, env, draws)
    objects = listed_objects(env)
    if objects is None:
        raise IncompatibleError(
            f"{env.name} has too many states ({env.num_keys}) to list its objects; at most {MOST} "
            f"are. Draw some for each state (draws=100), or learn the sums (--how amortised)."
        )
    return PairTable(enumerate_states(env), flows, objects).policy(env)


def outcome_posterior(
    env: DiscreteEnvironment[Any], width: int, encoder: StateEncoder | None = None
) -> Posterior:
    """A fresh network for which outcome each move serves.

    Args:
        env: The environment.
        width: Units of its layers.
        encoder: Encodes states; by default their categorical features.

    Raises:
        IncompatibleError: If objects are neither few nor sequences.
    """
    sequence = getattr(env, "fills_places", False)
    objects = listed_objects(env)
    few = objects is not None and (batch_size(objects) <= LISTED or not sequence)
    if few:
        return ListedPosterior(env, objects, encoder, width)
    if sequence:
        return SequencePosterior(env, width)
    raise IncompatibleError(
        f"{env.name}: its objects are too many to list and no sequences with places to fill, so "
        f"there is no network for which outcome a move serves. Pass a `Posterior` of your own to "
        f"Amortised, or use Monte Carlo (--how converted --draws 100) where objects can be drawn."
    )
