"""`gflow play`: a person against a run, in the terminal."""

from typing import Any, Literal

import torch

from gflow.arena.lineup import entrant
from gflow.arena.players import Player
from gflow.arena.positions import Positions, turn, winner
from gflow.bounds import Count, Natural, Temperature
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE

LEAVE = ("q", "quit", "exit")


def play(
    run: str,
    side: Literal["first", "second"] = "first",
    greedy: bool = False,
    temperature: Temperature = 1.0,
    simulations: Count = 100,
    seed: Natural = 0,
) -> int:
    """Play a game against a run.

    Args:
        run: Its folder.
        side: Which player you are.
        greedy: Let the run make its likeliest moves instead of drawing them.
        temperature: Of the run's policy.
        simulations: Of an AlphaZero, for each move.
        seed: Of the random numbers.
    """
    one = entrant(run, 0.0 if greedy else temperature, simulations)
    generator = torch.Generator().manual_seed(seed)
    try:
        finished = game(one.env, one.player, 1 if side == "first" else -1, generator)
    except KeyboardInterrupt:
        print("\nYou left the game.")
        return 130
    finally:
        one.player.close()
    if not finished:
        print("\nYou left the game.")
    return 0


def game(
    env: DiscreteEnvironment[Any], opponent: Player, you: int, generator: torch.Generator
) -> bool:
    """One game at the terminal; false if the person left it.

    Args:
        env: The game.
        opponent: Plays the other side.
        you: 1 if the person is the first player, else -1.
        generator: Source of all randomness.
    """
    names = getattr(env, "player_names", ("first", "second"))
    mine, other = names if you == 1 else names[::-1]
    print(f"You are {mine}, {opponent.name} is {other}. q leaves the game.")
    positions, first = Positions.start(env, 1), torch.zeros(1, dtype=torch.int64)
    while not bool(env.is_terminal(positions.states)):
        mover = int(turn(env, positions.states))
        if mover == CHANCE:
            drawn: Any = env.chance_law(positions.states)
            move = int(drawn.sample(generator)[0])
        elif mover == you:
            print(f"\n{board_text(env, positions.states)}")
            asked = ask(env, positions.states)
            if asked is None:
                return False
            move = asked
        else:
            move = int(opponent.moves(env, positions, generator))
            print(f"{opponent.name}: {move_text(env, move)}")
        positions = positions.stepped(env, first, torch.tensor([move]))
        if mover == CHANCE:
            print(f"chance: {env.show(positions.states)[0]}")
    result = int(winner(env, positions.states)) * you
    print(f"\n{board_text(env, positions.states)}")
    print({1: "You win.", 0: "A draw.", -1: f"{opponent.name} wins."}[result])
    return True


def ask(env: DiscreteEnvironment[Any], states: Any) -> int | None:
    """A legal move from the person, who is asked until there is one; None to leave."""
    legal: list[int] = env.forward_mask(states)[0].nonzero().flatten().tolist()
    known = {move_text(env, action).lower(): action for action in legal}
    shown = ", ".join(move_text(env, action) for action in legal)
    while True:
        try:
            said = input(f"your move ({shown}): ").strip().lower()
        except EOFError:
            return None
        if said in LEAVE and said not in known:
            return None
        if said in known:
            return known[said]
        what = f"{said!r} is no legal move" if said else "Nothing was typed"
        print(f"{what}; legal: {shown}. q leaves the game.")


def board_text(env: DiscreteEnvironment[Any], states: Any) -> str:
    """The board as the game draws it, or else as it is shown."""
    draw = getattr(env, "board_text", env.show)
    text: str = draw(states)[0]
    return text


def move_text(env: DiscreteEnvironment[Any], action: int) -> str:
    """A move as the game names it, or else its number."""
    name = getattr(env, "move_text", str)
    return str(name(action))
