import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags, all_dags, reachable
from gflow.envs.dags.guide import CompletionGuide, DeltaGuide
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.errors import ConfigError, IllegalActionError, IncompatibleError, ShapeError
from gflow.masking import sample_masked
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES, PROPORTIONAL, TrajectoryBalance
from gflow.policies.mlp import MLPPolicy
from gflow.state import equal_rows, take
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

GRAPHS = {1: 1, 2: 3, 3: 25, 4: 543, 5: 29281}


def random_graphs(d: int, count: int, seed: int) -> Tensor:
    """Graphs of all densities: triangles of coins of all biases, relabelled."""
    generator = torch.Generator().manual_seed(seed)
    bias = torch.rand(count, 1, 1, generator=generator)
    upper = (torch.rand(count, d, d, generator=generator) < bias).triu(1)
    order = torch.rand(count, d, generator=generator).argsort(-1)
    rows = torch.arange(count)[:, None, None]
    return upper[rows, order[:, :, None], order[:, None, :]]


def score_of(d: int, seed: int = 0, rows: int = 30) -> BGe:
    generator = torch.Generator().manual_seed(seed)
    network = erdos_renyi_network(d, d - 1, noise_std=0.5, generator=generator)
    return BGe(network.sample(rows, generator))


# ---------------------------------------------------------------------- the environment


@pytest.mark.slow
@given(d=st.integers(1, 4), limit=st.none() | st.integers(1, 3))
def test_contract_on_all_states(d: int, limit: int | None) -> None:
    found = check_env(Dags(d, max_parents=limit))
    assert found.exhaustive
    if limit is None or limit >= d - 1:
        assert found.num_states == GRAPHS[d]
        assert found.longest == d * (d - 1) // 2 + 1


@pytest.mark.slow
@pytest.mark.parametrize(("d", "limit"), [(6, None), (8, 2), (9, None), (17, 3)])
def test_contract_on_random_walks(d: int, limit: int | None) -> None:
    check_env(Dags(d, score_of(d), limit), examples=8, limit=100)


@pytest.mark.parametrize("d", GRAPHS)
def test_numbers_of_graphs(d: int) -> None:
    graphs = all_dags(d)
    assert len(graphs) == GRAPHS[d]
    keys = Dags(d).key(Dags(d).states(graphs))
    assert (keys.diff() > 0).all()
    if d < 5:
        walked = enumerate_states(Dags(d))
        torch.testing.assert_close(walked.keys[0], keys)


@given(d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_masks_are_those_of_networkx(d: int, seed: int) -> None:
    env = Dags(d)
    states = env.states(random_graphs(d, 4, seed))
    mask = env.forward_mask(states)
    for graph, row in zip(states.adjacency, mask, strict=True):
        for action in range(d * d):
            changed = nx.from_numpy_array(graph.numpy(), create_using=nx.DiGraph)
            edge = divmod(action, d)
            new = not changed.has_edge(*edge)
            changed.add_edge(*edge)
            assert bool(row[action]) == (new and nx.is_directed_acyclic_graph(changed))
    assert mask[:, env.stop_action].all()
    torch.testing.assert_close(env.backward_mask(states), states.adjacency.flatten(1))


@given(d=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_ancestors_and_codes_are_updated_both_ways(d: int, seed: int) -> None:
    env, generator = Dags(d), torch.Generator().manual_seed(seed)
    states = env.states(random_graphs(d, 8, seed))
    for _ in range(6):
        forth = env.forward_mask(states)
        forth[:, env.stop_action] = False
        rows = forth.any(-1)
        if rows.any():
            some = take(states, rows)
            actions = sample_masked(torch.zeros(forth[rows].shape), forth[rows], generator)
            children = env.step(some, actions)
            assert equal_rows(children, env.states(children.adjacency)).all()
            assert equal_rows(env.backstep(children, actions), some).all()
        back = env.backward_mask(states)
        rows = back.any(-1)
        if not rows.any():
            break
        actions = sample_masked(torch.zeros(back[rows].shape), back[rows], generator)
        states = env.backstep(take(states, rows), actions)
        assert equal_rows(states, env.states(states.adjacency)).all()


@given(d=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_ancestors_are_those_of_networkx(d: int, seed: int) -> None:
    states = Dags(d).states(random_graphs(d, 4, seed))
    for graph, ancestors in zip(states.adjacency, states.ancestors, strict=True):
        net = nx.from_numpy_array(graph.numpy(), create_using=nx.DiGraph)
        for node in range(d):
            found = {j for j in range(d) if ancestors[node, j]}
            assert found == nx.ancestors(net, node) | {node}


def test_more_variables_than_an_integer_has_bits() -> None:
    env = Dags(100)
    complete = env.states(torch.ones(1, 100, 100).triu(1))  # 2^98 paths from one end to the other
    assert env.forward_mask(complete)[0].nonzero().tolist() == [[100 * 100]]
    shorter = env.backstep(complete, torch.tensor([99]))  # without 0 -> 99, which others join
    assert torch.equal(shorter.ancestors, complete.ancestors)
    chain = env.states(torch.eye(100).roll(1, 1)[None] * (torch.arange(100) > 0))
    parted = env.backstep(chain, torch.tensor([49 * 100 + 50]))
    assert torch.equal(parted.ancestors[0, 50:, :50], torch.zeros(50, 50).bool())
    assert torch.equal(parted.ancestors[0].tril(), parted.ancestors[0])
    assert int(parted.ancestors.sum()) == 2 * (50 * 51 // 2)


@given(seed=st.integers(0, 10**6))
def test_keys_beyond_exact_ones_differ(seed: int) -> None:
    env = Dags(12)
    graphs = random_graphs(12, 200, seed)
    assert len(env.key(env.states(graphs)).unique()) == len(graphs.unique(dim=0))


def test_keys_can_be_read_back() -> None:
    env = Dags(8)
    graphs = random_graphs(8, 100, 0)
    assert torch.equal(env.graphs(env.key(env.states(graphs))), graphs)


def test_parents_are_limited() -> None:
    env = Dags(6, max_parents=2)
    batch = Sampler(env).forward(DagPolicy(env, width=4), 64, generator=torch.Generator())
    assert int(batch.states.adjacency.sum(1).max()) == 2
    with pytest.raises(ConfigError, match="more than max_parents = 2"):
        env.states(torch.ones(1, 6, 6).triu(1))


def test_walks_by_both_plans_have_equal_law() -> None:
    env = Dags(3, score_of(3))
    graph = enumerate_states(env)
    torch.manual_seed(0)
    policy = DagPolicy(env, width=8)
    law = graph.terminal_distribution(policy).exp()
    for plan in ("ragged", "static"):
        batch = Sampler(env, plan).forward(
            policy, 20_000, generator=torch.Generator().manual_seed(1)
        )
        rows = graph.rows(batch.final_states)
        counts = torch.bincount(rows, minlength=25)[graph.objects]
        # A mean of 25 squared standardised deviations: 1 +- 0.28 by chance.
        assert float(((counts - 20_000 * law) ** 2 / (20_000 * law)).mean()) < 3


# ---------------------------------------------------------------------- exactness and learning


@pytest.mark.parametrize("objective", PROPORTIONAL)
def test_exact_flows_balance(objective: str) -> None:
    env = Dags(3, score_of(3))
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    loss = TrajectoryBalance(flows.log_z) if objective == "tb" else OBJECTIVES[objective]()
    policy = TabularPolicy.solved(graph, flows, loss.needs.edge_flow, loss.needs.energy)
    torch.testing.assert_close(
        graph.terminal_log_prob(flows.log_pf, flows.log_stop), graph.log_target()
    )
    generator = torch.Generator().manual_seed(0)
    uniform = TabularPolicy(graph)
    batch = Sampler(env).forward(uniform, 64, generator=generator)
    terms = evaluate(env, policy, batch, loss.needs)
    assert float(loss.residual(terms).detach().abs().max()) < 1e-9
    wrong = evaluate(env, uniform, batch, loss.needs)
    assert float(loss.residual(wrong).detach().abs().max()) > 0.1


def test_relabelling_permutes_the_posterior() -> None:
    generator = torch.Generator().manual_seed(3)
    data = torch.randn(20, 4, generator=generator) @ torch.randn(4, 4, generator=generator)
    order = torch.tensor([2, 0, 3, 1])
    graphs, env = all_dags(4), Dags(4)
    law = BGe(data)(env.states(graphs)).log_softmax(0)
    again = BGe(data[:, order])(env.states(graphs[:, order][:, :, order])).log_softmax(0)
    torch.testing.assert_close(law, again)


@pytest.mark.parametrize("objective", ["mdb", "tb"])
@pytest.mark.slow
def test_learns_the_posterior(objective: str) -> None:
    score = score_of(3)
    env = Dags(3, score)
    torch.manual_seed(0)
    loss = OBJECTIVES[objective]()
    policy = DagPolicy(env, width=32, guide=CompletionGuide(score))
    config = TrainConfig(steps=500, batch_size=32, lr=5e-3, epsilon=0.1, lr_half_life=100)
    graph = enumerate_states(env)
    before = total_variation(graph.terminal_distribution(policy), graph.log_target())
    Trainer(env, policy, loss, config).train()
    after = total_variation(graph.terminal_distribution(policy), graph.log_target())
    assert float(before) > 0.1
    assert float(after) < 0.04


# ---------------------------------------------------------------------- the policy and its guides


@pytest.mark.parametrize("backward", ["learned", "uniform"])
def test_policy_heads_agree(backward: str) -> None:
    score = score_of(4)
    env = Dags(4, score)
    policy = DagPolicy(
        env,
        width=8,
        backward=backward,  # type: ignore[arg-type]
        log_flow=True,
        guide=DeltaGuide(score),
    )
    states = env.states(random_graphs(4, 5, 0))
    output = policy(env, states)
    assert output.log_flow is not None
    assert output.log_flow.shape == (5,)
    torch.testing.assert_close(policy.forward_logits(env, states), output.forward_logits)
    if backward == "learned":
        assert output.backward_logits is not None
        assert output.backward_logits.shape == (5, 16)
    else:
        assert output.backward_logits is None


def test_perceptrons_of_both_kinds_read_graphs() -> None:
    env = Dags(4)
    states = env.states(random_graphs(4, 5, 0))
    general = MLPPolicy(env, width=8, backward="uniform")
    own = DagPolicy(env, width=8)
    ours = sum(p.numel() for p in own.parameters())
    theirs = sum(p.numel() for p in general.parameters())
    assert theirs - ours == 16 * 8  # embeddings of absent edges
    with torch.no_grad():
        own.hidden[0].weight.copy_((general.table[1::2] - general.table[::2]).T)
        own.hidden[0].bias.copy_(general.bias + general.table[::2].sum(0))
        own.hidden[1].load_state_dict(general.hidden[0].state_dict())
        own.head.load_state_dict(general.head.state_dict())
    torch.testing.assert_close(
        own.forward_logits(env, states),
        general.forward_logits(env, states),
    )


def test_guides_are_gains_of_children() -> None:
    score, beta = score_of(4), 0.5
    env = Dags(4, score)
    states = env.states(random_graphs(4, 50, 1))
    mask = env.forward_mask(states)
    mask[:, env.stop_action] = False
    rows, actions = mask.nonzero(as_tuple=True)
    children = env.step(take(states, rows), actions)
    gain = beta * (score(children) - score(take(states, rows)))
    torch.testing.assert_close(DeltaGuide(score, beta)(states)[rows, actions], gain)
    complete = score(env.states(torch.ones(1, 4, 4).tril(-1)))  # any order will do
    flow = torch.logaddexp(beta * score(children), beta * complete)
    wanted = flow - children.adjacency.sum((1, 2)).log() - beta * score(take(states, rows))
    guide = CompletionGuide(score, beta)(states)
    torch.testing.assert_close(guide[rows, actions], wanted)
    assert (guide[:, env.stop_action] == 0).all()


# ---------------------------------------------------------------------- complaints


def test_complaints() -> None:
    with pytest.raises(ConfigError, match=r"variables must be at least 1, got 0"):
        Dags(0)
    with pytest.raises(ConfigError, match="max_parents must be at least 1 or None, got 0"):
        Dags(3, max_parents=0)
    with pytest.raises(ConfigError, match="the reward BGe is for 4 variables, the environment has"):
        Dags(3, score_of(4))
    with pytest.raises(
        ConfigError, match=r"graph 1 \(1 of 2\) has a cycle: \[\[0, 1\], \[1, 0\]\]"
    ):
        reachable(torch.tensor([[[0, 1], [0, 0]], [[0, 1], [1, 0]]]).bool())
    with pytest.raises(ConfigError, match="has a cycle"):
        Dags(5).states(torch.eye(5)[None])
    with pytest.raises(ShapeError, match=r"must have shape \(B, 5, 5\)"):
        Dags(5).states(torch.zeros(1, 4, 4))
    with pytest.raises(ConfigError, match=r"1 ... 5, got 6. Use `enumerate_states"):
        all_dags(6)
    with pytest.raises(ConfigError, match="keys of 9 variables are hashes"):
        Dags(9).graphs(torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ConfigError, match="width and depth must be positive, got 8, 0"):
        DagPolicy(Dags(3), width=8, depth=0)
    env = Dags(2)
    one = env.step(env.initial(1), torch.tensor([1]))
    with pytest.raises(IllegalActionError, match="The state there is 0->1; legal: \\[4\\]"):
        env.step(one, torch.tensor([2]))
    with pytest.raises(IncompatibleError, match="has more than 100 states"):
        enumerate_states(Dags(4), limit=100)
