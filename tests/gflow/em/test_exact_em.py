"""EM where latents are listed, with factors that are independent, and with Markov chains."""

import copy
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from gflow.em import (
    BackAndForth,
    ExactEM,
    JointReward,
    LatentModel,
    ListedLatents,
    MeanFieldEM,
    MonteCarloEM,
    MStep,
    elbo,
)
from gflow.envs.sequences.env import AnyOrder, VariableLength
from gflow.errors import IncompatibleError

pytestmark = pytest.mark.usefixtures("sketches")

if TYPE_CHECKING:
    from tests.gflow.em.conftest import Tables


class Counts(LatentModel):
    """Tables of probabilities themselves, with an M-step in closed form."""

    def __init__(self, start: "Tables") -> None:
        super().__init__()
        self.prior = nn.Parameter(start.prior.detach().softmax(0))
        self.words = nn.Parameter(start.words.detach().softmax(1))

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        place = z[:, 0] * 3 + z[:, 1]
        return self.prior[place].log() + self.words[place, x[:, 0]].log()

    def maximise(self, x: Tensor, z: Tensor, weight: Tensor) -> None:
        place = (z[:, 0] * 3 + z[:, 1]) * 4 + x[:, 0]
        count = torch.zeros(36).index_add(0, place, weight).view(9, 4)
        self.prior.copy_(count.sum(1) / count.sum())
        self.words.copy_(count / count.sum(1, keepdim=True))


def total(latents: ListedLatents) -> float:
    return float(latents.log_likelihood().sum())


@pytest.mark.parametrize("closed", [True, False])
def test_the_likelihood_never_falls_with_exact_posteriors(
    env: AnyOrder, model: "Tables", words: Tensor, closed: bool
) -> None:
    """T4.2: with the M-step in closed form, and with small steps up its gradient."""
    fitted: Any = Counts(model) if closed else model
    latents = ListedLatents(env, JointReward(fitted, words))
    optimizer = None if closed else torch.optim.SGD(model.parameters(), 0.2)
    em, seen = ExactEM(latents, optimizer, steps=1 if closed else 3), [total(latents)]
    for step in range(30):
        before = em.step()
        assert before * len(words) == pytest.approx(seen[-1], abs=1e-10)
        seen.append(total(latents))
        assert latents.reward.version == step + 1
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(seen))
    assert seen[-1] > seen[0] + 1
    best = torch.bincount(words[:, 0]) / len(words)  # any law of words is within reach
    if closed:
        assert seen[-1] == pytest.approx(float(len(words) * (best * best.log()).sum()), abs=1e-4)


def test_the_bound_never_falls_with_a_posterior_that_is_not_exact(
    env: AnyOrder, model: "Tables", words: Tensor
) -> None:
    """T4.2: steps of q towards the posterior, part of the way, and of the model in turns."""
    counts = Counts(model)
    latents = ListedLatents(env, JointReward(counts, words))
    em, bounds = ExactEM(latents), []
    log_q = torch.full((len(words), 9), 1 / 9).log()
    for _ in range(25):
        mixed = 0.5 * log_q + 0.5 * latents.log_posterior()  # on the way, the bound rises
        log_q = mixed.log_softmax(1)
        bounds.append(float(elbo(latents.log_joint().detach(), log_q).sum()))
        em.fit(log_q)
        bounds.append(float(elbo(latents.log_joint().detach(), log_q).sum()))
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(bounds))
    assert bounds[-1] > bounds[0] + 1


def test_factors_are_each_at_their_optimum_and_the_bound_is_not_tight(
    env: AnyOrder, reward: JointReward
) -> None:
    latents = ListedLatents(env, reward)
    em = MeanFieldEM(latents, torch.optim.SGD(reward.model.parameters(), 0.1), sweeps=200)
    log_q = em.posterior(latents.log_joint().detach())
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(len(reward.data)))
    joint = latents.log_joint().detach()
    bound = elbo(joint, log_q)
    assert (bound < latents.log_likelihood() - 1e-3).all()
    first, second = latents.objects.T
    for row in range(4):
        for part, values in ((0, first), (1, second)):
            factor = em.factors[part][row]
            other = em.factors[1 - part][row]
            rest = latents.objects[:, 1 - part]
            mean = torch.zeros(3).index_add(0, values, joint[row] * other[rest])
            torch.testing.assert_close(factor, mean.softmax(0), atol=1e-6, rtol=0)
            torch.testing.assert_close(
                log_q[row].exp(), em.factors[0][row][first] * em.factors[1][row][second]
            )


def test_latents_with_parts_that_differ_in_size_keep_their_order(words: Tensor) -> None:
    class Uneven(LatentModel):
        """log p of two symbols that have nothing to do with each other."""

        def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
            return x[:, 0] * 0.3 * z[:, 0] - 0.7 * z[:, 1]

    allowed = torch.tensor([[True, True, True], [True, True, False]])
    reward = JointReward(Uneven(), words)
    env = AnyOrder("abc", 2, reward, allowed)
    latents = ListedLatents(env, reward)
    em = MeanFieldEM(latents, torch.optim.SGD([nn.Parameter(torch.zeros(()))], 0.1))
    assert em.sizes == [3, 2]
    torch.testing.assert_close(em.posterior(latents.log_joint()), latents.log_posterior())


@pytest.mark.slow
def test_chains_fit_about_as_well_as_exact_posteriors(
    env: AnyOrder, model: "Tables", words: Tensor, reward: JointReward
) -> None:
    latents = ListedLatents(env, reward)
    before = total(latents)
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    em = MonteCarloEM(env, MStep(reward, optimizer), 7, BackAndForth(4), seed=0)
    versions = reward.version
    for _ in range(150):
        numbers = em.step()
    assert reward.version == versions + 150
    assert 0.1 < numbers["acceptance"] <= 1
    best = torch.bincount(words[:, 0]) / len(words)
    bound = float(len(words) * (best * best.log()).sum())
    assert before < bound - 1.5
    assert bound - 0.4 < total(latents) <= bound


def test_chains_go_on_where_they_stopped(
    env: AnyOrder, model: "Tables", reward: JointReward
) -> None:
    def new() -> MonteCarloEM:
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        return MonteCarloEM(env, MStep(reward, optimizer), 3, BackAndForth(2), seed=0)

    em = new()
    first = em.latents.clone()
    start = {name: p.clone() for name, p in model.state_dict().items()}
    for _ in range(3):
        em.step()
    saved = copy.deepcopy(em.state_dict())
    assert not torch.equal(first, em.latents)
    expected = [em.step() for _ in range(3)]
    model.load_state_dict(start)
    again = new()
    again.load_state_dict(saved)
    assert [again.step() for _ in range(3)] == expected
    assert reward.version == 6


def test_what_makes_no_sense_is_refused(reward: JointReward, env: AnyOrder) -> None:
    latents = ListedLatents(env, reward)
    with pytest.raises(IncompatibleError, match="no M-step in closed form"):
        ExactEM(latents)
    optimizer = torch.optim.SGD(reward.model.parameters(), 0.1)
    ragged = VariableLength("ab", 2, reward, min_length=0)
    with pytest.raises(IncompatibleError, match="all 9 combinations"):
        MeanFieldEM(ListedLatents(ragged, reward), optimizer)
