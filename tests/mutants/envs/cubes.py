"""Mutants of `envs/cubes`."""

BOX = "tests/envs/cubes/test_box.py"
CUBE = "tests/envs/cubes/test_cube.py"
BOX_TRAINING = "tests/envs/cubes/test_box_training.py"
BOX_ARC = "return self.place.log_prob(v) - self.width.log() - math.log(self.delta * QUARTER)"

MUTANTS = (
    (
        "box-arc-width", "envs/cubes/moves.py", BOX_ARC,
        BOX_ARC.replace(" - self.width.log()", ""),
        f"{BOX}::test_densities_integrate_to_one",
    ),
    (
        "box-disk-radius", "envs/cubes/moves.py",
        "jacobian = place[:, 0].log() + 2 * math.log(self.delta)",
        "jacobian = 2 * math.log(self.delta)",
        f"{BOX}::test_trajectory_balance_is_zero_at_an_exact_solution",
    ),
    (
        "box-one-side-per-radian", "envs/cubes/box.py",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)\n"
        "        plain = later.log_prob\n"
        "        later.log_prob = lambda move: plain(move) + math.log(self.delta)",
        f"{BOX}::test_weights_have_the_mean_z",
    ),
    (
        "box-search-one-side-per-radian", "envs/cubes/box.py",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)\n"
        "        plain = later.log_prob\n"
        "        later.log_prob = lambda move: plain(move) + math.log(self.delta)",
        f"{BOX_TRAINING}::test_local_search_keeps_the_law",
    ),
    (
        "box-leak", "envs/cubes/box.py",
        "low = torch.maximum(most[:, 0].acos(), least[:, 1].asin()) / QUARTER",
        "low = torch.zeros_like(most[:, 0])",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    (
        "box-room-turned", "envs/cubes/box.py",
        "self.legal_arc(1 - states)", "self.legal_arc(states)",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    (
        "box-stop-left-out", "envs/cubes/moves.py",
        "self.stop.no + self.later.log_prob(move)", "self.later.log_prob(move)",
        f"{BOX}::test_densities_integrate_to_one",
    ),
    (
        "box-forced-stop-has-a-logit", "envs/cubes/box.py",
        "stop = Atom(logit, self.is_terminal(states), source)",
        "stop = Atom(logit, torch.zeros_like(source), source)",
        f"{BOX}::test_forced_moves_are_certain_and_without_gradient",
    ),
    (
        "box-forced-return-has-a-density", "envs/cubes/moves.py",
        "torch.where((states == 0).all(-1), self.home.yes, moved)",
        "torch.where((states == 0).all(-1), self.back.log_prob(self.states - states), moved)",
        f"{BOX}::test_forced_moves_are_certain_and_without_gradient",
    ),
    (
        "box-return-too-late", "envs/cubes/box.py",
        "near: Tensor = states.norm(dim=-1) <= self.delta",
        "near: Tensor = states.norm(dim=-1) <= 0.9 * self.delta",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    (
        "box-backward-density-halved", "envs/cubes/box.py",
        "HomeOrBack(states, atom, Arc(self.delta, *self.legal_arc(states), place))",
        "HomeOrBack(states, atom, Arc(0.9 * self.delta, *self.legal_arc(states), place))",
        f"{BOX}::test_detailed_balance_implies_flow_matching",
    ),
    (
        "box-exploration-by-radius", "envs/cubes/box.py",
        "states.new_tensor([2.0, 1.0])", "states.new_tensor([1.0, 1.0])",
        f"{BOX}::test_exploration_is_even_over_what_is_legal",
    ),
    (
        "box-beta-sample-of-one-part", "envs/cubes/beta_mixture.py",
        "alpha, beta = self.alpha.gather(-1, chosen), self.beta.gather(-1, chosen)",
        "alpha, beta = self.alpha[..., :1], self.beta[..., :1]",
        "tests/envs/cubes/test_beta_mixture.py::test_samples_have_the_moments_of_the_law",
    ),
    (
        "box-atom-forced-leak", "envs/cubes/atom.py",
        "F.logsigmoid(logit).masked_fill(forced, 0.0)", "F.logsigmoid(logit)",
        "tests/envs/cubes/test_atom.py::test_forced_and_ruled_out_are_exact_and_without_gradient",
    ),
    (
        "box-envelope", "envs/cubes/rewards.py",
        "self.masses = (r0, r1 * 0.5**dim, r2 * 0.2**dim)",
        "self.masses = (r0, r1 * 0.5**dim, (r2 - r1) * 0.2**dim)",
        "tests/envs/cubes/test_box_rewards.py::test_published_numbers_of_the_square",
    ),
    (
        "cube-jacobian", "envs/cubes/moves.py",
        "(self.place.log_prob(r) - self.width.log()).sum(-1)",
        "self.place.log_prob(r).sum(-1)",
        f"{CUBE}::test_densities_integrate_to_one",
    ),
    (
        "cube-home-left-out", "envs/cubes/moves.py",
        "moved = self.home.no + self.back.log_prob(self.states - states)",
        "moved = self.back.log_prob(self.states - states)",
        f"{CUBE}::test_weights_have_the_mean_z",
    ),
    (
        "cube-leak", "envs/cubes/cube.py",
        "Increments(*self.legal_increments(1 - states), place)",
        "Increments(torch.zeros_like(states), 1 - states, place)",
        f"{CUBE}::test_moves_are_legal_both_ways",
    ),
    (
        "cube-forced-by-all-axes", "envs/cubes/cube.py",
        "return (states <= self.min_step + self.border).any(-1)",
        "return (states <= self.min_step + self.border).all(-1)",
        f"{CUBE}::test_forced_moves_are_certain_and_without_gradient",
    ),
)  # fmt: skip
