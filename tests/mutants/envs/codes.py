"""Mutants of `envs/codes`."""

MODEL = "tests/envs/codes/test_code_model.py::"
POLICY = "tests/envs/codes/test_code_policy.py::"
BASE = "tests/envs/codes/test_code_baselines.py::"
TASK = "tests/envs/codes/test_digits_task.py::"

MUTANTS = (
    (
        "codes-no-prior", "envs/codes/model.py",
        "return self.prior.log_prob(z) + self.log_likelihood(x, z)",
        "return self.log_likelihood(x, z)",
        MODEL + "test_the_joint_is_what_pixels_say[True]",
    ),
    (
        "codes-ink-sign", "envs/codes/model.py",
        "return (x * logits - F.softplus(logits)).sum(-1)",
        "return (x * logits - F.softplus(-logits)).sum(-1)",
        MODEL + "test_the_joint_is_what_pixels_say[False]",
    ),
    (
        "codes-joint-prior", "envs/codes/model.py",
        "return drawn + self.prior.log_prob(z)",
        "return drawn",
        MODEL + "test_all_pictures_and_codes_together_have_probability_one[True]",
    ),
    (
        "codes-listing", "envs/codes/model.py",
        "// radix % k",
        "// radix % (k - 1)",
        MODEL + "test_codes_are_listed_once_each_and_scored_in_that_order",
    ),
    (
        "codes-sample-ink", "envs/codes/model.py",
        "torch.bernoulli(self.decoder(z).sigmoid(), generator=generator)",
        "torch.bernoulli((-self.decoder(z)).sigmoid(), generator=generator)",
        MODEL + "test_samples_have_the_frequencies_of_the_joint",
    ),
    (
        "codes-mask-own", "envs/codes/prior.py",
        "mask[:reach], mask[reach, :reach], mask[reach, reach] = 1, 1, float(own)",
        "mask[:reach], mask[reach, :reach], mask[reach, reach] = 1, 1, 1.0",
        MODEL + "test_a_code_depends_on_all_before_it_and_on_none_after[2]",
    ),
    (
        "codes-mask-blind", "envs/codes/prior.py",
        "own=False, reach=max(1, side - 1))",
        "own=False, reach=1)",
        MODEL + "test_a_code_depends_on_all_before_it_and_on_none_after[2]",
    ),
    (
        "codes-prior-place", "envs/codes/prior.py",
        "law = self.logits(z)[:, cell].softmax(-1)",
        "law = self.logits(z)[:, cell - 1].softmax(-1)",
        MODEL + "test_codes_are_drawn_from_the_prior",
    ),
    (
        "codes-cell", "envs/codes/policy.py",
        "place = (states < self.symbols).sum(1).clamp(max=self.cells - 1)",
        "place = (states < self.symbols).sum(1).clamp(max=self.cells - 1) * 0",
        POLICY + "test_factors_do_not_read_other_codes",
    ),
    (
        "codes-session-rows", "envs/codes/policy.py",
        "seen if len(rows) == count else seen[rows])",
        "seen[: len(rows)])",
        POLICY + "test_a_rollout_that_remembers_pictures_says_the_same",
    ),
    (
        "codes-factors", "envs/codes/policy.py",
        "        if autoregressive:\n",
        "        if features:\n",
        POLICY + "test_factors_do_not_read_other_codes",
    ),
    (
        "codes-listed-order", "envs/codes/metrics.py",
        "log_q = (log_q[:, :, None] + law).transpose(1, 2).flatten(1)",
        "log_q = (log_q[:, :, None] + law).flatten(1)",
        POLICY + "test_the_listed_law_is_that_of_the_graph",
    ),
    (
        "codes-kl-sign", "envs/codes/metrics.py",
        "return (q * (log_q - log_p)).sum(-1)",
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        POLICY + "test_evidence_is_bound_plus_gap",
    ),
    (
        "codes-likelihood-mean", "gflow/em/likelihood.py",
        "found = torch.cat(weights).view(rows, count).logsumexp(1)",
        "found = torch.cat(weights).view(rows, count).logsumexp(1) * 1.01",
        POLICY + "test_one_sample_of_the_posterior_tells_the_likelihood",
    ),
    (
        "codes-estimate-weights", "gflow/em/likelihood.py",
        "weights.append(evaluate(env, policy, batch).log_weight.double())",
        "weights.append(batch.log_reward.double())",
        POLICY + "test_estimates_of_the_likelihood_are_unbiased_and_their_logarithms_low",
    ),
    (
        "codes-bound-sign", "envs/codes/metrics.py",
        "return -model.log_likelihood(x, z)",
        "return -model.log_prob(x, z)",
        POLICY + "test_one_code_for_each_picture_gives_a_bound",
    ),
    (
        "codes-leave-one-out", "envs/codes/baselines.py",
        "* (samples / (samples - 1))",
        "* ((samples - 1) / samples)",
        BASE + "test_the_gradient_is_that_of_the_bound_on_average[2]",
    ),
    (
        "codes-evidence-entropy", "envs/codes/baselines.py",
        "worth = (log_joint - log_q).detach()",
        "worth = log_joint.detach()",
        BASE + "test_the_gradient_is_that_of_the_bound_on_average[3]",
    ),
    (
        "codes-straight-through", "envs/codes/vq.py",
        "passed = vectors + (chosen - vectors).detach()",
        "passed = vectors",
        BASE + "test_the_gradient_passes_the_codes_as_they_are",
    ),
    (
        "codes-commitment", "envs/codes/vq.py",
        "return misfit + self.commitment * F.mse_loss(vectors, chosen)",
        "return misfit + self.commitment * F.mse_loss(vectors.detach(), chosen)",
        BASE + "test_the_gradient_passes_the_codes_as_they_are",
    ),
    (
        "codes-book-decay", "envs/codes/vq.py",
        "self.sums.lerp_(chosen.mT @ vectors, 1 - self.decay)",
        "self.sums.lerp_(chosen.mT @ vectors, self.decay)",
        BASE + "test_the_book_follows_the_means_of_its_vectors",
    ),
    (
        "codes-prior-fit", "envs/codes/vq.py",
        "loss = -prior.log_prob(z[rows]).mean()",
        "loss = prior.log_prob(z[rows]).mean()",
        BASE + "test_the_prior_learns_the_frequencies_of_codes",
    ),
    (
        "digits-test-rows", "envs/codes/task.py",
        "return TableCondition(split(_reward(env).data.conditions)[0], self.repeat)",
        "return TableCondition(_reward(env).data.conditions, self.repeat)",
        TASK + "test_only_training_pictures_are_trained_on",
    ),
    (
        "digits-greedy-prior", "envs/codes/task.py",
        'model.prior: "fresh"}',
        'model.prior: "greedy"}',
        TASK + "test_what_decoder_and_prior_are_fitted_to",
    ),
    (
        "digits-measured-by-chance", "envs/codes/task.py",
        "policy, len(train), condition=train, generator=generator, device=device",
        "policy, len(train), condition=train, device=device",
        TASK + "test_measuring_draws_from_a_generator_of_its_own",
    ),
    (
        "digits-log-z-sign", "envs/codes/task.py",
        "(said + exact).abs()",
        "(said - exact).abs()",
        TASK + "test_log_z_is_compared_with_the_likelihood",
    ),
    (
        "digits-flow-start", "envs/codes/task.py",
        "policy.head.bias[-1] += self.log_z(env)",
        "policy.head.bias[0] += self.log_z(env)",
        TASK + "test_flows_start_where_log_z_does",
    ),
    (
        "digits-ink", "envs/codes/data.py",
        "(digits() >= 0.5)",
        "(digits() > 0.5)",
        MODEL + "test_digits_are_black_where_half_of_the_ink_is",
    ),
)  # fmt: skip
