"""Mutants of `envs/language` (integers, arithmetic) and of what they are measured by."""

INTEGERS = "tests/envs/language/test_integers.py"
ARITHMETIC = "tests/envs/language/test_arithmetic.py"
GRADIENT = "tests/gflow/language/test_policy_gradient.py"
EXPECTED = f"{GRADIENT}::test_the_expected_gradient_is_the_exact_one"
LAW = f"{INTEGERS}::test_numbers_of_a_law_by_hand"
CALCULATOR = f"{ARITHMETIC}::test_calculators_add_what_stands_before_the_equals_sign"
CORPUS = f"{ARITHMETIC}::test_the_corpus_says_what_it_should_as_often_as_it_should"
ANSWERS = f"{ARITHMETIC}::test_answers_are_read_off_the_model_and_counted"

MUTANTS = (
    (
        "gradient-baseline-of-itself",
        "gflow/language/policy_gradient.py",
        "return earned - (value - earned) / (count - 1)",
        "return earned - value / count",
        EXPECTED,
    ),
    (
        "gradient-pays-for-the-reference",
        "gflow/language/policy_gradient.py",
        "earned = earned - self.config.kl * (old - reference).sum(1)",
        "earned = earned + self.config.kl * (old - reference).sum(1)",
        EXPECTED,
    ),
    (
        "gradient-reference-is-itself",
        "gflow/language/policy_gradient.py",
        "with self.policy.model.reference():",
        "with torch.no_grad():",
        EXPECTED,
    ),
    (
        "gradient-charges-for-entropy",
        "gflow/language/policy_gradient.py",
        "batch.log_reward - self.config.entropy * old.sum(1)",
        "batch.log_reward + self.config.entropy * old.sum(1)",
        EXPECTED,
    ),
    (
        "gradient-descends",
        "gflow/language/policy_gradient.py",
        "loss = -surrogate(",
        "loss = surrogate(",
        f"{GRADIENT}::test_a_step_climbs_from_the_batch_that_was_drawn",
    ),
    (
        "ppo-takes-the-larger",
        "gflow/language/policy_gradient.py",
        "torch.minimum(ratio * gain",
        "torch.maximum(ratio * gain",
        f"{GRADIENT}::test_ratios_gain_nothing_by_leaving_the_clip",
    ),
    (
        "ppo-clips-one-side",
        "gflow/language/policy_gradient.py",
        "ratio.clamp(1 - clip, 1 + clip)",
        "ratio.clamp(max=1 + clip)",
        f"{GRADIENT}::test_ratios_gain_nothing_by_leaving_the_clip",
    ),
    (
        "listed-texts-too-short",
        "gflow/language/listed.py",
        "range(env.min_length, env.max_length + 1)",
        "range(env.min_length, env.max_length)",
        f"{GRADIENT}::test_listed_texts_are_all_there_and_their_law_is_that_of_the_states",
    ),
    (
        "listed-texts-of-the-first-prompt",
        "gflow/language/listed.py",
        "[prompt] * count",
        "[0] * count",
        f"{GRADIENT}::test_texts_of_a_prompt_are_listed_by_its_number_and_not_too_many",
    ),
    (
        "integers-invalid-ones-earn",
        "envs/language/integers.py",
        "0.0 if is_integer(text) else -penalty",
        "0.0 if is_integer(text) else penalty",
        LAW,
    ),
    (
        "integers-without-the-largest",
        "envs/language/integers.py",
        "int(text) <= LARGEST",
        "int(text) < LARGEST",
        f"{INTEGERS}::test_integers_are_what_people_write",
    ),
    (
        "integers-divergences-swapped",
        "envs/language/integers_task.py",
        '"kl_to_uniform": float(kl(shares.log(), uniform.log()))',
        '"kl_to_uniform": float(kl(uniform.log(), shares.log()))',
        LAW,
    ),
    (
        "integers-made-up-the-other-way",
        "envs/language/integers.py",
        "torch.where(coin < INVALID, large, small)",
        "torch.where(coin > INVALID, large, small)",
        f"{INTEGERS}::test_made_up_integers_are_skewed_and_read_from_left_to_right",
    ),
    (
        "pretraining-one-token-late",
        "envs/language/pretraining.py",
        "masked_fill(~learned[:, 1:], -100)",
        "masked_fill(~learned[:, :-1], -100)",
        f"{INTEGERS}::test_only_what_is_learned_counts_in_the_loss_and_pretraining_lowers_it",
    ),
    (
        "calculator-signs-swapped",
        "envs/language/calculator.py",
        "torch.where(sign == self.plus, 1, -1)",
        "torch.where(sign == self.plus, -1, 1)",
        CALCULATOR,
    ),
    (
        "calculator-without-the-largest",
        "envs/language/calculator.py",
        "(result <= self.most)",
        "(result < self.most)",
        CALCULATOR,
    ),
    (
        "text-calculator-turned-round",
        "envs/language/calculator.py",
        "int(left) - int(right)",
        "int(right) - int(left)",
        CALCULATOR,
    ),
    (
        "arithmetic-steps-do-not-go-on",
        "envs/language/arithmetic.py",
        "            total += sign * number\n",
        "            total -= sign * number\n",
        f"{ARITHMETIC}::test_problems_are_worked_out_from_left_to_right",
    ),
    (
        "corpus-answers-with-the-first-result",
        "envs/language/arithmetic_base.py",
        "result.gather(1, size - 2)",
        "result.gather(1, 0 * size)",
        CORPUS,
    ),
    (
        "corpus-share-falls-too-slowly",
        "envs/language/arithmetic_base.py",
        "max(0.0, 1 - 2 * part)",
        "max(0.0, 1 - part)",
        CORPUS,
    ),
    (
        "corpus-learns-questions-too",
        "envs/language/arithmetic_base.py",
        "learned[:, :known] = False",
        "learned[:, :1] = False",
        CORPUS,
    ),
    (
        "arithmetic-answers-by-the-policy",
        "envs/language/arithmetic_reward.py",
        "with self.model.reference():",
        "with torch.no_grad():",
        ANSWERS,
    ),
    (
        "arithmetic-majority-of-none",
        "envs/language/arithmetic_reward.py",
        "most_common(1)[0][0] == problem.answer",
        "most_common()[-1][0] == problem.answer",
        ANSWERS,
    ),
    (
        "arithmetic-trains-on-what-judges",
        "envs/language/arithmetic_task.py",
        "env.prompts.sampler(self.repeat, range(self.train_problems))",
        "env.prompts.sampler(self.repeat)",
        f"{ARITHMETIC}::test_the_task_trains_on_some_questions_and_is_judged_by_others",
    ),
)
