"""Mutants of exact solutions of games."""

GAMES = "tests/gflow/exact/test_games.py"
MEANS = f"{GAMES}::test_one_flow_is_the_mean_or_the_harmonic_mean_of_the_children"
EACH = f"{GAMES}::test_every_player_has_the_flow_of_the_definition"
PERFECT = f"{GAMES}::test_minimax_is_the_best_of_the_children_for_who_moves"

MUTANTS = (
    (
        "games-arithmetic-for-both", "gflow/exact/games.py",
        "return torch.where(graph.movers == -1, -1.0, 1.0).double()",
        "return torch.where(graph.movers == -1, 1.0, 1.0).double()",
        MEANS,
    ),
    (
        "games-signs-turned", "gflow/exact/games.py",
        "return torch.where(graph.movers == -1, -1.0, 1.0).double()",
        "return torch.where(graph.movers == -1, 1.0, -1.0).double()",
        f"{GAMES}::test_the_small_example_has_the_flows_of_the_text",
    ),
    (
        "games-sum-of-children", "gflow/exact/games.py",
        "flow[level.parents] = (total - log_count[level.parents]) * side",
        "flow[level.parents] = total * side",
        MEANS,
    ),
    (
        "games-count-sign", "gflow/exact/games.py",
        "flow[level.parents] = (total - log_count[level.parents]) * side",
        "flow[level.parents] = total * side - log_count[level.parents]",
        f"{GAMES}::test_players_who_change_places_invert_the_flow",
    ),
    (
        "games-no-stops", "gflow/exact/moves.py",
        "stops = (legal & graph.can_end).nonzero().squeeze(1)",
        "stops = (legal & ~graph.can_end).nonzero().squeeze(1)",
        f"{GAMES}::test_stops_count_as_moves_and_equal_children_once",
    ),
    (
        "games-levels-forward", "gflow/exact/moves.py",
        "for moves in reversed(order.split(torch.bincount(at).tolist())):",
        "for moves in order.split(torch.bincount(at).tolist()):",
        f"{GAMES}::test_the_small_example_has_the_flows_of_the_text",
    ),
    (
        "games-own-mean", "gflow/exact/games.py",
        "own = (torch.arange(players) == turn[:, None]) & ~chance[:, None]",
        "own = (torch.arange(players) != turn[:, None]) & ~chance[:, None]",
        EACH,
    ),
    (
        "games-chance-even", "gflow/exact/games.py",
        "weight = torch.where(chance[level.group], by_chance, mine - total[level.group])",
        "weight = mine - total[level.group] + 0 * by_chance",
        EACH,
    ),
    (
        "games-others-geometric", "gflow/exact/games.py",
        "[group_logsumexp(weight + column, level.group, count) for column in ahead.T], 1",
        "[group_logsumexp(2 * weight + column, level.group, count) for column in ahead.T], 1",
        f"{GAMES}::test_on_even_trees_the_two_solutions_agree",
    ),
    (
        "minimax-side", "gflow/exact/games.py",
        'best = best.scatter_reduce(0, level.group, ahead, "amax") * side',
        'best = best.scatter_reduce(0, level.group, ahead, "amax")',
        PERFECT,
    ),
    (
        "minimax-chance-picks", "gflow/exact/games.py",
        "mean.where(graph.movers[level.parents] == CHANCE, best)",
        "mean.where(graph.movers[level.parents] == -CHANCE, best)",
        PERFECT,
    ),
    (
        "optimal-of-chance", "gflow/exact/games.py",
        "return kept & (graph.movers[graph.parent] != CHANCE)",
        "return kept",
        PERFECT,
    ),
    (
        "optimal-stops", "gflow/exact/games.py",
        "kept = _equal(_worth(graph, ends), values) & (graph.movers != CHANCE)",
        "kept = (_worth(graph, ends) <= values) & (graph.movers != CHANCE)",
        PERFECT,
    ),
)  # fmt: skip
