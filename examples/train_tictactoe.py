"""Tic-tac-toe: two adversarial flows play each other, and every position is checked.

Run:   python examples/train_tictactoe.py [--steps 500]
Takes: about half a minute on one core. Prints the share of the 4,520 positions in which the
       likeliest move keeps what perfect play is worth (expect 99 %), log Z against the exact one,
       and games against uniform play from both sides.
"""

import argparse

import torch

from gflow import enumerate_states
from gflow.envs import TicTacToe
from gflow.envs.games.policy import BoardPolicy
from gflow.objectives import AdversarialTrajectoryBalance
from gflow.tasks.games import SolvedGame, against_uniform
from gflow.training import TrainConfig, Trainer

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    torch.manual_seed(0)
    game, objective = TicTacToe(scale=10.0), AdversarialTrajectoryBalance()
    policy = BoardPolicy(game, width=32, blocks=3)
    config = TrainConfig(
        steps=parser.parse_args().steps,
        batch_size=128,
        lr=3e-3,
        log_z_lr=5e-2,
        temperature=2.0,  # play is softer than the policy, so that mistakes are seen and punished
        epsilon=0.1,
        ema=0.98,
    )
    trainer = Trainer(game, policy, objective, config)
    log_z = trainer.train()["log_z"]

    graph = enumerate_states(game)
    solved = SolvedGame.of(graph, objective.exact_flows(graph))
    numbers = solved.numbers(trainer.evaluated_policy, log_z)
    print(f"{len(solved.rows)} positions with a player to move, {numbers['optimal']:.2%} optimal")
    print(f"log Z {log_z:.3f}, exactly {solved.flows.log_z:.6f}")
    generator = torch.Generator().manual_seed(0)
    found = against_uniform(game, trainer.evaluated_policy, 1000, generator)
    for side in ("first", "second"):
        ends = " ".join(
            f"{end} {found[f'{side}_{end}']:.1%}" for end in ("wins", "draws", "losses")
        )
        print(f"as {side} player against uniform play: {ends}")
