"""Mutants of forward-looking and learned energies."""

LED = "tests/objectives/test_led.py"

MUTANTS = (
    (
        "led-sign", "objectives/led.py",
        "end[:, None], terms.log_flow - spent)",
        "end[:, None], terms.log_flow + spent)",
        f"{LED}::test_led1_exact_potentials_are_forward_looking_energies",
    ),
    (
        "led-gap-sign", "objectives/led.py",
        "shared = (gap / moves.sum(-1).clamp(min=1))",
        "shared = -(gap / moves.sum(-1).clamp(min=1))",
        f"{LED}::test_led5_redistribution_makes_sums_exact_and_leaves_exact_ones_alone",
    ),
    (
        "led-all-dropped", "objectives/potential.py",
        "kept = kept | (last & ~kept.any(-1, keepdim=True))",
        "kept = kept & (last | ~last)",
        f"{LED}::test_led7_one_potential_is_always_kept_and_keeping_all_is_deterministic",
    ),
    (
        "led-straddles", "objectives/potential.py",
        "after[index[rows, times + 1]]",
        "after[(index[rows, times] + 1) % len(after)]",
        f"{LED}::test_led8_pairs_never_straddle_trajectories_and_stops_have_no_potential",
    ),
    (
        "led-gradient", "objectives/led.py",
        "        with torch.no_grad():\n            potential = self.potential(env, trajectories)",
        "        if True:\n            potential = self.potential(env, trajectories)",
        f"{LED}::test_led7_flows_send_no_gradient_into_potentials",
    ),
    (
        "led-log-z-of-the-next", "objectives/led.py",
        "return terms.log_flow[:, 0]",
        "return terms.log_flow[:, 1]",
        f"{LED}::test_led2_log_f_of_the_source_is_log_z[redistribute]",
    ),
    (
        "led-mean-gap-of-all", "objectives/led.py",
        "gap.sum() / whole.sum().clamp(min=1)",
        "gap.sum() / len(gap)",
        f"{LED}::test_mean_gap_is_the_mean_unexplained_energy",
    ),
    (
        "led-mean-gap-signed", "objectives/led.py",
        "self._gap(terms).abs().where(whole, 0.0)",
        "self._gap(terms).where(whole, 0.0)",
        f"{LED}::test_mean_gap_is_the_mean_unexplained_energy",
    ),
    (
        "led-mean-gap-of-cut", "objectives/led.py",
        "whole = whole & terms.complete",
        "whole = whole",
        f"{LED}::test_mean_gap_is_the_mean_unexplained_energy",
    ),
    (
        "led-bases-swapped", "objectives/led.py",
        'if base == "subtb"',
        'if base != "subtb"',
        f"{LED}::test_the_base_is_the_one_that_was_asked_for",
    ),
    (
        "led-lam-lost", "objectives/led.py",
        "SubTrajectoryBalance(lam, regression=regression)",
        "SubTrajectoryBalance(regression=regression)",
        f"{LED}::test_the_base_is_the_one_that_was_asked_for",
    ),
    (
        "led-potential-doubled", "objectives/led.py",
        "torch.where(steps == ends[:, None], end[:, None], terms.log_flow - spent)",
        "torch.where(steps == ends[:, None], end[:, None], terms.log_flow - 2 * spent)",
        f"{LED}::test_led1_exact_potentials_are_forward_looking_energies[db-none]",
    ),
    (
        "potential-last-always-kept", "objectives/potential.py",
        "kept = kept | (last & ~kept.any(-1, keepdim=True))",
        "kept = kept | last",
        f"{LED}::test_led7_the_last_potential_is_dropped_like_the_others",
    ),
    (
        "led-shares-of-cut", "objectives/led.py",
        ".where(ends >= 0, 0.0)",
        "",
        f"{LED}::test_trajectories_that_were_cut_have_no_gap_to_share",
    ),
)  # fmt: skip
