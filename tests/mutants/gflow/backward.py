"""Mutants of `gflow/backward`."""

BACKWARD = "tests/gflow/backward/test_backward_policies.py"

MUTANTS = (
    (
        "count-pin", "gflow/backward/count.py",
        "value.where(~env.is_initial(states), 0.0)",
        "value",
        f"{BACKWARD}::test_counts_that_are_exact_give_the_maximum_entropy_policy",
    ),
    (
        "count-classes", "gflow/backward/count.py",
        "mask = representatives(mask, classes)",
        "mask = mask.clone()",
        f"{BACKWARD}::test_counts_that_are_exact_give_the_maximum_entropy_policy",
    ),
    (
        "tlm-share", "gflow/backward/fits.py",
        "average_into(self.target, self.network, self.tau)",
        "average_into(self.target, self.network, 1 - self.tau)",
        f"{BACKWARD}::test_the_target_is_the_average_of_what_was_fitted",
    ),
    (
        "likelihood-sign", "gflow/backward/fits.py",
        "return -log_pb(env, network, batch)",
        "return log_pb(env, network, batch)",
        f"{BACKWARD}::test_likelihood_converges_to_the_frequencies_seen",
    ),
    (
        "pessimistic-memory", "gflow/backward/fits.py",
        '"memory": self.memory.state_dict()',
        '"memory": []',
        f"{BACKWARD}::test_a_killed_fit_resumes_to_the_same_bits",
    ),
)  # fmt: skip
