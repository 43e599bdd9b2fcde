"""Keys: numbers of 64 bits that tell states apart, and what to do where there are too many."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.state import tensors

LARGEST_KEY = 2**62
"""`num_keys` may be at most this: sums of digits times radix stay within 64 bits."""

WITHOUT_KEYS = (
    "Define no `key` (or set `self.has_keys = False`): training, sampling and replay work without, "
    "only exact answers, sharing of network passes and the list of best objects are lost. Or leave "
    "`num_keys` None and let `key` return a hash, `gflow.environment.keys.hash_rows(states)`."
)


def check_num_keys(env: Any) -> None:
    """Refuse an environment whose keys do not fit into 62 bits.

    Raises:
        ConfigError: With what to do.
    """
    count = env.num_keys
    if env.has_keys and count is not None and count > LARGEST_KEY:
        raise ConfigError(
            f"{env.name}: num_keys takes {(count - 1).bit_length()} bits and at most 62 fit: `key` "
            f"overflows, and different states share a key. {WITHOUT_KEYS}"
        )


def hash_rows(states: Any) -> Tensor:
    """(B,) int64 hashes of the states as they are written: a `key` for any number of states.

    Equal states have equal hashes, and N different ones all different hashes but with probability
    N^2 / 2^65: 3e-8 for a million. One state that is written as different tensors needs a
    canonical form first.
    """
    flat = torch.cat([_whole(part) for part in tensors(states)], 1)
    place = torch.arange(1, flat.shape[1] + 1, device=flat.device) * 0x2545F4914F6CDD1D
    return _mix(_mix(flat + place).sum(1))


def _whole(part: Tensor) -> Tensor:
    """(B, K) the same numbers as int64; of floats their bits, those of 0 for -0."""
    part = part.flatten(1) if part.dim() > 1 else part[:, None]
    if part.is_floating_point():
        return (part.double() + 0.0).view(torch.int64)
    return part.long()


def _mix(x: Tensor) -> Tensor:
    """(...) int64 of which every bit depends on every bit of `x` (splitmix64)."""
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
