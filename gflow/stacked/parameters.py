"""Parameters of K modules in one memory: stacked for training, and each module's own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def stack(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The parameters of K modules of one shape as leaves (K, ...), by name.

    From then on each module's parameters are views of them: what changes the one changes the other,
    so that each is evaluated, saved and drawn from as if it were by itself.
    """
    found: dict[str, Tensor] = {}
    owned = [dict(module.named_parameters()) for module in modules]
    for name, first in owned[0].items():
        whole = torch.stack([own[name].detach() for own in owned])
        for own, part in zip(owned, whole, strict=True):
            own[name].data = part
        found[name] = whole.requires_grad_(first.requires_grad)
    return found


def buffers(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The buffers of K modules that differ between them, (K, ...), by name; views as in `stack`."""
    found: dict[str, Tensor] = {}
    owned = [dict(module.named_buffers()) for module in modules]
    for name, first in owned[0].items():
        if all(torch.equal(first, own[name]) for own in owned[1:]):
            continue
        found[name] = torch.stack([own[name] for own in owned])
        for own, part in zip(owned, found[name], strict=True):
            own[name].data = part
    return found


def shapes(module: nn.Module) -> dict[str, tuple[object, ...]]:
    """What modules that are stacked must agree in: names, shapes and kinds of all they hold."""
    held = [*module.named_parameters(), *module.named_buffers()]
    found = {name: (tuple(t.shape), t.dtype, t.device, t.requires_grad) for name, t in held}
    shared = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    return {**found, "": (type(module), *sorted(shared))}
