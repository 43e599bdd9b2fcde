"""Phylogenies drawn as cladograms."""

from dataclasses import dataclass, field

from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture


@dataclass
class Node:
    """A clade of a drawn tree.

    Attributes:
        name: Of a leaf; empty for inner nodes.
        children: Clades within.
        x: Levels above the leaves below it, as a negative number.
        y: Row.
    """

    name: str = ""
    children: "list[Node]" = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def tree_of(into: list[int], made: list[int], names: list[str]) -> Node:
    """The tree of one finished `Forest`: who was taken in by whom, in the order of clades.

    Args:
        into: Slot that took in slot j, for each.
        made: Leaves of the clade that this made; 0 if none has.
        names: Of the leaves.
    """
    nodes = [Node(name) for name in names]
    for j in sorted(range(len(names)), key=made.__getitem__):
        if made[j]:
            nodes[into[j]] = Node(children=[nodes[into[j]], nodes[j]])
    return nodes[made.index(0)]


def place(tree: Node) -> list[Node]:
    """Leaves in rows at x = 0, clades between their children and a level to the left of them.

    Returns:
        All nodes, children before parents.
    """
    order: list[Node] = []
    stack = [(tree, False)]
    row = 0
    while stack:
        node, seen = stack.pop()
        if seen:
            node.x = min(child.x for child in node.children) - 1
            node.y = sum(child.y for child in node.children) / len(node.children)
        elif node.children:
            stack.append((node, True))
            stack += [(child, False) for child in reversed(node.children)]
            continue
        else:
            node.y, row = float(row), row + 1
        order.append(node)
    return order


def trees_picture(trees: list[tuple[Node, str]], caption: str) -> Picture:
    """Trees side by side, leaves named at the right; lengths of branches mean nothing.

    Args:
        trees: Trees with titles.
        caption: What the picture shows.
    """
    leaves = max(sum(not node.children for node in place(tree)) for tree, _ in trees)
    high = min(14.0, 0.24 * leaves + 0.7)
    figure, axes = pyplot().subplots(1, len(trees), figsize=(4.6 * len(trees), high), squeeze=False)
    for axis, (tree, title) in zip(axes[0], trees, strict=True):
        for node in place(tree):
            for child in node.children:
                axis.plot([node.x, node.x, child.x], [node.y, child.y, child.y], "k-", lw=1)
            if not node.children:
                size = max(4.0, min(9.0, 72 * 0.7 * high / (leaves + 2)))
                axis.text(0.15, node.y, node.name, va="center", fontsize=size, parse_math=False)
        axis.set_ylim(leaves - 0.5, -0.5)
        axis.set_title(title, fontsize="small")
        axis.set_axis_off()
    figure.tight_layout()
    return Picture(figure, caption)
