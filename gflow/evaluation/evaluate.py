"""From trajectories to flow terms, in one network pass over the stored states."""

from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.evaluation import densities, numbered
from gflow.evaluation.anchored import anchor_source, energies, log_flows, movers, scores_of
from gflow.policies.base import BackwardNetwork, Policy
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


def evaluate(
    env: Environment[Any],
    policy: Policy,
    trajectories: Trajectories[Any],
    needs: Needs = Needs(),
) -> FlowTerms:
    """The flow terms of trajectories under the policy as it is now, with gradients.

    Args:
        env: The environment, of either kind.
        policy: The policy to evaluate, whoever sampled the trajectories.
        trajectories: B trajectories, on the policy's device.
        needs: What the objective reads.

    Returns:
        Flow terms, (B, T).

    Raises:
        IncompatibleError: If the policy lacks a head that is needed, or the objective reads what
            sums over all children or all parents where these form a continuum.
    """
    kind: Any = numbered if env.numbered else densities
    parts = kind.parts(env, policy, trajectories, needs)
    energy = energies(env, trajectories) if needs.energy else None
    known = env.known_log_z(trajectories.condition, len(trajectories))
    log_flow = None
    if needs.log_flow:
        players = needs.flows(env)
        log_flow = log_flows(env, policy, parts.output, trajectories, energy, players)
        if known is not None:
            log_flow = anchor_source(log_flow, known, trajectories)
    scores, log_symmetry = scores_of(env, trajectories) if needs.scores else (None, None)
    return FlowTerms(
        log_pf=parts.log_pf,
        log_pb=parts.log_pb,
        log_reward=trajectories.log_reward,
        length=trajectories.length,
        stopped=trajectories.stopped,
        log_flow=log_flow,
        energy=energy,
        scores=scores,
        log_symmetry=log_symmetry,
        mover=movers(env, trajectories) if needs.mover else None,
        known_log_z=known,
        condition=trajectories.condition,
        complete=trajectories.complete,
        from_source=trajectories.from_source,
        has_log_pb=env.has_backward and (needs.log_pb or not env.numbered),
        **parts.others,
    )


def log_pb(
    env: Environment[Any], policy: BackwardNetwork, trajectories: Trajectories[Any]
) -> Tensor:
    """(B, T) log P_B of trajectories alone, with gradients; zero for stops and after the end."""
    learned = None
    if policy.backward == "learned":
        given = trajectories.condition_of_states
        learned = policy.backward_logits(env, trajectories.states, given)
    kind: Any = numbered if env.numbered else densities
    value: Tensor = kind.log_pb(env, policy, trajectories, learned)
    return value
