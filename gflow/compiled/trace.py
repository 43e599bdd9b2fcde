"""From a step to one graph of operations, by running it on tensors without content."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from gflow.errors import IncompatibleError

Flat = Callable[..., list[Tensor]]
"""A function of tensors that may change them in place; returns others."""

TORCH, HERE = str(Path(torch.__file__).parent), str(Path(__file__).parent)

HOST_READS = (
    "DataDependent",
    "DynamicOutputShape",
    "GuardOnDataDependent",
    "UnsupportedFakeTensor",
)
"""Beginnings of the names of what tensors without content raise when the host asks for content."""


@dataclass(frozen=True)
class Graph:
    """A function of tensors as a graph.

    Attributes:
        module: Calls the operations, of the inputs and then the constants.
        constants: Tensors that the function read beside its inputs: tables, thresholds.
    """

    module: fx.GraphModule
    constants: list[Tensor]


def traced(function: Flat, inputs: list[Tensor], what: str) -> Graph:
    """The graph of a function for inputs of these shapes.

    Args:
        function: Run once, on tensors that have shapes and no content.
        inputs: Of the shapes that it is to be called with.
        what: Whose step it is, for messages.

    Raises:
        IncompatibleError: If a content is read by the host, or random numbers are drawn in a way
            that cannot be drawn beforehand; with the line of code that does so.
    """
    with _told(what):
        module = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    for node in module.graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise IncompatibleError(
                f"{what} cannot be compiled: it draws random numbers by {node.target}, which a "
                f"graph would draw alike in every step. Draw them by torch.rand, randn, randint, "
                f"uniform_ or normal_ (dropout draws by another), or set compile=False."
            )
    _fold(module)
    return Graph(module, _lift_constants(module))


FOLDED = {
    torch.ops.aten.lift_fresh_copy.default,
    torch.ops.aten._to_copy.default,
    torch.ops.aten.detach.default,
}
"""What is done to a constant once and for all: copied, converted, moved to the device."""


def _fold(module: fx.GraphModule) -> None:
    """Replace copies of constants that nothing changes by constants, in place.

    A captured graph may not wait for a copy from the host.
    """
    graph, number = module.graph, 0
    for node in list(graph.nodes):
        known = bool(node.all_input_nodes) and all(n.op == "get_attr" for n in node.all_input_nodes)
        if not known or node.target not in FOLDED or any(_changes(user) for user in node.users):
            continue
        given = [getattr(module, str(a.target)) if isinstance(a, fx.Node) else a for a in node.args]
        name = f"_folded_constant{number}"
        number += 1
        module.register_buffer(name, node.target(*given, **node.kwargs).detach(), persistent=False)
        with graph.inserting_before(node):
            constant = graph.get_attr(name)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant)
        graph.erase_node(node)
    module.recompile()


def _changes(node: fx.Node) -> bool:
    """Whether an operation changes an argument in place."""
    schema = getattr(node.target, "_schema", None)
    return schema is None or bool(schema.is_mutable)


def _lift_constants(module: fx.GraphModule) -> list[Tensor]:
    """Turn constants into further inputs, in place; their values."""
    graph = module.graph
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    lifted: dict[str, fx.Node] = {}
    values: list[Tensor] = []
    for node in list(graph.nodes):
        if node.op != "get_attr":
            continue
        name = str(node.target)
        if name not in lifted:
            with graph.inserting_after(last):
                last = graph.placeholder(f"constant{name}")
            last.meta = dict(node.meta)
            lifted[name] = last
            values.append(getattr(module, name).detach())
        node.replace_all_uses_with(lifted[name])
        graph.erase_node(node)
    module.recompile()
    return values


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say which line made tracing impossible."""
    try:
        yield
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        if not any(kind.startswith(HOST_READS) for kind in kinds):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if not f.filename.startswith((TORCH, HERE))]
        where = ""
        if own:
            path = Path(own[-1].filename)
            where = f" at {path.parent.name}/{path.name}:{own[-1].lineno} (`{own[-1].line}`)"
        raise IncompatibleError(
            f"{what} cannot be compiled: the host reads the content of a tensor{where}, or its "
            f"size depends on that, and a compiled step is one graph without stops. Set "
            f"compile=False, or write that line in tensors of fixed sizes."
        ) from error
