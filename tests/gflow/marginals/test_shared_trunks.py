"""Networks of one trunk: pictures are seen where they are, and marginals read what is fitted."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import FunctionReward
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError
from gflow.marginals import (
    ConvolutionSites,
    MarginalPolicy,
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


def reached(made: SiteNetwork, value: Tensor) -> set[str]:
    """Names of the parameters that have a gradient."""
    made.zero_grad()
    value.sum().backward()
    return {name for name, p in made.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("heads", [0, 2])
def test_a_block_sees_the_pixels_around(heads: int) -> None:
    """Two convolutions reach two pixels in each direction, of rows that are five long."""
    made = network(7, 5, heads=heads)
    before = torch.full((1, 35), 2)
    after = before.clone()
    after[0, 2 * 5 + 1] = 1  # row 2, column 1
    with torch.no_grad():
        moved = (made.logits(after) - made.logits(before)).abs().amax((0, 2)).view(7, 5) > 1e-9
    near = torch.zeros(7, 5, dtype=torch.bool)
    near[0:5, 0:4] = True
    assert torch.equal(moved, near if heads == 0 else torch.ones_like(near))
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
    if kind == "shared":
        made = SharedSites(places, symbols, 8, 1)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made


@pytest.mark.parametrize(
    "made", [ConvolutionSites(3, 4, 3), SharedSites(12, 3), TransformerSites(12, 3)]
)
def test_nothing_is_said_at_first(made: SiteNetwork) -> None:
    symbols = torch.randint(4, (5, 12), generator=torch.Generator().manual_seed(0))
    assert not made.log_marginal(symbols).any()
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_marginal_is_a_sum_over_what_is_known(kind: str) -> None:
    """Nothing has the scale; one more share counts once its place is known, and no other does."""
    made: Any = made_of(kind, 3, 3, 2)
    nothing = torch.full((1, 9), 2)
    torch.testing.assert_close(made.log_marginal(nothing), made.scale[None])
    some = nothing.clone()
    some[0, [4, 7]] = torch.tensor([1, 0])
    before = made.log_marginal(some)
    last = [part for part in made.marginal.modules() if "bias" in dict(part.named_parameters())][-1]
    each = [1.0, 10.0, 100.0, 1000.0, 7.0, 1e4, 1e5, 3.0, 1e6]  # one number for all of a picture
    last.bias.data += torch.tensor(each if kind == "shared" else [5.0])
    torch.testing.assert_close(made.log_marginal(some) - before, torch.tensor([10.0]))


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
    with pytest.raises(ConfigError, match="SharedSites: depth must be at least 1, got 0"):
        SharedSites(2, 2, 8, 0)
