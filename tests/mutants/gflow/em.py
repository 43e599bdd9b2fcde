"""Mutants of `gflow/em`."""

REWARD = "tests/gflow/em/test_em_reward.py"
STEP = "tests/gflow/em/test_m_step.py"

MUTANTS = (
    (
        "dreams-write-over-data",
        "gflow/em/observations.py",
        "place[self.count :] = new",
        "place[: len(new)] = new",
        f"{REWARD}::test_dreams_stand_behind_the_data_until_the_next_and_leave_it_as_it_is",
    ),
    (
        "copies-of-data",
        "gflow/em/observations.py",
        "        return self\n",
        "        return Observations(self.data)\n",
        f"{REWARD}::test_policies_and_their_copies_read_what_the_reward_dreams",
    ),
    (
        "features-of-distinct-rows",
        "gflow/em/encoder.py",
        "return features[place]",
        "return features[numbers % len(features)]",
        f"{REWARD}::test_encoders_read_each_row_once_and_give_it_to_all_that_ask",
    ),
    (
        "m-step-down",
        "gflow/em/learner.py",
        "(-value).backward()",
        "value.backward()",
        f"{STEP}::test_a_step_goes_up_the_mean_of_log_p_and_raises_the_version",
    ),
    (
        "m-step-silent",
        "gflow/em/learner.py",
        "self.reward.version += 1",
        "self.reward.version += 0",
        f"{STEP}::test_a_step_goes_up_the_mean_of_log_p_and_raises_the_version",
    ),
    (
        "smoothed-from-zero",
        "gflow/em/pace.py",
        "before = loss.clone() if",
        "before = loss * 0 if",
        f"{STEP}::test_the_threshold_falls_with_each_step_and_the_average_starts_at_the_first_loss",
    ),
    (
        "greedy-latents-are-drawn",
        "gflow/em/learner.py",
        'GREEDY if self.latents == "greedy" else ON_POLICY',
        "ON_POLICY",
        f"{STEP}::test_latents_are_the_likeliest_where_it_is_greedy",
    ),
)
