"""Atoms: probabilities that are exact where they are forced."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.cubes.atom import Atom


@given(logits=st.lists(st.floats(-30, 30), min_size=1, max_size=5))
def test_free_atoms_have_the_probability_of_their_logit(logits: list[float]) -> None:
    logit = torch.tensor(logits)
    never = torch.zeros_like(logit, dtype=torch.bool)
    atom = Atom(logit, never, never)
    torch.testing.assert_close(atom.yes.exp(), logit.sigmoid())
    torch.testing.assert_close(atom.yes.exp() + atom.no.exp(), torch.ones_like(logit))


def test_forced_and_ruled_out_are_exact_and_without_gradient() -> None:
    logit = torch.tensor([-3.0, 4.0, torch.inf, 0.5], requires_grad=True)
    forced = torch.tensor([True, False, True, False])
    ruled_out = torch.tensor([False, True, True, False])
    atom = Atom(logit, forced, ruled_out)
    assert atom.yes.tolist()[:3] == [0.0, -torch.inf, -torch.inf]
    assert atom.no.tolist()[:3] == [-torch.inf, 0.0, 0.0]
    (atom.yes[[0, 3]].sum() + atom.no[[1, 2]].sum()).backward()
    assert logit.grad is not None
    assert logit.grad[:3].tolist() == [0.0, 0.0, 0.0]
    assert float(logit.grad[3]) != 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        assert atom.sample(generator).tolist()[:3] == [True, False, False]


def test_frequencies() -> None:
    logit = torch.full((40_000,), -1.0)
    never = torch.zeros_like(logit, dtype=torch.bool)
    rate = float(Atom(logit, never, never).sample(torch.Generator().manual_seed(1)).double().mean())
    p = float(torch.sigmoid(torch.tensor(-1.0)))
    assert abs(rate - p) < 4 * (p * (1 - p) / 40_000) ** 0.5
