"""Games of Connect Four: random play against OpenSpiel's, and what a step of training costs.

Run:   python benchmarks/games.py                      random play, interleaved (extra `games`)
       python benchmarks/games.py --train              and training steps, ours and paper-sized
       python benchmarks/games.py --train --games 256  with as many games in a step
Takes: half a minute on one core; with --train some minutes.
Shows: games per second of uniform play to the end: our environment, 1,000 and 10,000 boards side by
       side, alone and with all that a trainer's sampler notes; OpenSpiel stepped from Python, as a
       learner would; and its random bots, whose games never leave C++. Then CPU seconds of a
       training step of `atb` on one thread, also for 1,024 games, and the share of it that the
       network's passes take on their own: forward for sampling, both ways for the loss.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow import Policy, PolicyOutput, Sampler
from gflow.arena.open_spiel import pyspiel
from gflow.envs.games import Connect4, RowGame, TicTacToe
from gflow.envs.games.policy import BoardPolicy
from gflow.objectives import AdversarialTrajectoryBalance
from gflow.training import TrainConfig, Trainer

CHUNK = 8192
"""States that a network sees at a time in a step."""


class Uniform(Policy):
    """Even logits, at no cost."""

    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        """Zeros."""
        return PolicyOutput(self.nothing.expand(len(states), env.num_actions))


def random_games(env: RowGame, count: int) -> Tensor:
    """(count,) results of games of uniform moves, whoever finishes first coming first."""
    states, results = env.initial(count), []
    while len(states):
        rank = env.forward_mask(states).cumsum(1, dtype=torch.int32)  # of each legal move, from 1
        drawn = (torch.rand(len(states)) * rank[:, -1]).int()
        states = env._step(states, (rank <= drawn[:, None]).sum(1))
        over = env.is_terminal(states)
        if bool(over.any()):
            results.append(env.result(states[over]))
            states = states.index_select(0, (~over).nonzero().squeeze(1))
    return torch.cat(results)


def openspiel_games(game: Any, count: int) -> list[float]:
    """The same with OpenSpiel, one game after the other."""
    choose, results = random.Random(0).choice, []
    for _ in range(count):
        state = game.new_initial_state()
        while not state.is_terminal():
            state.apply_action(choose(state.legal_actions()))
        results.append(state.returns()[0])
    return results


def race(rounds: int) -> None:
    """Random play, the contestants taking turns."""
    env = Connect4()
    game = pyspiel().load_game(env.openspiel_name())
    bots = [pyspiel().make_uniform_random_bot(side, 0) for side in (0, 1)]

    def bots_play() -> None:
        for seed in range(1000):
            pyspiel().evaluate_bots(game.new_initial_state(), bots, seed)

    sampler, uniform = Sampler(env), Uniform()
    contestants: dict[str, tuple[int, Callable[[], Any]]] = {
        "ours, 1,000 boards": (10_000, lambda: [random_games(env, 1000) for _ in range(10)]),
        "ours, 10,000 boards": (10_000, lambda: random_games(env, 10_000)),
        "ours, 40,000 boards": (40_000, lambda: random_games(env, 40_000)),
        "ours, by the sampler, 1,000 boards": (1000, lambda: sampler.forward(uniform, 1000)),
        "ours, by the sampler, 10,000 boards": (10_000, lambda: sampler.forward(uniform, 10_000)),
        "OpenSpiel from Python": (1000, lambda: openspiel_games(game, 1000)),
        "OpenSpiel, its random bots in C++": (1000, bots_play),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, (count, play) in contestants.items():
            began = time.process_time()
            play()
            if number:  # the first is for warming up
                speeds[name].append(count / (time.process_time() - began))
    theirs = speeds["OpenSpiel from Python"]
    print("random play of Connect Four 6x7, games per CPU second, medians of", rounds, "rounds")
    for name, found in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(found, theirs, strict=True))
        print(f"{name:36}{statistics.median(found):11,.0f}{ratio:8.1f} x")


def step_cost(env: RowGame, width: int, blocks: int, games: int, steps: int) -> str:
    """One line: CPU seconds of a training step, for 1,024 games, and the network's share."""
    torch.manual_seed(0)
    policy = BoardPolicy(env, width, blocks)
    config = TrainConfig(batch_size=games, temperature=2.0, chunk=CHUNK)
    trainer = Trainer(env, policy, AdversarialTrajectoryBalance(), config)
    rows = {True: 0, False: 0}  # that the network saw, by whether for the loss

    def count(_: Any, given: tuple[Tensor, ...], __: Tensor) -> None:
        rows[torch.is_grad_enabled()] += len(given[0])

    counted = policy.first.register_forward_hook(count)
    trainer.train(1)
    counted.remove()
    taken, shares = [], []
    for _ in range(steps):  # the network alone right after each step, on as many rows
        taken.append(cpu_time(lambda: trainer.train(1)))
        bare = cpu_time(lambda: without_gradients(policy, env, env.initial(rows[False])))
        bare += cpu_time(
            lambda: policy._network(env, env.initial(rows[True]), False)[0].sum().backward()
        )
        shares.append(bare / taken[-1])
    step, share = statistics.median(taken), statistics.median(shares)
    return (
        f"{env.name} {env.rows}x{env.columns}, width {width}, {blocks} blocks, {games} games: "
        f"{step:.2f} s a step, {step * 1024 / games:.1f} s for 1,024 games; network rows "
        f"{rows[False]:,} sampled, {rows[True]:,} learned from; bare passes {share:.0%} of the step"
    )


@torch.no_grad()
def without_gradients(policy: BoardPolicy, env: RowGame, boards: Tensor) -> None:
    """A pass as sampling makes it."""
    policy._network(env, boards, False)


def cpu_time(call: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Race, and train if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--games", type=int, default=64, help="games in a step of Connect Four")
    args = parser.parse_args()
    torch.set_num_threads(1)
    race(args.rounds)
    if args.train:
        print("training steps of atb on one thread, CPU time")
        print(step_cost(TicTacToe(), 32, 3, 512, 10), flush=True)
        print(step_cost(Connect4(), 64, 4, args.games, 3), flush=True)
        print(step_cost(Connect4(), 128, 10, args.games, 2), flush=True)
        print("the reference's step of 1,024 games, 128 wide, 10 blocks: 1.65 s on its GPU")


if __name__ == "__main__":
    main()
