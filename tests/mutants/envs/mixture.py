"""Mutants of `envs/mixture`."""

MIXTURE = "tests/envs/mixture/test_mixture.py"

MUTANTS = (
    (
        "mixture-not-in-nats",
        "envs/mixture/model.py",
        "- scale - math.log(16)",
        "+ 2 * scale - math.log(16)",
        f"{MIXTURE}::test_places_are_a_lattice_and_log_p_is_the_density_in_nats",
    ),
    (
        "mixture-petals-turned",
        "envs/mixture/data.py",
        "torch.tensor([[half, half], [-half, half], [-half, -half], [half, -half]])",
        "torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])",
        f"{MIXTURE}::test_places_are_a_lattice_and_log_p_is_the_density_in_nats",
    ),
    (
        "mixture-m-step-without-petals",
        "envs/mixture/model.py",
        "weight[:, None] * (x - self.offsets[z[:, 1]])",
        "weight[:, None] * x",
        f"{MIXTURE}::test_the_m_step_in_closed_form_is_where_the_gradient_vanishes",
    ),
    (
        "mixture-unclipped",
        "envs/mixture/env.py",
        "reward = joint if low is None else Clipped(joint, low)",
        "reward = joint",
        f"{MIXTURE}::test_log_r_is_clipped_as_in_the_toy_or_left_as_it_is",
    ),
    (
        "importance-sampling-of-what-is-clipped",
        "gflow/em/likelihood.py",
        "if joint is not None and joint is not env.reward:",
        "if joint is env.reward:",
        f"{MIXTURE}::test_the_likelihood_by_importance_sampling_is_that_of_the_model_without_the_clip",
    ),
    (
        "em-task-threshold-falls-to-nothing",
        "gflow/em/task.py",
        "self.threshold_end or self.threshold",
        "self.threshold_end",
        f"{MIXTURE}::test_options_become_the_pace_the_dreams_and_the_rows",
    ),
    (
        "em-task-forgets-sleep",
        "gflow/em/task.py",
        "if not self.sleep:",
        "if self.sleep:",
        f"{MIXTURE}::test_options_become_the_pace_the_dreams_and_the_rows",
    ),
    (
        "em-task-forgets-the-threshold",
        "gflow/em/task.py",
        "if self.threshold:",
        "if not self.threshold:",
        f"{MIXTURE}::test_options_become_the_pace_the_dreams_and_the_rows",
    ),
)
