"""Mutants of `gflow/arena`."""

ELO = "tests/gflow/arena/test_elo.py"
MATCHES = "tests/gflow/arena/test_matches.py"
PLAYERS = "tests/gflow/arena/test_players.py"
SEARCH = "tests/gflow/arena/test_search.py"
SHARES = "tests/gflow/arena/test_shares.py"
ALPHAZERO = "tests/gflow/arena/test_alphazero.py"
PERFECT = "tests/gflow/arena/test_perfect.py"
PLAY = "tests/gflow/cli/test_play_command.py"
ARENA = "tests/gflow/cli/test_arena_command.py"

MUTANTS = (
    (
        "elo-draws", "gflow/arena/elo.py",
        "score = wins + draws / 2 + prior / 2 * met",
        "score = wins + draws + prior / 2 * met",
        f"{ELO}::test_draws_count_half",
    ),
    (
        "elo-prior", "gflow/arena/elo.py",
        "prior / 2 * met",
        "prior * met",
        f"{ELO}::test_who_never_lost_has_a_finite_rating",
    ),
    (
        "elo-scale", "gflow/arena/elo.py",
        "SCALE = math.log(10) / 400",
        "SCALE = math.log(2) / 400",
        f"{ELO}::test_three_to_one_is_400_log10_3",
    ),
    (
        "elo-information", "gflow/arena/elo.py",
        "weight = games * beats * (1 - beats)",
        "weight = games * beats",
        f"{ELO}::test_intervals_hold_the_truth_19_times_in_20",
    ),
    (
        "arena-sides", "gflow/arena/matches.py",
        "for side in ((a, b), (b, a))",
        "for side in ((a, b), (a, b))",
        f"{MATCHES}::test_each_opening_is_played_from_both_sides",
    ),
    (
        "arena-seat", "gflow/arena/matches.py",
        "seat = player_index(mover)[:, None].clamp(0, 1)",
        "seat = 1 - player_index(mover)[:, None].clamp(0, 1)",
        f"{MATCHES}::test_minimax_never_loses",
    ),
    (
        "arena-result", "gflow/arena/standings.py",
        "outcome = 1 - games.result",
        "outcome = 1 + games.result",
        f"{MATCHES}::test_results_are_the_first_players",
    ),
    (
        "arena-wins", "gflow/arena/standings.py",
        "wins = results[..., 0] + results[..., 2].T",
        "wins = results[..., 0] + results[..., 0].T",
        f"{MATCHES}::test_search_beats_uniform",
    ),
    (
        "arena-second", "gflow/arena/standings.py",
        "self.results[:, player].sum(0).flip(0).tolist()",
        "self.results[:, player].sum(0).tolist()",
        f"{MATCHES}::test_results_are_the_first_players",
    ),
    (
        "arena-opening-ends", "gflow/arena/matches.py",
        "positions.history[alive]])[:count]",
        "positions.history])[:count]",
        f"{MATCHES}::test_openings_are_even_and_end_no_game",
    ),
    (
        "arena-chance", "gflow/arena/matches.py",
        "masked_fill(chance, -1)",
        "masked_fill(chance, 0)",
        f"{MATCHES}::test_chance_moves_by_its_own_law",
    ),
    (
        "arena-minimax", "gflow/arena/minimax.py",
        "return pick(self.optimal[",
        "return pick(~self.optimal[",
        f"{MATCHES}::test_minimax_never_loses",
    ),
    (
        "arena-mcts-seed", "gflow/arena/mcts.py",
        "torch.randint(1 << 30, (), generator=generator)",
        "torch.randint(1 << 30, ())",
        f"{MATCHES}::test_the_seed_decides",
    ),
    (
        "arena-temperature", "gflow/arena/players.py",
        "logits / (self.temperature or 1.0)",
        "logits * (self.temperature or 1.0)",
        f"{PLAYERS}::test_moves_are_drawn_from_the_tempered_policy",
    ),
    (
        "arena-ties", "gflow/arena/players.py",
        "return pick(table == table.amax(-1, keepdim=True), generator)",
        "return table.argmax(-1)",
        f"{PLAYERS}::test_greedy_takes_the_likeliest_and_breaks_ties_at_random",
    ),
    (
        "search-side", "gflow/arena/search.py",
        "visits.clamp(min=1), mean) * side[:, None]",
        "visits.clamp(min=1), mean)",
        f"{SEARCH}::test_endgames_are_played_perfectly",
    ),
    (
        "search-reach", "gflow/arena/search.py",
        "(1 + tried).sqrt()[:, None]",
        "tried.sqrt()[:, None]",
        f"{SEARCH}::test_visits_are_those_of_a_plain_search",
    ),
    (
        "search-untried", "gflow/arena/search.py",
        "mean = ((self.own[at] + total.sum(1)) / (1 + tried))[:, None]",
        "mean = (0 * self.own[at])[:, None]",
        f"{SEARCH}::test_visits_are_those_of_a_plain_search",
    ),
    (
        "search-chance", "gflow/arena/search.py",
        "mover.masked_fill(chance, 0)",
        "mover.masked_fill(chance, 1)",
        f"{SEARCH}::test_chance_is_neither_player",
    ),
    (
        "search-end", "gflow/arena/search.py",
        "rows = rows[~self.over[below]]",
        "rows = rows[self.over[below] < 2]",
        f"{SEARCH}::test_endgames_are_played_perfectly",
    ),
    (
        "search-noise", "gflow/arena/search.py",
        "(1 - share) * self.prior[self.roots] + share * noise",
        "self.prior[self.roots] + 0 * noise",
        f"{SEARCH}::test_noise_blurs_the_root_alone",
    ),
    (
        "shares-line", "gflow/arena/shares.py",
        "before, action = graph.parent[entry], graph.action[entry]",
        "before, action = graph.parent[entry], graph.action[entry - 1]",
        f"{SHARES}::test_every_position_has_a_line_that_leads_to_it",
    ),
    (
        "shares-sign", "gflow/arena/shares.py",
        "(chosen.sign() == best.sign())",
        "(chosen == best)",
        f"{SHARES}::test_score_exact_is_not_sign_exact",
    ),
    (
        "alphazero-outcome", "gflow/arena/self_play.py",
        "outcome[torch.cat(games_of)]",
        "outcome[torch.cat(games_of).flip(0)]",
        f"{ALPHAZERO}::test_lessons_are_what_was_played",
    ),
    (
        "alphazero-value", "gflow/arena/alphazero.py",
        "(value - lessons.outcome.to(value))",
        "(value + lessons.outcome.to(value))",
        f"{ALPHAZERO}::test_losses_are_cross_entropy_and_squared_error",
    ),
    (
        "alphazero-tanh", "gflow/arena/alphazero.py",
        "return output.forward_logits, flow.tanh()",
        "return output.forward_logits, flow",
        f"{ALPHAZERO}::test_losses_are_cross_entropy_and_squared_error",
    ),
    (
        "perfect-best", "gflow/arena/perfect.py",
        "return pick(table == table.amax(-1, keepdim=True), generator)",
        "return pick(table == table.amax(), generator)",
        f"{PERFECT}::test_it_plays_the_best_score",
    ),
    (
        "play-side", "gflow/cli/play.py",
        "result = int(winner(env, positions.states)) * you",
        "result = int(winner(env, positions.states))",
        f"{PLAY}::test_a_game_is_lost_and_one_is_drawn",
    ),
    (
        "play-refused", "gflow/cli/play.py",
        "if said in known:",
        "if said:",
        f"{PLAY}::test_bad_moves_are_refused_and_asked_again",
    ),
    (
        "words-tuple", "gflow/cli/words.py",
        "        return len(flag.values)\n",
        "        return 1\n",
        f"{ARENA}::test_the_seed_decides",
    ),
    (
        "openings-even-chance", "gflow/arena/matches.py",
        "chance = turn(env, positions.states) == CHANCE",
        "chance = turn(env, positions.states) != turn(env, positions.states)",
        "tests/gflow/arena/test_matches.py::test_chance_moves_by_its_own_law",
    ),
)  # fmt: skip
