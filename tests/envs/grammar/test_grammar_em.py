"""EM on sentences: exact with tables, the E-step of the parser, and mixing by its moves."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gflow import Sampler, enumerate_states
from gflow.behaviours.base import Sampling
from gflow.em import MStep, Observations
from gflow.em.mixing import BackAndForth
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.fit import chains_step, inside_step, reestimated
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.inside import log_marginal
from gflow.envs.grammar.model import FixedGrammar
from gflow.envs.grammar.neural import Kind, NeuralGrammar
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import log_joint
from gflow.metrics import total_variation
from gflow.objectives.forward_looking import ForwardLookingSubTrajectoryBalance
from gflow.objectives.subtb import Weighting
from gflow.rewards.base import FunctionReward
from gflow.state import take
from gflow.training.trainer import TrainConfig, Trainer

KINDS = pytest.mark.parametrize("reads_parent", [False, True], ids=["cfg", "ncfg"])


@KINDS
def test_the_likelihood_never_falls_with_expected_counts(
    reads_parent: bool, rules_of: Callable[..., Rules], sentences: Tensor
) -> None:
    """T4.2 on grammars of three symbols: EM is monotone, and ends where counts repeat."""
    rules = rules_of(1, 2, 4, True) if reads_parent else rules_of(2, 1, 4, False)
    seen = []
    for _ in range(40):
        seen.append(float(log_marginal(rules, sentences).sum()))
        rules = reestimated(rules, sentences)
        for part, dims in ((rules.top, (0,)), (rules.pairs, (-1, -2)), (rules.words, (-1,))):
            total = part.exp().sum(dims)
            torch.testing.assert_close(total, torch.ones_like(total))
    assert all(b >= a - 1e-10 for a, b in itertools.pairwise(seen))
    assert seen[-1] > seen[0] + 1
    assert seen[-1] - seen[-2] < 0.02


@KINDS
def test_the_bound_never_falls_with_other_trees_than_the_posterior(
    reads_parent: bool, rules_of: Callable[..., Rules]
) -> None:
    """T4.2: an M-step for any q raises E_q log p, so the bound; log p may fall."""
    rules = rules_of(2, 2, 3, reads_parent)
    words = torch.tensor([[0, 2, 1, 1]])
    env = Parser(words, FunctionReward(lambda forest: log_joint(rules, forest)), 2)
    graph = enumerate_states(env)
    trees = take(graph.states, graph.objects)
    q = torch.randn(len(trees.words), generator=torch.Generator().manual_seed(0)).softmax(0)

    def bound(of: Rules) -> Tensor:
        return (q * log_joint(of, trees)).sum()

    leaves = [part.clone().requires_grad_() for part in vars(rules).values()]
    counts = torch.autograd.grad(bound(Rules(*leaves)), leaves)
    fitted = [
        (count / count.sum(dims, keepdim=True)).clamp(min=1e-300).log().nan_to_num(-1.0)
        for count, dims in zip(counts, ((0,), (-2, -1), (-1,)), strict=True)
    ]
    assert float(bound(Rules(*fitted))) > float(bound(rules)) + 0.1


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("how", ["inside", "chains"])
def test_gradients_lead_to_likelier_sentences(how: str, reads_parent: bool) -> None:
    """Sentences all of which are 0 1 0 1 or 2 1: both ways learn them nearly by heart."""
    words = torch.tensor([[0, 1, 0, 1], [2, 1, -1, -1]]).repeat(4, 1)
    kind: Kind = "ncfg" if reads_parent else "cfg"
    model = NeuralGrammar(2, 3, 3, kind, 8, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    generator = torch.Generator().manual_seed(0)
    before = float(model.log_marginal(words).detach().mean())
    for _ in range(40):
        if how == "inside":
            said = inside_step(model, optimizer, words)
        else:
            said = chains_step(model, optimizer, words, 20, generator, grad_clip=5.0)
    after = float(model.log_marginal(words).detach().mean())
    assert after > before + 1.5
    assert float(said) <= after + 0.5


def in_law(law: Tensor, places: Tensor) -> float:
    """Mean squared z-score of counts."""
    count = len(places)
    seen = torch.bincount(places, minlength=len(law)).double()
    often = law > 2e-3
    sigma = (law * (1 - law) * count).sqrt()
    score = ((seen - law * count) / sigma)[often]
    slack: float = 5 * (2 / len(score)) ** 0.5
    return float(score.square().mean()) - slack


@KINDS
def test_mixing_by_moves_of_the_parser_keeps_the_posterior(
    reads_parent: bool, rules_of: Callable[..., Rules]
) -> None:
    """T4.5 on sentences of four words: exact trees stay exact, whatever the policy."""
    words, count = torch.tensor([[0, 2, 1, 1]]), 1500
    reward = GrammarReward(FixedGrammar(rules_of(2, 2, 3, reads_parent)), words)
    env = Parser(reward.data, reward, 2)
    torch.manual_seed(0)
    policy = ParserPolicy(env, 8, 1, 2)
    graph = enumerate_states(env, condition=torch.zeros(1, 1))
    law = graph.log_target().exp()
    generator = torch.Generator().manual_seed(0)
    start = torch.multinomial(law, count, True, generator=generator)
    sampling = Sampling(policy, Sampler(env), generator=generator)
    current = sampling.sampler.backward(
        policy,
        take(graph.states, graph.objects[start]),
        condition=torch.zeros(count, 1),
        generator=generator,
    )
    mixed, accepted = BackAndForth(3, temperature=1.3).mix(sampling, current)
    at = torch.full((len(graph),), -1)
    at[graph.objects] = torch.arange(len(law))
    places = at[graph.rows(mixed.final_states)]
    assert 0.1 < float(accepted) < 1
    assert int((places != start).sum()) > 50
    assert in_law(law, places) < 1


def test_m_steps_fit_the_grammar_to_trees_of_the_parser(sentences: Tensor) -> None:
    """One step of the learner is one step up log p of the trees at hand, dreams included."""
    model = NeuralGrammar(2, 2, 4, "cfg", 8, 5, generator=torch.Generator().manual_seed(0))
    reward = GrammarReward(model, Observations(sentences))
    env = Parser(reward.data, reward, 2, vocabulary=4)
    policy = ParserPolicy(env, 8, 1, 2)
    generator = torch.Generator().manual_seed(0)
    x, z = model.sample(6, generator)
    assert isinstance(z, Forest)
    call = reward.data.dream(x)
    batch = Sampler(env).backward(policy, z, condition=call, generator=generator)
    assert torch.equal(batch.final_states.words, x)
    torch.testing.assert_close(batch.log_reward, model.log_prob(x, z).detach())
    learner = MStep(reward, torch.optim.SGD(model.parameters(), 0.01), latents="batch")
    before = model.log_prob(x, z).detach().mean()
    torch.testing.assert_close(learner.step(z, call), before)
    assert float(model.log_prob(x, z).detach().mean()) > float(before)


@pytest.mark.slow
@pytest.mark.parametrize(("reads_parent", "weighting"), [(False, "equal"), (True, "equal_within")])
def test_the_parser_learns_posteriors_and_log_p(
    reads_parent: bool, weighting: Weighting, rules_of: Callable[..., Rules], sentences: Tensor
) -> None:
    """T4.3 on sentences: q(tree | words) and log Z(words), by forward-looking balance."""
    sentences = sentences[1:, :4].contiguous()
    reward = GrammarReward(FixedGrammar(rules_of(2, 2, 4, reads_parent)), sentences)
    env = Parser(reward.data, reward, 2)
    torch.manual_seed(0)
    policy = ParserPolicy(env, 32, 2, 4, "maxent", log_flow=True, word_cost=1.4)
    objective = ForwardLookingSubTrajectoryBalance(lam=1.0, weighting=weighting)
    config = TrainConfig(batch_size=32, lr=3e-3, temperature=1.1, grad_clip=3.0, lr_half_life=150)
    trainer = Trainer(env, policy, objective, config, condition=reward.data.sampler())
    trainer.train(350)
    exact = log_marginal(reward.model.rules(), sentences)
    for row in range(2):
        told = torch.tensor([[float(row)]])
        graph = enumerate_states(env, condition=told)
        learned = graph.terminal_distribution(policy)
        assert float(total_variation(learned, graph.log_target())) < 0.06
        flow = policy(env, env.start(1, condition=told)).log_flow
        assert flow is not None
        assert float(flow.detach()) == pytest.approx(float(exact[row]), abs=0.1)


def test_forests_and_sentences_may_lie_in_other_tensors(
    rules_of: Callable[..., Rules], sentences: Tensor
) -> None:
    """Padding behind short sentences is not scored."""
    rules = rules_of(2, 2, 4, True)
    env = Parser(sentences, FunctionReward(lambda forest: log_joint(rules, forest)), 2)
    narrow = Parser(sentences[1:2, :4], env.reward, 2, vocabulary=4)
    policy = ParserPolicy(narrow, 8, 1, 2)
    batch = Sampler(narrow).forward(policy, 10, generator=torch.Generator().manual_seed(0))
    tree = batch.final_states
    pad = torch.nn.functional.pad
    wide = replace(
        tree,
        words=pad(tree.words, (0, 1), value=-1),
        label=pad(tree.label, (0, 1), value=2),
        left=pad(tree.left, (0, 1)),
        right=pad(tree.right, (0, 1)),
    )
    assert env.is_terminal(wide).all()
    torch.testing.assert_close(log_joint(rules, wide), log_joint(rules, tree))
