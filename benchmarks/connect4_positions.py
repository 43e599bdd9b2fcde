"""Labels positions of Connect-4 with the score of every move, for shares of best moves.

    python -m venv judge && judge/bin/pip install bitbully
    python benchmarks/connect4_positions.py runs/positions.jsonl --python judge/bin/python
    gflow arena RUN --players uniform mcts:100 mcts:1000 --positions runs/positions.jsonl

Positions come from uniformly random play, the number of plies drawn evenly between 8 and 30.
BitBully, which is under the AGPL, scores them in a process of its own; it is no part of gflow.
"""

import argparse
import time
from pathlib import Path

import torch

from gflow.arena import Labelled
from gflow.arena.matches import openings
from gflow.arena.perfect import PerfectPlayer
from gflow.envs.games import Connect4


def label(judge: PerfectPlayer, count: int, plies: tuple[int, int], seed: int) -> Labelled:
    """`count` random positions with the scores of their moves."""
    game, generator = Connect4(), torch.Generator().manual_seed(seed)
    low, high = plies
    lengths = torch.randint(low, high + 1, (count,), generator=generator)
    moves: list[list[int]] = []
    for length in sorted(set(lengths.tolist())):
        number = int((lengths == length).sum())
        moves += openings(game, number, length, generator).tolist()
    scores = [{a: float(s) for a, s in judge.scores(line).items()} for line in moves]
    found = Labelled.of(moves, scores, game.num_actions)
    found.positions(game)  # refuses what does not agree with our rules
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--python", default="", help="the Python that has BitBully")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--plies", type=int, nargs=2, default=(8, 30))
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    judge = PerfectPlayer(python=words.python)
    began = time.monotonic()
    try:
        found = label(judge, words.count, tuple(words.plies), words.seed)
    finally:
        judge.close()
    words.out.parent.mkdir(parents=True, exist_ok=True)
    found.save(words.out)
    best = found.scores.amax(1, keepdim=True)
    legal = found.scores.isfinite()
    exact = ((found.scores == best) & legal).sum(1) / legal.sum(1)
    sign = ((found.scores.sign() == best.sign()) & legal).sum(1) / legal.sum(1)
    print(
        f"{len(found)} positions in {time.monotonic() - began:.1f} s; a uniform player is "
        f"{100 * float(exact.mean()):.1f} % score-exact and {100 * float(sign.mean()):.1f} % "
        f"sign-exact; see {words.out}"
    )


if __name__ == "__main__":
    main()
