"""A game of your own in forty lines: subtract one, two or three; who takes the last one wins.

Run:   python examples/custom_game.py [--steps 400]
Takes: a few seconds. Prints the moves that were learned beside those of the exact solution, and
       the share of optimal ones; multiples of four are lost. On the command line the same class
       trains by: gflow train examples/custom_game.py:Subtraction --objective atb
"""

import argparse

import torch
from torch import Tensor

from gflow import MLPPolicy, enumerate_states
from gflow.envs import Game
from gflow.objectives import AdversarialTrajectoryBalance
from gflow.tasks.games import SolvedGame
from gflow.training import TrainConfig, Trainer


class Subtraction(Game[Tensor]):
    """A heap, from which players take 1, 2 or 3 by turns; a state is the heap and whose turn."""

    def __init__(self, heap: int = 15, scale: float = 4.0) -> None:
        super().__init__(scale)
        self.num_actions, self.horizon, self.heap = 3, heap, heap
        self.feature_sizes, self.num_keys = (heap + 1, 2), 2 * (heap + 1)

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.tensor([[self.heap, 0]], device=device).repeat(batch_size, 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        return states[:, :1] > torch.arange(3, device=states.device)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([states[:, 0] - actions - 1, 1 - states[:, 1]], 1)

    def mover(self, states: Tensor) -> Tensor:
        return 1 - 2 * states[:, 1]

    def result(self, states: Tensor) -> Tensor:
        return -self.mover(states)  # whose turn it would be did not take the last one

    def key(self, states: Tensor) -> Tensor:
        return 2 * states[:, 0] + states[:, 1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    torch.manual_seed(0)
    game, objective = Subtraction(), AdversarialTrajectoryBalance()
    policy = MLPPolicy(game, width=64, backward="uniform")
    config = TrainConfig(steps=parser.parse_args().steps, batch_size=64, lr=3e-3, epsilon=0.1)
    log_z = Trainer(game, policy, objective, config).train()["log_z"]

    graph = enumerate_states(game)
    solved = SolvedGame.of(graph, objective.exact_flows(graph))
    first = graph.states[solved.rows]
    first = first[first[:, 1] == 0].sort(0).values  # where the first player moves
    with torch.no_grad():
        learned = game.law(first, policy.forward_logits(game, first)).table().exp()
    exact = solved.move_probabilities(first)
    for heap, mine, true in zip(first[:, 0].tolist(), learned, exact, strict=True):
        row = "   ".join(f"{p:.2f} {q:.2f}" for p, q in zip(mine, true, strict=True))
        print(f"{heap:2} left: learned and exact P(take 1, 2, 3)   {row}")
    numbers = solved.numbers(policy, log_z)
    print(f"optimal {numbers['optimal']:.1%}, log Z {log_z:.3f}, exactly {solved.flows.log_z:.3f}")
