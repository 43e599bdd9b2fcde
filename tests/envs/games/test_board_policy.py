"""The residual network of boards: its heads, its symmetry, and what it is asked."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler, enumerate_states
from gflow.envs.games import Connect4, Nim, RowGame, TicTacToe
from gflow.envs.games.policy import BoardPolicy
from gflow.errors import ConfigError, IncompatibleError


def positions(env: RowGame, count: int = 40, seed: int = 0) -> Tensor:
    """Distinct positions of random games, ends among them."""
    policy = BoardPolicy(env, 4, 0, 2)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    generator = torch.Generator().manual_seed(seed)
    states: Tensor = Sampler(env).forward(policy, count, generator=generator).states
    return states


def lively(env: RowGame, **settings: Any) -> BoardPolicy:
    """A small network that is nothing like even."""
    torch.manual_seed(1)
    policy = BoardPolicy(env, 6, 2, 5, **settings)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 0.4)
    return policy


ENVS = [TicTacToe(), TicTacToe(2, 3, 3), Connect4(4, 5, 3), Connect4(9, 10, 4)]
NAMES = ["tictactoe", "wide-tictactoe", "connect", "large-connect"]


@pytest.mark.parametrize("env", ENVS, ids=NAMES)
@pytest.mark.parametrize("flows", [0, 1, 2])
@pytest.mark.parametrize("symmetric", [False, True])
def test_heads(env: RowGame, flows: int, symmetric: bool) -> None:
    policy, states = lively(env, log_flow=flows, symmetric=symmetric), positions(env)
    out = policy(env, states)
    assert out.forward_logits.shape == (len(states), env.num_actions)
    assert out.backward_logits is None
    torch.testing.assert_close(policy.forward_logits(env, states), out.forward_logits)
    if not flows:
        assert out.log_flow is None
        return
    assert out.log_flow.shape == ((len(states),) if flows == 1 else (len(states), 2))
    live = ~env.is_terminal(states)
    assert bool((out.log_flow[live].flatten(1 if flows > 1 else 0).std(0) > 1e-3).all())


@pytest.mark.parametrize("env", ENVS, ids=NAMES)
@torch.no_grad()
def test_symmetric_answers_turn_with_the_board(env: RowGame) -> None:
    """Equal flows for images, and the same moves under their names there; not so without."""
    states = positions(env, 20)
    states = states[~env.is_terminal(states)]
    for symmetric in (True, False):
        policy = lively(env, log_flow=1, symmetric=symmetric)
        here = policy(env, states)
        assert here.log_flow is not None
        gaps = []
        for which, renamed in enumerate(env.move_images()):
            there = policy(env, env.image(states, which))
            assert there.log_flow is not None
            logits = there.forward_logits[:, renamed]
            gaps.append((logits - here.forward_logits).abs().max())
            gaps.append((there.log_flow - here.log_flow).abs().max())
        assert bool(torch.stack(gaps).max() < 1e-9) == symmetric


def test_positions_of_their_own_image_get_the_mean() -> None:
    """The empty board has eight equal images, so that corners are alike, and edges."""
    env = TicTacToe()
    with torch.no_grad():
        logits = lively(env).forward_logits(env, env.initial(1))[0]
        plain = lively(env, symmetric=False).forward_logits(env, env.initial(1))[0]
    assert float(logits[[0, 2, 6, 8]].std()) < 1e-9
    assert float(logits[[1, 3, 5, 7]].std()) < 1e-9
    assert float((logits[0] - logits[1]).abs()) > 1e-3
    torch.testing.assert_close(logits[0], plain[[0, 2, 6, 8]].mean())


@pytest.mark.parametrize("env", ENVS, ids=NAMES)
def test_only_who_moves_is_heard(env: RowGame) -> None:
    """The gradient of the second player's head comes from the second player's positions alone."""
    states = positions(env)
    states = states[~env.is_terminal(states)]
    for number, sign in enumerate((1, -1)):
        policy = lively(env)
        policy.forward_logits(env, states[env.mover(states) == sign]).square().sum().backward()
        for head, layer in enumerate(policy.logits):
            if layer.weight.grad is None:
                assert head != number
            else:
                assert bool(layer.weight.grad.abs().sum() > 0) == (head == number)


def test_equal_images_are_looked_at_once_and_ends_never() -> None:
    env = TicTacToe()
    every = enumerate_states(env).states
    looked: list[int] = []
    for symmetric, rows in ((True, 627), (False, 4520)):
        policy = lively(env, symmetric=symmetric)
        policy.first.register_forward_hook(lambda _, given, __: looked.append(len(given[0])))
        policy.forward_logits(env, every)
        assert looked[-1] == rows


@pytest.mark.parametrize("env", ENVS, ids=NAMES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_answers_do_not_hang_on_what_is_shared(env: RowGame, symmetric: bool) -> None:
    """In one go, one by one, and without looking for equal ones as on a GPU: the same."""
    policy, states = lively(env, log_flow=2, symmetric=symmetric), positions(env, 8)
    out = policy(env, states)
    live = (~env.is_terminal(states)).nonzero().squeeze(1)
    with torch.no_grad():
        seen, images = states, None
        if symmetric:
            seen, images, _ = policy._representatives(env, states)
        logits, flow = policy._network(env, seen, True)
        if images is not None:
            logits = policy._turned_back(logits, images)
    assert flow is not None
    torch.testing.assert_close(out.forward_logits[live], logits[live])
    torch.testing.assert_close(out.log_flow[live], flow[live])
    alone = torch.cat([policy.forward_logits(env, states[i : i + 1]) for i in live.tolist()])
    torch.testing.assert_close(out.forward_logits[live], alone)


@pytest.mark.parametrize("env", ENVS, ids=NAMES)
def test_illegal_moves_have_probability_zero_and_finite_gradients(env: RowGame) -> None:
    """T2.6, with logits far apart."""
    policy, states = lively(env), positions(env, 100)
    states = states[~env.is_terminal(states)]
    logits = 1e3 * policy.forward_logits(env, states)
    mask = env.forward_mask(states)
    law = env.law(states, logits)
    prob = law.table().exp()
    assert int((~mask).sum()) > 3
    assert bool((prob[~mask] == 0).all())
    torch.testing.assert_close(prob.sum(1), torch.ones(len(states)))
    even = env.law(states, torch.where(mask, 0.0, 1e3))  # what is illegal would be all the rage
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([even.sample(generator)[0] for _ in range(20)], 1)
    assert bool(mask.gather(1, drawn).all())
    law.log_prob(mask.long().argmax(1)).sum().backward()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert any(bool(g.abs().sum() > 0) for g in gradients)


def test_what_is_no_board_is_refused() -> None:
    nim: Any = Nim()
    with pytest.raises(IncompatibleError, match="Nim has none. Use MLPPolicy"):
        BoardPolicy(nim)
    with pytest.raises(ConfigError, match="width must be at least 1"):
        BoardPolicy(TicTacToe(), width=0)
    assert len(BoardPolicy(TicTacToe(), blocks=0).blocks) == 0
