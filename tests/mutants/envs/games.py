"""Mutants of `envs/games`."""

ROWS = "tests/envs/games/test_row_games.py::"
POLICY = "tests/envs/games/test_board_policy.py::"
TASK = "tests/envs/games/test_games_task.py::"
OTHERS = "tests/envs/games/test_nim_and_pig.py::"

MUTANTS = (
    (
        "games-falling-line", "envs/games/layout.py",
        "falling = falling[more:] & (falling[:-more] >> more)",
        "falling = (falling[more:] >> more) & falling[:-more]",
        f"{ROWS}test_lines_in_numbers",
    ),
    (
        "games-falling-in-one-number", "envs/games/layout.py",
        "for apart in (1, self.rows + 1, self.rows, self.rows + 2):",
        "for apart in (1, self.rows + 1, self.rows + 2, self.rows + 2):",
        f"{ROWS}test_counts_of_tictactoe",
    ),
    (
        "games-columns-run-on", "envs/games/layout.py",
        "return (self.rows + 1) * torch.arange(self.columns, device=device)",
        "return self.rows * torch.arange(self.columns, device=device)",
        f"{ROWS}test_lines_in_numbers",
    ),
    (
        "games-line-too-long", "envs/games/layout.py",
        "steps.append(min(have, length - have))",
        "steps.append(have)",
        f"{ROWS}test_counts_of_connect_three",
    ),
    (
        "games-winner", "envs/games/board.py",
        "result = torch.where(won, 1 - 2 * second, 0)",
        "result = torch.where(won, 2 * second - 1, 0)",
        f"{ROWS}test_counts_of_tictactoe",
    ),
    (
        "games-full-board-goes-on", "envs/games/board.py",
        "won | (count == self.cells - 1)",
        "won",
        "tests/envs/games/test_against_open_spiel.py::test_random_games[tic_tac_toe]",
    ),
    (
        "games-mover", "envs/games/board.py",
        "return 1 - 2 * (states[:, -2] & 1).long()",
        "return 2 * (states[:, -2] & 1).long() - 1",
        f"{ROWS}test_a_game_goes_by_the_rules",
    ),
    (
        "games-move-on", "envs/games/board.py",
        "torch.where(self.is_terminal(states)[:, None], -1, self._taken(states))",
        "self._taken(states)",
        f"{ROWS}test_a_game_goes_by_the_rules",
    ),
    (
        "games-key-of-columns", "envs/games/connect4.py",
        "code = first | ((first | second) + 1)",
        "code = first | second",
        f"{ROWS}test_keys_tell_boards_apart",
    ),
    (
        "games-full-column", "envs/games/connect4.py",
        "return taken & (bottom << (self.rows - 1)) == 0",
        "return taken & (bottom << (self.rows - 2)) == 0",
        f"{ROWS}test_counts_of_connect_three",
    ),
    (
        "games-move-images", "envs/games/tictactoe.py",
        "return torch.stack(come_from).argsort(1)",
        "return torch.stack(come_from)",
        f"{ROWS}test_tictactoe_has_eight_symmetries",
    ),
    (
        "games-images-turned-wrong", "envs/games/policy.py",
        "each = logits[:, self.moves]",
        "each = logits[:, self.moves.argsort(1)]",
        f"{POLICY}test_symmetric_answers_turn_with_the_board[tictactoe]",
    ),
    (
        "games-one-of-equal-images", "envs/games/policy.py",
        "weight = images / images.sum(1, keepdim=True)",
        "weight = (images & (images.cumsum(1) == 1)).to(logits.dtype)",
        f"{POLICY}test_positions_of_their_own_image_get_the_mean",
    ),
    (
        "games-heads-mixed", "envs/games/policy.py",
        "player = player_index(env.mover(states))",
        "player = 1 - player_index(env.mover(states))",
        f"{POLICY}test_only_who_moves_is_heard[tictactoe]",
    ),
    (
        "games-shared-rows", "envs/games/policy.py",
        "logits, flow = logits[place], None if flow is None else flow[place]",
        "logits, flow = logits[place], None if flow is None else flow[place.flip(0)]",
        f"{POLICY}test_answers_do_not_hang_on_what_is_shared[True-tictactoe]",
    ),
    (
        "nim-last-loses", "envs/games/nim.py",
        "return (total != 0) ^ (heaps <= 1).all(1)",
        "return total != 0",
        f"{OTHERS}test_perfect_nim",
    ),
    (
        "nim-turn", "envs/games/nim.py",
        "after[:, -1] = 1 - states[:, -1]",
        "after[:, -1] = 0",
        f"{OTHERS}test_who_takes_the_last_match",
    ),
    (
        "pig-wins-by-a-one", "envs/games/pig.py",
        "(rolling & ~lost & (mine + total >= self.target))",
        "(rolling & (mine + total >= self.target))",
        f"{OTHERS}test_rules_of_pig",
    ),
    (
        "pig-turns", "envs/games/pig.py",
        "ends = keeps | lost",
        "ends = keeps",
        f"{OTHERS}test_rules_of_pig",
    ),
    (
        "games-cells-of-moves", "envs/games/pictures.py",
        "filled = (env.encode(before) != env.encode(after)).long().argmax(1)",
        "filled = (env.encode(before) == env.encode(after)).long().argmax(1)",
        f"{TASK}test_cells_of_moves_are_those_that_are_filled",
    ),
)  # fmt: skip
