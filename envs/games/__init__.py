"""Games as batches of positions."""

from gflow.envs.games.base import Game, Result
from gflow.envs.games.board import RowGame
from gflow.envs.games.connect4 import Connect4
from gflow.envs.games.nim import Nim
from gflow.envs.games.pig import Pig
from gflow.envs.games.tictactoe import TicTacToe

__all__ = ["Connect4", "Game", "Nim", "Pig", "Result", "RowGame", "TicTacToe"]
