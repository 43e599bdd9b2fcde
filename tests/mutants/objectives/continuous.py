"""Mutants of objectives of diffusion samplers."""

PATHWISE = "tests/objectives/test_pathwise_kl.py"
ADJOINT = "tests/objectives/test_adjoint.py"

MUTANTS = (
    (
        "kl-turned", "objectives/pathwise_kl.py",
        "return -terms.log_weight / (self.divisor",
        "return terms.log_weight / (self.divisor",
        f"{PATHWISE}::test_the_loss_is_the_divergence",
    ),
    (
        "adjoint-rows-mixed", "objectives/adjoint.py",
        "gap = (drift.view(self.repeats, count, -1) - wanted)",
        "gap = (drift.view(count, self.repeats, -1).transpose(0, 1) - wanted)",
        f"{ADJOINT}::test_the_regression_is_smallest_at_the_optimal_drift",
    ),
    (
        "adjoint-units", "objectives/adjoint.py",
        " - wanted) / bridge.sigma",
        " - wanted) / bridge.sigma**2",
        f"{ADJOINT}::test_the_loss_is_a_mean_over_objects_and_times",
    ),
    (
        "adjoint-estimate-of-all", "objectives/adjoint.py",
        "return terms.log_weight[:measured].mean()",
        "return terms.log_weight.mean()",
        f"{ADJOINT}::test_some_log_weights_are_known_and_no_gradient_goes_into_them",
    ),
    (
        "adjoint-generator-lost", "objectives/adjoint.py",
        "self.generator.set_state(state)",
        "self.generator.get_state()",
        f"{ADJOINT}::test_objects_are_brought_back_by_a_memory_and_a_run_resumes",
    ),
    (
        "adjoint-early-times", "objectives/adjoint.py",
        ").to(wanted.device)",
        ").to(wanted.device) / 2",
        f"{ADJOINT}::test_times_are_drawn_evenly_and_anew_for_every_object",
    ),
    (
        "adjoint-one-time", "objectives/adjoint.py",
        "self.repeats * count, dtype=wanted.dtype",
        "self.repeats, dtype=wanted.dtype",
        f"{ADJOINT}::test_times_are_drawn_evenly_and_anew_for_every_object",
    ),
    (
        "bridge-of-any-reward", "envs/diffusion/bridge.py",
        "if not isinstance(env.reward, TargetReward):",
        "if False:",
        "tests/objectives/test_objective_refusals.py::test_a_bridge_reads_the_score_of_the_reward_that_is_trained_on",
    ),
    (
        "kl-estimate-turned", "objectives/pathwise_kl.py",
        "        return terms.log_weight\n",
        "        return -terms.log_weight\n",
        f"{PATHWISE}::test_the_estimate_of_log_z_is_the_evidence_lower_bound",
    ),
)  # fmt: skip
