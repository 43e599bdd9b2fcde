"""Constants are copied to a device and a dtype once."""

import gc

import torch

from gflow import constants
from gflow.constants import constant


def test_a_copy_is_made_once_and_goes_with_what_it_was_made_of() -> None:
    cpu, before = torch.device("cpu"), len(constants._copies)
    value = torch.arange(4)
    assert constant(value, cpu) is value
    first = constant(value, cpu, torch.float32)
    assert first.dtype == torch.float32
    assert first.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert constant(value, cpu, torch.float32) is first
    assert constant(value, cpu, torch.float64) is not first
    assert constant(value, torch.device("meta")).device.type == "meta"
    other = torch.arange(4)
    assert constant(other, cpu, torch.float32) is not first, "equal is not the same"
    value += 1
    assert constant(value, cpu, torch.float32).tolist() == [1.0, 2.0, 3.0, 4.0]
    del value, other
    gc.collect()
    assert len(constants._copies) == before
