"""Back-and-forth mixing: the posterior is what its chains leave as it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow.behaviours.backtracking import UpTo
from gflow.behaviours.base import Sampling
from gflow.em import BackAndForth, Every, JointReward, ListedLatents, MStep
from gflow.envs.games.nim import Nim
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objectives import LogPartitionVariance
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from tests.gflow.em.conftest import RowTables

Build = Callable[..., "RowTables"]
EVERY = 18


def transitions(
    env: AnyOrder, mixing: BackAndForth, policy: "RowTables", batch: Trajectories[Any]
) -> Tensor:
    """(9, 9) probabilities of one round between latents of one row, over all trajectories.

    What is proposed is computed from the tables here; what is accepted is the chain's own.
    """
    terms = evaluate(env, policy, batch)
    row = batch.condition[:, 0].long()  # type: ignore[index]
    states = [batch.states_at(t) for t in range(3)]
    log_pf, log_pb = torch.zeros(EVERY, 2), torch.zeros(EVERY, 2)
    warm = mixing.temperature
    for t in range(2):
        before, after = policy.graph.rows(states[t]), policy.graph.rows(states[t + 1])
        ahead = (policy.ahead[row, before] / warm).masked_fill(
            ~env.forward_mask(states[t]), -torch.inf
        )
        back = (policy.back[row, after] / warm).masked_fill(
            ~env.backward_mask(states[t + 1]), -torch.inf
        )
        log_pf[:, t] = ahead.log_softmax(1).gather(1, batch.actions[:, t, None]).squeeze(1)
        undo = batch.backward_actions[:, t, None]
        log_pb[:, t] = back.log_softmax(1).gather(1, undo).squeeze(1)
    if warm == 1:
        torch.testing.assert_close(log_pf, terms.log_pf.detach())
    z = batch.final_states[:, 0] * 3 + batch.final_states[:, 1]
    matrix = torch.zeros(9, 9)
    backtracking = mixing.search.backtracking
    sampling = mixing.proposer(Sampling(policy, Sampler(env)))
    old, new = (i.flatten() for i in torch.meshgrid(*[torch.arange(EVERY)] * 2, indexing="ij"))
    for keep in range(2):
        same = (batch.actions[old][:, :keep] == batch.actions[new][:, :keep]).all(1)
        a, b = old[same], new[same]
        kept = torch.full_like(a, keep)
        ratio = mixing.search.log_ratio(sampling, batch.select(a), batch.select(b), kept)
        log_q = backtracking.log_prob(kept, torch.full_like(a, 2))
        if bool((log_q == -torch.inf).all()):
            continue
        proposed = (log_pb[a].sum(1) + log_q + log_pf[b][:, keep:].sum(1)).exp()
        accepted = proposed * ratio.total.clamp(max=0).exp()
        matrix.index_put_((z[a], z[b]), accepted, accumulate=True)
        matrix.index_put_((z[a], z[a]), proposed - accepted, accumulate=True)
    return matrix.detach()


CASES = [("random", 1.0), ("random", 1.4), (UpTo(1), 0.7), (2, 1.4)]


@pytest.mark.parametrize(("steps", "temperature"), CASES)
def test_a_round_leaves_the_posterior_as_it_is(
    env: AnyOrder,
    reward: JointReward,
    all_trajectories: Trajectories[Any],
    tables: Build,
    steps: Any,
    temperature: float,
) -> None:
    """T4.5: rows sum to one, detailed balance, and what `revise` does has these probabilities."""
    mixing, policy = BackAndForth(1, steps, temperature), tables(7)
    latents = ListedLatents(env, reward)
    place = (latents.objects[:, 0] * 3 + latents.objects[:, 1]).argsort()
    for row in (0, 2):
        batch = all_trajectories.select(torch.arange(row * EVERY, (row + 1) * EVERY))
        matrix = transitions(env, mixing, policy, batch)
        torch.testing.assert_close(matrix.sum(1), torch.ones(9))
        posterior = latents.log_posterior(torch.tensor([row]))[0, place].exp()
        flow = posterior[:, None] * matrix
        torch.testing.assert_close(flow, flow.T)
        torch.testing.assert_close(posterior @ matrix, posterior)
        # What is done: 20,000 chains from one latent.
        start = batch.select(torch.full((20_000,), 4))
        sampling = Sampling(policy, Sampler(env), generator=torch.Generator().manual_seed(0))
        after, _ = mixing.mix(sampling, start)
        z = after.final_states[:, 0] * 3 + after.final_states[:, 1]
        found = torch.bincount(z, minlength=9) / len(start)
        origin = int(batch.final_states[4, 0] * 3 + batch.final_states[4, 1])
        assert float((found - matrix[origin]).abs().sum()) / 2 < 0.02


def test_the_m_step_fits_latents_that_went_all_rounds(
    env: AnyOrder, reward: JointReward, tables: Build, all_trajectories: Trajectories[Any]
) -> None:
    policy, mixing = tables(8), BackAndForth(4, temperature=1.2)
    with torch.no_grad():
        policy.ahead.mul_(0.2)  # a chain that moves
    row = all_trajectories.select(torch.arange(EVERY, 2 * EVERY))
    matrix = transitions(env, mixing, policy, row)
    seen: list[Tensor] = []

    class Watched(MStep):
        def step(self, latents: Any, condition: Tensor | None) -> Tensor:
            seen.append(latents)
            return super().step(latents, condition)

    optimizer = torch.optim.SGD(reward.model.parameters(), 0.1)
    learner = Watched(reward, optimizer, latents="batch", mixing=mixing)
    batch = row.select(torch.full((8000,), 4))
    for _ in range(2):
        numbers = learner.learn(env, policy, batch, torch.Generator().manual_seed(2))
    start, used = (
        torch.bincount(z[:, 0] * 3 + z[:, 1], minlength=9) / 8000
        for z in (batch.final_states, seen[0])
    )
    wanted = start @ torch.linalg.matrix_power(matrix, 4)
    assert float((used - wanted).abs().sum()) / 2 < 0.02
    assert float((start - wanted).abs().sum()) / 2 > 0.3
    assert 0.2 < float(numbers["mixing_acceptance"]) < 0.95


def test_chains_of_a_later_step_compare_rewards_of_the_same_model(
    env: AnyOrder, reward: JointReward, tables: Build, all_trajectories: Trajectories[Any]
) -> None:
    """Of two M-steps in a row the second starts from the rewards that the first has left."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Watched(BackAndForth):
        def mix(
            self, sampling: Sampling, current: Trajectories[Any]
        ) -> tuple[Trajectories[Any], Tensor]:
            now = env.log_reward(current.final_states, current.condition)
            seen.append((current.log_reward, now))
            return super().mix(sampling, current)

    optimizer = torch.optim.SGD(reward.model.parameters(), 1.0)
    pace = Every(1, times=2)
    learner = MStep(reward, optimizer, pace, latents="batch", mixing=Watched(1))
    for _ in range(2):
        learner.learn(env, tables(0), all_trajectories, torch.Generator().manual_seed(0))
    assert len(seen) == 2
    for given, now in seen:
        torch.testing.assert_close(given, now)
    assert not torch.allclose(seen[0][0], seen[1][0])


def test_the_loss_of_a_pair_is_balance_without_log_z(
    env: AnyOrder, tables: Build, all_trajectories: Trajectories[Any]
) -> None:
    """Of a latent and its candidate log variance compares the two halves that differ, squared."""
    policy = tables(9)
    pair = all_trajectories.select(torch.tensor([0, 2]))  # same first move, other second
    terms = evaluate(env, policy, pair)
    assert torch.equal(pair.actions[0, 0], pair.actions[1, 0])
    half = terms.log_reward + terms.log_pb[:, 1] - terms.log_pf[:, 1]
    # P_B of the first move differs with nothing: both walk back to the same state.
    torch.testing.assert_close(terms.log_pb[0, 0], terms.log_pb[1, 0])
    loss = LogPartitionVariance()(terms)
    torch.testing.assert_close(4 * loss, (half[0] - half[1]).square())


@pytest.mark.parametrize("most", [1, 3, 9])
def test_up_to_so_many_moves_are_undone_all_as_likely(most: int) -> None:
    backtracking, length = UpTo(most), torch.full((30_000,), 5)
    keep = backtracking.keep(length, torch.Generator().manual_seed(0))
    undone = 5 - keep
    top = min(most, 5)
    share = torch.bincount(undone, minlength=top + 2) / len(length)
    assert float(share[0]) == float(share[top + 1]) == 0
    torch.testing.assert_close(share[1 : top + 1], torch.full((top,), 1 / top), atol=0.02, rtol=0)
    log_q = backtracking.log_prob(torch.arange(6), torch.full((6,), 5)).exp()
    wanted = torch.tensor([float(0 < 5 - c <= top) / top for c in range(6)])
    torch.testing.assert_close(log_q, wanted)


def test_environments_without_moves_back_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="Leave mixing out"):
        BackAndForth().check(Nim())
