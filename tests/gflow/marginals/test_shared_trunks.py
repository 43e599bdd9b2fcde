"""Networks of one trunk: pictures are seen where they are, and marginals read what is fitted."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import FunctionReward
from gflow.envs.sequences.env import AnyOrder
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import ConfigError
from gflow.marginals import (
    ConvolutionSites,
    MarginalPolicy,
    ResidualSites,
    SharedSites,
    SiteNetwork,
    TransformerSites,
)


def network(height: int, width: int, symbols: int = 2, **rest: Any) -> ConvolutionSites:
    """With parameters that make everything depend on everything that it may."""
    torch.manual_seed(0)
    made = ConvolutionSites(height, width, symbols, 8, **{"depth": 1, **rest})
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made


def shares_of(made: Any, whole: Tensor) -> list[Tensor]:
    """(N,) log-marginals of (N, D) symbols for each number of the linear part that is one."""
    found = []
    head = made.marginal
    if isinstance(made, ResidualSites):
        entries = head.linear
    else:
        entries = head.last.weight[:, : made.trunk.window.out_channels, 0, 0]
    with torch.no_grad():
        for row, column in torch.cartesian_prod(*map(torch.arange, entries.shape)).tolist():
            entries[row, column] = 1.0
            found.append(made.log_marginal(whole))
            entries[row, column] = 0.0
    return found


def reached(made: SiteNetwork, value: Tensor) -> set[str]:
    """Names of the parameters that have a gradient."""
    made.zero_grad()
    value.sum().backward()
    return {name for name, p in made.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize(
    ("depth", "heads", "periodic", "rows", "columns"),
    [
        (0, 0, False, [0, 1, 2, 3], [0, 1, 2]),
        (0, 0, True, [0, 1, 2, 3, 8], [0, 1, 2, 5, 6]),
        (1, 0, False, range(6), range(5)),
        (1, 0, True, range(9), range(7)),
        (1, 2, False, range(9), range(7)),
    ],
)
def test_how_far_it_sees(depth: int, heads: int, periodic: bool, rows: Any, columns: Any) -> None:
    """Two pixels in each direction by the windows, two more by a block, around or not."""
    made = network(9, 7, depth=depth, heads=heads, periodic=periodic)
    before = torch.full((1, 63), 2)
    after = before.clone()
    after[0, 1 * 7 + 0] = 1  # row 1, column 0
    with torch.no_grad():
        moved = (made.logits(after) - made.logits(before)).abs().amax((0, 2)).view(9, 7) > 1e-9
    near = torch.zeros(9, 7, dtype=torch.bool)
    near[torch.tensor([*rows])[:, None], torch.tensor([*columns])] = True
    assert torch.equal(moved, near)
    with torch.no_grad():
        change = made.log_marginal(after) - made.log_marginal(before)
    assert abs(float(change)) > 1e-6


def test_heads_take_features_in_turn() -> None:
    """Attention as torch's own module does it, which has the features last."""
    made = network(2, 3, heads=2)
    trunk: Any = made.trunk
    block: Any = trunk.blocks[0]
    x = torch.randn(4, 8, 2, 3, generator=torch.Generator().manual_seed(1))
    inner = block.first(nn.functional.gelu(block.norms[0](x)))
    convolved = x + block.second(nn.functional.gelu(block.norms[1](inner)))
    peer = nn.MultiheadAttention(8, 2, batch_first=True)
    peer.in_proj_weight.data, peer.in_proj_bias.data = (
        block.ask.weight.data[..., 0, 0],
        block.ask.bias,
    )
    peer.out_proj.weight.data, peer.out_proj.bias.data = (
        block.mix.weight.data[..., 0, 0],
        block.mix.bias,
    )
    rows = block.norms[2](convolved).flatten(2).transpose(1, 2)
    wanted = peer(rows, rows, rows, need_weights=False)[0].transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(block(x), convolved + wanted)


KINDS = ["convolution", "shared", "transformer"]


def made_of(kind: str, height: int, width: int, symbols: int) -> SiteNetwork:
    if kind == "convolution":
        return network(height, width, symbols, heads=2)
    torch.manual_seed(0)
    places = height * width
    made: SiteNetwork = TransformerSites(places, symbols, 8, 1, 2)
    if kind == "residual":
        made = ResidualSites(places, symbols, 8, 1)
    if kind == "shared":
        made = SharedSites(places, symbols, 8, 1)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made


@pytest.mark.parametrize(
    "made",
    [
        ConvolutionSites(3, 4, 3),
        ConvolutionSites(3, 4, 3, depth=0, periodic=True),
        SharedSites(12, 3),
        TransformerSites(12, 3),
        ResidualSites(12, 3),
        ResidualSites(12, 3, linear=False),
    ],
)
def test_nothing_is_said_at_first(made: SiteNetwork) -> None:
    """All objects are equally likely, so that marginals agree with conditionals."""
    symbols = torch.randint(4, (5, 12), generator=torch.Generator().manual_seed(0))
    ways = (symbols == 3).sum(1) * math.log(3)
    torch.testing.assert_close(made.log_marginal(symbols), ways)
    assert not made.logits(symbols).any()
    assert (made.places, made.symbols) == (12, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_both_are_those_of_either(kind: str) -> None:
    made = made_of(kind, 3, 4, 3)
    symbols = torch.randint(4, (6, 12), generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([4, 1])
    value, said = made.both(symbols, rows)
    torch.testing.assert_close(value, made.log_marginal(symbols))
    torch.testing.assert_close(said, made.logits(symbols[rows]))
    torch.testing.assert_close(made.both(symbols)[1], made.logits(symbols))
    assert said.shape == (2, 12, 3)


@pytest.mark.parametrize("kind", [*KINDS, "residual"])
def test_each_place_has_a_share_for_what_it_holds(kind: str) -> None:
    """One more share of a symbol counts where that symbol is, and of none where nothing is."""
    made: Any = made_of(kind, 3, 3, 2)
    some = torch.full((1, 9), 2)
    some[0, [4, 7, 8]] = torch.tensor([1, 0, 1])
    before = made.log_marginal(some)
    last = [part for part in made.marginal.modules() if "bias" in dict(part.named_parameters())][-1]
    for symbol, places in enumerate(([7], [4, 8], [0, 1, 2, 3, 5, 6])):
        if len(last.bias) == 3:  # one number for all of a picture
            last.bias.data[symbol] += 5.0
            wanted = 5.0 * len(places)
        else:
            last.bias.data.view(9, 3)[:, symbol] += 2.0 ** torch.arange(9)
            wanted = float(sum(2**place for place in places))
        after = made.log_marginal(some)
        torch.testing.assert_close(after - before, torch.tensor([wanted]))
        before = after


@pytest.mark.parametrize("kind", ["convolution", "residual"])
def test_energies_of_pairs_are_linear(kind: str) -> None:
    """A product of conditionals of spins that feel each other, by the linear part alone."""
    env = EnergyModel(IsingReward(2, 3, 0.3, 0.2))
    made: Any = ResidualSites(6, 2, 8, 1)
    if kind == "convolution":
        made = ConvolutionSites(2, 3, 2, 32, 0, periodic=True)
    whole = torch.cartesian_prod(*[torch.arange(2)] * 6)
    log_f = env.log_reward(whole + 1)
    ones = torch.stack([part.flatten() for part in shares_of(made, whole)], 1)
    found = torch.linalg.lstsq(ones, log_f[:, None], driver="gelsd").solution
    torch.testing.assert_close((ones @ found).squeeze(1), log_f, atol=1e-8, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_conditionals_depend_on_is_a_part(kind: str) -> None:
    """Once it is fitted, the marginal sends no gradient there."""
    made = made_of(kind, 3, 3, 2)
    symbols = torch.randint(3, (6, 9), generator=torch.Generator().manual_seed(0))
    part = {id(p) for p in made.conditional_part.parameters()}
    names = {name for name, p in made.named_parameters() if id(p) in part}
    rest = {name for name, _ in made.named_parameters()} - names
    assert reached(made, made.logits(symbols)[:, :, 0]) == names
    shared = {name for name in names if name.startswith("trunk")}
    assert reached(made, made.log_marginal(symbols)) == shared | rest
    made.fitted = True
    assert reached(made, made.log_marginal(symbols)) == rest
    assert reached(made, made.both(symbols)[0]) == rest
    assert reached(made, made.logits(symbols)[:, :, 0]) == names


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_sampler(kind: str) -> None:
    """Laws add up, open places are equally likely, symbols that may not be are not drawn."""
    allowed = torch.tensor([[True, True, False]] * 4)
    env = AnyOrder("abc", 4, FunctionReward(lambda s: s.double().sum(1)), allowed)
    policy = MarginalPolicy(env, made_of(kind, 2, 2, 3))
    states = torch.tensor([[3, 3, 3, 3], [0, 3, 1, 3]])
    table = env.law(states, policy(env, states).forward_logits).table().exp().view(2, 4, 3)
    torch.testing.assert_close(table[0].sum(1), torch.full((4,), 0.25))
    torch.testing.assert_close(table[1].sum(1), torch.tensor([0.0, 0.5, 0.0, 0.5]))
    drawn = policy.sample(states.repeat(50, 1), generator=torch.Generator().manual_seed(0))
    assert bool((drawn < 2).all())


def test_sizes_that_cannot_be_channels() -> None:
    with pytest.raises(ConfigError, match="channels must be a multiple of heads, got 8 and 3"):
        ConvolutionSites(2, 2, 2, 8, 1, 3)
    with pytest.raises(ConfigError, match="height must be at least 1, got 0"):
        ConvolutionSites(0, 2, 2)
    with pytest.raises(ConfigError, match="a torus needs at least 2 rows and columns, got 1 and 3"):
        ConvolutionSites(1, 3, 2, periodic=True)
    with pytest.raises(ConfigError, match="SharedSites: depth must be at least 1, got 0"):
        SharedSites(2, 2, 8, 0)
