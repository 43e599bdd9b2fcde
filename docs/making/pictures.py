"""Draws the pictures of the lessons, into docs/pictures.

    python docs/making/pictures.py              all of them, some two minutes of one core
    python docs/making/pictures.py beta flows   some

Each is a small experiment on a grid whose distribution is known exactly; the captions of the pages
name the command. Pictures are small: 64 colours, at most 1,000 pixels wide.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from torch import Tensor

from gflow import MLPPolicy, Objective, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES, SubTrajectoryBalance, TrajectoryBalance
from gflow.rewards.base import FunctionReward
from gflow.training.config import TrainConfig
from gflow.training.trainer import Trainer

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Circle

FOLDER = Path(__file__).parents[1] / "pictures"
INK, FAINT, WARM = "#134e4a", "#94a3b8", "#ea580c"


def main(names: list[str]) -> None:
    """Draws those named, or all."""
    FOLDER.mkdir(exist_ok=True)
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, make in PICTURES.items():
        if not names or name in names:
            torch.manual_seed(0)
            figure = make()
            saved(figure, FOLDER / f"{name}.png")
            print(f"docs/pictures/{name}.png")


def saved(figure: Any, path: Path, width: int = 1000, colours: int = 64) -> None:
    """Writes a figure as a small picture."""
    from PIL import Image

    figure.savefig(path, dpi=160, bbox_inches="tight")
    plt.close(figure)
    with Image.open(path) as whole:
        image = whole.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)))
    image.quantize(colours).save(path, optimize=True)


def fitted(
    graph: StateGraph[Tensor], objective: Objective, steps: list[int], **settings: Any
) -> list[tuple[Tensor, float, float]]:
    """Exact distributions, distances from the target and losses of a sampler, after these steps."""
    env = graph.env
    policy = MLPPolicy(env, width=64, log_flow=objective.needs.log_flow)
    trainer = Trainer(env, policy, objective, TrainConfig(steps=max(steps), **settings))
    found, last = [], 0
    for step in steps:
        loss = float("nan")
        if step > last:
            loss = trainer.train(step - last)["loss"]
        last = step
        law = graph.terminal_distribution(policy)
        found.append((law, float(total_variation(law, graph.log_target())), loss))
    return found


def square(graph: StateGraph[Tensor], log_law: Tensor, side: int) -> Tensor:
    """A distribution over cells as a table."""
    table = torch.zeros(side, side)
    cells = graph.states[graph.objects]
    table[cells[:, 0], cells[:, 1]] = log_law.exp().to(table.dtype).detach()
    return table.T


def heat(axis: Any, table: Tensor, title: str, top: float) -> None:
    """A table of probabilities, small ones visible too."""
    axis.imshow(table.numpy() ** 0.5, origin="lower", cmap="viridis", vmin=0, vmax=top**0.5)
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])


def hypergrid() -> Any:
    """The target, and a sampler while it learns."""
    side = 16
    graph = enumerate_states(HyperGrid(2, side, Corners(side, r0=0.01)))
    target = square(graph, graph.log_target(), side)
    learned = fitted(graph, SubTrajectoryBalance(), [0, 50, 1500], batch_size=32, epsilon=0.05)
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5))
    heat(axes[0], target, "target, R / Z", float(target.max()))
    for axis, step, (law, far, _) in zip(axes[1:], ("untrained", 50, 1500), learned, strict=True):
        name = step if step == "untrained" else f"after {step} steps"
        heat(axis, square(graph, law, side), f"{name}, TV {far:.2f}", float(target.max()))
    return figure


def flows() -> Any:
    """All states of a 3 x 3 grid, with what flows between them, and the policy that follows."""
    reward: FunctionReward[Tensor] = FunctionReward(
        lambda cells: _REWARDS.log()[cells[:, 0], cells[:, 1]]
    )
    graph = enumerate_states(HyperGrid(2, 3, reward))
    exact = graph.exact_flows()
    place = graph.states.float()
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
    for axis, kind in zip(axes, ("flow", "probability"), strict=True):
        for a, b, log_pf in zip(graph.parent, graph.child, exact.log_pf, strict=True):
            through = float((exact.log_flow[a] + log_pf).exp())
            value = through if kind == "flow" else float(log_pf.exp())
            width = 0.4 + 7 * through / float(exact.log_flow.max().exp())
            start, end = place[a], place[b]
            axis.annotate(
                "", xy=(start + 0.80 * (end - start)).tolist(),
                xytext=(start + 0.22 * (end - start)).tolist(),
                arrowprops={"arrowstyle": "-|>", "lw": width, "color": FAINT, "mutation_scale": 9},
            )  # fmt: skip
            up = bool(end[1] > start[1])
            middle = start + 0.5 * (end - start) + torch.tensor([0.07, -0.03] if up else [0, 0.09])
            side = "left" if up else "center"
            axis.text(*middle.tolist(), f"{value:.2g}", ha=side, fontsize=8, color=INK)
        for row, cell in enumerate(place.tolist()):
            stop = float(exact.log_stop[row].exp())
            total = float(exact.log_flow[row].exp())
            axis.add_patch(Circle(cell, 0.19, color="#ccfbf1", ec=INK, lw=1))
            inside = f"{total:.2g}" if kind == "flow" else f"{stop:.2g}"
            axis.text(*cell, inside, ha="center", va="center", fontsize=9, color=INK)
            if kind == "flow":
                axis.text(
                    cell[0] + 0.16, cell[1] - 0.26, f"R = {total * stop:.2g}",
                    ha="left", fontsize=8, color=WARM,
                )  # fmt: skip
        axis.set_title(
            "flows, and what ends as reward" if kind == "flow" else "policy; circles: stop here",
            fontsize=10,
        )
        axis.set_xlim(-0.45, 2.45)
        axis.set_ylim(-0.5, 2.4)
        axis.set_aspect("equal")
        axis.axis("off")
    return figure


_REWARDS = torch.tensor([[1.0, 1.0, 4.0], [1.0, 0.5, 1.0], [6.0, 1.0, 2.0]])


def beta() -> Any:
    """One landscape at four inverse temperatures."""
    side = 16
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
    for axis, power in zip(axes, (0.5, 1.0, 4.0, 16.0), strict=True):
        at = power

        def reward(cells: Tensor, at: float = at) -> Tensor:
            x, y = (cells.to(torch.get_default_dtype()) / (side - 1)).unbind(-1)
            hills = (0.25, 0.3, 1.0), (0.75, 0.7, 0.9), (0.8, 0.2, 0.6)
            bumps = [h * (-((x - a) ** 2 + (y - b) ** 2) / 0.02).exp() for a, b, h in hills]
            return at * (0.02 + torch.stack(bumps).amax(0)).log()

        graph = enumerate_states(HyperGrid(2, side, FunctionReward[Tensor](reward)))
        law = graph.log_target()
        many = float((-(law.exp() * law).sum()).exp())
        table = square(graph, law, side)
        heat(axis, table, f"beta {power:g} ({many:.0f} cells)", float(table.max()))
    return figure


def objectives() -> Any:
    """Total variation of six objectives on one grid."""
    steps = [0, 25, 50, 100, 150, 200, 300, 400, 500, 600, 800]
    figure, axis = plt.subplots(figsize=(7.5, 3.4))
    graph = enumerate_states(HyperGrid(2, 8))
    for name in ("fm", "db", "mdb", "tb", "vargrad", "subtb"):
        torch.manual_seed(0)
        learned = fitted(graph, OBJECTIVES[name](), steps, batch_size=16)
        axis.plot([16 * s for s in steps], [far for _, far, _ in learned], "o-", ms=3, label=name)
    axis.set_yscale("log")
    axis.set_xlabel("trajectories")
    axis.set_ylabel("total variation")
    axis.legend(ncols=3, frameon=False)
    return figure


def trouble() -> Any:
    """A loss that falls while three of four corners are missed, and what helps."""
    side = 16
    graph = enumerate_states(HyperGrid(2, side, Corners(side, r0=1e-4)))
    steps = [0, 25, 50, 100, 200, 300, 450, 600, 750, 900]
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(9.5, 2.8), width_ratios=(1.2, 1.2, 1)
    )
    for name, colour, objective in (
        ("tb", FAINT, TrajectoryBalance()),
        ("subtb", WARM, SubTrajectoryBalance()),
    ):
        torch.manual_seed(1)
        learned = fitted(graph, objective, steps, batch_size=32)
        left.plot(steps[1:], [loss for *_, loss in learned[1:]], "o-", ms=3, color=colour)
        middle.plot(steps, [far for _, far, _ in learned], "o-", ms=3, color=colour, label=name)
        if name == "tb":
            law = square(graph, learned[-1][0], side)
            heat(right, law, "what tb samples", float(law.max()))
    left.set_yscale("log")
    left.set_title("training loss", fontsize=9)
    middle.set_title("total variation, exact", fontsize=9)
    middle.legend(frameon=False, fontsize=8)
    middle.set_ylim(0, 1)
    for axis in (left, middle):
        axis.set_xlabel("steps")
    return figure


PICTURES: dict[str, Callable[[], Any]] = {
    "hypergrid": hypergrid,
    "flows": flows,
    "beta": beta,
    "objectives": objectives,
    "trouble": trouble,
}

if __name__ == "__main__":
    main(sys.argv[1:])
