"""What every policy promises of its heads, whatever network they stand on."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gflow import DiscreteEnvironment, FunctionReward, MLPPolicy, Policy, Sampler
from gflow.envs import HyperGrid
from gflow.envs.atoms.env import Atoms, AtomState
from gflow.envs.atoms.policy import AtomPolicy
from gflow.envs.dags.env import Dags
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.graphs.independent_set import MaxCut
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.policy import GraphPolicy
from gflow.envs.molecules import Molecules
from gflow.envs.molecules.policy import MoleculePolicy
from gflow.envs.reactions import ReactionPolicy, Reactions
from gflow.envs.sequences.env import VariableLength
from gflow.masking import masked_log_softmax
from gflow.policies.heads import Heads
from gflow.policies.transformer import CausalTransformer
from gflow.state import take

FLAT: FunctionReward[AtomState] = FunctionReward(lambda states: torch.zeros(len(states.kind)))
TREE = GraphBatch.from_edges([5], [torch.tensor([[0, 1], [1, 2], [1, 3], [3, 4]])])


def grid() -> tuple[DiscreteEnvironment[Any], Policy]:
    env = HyperGrid(2, 5)
    return env, MLPPolicy(env, 8, log_flow=True)


def dags() -> tuple[DiscreteEnvironment[Any], Policy]:
    env = Dags(3)
    return env, DagPolicy(env, 8, backward="learned", log_flow=True)


def cut() -> tuple[DiscreteEnvironment[Any], Policy]:
    env = MaxCut(TREE)
    return env, GraphPolicy(env, 8, 1, "learned", True, scale=2.0)


def atoms() -> tuple[DiscreteEnvironment[Any], Policy]:
    env = Atoms(FLAT, max_atoms=6)
    return env, AtomPolicy(env, 8, 1, "learned", True)


def molecules() -> tuple[DiscreteEnvironment[Any], Policy]:
    env = Molecules(reward=FunctionReward(lambda states: torch.zeros(len(states.fragment))))
    return env, MoleculePolicy(env, 8, 1, "learned", True)


def reactions() -> tuple[DiscreteEnvironment[Any], Policy]:
    blocks = ["O=C(O)c1ccccc1", "NCc1ccc(Br)cc1", "OB(O)c1ccccc1", "CN"]
    env = Reactions(FunctionReward(lambda states: torch.zeros(len(states))), 1.0, blocks=blocks)
    return env, ReactionPolicy(env, 8, 1, "learned", True)


CASES = [grid, dags, cut, atoms, molecules, reactions]


@pytest.fixture(params=CASES, ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest) -> tuple[DiscreteEnvironment[Any], Policy, Any]:
    """An environment, a policy with no zeros in it, and the states of some trajectories."""
    torch.manual_seed(0)
    env, policy = request.param()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return env, policy, Sampler(env).forward(policy, 40, generator=generator).states


def test_one_head_alone_says_what_it_says_among_all(case: Any) -> None:
    env, policy, states = case
    out = policy(env, states)
    count = len(env.forward_mask(states))
    assert out.forward_logits.shape == (count, env.num_actions)
    assert out.backward_logits.shape == (count, env.num_backward_actions)
    assert out.log_flow.shape == (count,)
    assert out.log_flow.std() > 1e-3
    torch.testing.assert_close(policy.forward_logits(env, states), out.forward_logits)
    torch.testing.assert_close(policy.backward_logits(env, states), out.backward_logits)


@torch.no_grad()
def test_a_zeroed_backward_head_is_uniform_over_actions(case: Any) -> None:
    """Every last layer counts: bonds that close rings are removed by one of their own."""
    env, policy, states = case
    mask = env.backward_mask(states)
    several = (mask.sum(-1) > 1).nonzero().squeeze(1)
    assert len(several) > 5
    states, mask = take(states, several), mask[several]

    def furthest() -> float:
        log_pb = masked_log_softmax(policy.backward_logits(env, states), mask)
        even = -mask.sum(-1, keepdim=True).double().log()
        return float((log_pb - even)[mask].abs().max())

    before = policy(env, states)
    assert furthest() > 0.05
    policy.zero_backward_head()
    assert furthest() < 1e-9
    after = policy(env, states)
    assert torch.equal(after.forward_logits, before.forward_logits)
    assert torch.equal(after.log_flow, before.log_flow)


def test_rings_are_among_what_is_taken_apart() -> None:
    """So that the case of atoms says something about bonds."""
    env, policy = atoms()
    assert isinstance(env, Atoms)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(2))
    states = Sampler(env).forward(policy, 40, generator=torch.Generator().manual_seed(1)).states
    assert bool(env.backward_mask(states)[:, env.max_atoms :].any())


@pytest.mark.parametrize("backward", [0, 3])
@pytest.mark.parametrize("log_flow", [False, True])
def test_sampling_multiplies_the_rows_that_it_reads(backward: int, log_flow: bool) -> None:
    heads, read = Heads(7, 5, backward, log_flow), torch.randn(11, 7)
    for ask, rows in (
        (heads.ahead, 5),
        (heads.all, 5 + backward + log_flow),
        (heads.back, backward),
    ):
        with FlopCounterMode(display=False) as counted:
            ask(read)
        assert counted.get_total_flops() == 2 * 11 * 7 * rows
    out = heads.all(read)
    together = [out.forward_logits]
    if out.backward_logits is not None:
        together.append(out.backward_logits)
        torch.testing.assert_close(heads.back(read), out.backward_logits)
    if out.log_flow is not None:
        together.append(out.log_flow[:, None])
    torch.testing.assert_close(torch.cat(together, 1), heads(read))
    torch.testing.assert_close(heads.ahead(read), out.forward_logits)


@torch.no_grad()
def test_the_memory_of_a_rollout_skips_the_log_flow() -> None:
    env = VariableLength("ab", 4, FunctionReward(lambda states: torch.zeros(len(states))))
    policy = CausalTransformer(env, 16, 1, 2, log_flow=True)
    states = env.initial(3)
    session = policy.begin(env, 3)
    assert session is not None
    torch.testing.assert_close(session(states, torch.arange(3)), policy(env, states).forward_logits)
    policy.head.weight[-1] = torch.nan
    session = policy.begin(env, 3)
    assert session is not None
    assert bool(session(states, torch.arange(3)).isfinite().all())
