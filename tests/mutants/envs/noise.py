"""Mutants of `envs/noise`."""

ANY = "tests/envs/noise/test_with_noise.py"
LAWS = "tests/envs/noise/test_noise_laws.py"
DOUBLED = f"{ANY}::test_noise_everywhere_doubles_the_turns"

MUTANTS = (
    (
        "noise-replaces-among-illegal", "envs/noise/kernels.py",
        "share = self.alpha / legal.sum(-1, keepdim=True).clamp(min=1)",
        "share = self.alpha / torch.full_like(legal.sum(-1, keepdim=True), legal.shape[1])",
        f"{ANY}::test_probabilities_of_what_is_executed",
    ),
    (
        "noise-never-the-intended", "envs/noise/kernels.py",
        "return (share + (1 - self.alpha) * _one_hot(intended, legal)).log()",
        "return (share * (1 - _one_hot(intended, legal))"
        " + (1 - self.alpha) * _one_hot(intended, legal)).log()",
        f"{LAWS}::test_flows_do_not_depend_on_token_noise",
    ),
    (
        "sticky-at-the-edge-too", "envs/noise/kernels.py",
        "noise = torch.where(legal[:, :size].all(-1, keepdim=True), self.p, 0.0)",
        "noise = torch.where(legal[:, :size].any(-1, keepdim=True), self.p, 0.0)",
        f"{ANY}::test_probabilities_of_what_is_executed",
    ),
    (
        "table-read-by-column", "envs/noise/kernels.py",
        "self.log_probability = given.log().to(torch.get_default_dtype())",
        "self.log_probability = given.T.log().to(torch.get_default_dtype())",
        f"{ANY}::test_a_table_is_shared_out_among_what_is_legal",
    ),
    (
        "chance-stops", "envs/noise/env.py",
        "        return legal & (torch.arange(self.num_actions, device=legal.device)"
        " != self.stop_action)",
        "        return legal",
        f"{ANY}::test_probabilities_of_what_is_executed",
    ),
    (
        "what-cannot-be-executed-is-legal", "envs/noise/env.py",
        "return self._moves(inner) if self.kernel.everywhere else"
        " self._executed(inner, intended)[0]",
        "return self._moves(inner)",
        f"{ANY}::test_a_function_is_a_kernel_and_support_matters",
    ),
    (
        "undone-with-another-announcement", "envs/noise/env.py",
        "undo = undo * self.num_moves + states.announced - 1",
        "undo = undo * self.num_moves + states.announced % self.num_moves",
        f"{DOUBLED}[left-to-right-0.3]",
    ),
    (
        "impossible-announcements-undone", "envs/noise/env.py",
        "said = said & self._leads(before, taken, classes)",
        "said = said & said",
        f"{ANY}::test_a_function_is_a_kernel_and_support_matters",
    ),
    (
        "equal-moves-announced-apart", "envs/noise/env.py",
        "said = actions if classes is None else classes.gather(1, actions[:, None]).squeeze(1)",
        "said = actions",
        f"{ANY}::test_equal_moves_are_announced_as_one",
    ),
    (
        "keys-of-announcements-collide", "envs/noise/env.py",
        "return key + states.announced * self.inner.num_keys",
        "return key + states.announced",
        f"{DOUBLED}[left-to-right-0.3]",
    ),
    (
        "listed-in-another-order", "envs/noise/env.py",
        "exists = exists.T.flatten()  # as the keys: what is announced varies slowest",
        "exists = exists.flatten()",
        f"{ANY}::test_listed_states_stand_in_the_place_of_their_keys",
    ),
    (
        "multiplicity-lost", "envs/noise/env.py",
        "return self.inner.log_multiplicity(states.inner)",
        "return None",
        f"{ANY}::test_states_that_share_an_object_share_its_reward",
    ),
    (
        "horizon-of-one-turn", "envs/noise/env.py",
        "self.horizon = 2 * env.horizon - (not env.has_forced_terminals)",
        "self.horizon = 2 * env.horizon - 1",
        f"{DOUBLED}[left-to-right-0.3]",
    ),
    (
        "figures-of-the-other-form", "envs/noise/metrics.py",
        "if objective.solution is Solution.EXPECTED:",
        "if objective.solution is not Solution.EXPECTED:",
        "tests/envs/noise/test_noise_tasks.py"
        "::test_figures_vanish_at_expected_flows_of_the_form_that_is_meant",
    ),
    (
        "motifs-on-one-strand", "envs/sequences/motif_scores.py",
        "for strand in (letters, (3 - letters).flip(1)):",
        "for strand in (letters, letters):",
        "tests/envs/sequences/test_motif_scores.py::test_both_strands_bind_alike",
    ),
)  # fmt: skip
