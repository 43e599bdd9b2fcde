"""Modes found against training iterations, on bit strings and on DNA 8-mers.

Run:   python benchmarks/modes.py bits --out modes.png
       python benchmarks/modes.py tfbind --scores SIX6_REF_R1_8mers.txt --out modes.png
       python benchmarks/modes.py bits tfbind --scores FILE --seeds 5 --iterations 2000
Takes: three to four minutes of CPU time for both tasks, two objectives and three seeds.
Shows: for each task and objective the modes found so far after so many iterations, mean and
       standard deviation over seeds, as a table and as a picture; and for comparison the same
       count for uniform objects.

bits:   120 bits in words of 8 from left to right, 60 planted modes, log R = -beta d with d the
        distance to the closest. A mode is found when a string within 30 bits of it was sampled.
tfbind: 8-mers that grow at both ends, R = 10 y^3. Modes are the 0.5 % of all 65,536 that bind
        best. Without --scores the landscape is made up.

The policy is a perceptron; for bits --network transformer gives a causal transformer, which takes
several times as long.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import DiscreteEnvironment, MLPPolicy, Objective, Policy
from gflow.envs.sequences.bits import ModesFound, NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.rewards import TableReward
from gflow.envs.sequences.tfbind import load_e_scores, synthetic_e_scores, tf_binding
from gflow.metrics import ModeCounter
from gflow.objectives import DetailedBalance, SubTrajectoryBalance, TrajectoryBalance
from gflow.policies.transformer import CausalTransformer
from gflow.tasks.pictures import pyplot
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories

Look = Callable[[Tensor], int]
"""Shown a batch of objects, says how many modes were found so far."""

OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "TB": TrajectoryBalance,
    "SubTB": SubTrajectoryBalance,
    "DB": DetailedBalance,
}
TOP = 0.005
"""Share of all 8-mers that are modes."""
POINTS = 10
"""Rows of the table."""


class Bits:
    """Bit strings with planted modes.

    Args:
        beta: Inverse temperature.
    """

    title, learning_rate, log_z_rate, epsilon = "120 bits, words of 8", 1e-3, 0.3, 1e-3

    def __init__(self, beta: float) -> None:
        self.reward = NearModes(plant_modes(120, 60), word=8, beta=beta, form="distance")
        self.env: DiscreteEnvironment[Tensor] = bit_sequences(self.reward)
        self.modes = len(self.reward.modes)

    def look(self) -> Look:
        """A fresh count."""
        return ModesFound(self.reward).update

    def uniform(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform strings."""
        return torch.randint(256, (count, 15), generator=generator)


class TFBind:
    """DNA 8-mers.

    Args:
        scores: Table of E-scores, or None for a made-up one.
    """

    learning_rate, log_z_rate, epsilon = 1e-3, 0.1, 1e-2

    def __init__(self, scores: Path | None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "synthetic.txt" if scores is None else scores
            if scores is None:
                synthetic_e_scores(path)
            values = load_e_scores(path)
        self.title = "8-mers, " + ("made-up scores" if scores is None else scores.stem)
        self.env: DiscreteEnvironment[Tensor] = tf_binding(values)
        table = self.env.reward
        assert isinstance(table, TableReward)
        self.table = table
        self.modes = round(TOP * len(values))
        best = values.topk(self.modes).indices
        self.is_mode = torch.zeros(len(values), dtype=torch.bool).index_fill(0, best, True)

    def look(self) -> Look:
        """A fresh count."""
        seen: ModeCounter[Tensor] = ModeCounter(
            lambda x: self.is_mode[self.table.index(x)], self.table.index
        )

        def look(objects: Tensor) -> int:
            seen.update(objects)
            return len(seen)

        return look

    def uniform(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform 8-mers."""
        return torch.randint(4, (count, 8), generator=generator)


def curve(task: Bits | TFBind, name: str, seed: int, args: argparse.Namespace) -> list[int]:
    """Modes found after each iteration of one training run."""
    torch.manual_seed(seed)
    env, objective = task.env, OBJECTIVES[name]()
    flow = objective.needs.log_flow
    policy: Policy
    if args.network == "mlp":
        policy = MLPPolicy(env, width=args.width, log_flow=flow, backward="uniform")
    else:
        policy = CausalTransformer(env, log_flow=flow)
    look, found = task.look(), []

    def count(trainer: Trainer, batch: Trajectories[Any], record: dict[str, float]) -> None:
        found.append(look(batch.final_states))

    config = TrainConfig(
        args.iterations,
        args.batch,
        task.learning_rate,
        task.log_z_rate,
        epsilon=task.epsilon,
        seed=seed,
    )
    Trainer(env, policy, objective, config, callbacks=[count]).train()
    return found


def uniform_curve(task: Bits | TFBind, seed: int, args: argparse.Namespace) -> list[int]:
    """The same count when objects are uniform."""
    generator, look = torch.Generator().manual_seed(seed), task.look()
    return [look(task.uniform(args.batch, generator)) for _ in range(args.iterations)]


def table(task: Bits | TFBind, curves: dict[str, Tensor]) -> str:
    """Mean and standard deviation over seeds at some iterations."""
    size = next(iter(curves.values())).shape[1]
    rows = sorted({max(1, round(size * k / POINTS)) for k in range(POINTS + 1)})
    lines = [
        f"{task.title}: modes found of {task.modes}",
        f"{'iterations':>10}" + "".join(f"{name:>18}" for name in curves),
    ]
    for row in rows:
        cells = (
            f"{c[:, row - 1].mean():.1f} +- {c[:, row - 1].std():.1f}" for c in curves.values()
        )
        lines.append(f"{row:10}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def picture(found: list[tuple[Bits | TFBind, dict[str, Tensor]]], path: Path) -> None:
    """One panel for each task: means as lines, one standard deviation as a band."""
    plt = pyplot()
    figure, panels = plt.subplots(1, len(found), figsize=(5.5 * len(found), 4), squeeze=False)
    for panel, (task, curves) in zip(panels[0], found, strict=True):
        for name, values in curves.items():
            mean, spread = values.mean(0), values.std(0)
            steps = range(1, len(mean) + 1)
            style = {"color": "grey", "linestyle": "--"} if name == "uniform" else {}
            (line,) = panel.plot(steps, mean, label=name, **style)
            low, high = (mean - spread).clamp(min=0), (mean + spread).clamp(max=task.modes)
            panel.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        panel.axhline(task.modes, color="black", linewidth=0.5)
        panel.set(title=task.title, xlabel="iterations", ylabel=f"modes found, of {task.modes}")
        panel.set_ylim(bottom=0)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse the command line, train, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", choices=["bits", "tfbind"])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=["TB", "SubTB"])
    parser.add_argument("--scores", type=Path, help="table of E-scores for tfbind")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=128, help="of the perceptron's two layers")
    parser.add_argument("--network", choices=["mlp", "transformer"], default="mlp")
    parser.add_argument("--beta", type=float, default=2.0, help="of the bits: log R = -beta d")
    parser.add_argument("--out", type=Path, default=Path("modes.png"), help="the picture")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds must be at least 2: a spread is shown")
    if args.network == "transformer" and "tfbind" in args.tasks:
        parser.error("the transformer writes from left to right; 8-mers grow at both ends here")
    torch.set_num_threads(1)
    start, found = time.process_time(), []
    for name in args.tasks:
        task = Bits(args.beta) if name == "bits" else TFBind(args.scores)
        curves = {
            objective: torch.tensor(
                [curve(task, objective, seed, args) for seed in range(args.seeds)]
            ).float()
            for objective in args.objectives
        }
        curves["uniform"] = torch.tensor(
            [uniform_curve(task, seed, args) for seed in range(args.seeds)]
        ).float()
        print(table(task, curves), flush=True)
        print(f"{args.seeds} seeds, batch {args.batch}, {args.network}\n")
        found.append((task, curves))
    picture(found, args.out)
    print(f"picture in {args.out}; {time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
