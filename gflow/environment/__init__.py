"""What an environment is: states, moves and a reward."""
