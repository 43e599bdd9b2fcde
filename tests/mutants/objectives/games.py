"""Mutants of objectives of games."""

GAMES = "tests/objectives/games/test_adversarial.py"
EVERY = f"{GAMES}::test_every_form_vanishes_on_every_play_at_the_exact_solution"
EACH = f"{GAMES}::test_the_flows_of_all_players_balance_at_the_exact_solution"
CONTRACT = f"{GAMES}::test_objectives_of_games_keep_the_contract"

MUTANTS = (
    (
        "adversarial-no-branching", "objectives/games/adversarial.py",
        "chosen = terms.log_pf + terms.log_branching",
        "chosen = terms.log_pf + 0 * terms.log_branching",
        f"{CONTRACT}[atb]",
    ),
    (
        "adversarial-branching-sign", "objectives/games/adversarial.py",
        "chosen = terms.log_pf + terms.log_branching",
        "chosen = terms.log_pf - terms.log_branching",
        f"{GAMES}::test_each_residual_is_the_formula_with_its_signs",
    ),
    (
        "adversarial-wrong-player", "objectives/games/adversarial.py",
        "torch.where(terms.mover == -1, -chosen, chosen)",
        "torch.where(terms.mover == 1, -chosen, chosen)",
        EVERY,
    ),
    (
        "adversarial-branching-unsigned", "objectives/games/adversarial.py",
        "torch.where(terms.mover == -1, -chosen, chosen)",
        "torch.where(terms.mover == -1, chosen - 2 * terms.log_pf, chosen)",
        EVERY,
    ),
    (
        "atb-reward-sign", "objectives/games/atb.py",
        "return log_z + self.steps(terms).sum(-1) - terms.log_reward",
        "return log_z + self.steps(terms).sum(-1) + terms.log_reward",
        EVERY,
    ),
    (
        "db-steps-backward", "objectives/db.py",
        "delta = flow[:, :-1] + self.steps(terms) - flow[:, 1:]",
        "delta = flow[:, :-1] - self.steps(terms) - flow[:, 1:]",
        EVERY,
    ),
    (
        "aedb-geometric-mean", "objectives/games/aedb.py",
        "ahead = log_prob.detach()[..., None] + flow  # (B, T, A, n)",
        "ahead = log_prob.detach()[..., None].exp() * flow.nan_to_num(neginf=-1e3)",
        EACH,
    ),
    (
        "aedb-policy-taught-by-others", "objectives/games/aedb.py",
        "ahead = log_prob.detach()[..., None] + flow",
        "ahead = log_prob[..., None] + flow",
        f"{GAMES}::test_a_policy_is_taught_by_its_own_player_alone",
    ),
    (
        "aedb-own-policy-detached", "objectives/games/aedb.py",
        "own = before + terms.log_pf[:, :, None] - after",
        "own = before + terms.log_pf[:, :, None].detach() - after",
        f"{CONTRACT}[aedb]",
    ),
    (
        "aedb-chance-is-a-player", "objectives/games/aedb.py",
        "return turn & (mover != CHANCE)",
        "return turn | (mover == CHANCE)",
        EACH,
    ),
    (
        "aedb-turn-of-the-next", "objectives/games/aedb.py",
        "turn = torch.arange(players, device=mover.device) == player_index(mover)",
        "turn = torch.arange(players, device=mover.device) != player_index(mover)",
        EACH,
    ),
)  # fmt: skip
