"""Mutants of order losses and what order-preserving objectives read."""

ORDER = "tests/objectives/ordered/test_order.py"
PRESERVING = "tests/objectives/ordered/test_order_preserving.py"

MUTANTS = (
    (
        "order-turned", "objectives/ordered/order.py",
        "loss = target * softplus(-gap) + (1 - target) * softplus(gap)",
        "loss = target * softplus(gap) + (1 - target) * softplus(-gap)",
        f"{ORDER}::test_neighbours_in_a_bounded_total_order_are_spaced_evenly",
    ),
    (
        "order-ties-win", "objectives/ordered/order.py",
        "target = (1 + wins) / 2",
        "target = (wins >= 0).to(gap)",
        f"{ORDER}::test_ties_have_no_gap_and_the_rest_increases",
    ),
    (
        "order-any-score", "objectives/ordered/order.py",
        "return (above & ~below).to(torch.int8) - (below & ~above).to(torch.int8)",
        "return above.to(torch.int8) - (below & ~above).to(torch.int8)",
        f"{ORDER}::test_beating_is_an_order",
    ),
    (
        "order-self-pairs", "objectives/ordered/order.py",
        "compared = known & known[partner] & (partner != place)[:, None]",
        "compared = known & known[partner] & (partner >= 0)[:, None] & (place >= 0)[:, None]",
        f"{ORDER}::test_all_pairs_is_what_random_partners_give_on_average",
    ),
    (
        "order-front-of-beaten", "objectives/ordered/order.py",
        "beaten = relation(scores, tolerance).view(len(value), len(value), -1) < 0",
        "beaten = relation(scores, tolerance).view(len(value), len(value), -1) > 0",
        f"{ORDER}::test_fronts_of_batches_leave_mass_to_beaten_items",
    ),
    (
        "order-one-list", "objectives/ordered/order.py",
        "log_prob = value - top[group] - log_mass[group]",
        "log_prob = value.where(known, -torch.inf).log_softmax(0)",
        f"{ORDER}::test_columns_and_groups_are_compared_apart",
    ),
    (
        "optb-sign", "objectives/ordered/optb.py",
        "(terms.log_pf - terms.log_pb)",
        "(terms.log_pf + terms.log_pb)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[optb-forced]",
    ),
    (
        "opdb-last", "objectives/ordered/opdb.py",
        "last = terms.length[:, None] - 1",
        "last = (terms.length[:, None] - 2).clamp(min=0)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opdb-stop]",
    ),
    (
        "op-reads-log-r", "objectives/ordered/order_preserving.py",
        "return steps < terms.length[:, None] - 1",
        "return steps < terms.length[:, None]",
        f"{PRESERVING}::test_the_inner_balance_by_hand[opdb-stop]",
    ),
    (
        "opfm-outflow", "objectives/ordered/opfm.py",
        "return terms.log_inflow.gather(1, terms.length[:, None]).squeeze(1)",
        "return terms.log_inflow.gather(1, terms.length[:, None] - 1).squeeze(1)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opfm-forced]",
    ),
    (
        "opsubtb-suffix", "objectives/ordered/opsubtb.py",
        "(terms.length[:, None] - lengths).clamp(min=0)",
        "(terms.length[:, None] - lengths + 1).clamp(min=0)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opsubtb-stop]",
    ),
    (
        "opsubtb-decay", "objectives/ordered/opsubtb.py",
        "decay = (lengths - 1) * torch.tensor(self.lam",
        "decay = lengths**2 * torch.tensor(self.lam",
        f"{PRESERVING}::test_the_inner_balance_by_hand[opsubtb-forced]",
    ),
    (
        "opflsubtb-energy-sign", "objectives/ordered/opsubtb.py",
        "(energy[:, i] - energy[:, j])[..., None]",
        "(energy[:, j] - energy[:, i])[..., None]",
        f"{PRESERVING}::test_differences_of_the_partial_reward_by_hand[forced]",
    ),
    (
        "op-symmetry", "objectives/ordered/order_preserving.py",
        "return rho + terms.log_symmetry",
        "return rho - terms.log_symmetry",
        f"{PRESERVING}::test_symmetric_objects_are_ordered_by_their_own_probability[optb]",
    ),
    (
        "op-all-conditions", "objectives/ordered/order_preserving.py",
        "        found: Tensor = group\n        return found\n",
        "        return None if bool((group >= 0).all()) else group\n",
        f"{PRESERVING}::test_only_equal_conditions_are_compared",
    ),
)  # fmt: skip
