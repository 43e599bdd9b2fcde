"""Mutants of modules at the top of the engine."""

LAWS = "tests/gflow/environment/test_laws.py"
PATHS = "tests/gflow/test_paths.py"

MUTANTS = (
    (
        "paths-begin", "gflow/paths.py",
        "return (size.cumsum(0) - size)[:, None] + torch.minimum(time, size[:, None] - 1)",
        "return (size.cumsum(0) - size)[:, None] + torch.minimum(time, size[:, None])",
        f"{PATHS}::test_paths_say_what_the_sampler_said[stops and walls-short list]",
    ),
    (
        "paths-undo", "gflow/paths.py",
        "undo = env.backward_action(before, taken)",
        "undo = taken",
        f"{PATHS}::test_paths_say_what_the_sampler_said[two ways back-list]",
    ),
    (
        "paths-complete", "gflow/paths.py",
        "complete = stopped | env.is_terminal(last) if env.has_forced_terminals else stopped",
        "complete = stopped",
        f"{PATHS}::test_paths_say_what_the_sampler_said[forced-list]",
    ),
    (
        "trajectories-part", "gflow/trajectories.py",
        "complete=ends if self.complete is None else ends & self.complete,",
        "complete=self.complete,",
        f"{PATHS}::test_parts_of_trajectories_are_their_terms",
    ),
    (
        "masking-uniform", "gflow/masking.py",
        "return -counted(mask).clamp(min=1).log().to(torch.get_default_dtype())",
        "return -(counted(mask) + 1).log().to(torch.get_default_dtype())",
        "tests/gflow/test_masking.py::test_equivalent_actions_count_once",
    ),
    (
        "masking-finite", "gflow/masking.py",
        "return torch.where(mask | ~some(mask), logits, -torch.inf)",
        "return torch.where(mask | ~some(mask), logits, -10.0)",
        "tests/gflow/test_masking.py::test_probabilities_are_those_of_the_legal_logits_alone",
    ),
    (
        "masking-noise", "gflow/masking.py",
        "torch.sub(logits, noise, out=noise)",
        "torch.add(logits, noise, out=noise)",
        "tests/gflow/test_masking.py::test_frequencies_are_the_softmax",
    ),
    (
        "trajectories-join", "gflow/trajectories.py",
        "first_state += part.num_states",
        "first_state += part.num_states - 1",
        "tests/gflow/test_trajectories.py::test_joined_ones_are_the_same",
    ),
    (
        "trajectories-cut", "gflow/trajectories.py",
        "whole = kept == self.length",
        "whole = kept <= self.length",
        "tests/gflow/test_trajectories.py::test_cut_ones_are_prefixes",
    ),
    (
        "splice-meeting", "gflow/trajectories.py",
        "later = time - keep[:, None]",
        "later = time - keep[:, None] + 1",
        "tests/gflow/training/test_resume.py::test_what_is_kept_is_kept",
    ),
    (
        "merge-by-columns", "gflow/masking.py",
        "torch.zeros_like(log_prob).scatter_add_(1, classes, part)",
        "torch.zeros_like(log_prob).scatter_add_(0, classes, part)",
        "tests/gflow/test_masking.py::test_merged_classes_hold_the_sum_where_their_first_action_stands",
    ),
    (
        "merge-top-by-columns", "gflow/masking.py",
        '.scatter_reduce_(1, classes, log_prob, "amax")',
        '.scatter_reduce_(0, classes, log_prob, "amax")',
        "tests/gflow/test_masking.py::test_merged_classes_hold_the_sum_where_their_first_action_stands",
    ),
    (
        "merge-gathers-columns", "gflow/masking.py",
        "(log_prob - top.gather(1, classes)).exp()",
        "(log_prob - top.gather(0, classes)).exp()",
        "tests/gflow/test_masking.py::test_merged_classes_hold_the_sum_where_their_first_action_stands",
    ),
    (
        "chosen-total", "gflow/masking.py",
        "norm[:, None], total.neg_()[:, None], mask)",
        "norm[:, None], total[:, None], mask)",
        f"{LAWS}::test_many_actions_keep_nothing_but_their_logits",
    ),
    (
        "masking-some-long", "gflow/masking.py",
        "amax(-1, keepdim=True).view(torch.bool)",
        "amin(-1, keepdim=True).view(torch.bool)",
        "tests/gflow/test_masking.py::test_long_rows_are_counted_as_short_ones[65]",
    ),
    (
        "masking-counted-bytes", "gflow/masking.py",
        "dtype=torch.int16)",
        "dtype=torch.uint8)",
        "tests/gflow/test_masking.py::test_long_rows_are_counted_as_short_ones[300]",
    ),
    (
        "asked-together-turned", "gflow/environment/categorical.py",
        "return chosen.view(moves.shape).where(exists, 0.0), single",
        "return chosen.view(moves.shape), single",
        f"{LAWS}::test_moves_and_one_action_are_asked_for_together",
    ),
    (
        "chosen-illegal", "gflow/masking.py",
        "return found.masked_fill(~open_to, -torch.inf)",
        "return found",
        f"{LAWS}::test_tables_and_single_actions_agree_with_what_is_asked_one_by_one[apart]",
    ),
    (
        "log-z-value-turned", "gflow/objective.py",
        "self.network(read).squeeze(-1) + self.value",
        "self.network(read).squeeze(-1) - self.value",
        "tests/objectives/test_loss_invariances.py::test_log_z_of_a_condition_starts_around_its_initial_value",
    ),
)  # fmt: skip
