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
)  # fmt: skip
