"""Mutants of rationale classification, `envs/language/rationale_*.py`."""

TESTS = "tests/envs/language/test_rationales.py"
REVIEWS = "tests/envs/language/test_rationale_reviews.py"
LABELS = "envs/language/rationale_labels.py"
REWARD = "envs/language/rationale_reward.py"
STEP = "envs/language/rationale_mstep.py"
VOTES = "envs/language/rationale_votes.py"
SUFFIXES = f"{TESTS}::test_suffixes_are_what_the_model_says_of_each_text_alone"
PREFIXES = f"{TESTS}::test_rewards_of_all_prefixes_are_the_definition"

MUTANTS = (
    (
        "rationales-opening-by-the-adapters",
        LABELS,
        "before = (when >= 0) & (when < size[:, None, None] + len(self.opening))",
        "before = (when >= 0) & (when < size[:, None, None])",
        SUFFIXES,
    ),
    (
        "rationales-labels-by-the-base",
        LABELS,
        "told, _ = self._read(self.model, tokens, size, prompt)",
        "told, _ = self._read(self.base, tokens, size, prompt)",
        SUFFIXES,
    ),
    (
        "rationales-suffix-one-late",
        LABELS,
        "behind = (time - size[:, None]).clamp(0, width - 1)",
        "behind = (time - size[:, None] + 1).clamp(0, width - 1)",
        SUFFIXES,
    ),
    (
        "rationales-ending-of-the-longer",
        LABELS,
        "there = time < (size[:, None] + length)[..., None]",
        "there = time < (size[:, None] + length.max())[..., None]",
        SUFFIXES,
    ),
    (
        "rationales-pair-with-the-ending",
        LABELS,
        "mine = (when >= first) & (when < first + length)",
        "mine = when >= first",
        f"{TESTS}::test_labels_alone_are_a_distribution_over_the_pair",
    ),
    (
        "rationales-pair-not-renormalised",
        LABELS,
        "return said.where(mine, 0.0).sum(-1).log_softmax(-1)",
        "return said.where(mine, 0.0).sum(-1)",
        f"{TESTS}::test_labels_alone_are_a_distribution_over_the_pair",
    ),
    (
        "rationales-weights-not-shared",
        LABELS,
        "return copy.deepcopy(model, shared)",
        "return copy.deepcopy(model)",
        f"{TESTS}::test_fitting_trains_the_heads_adapters_and_nothing_else",
    ),
    (
        "rationales-penalty-where-right",
        REWARD,
        "scores = mine - self.penalty * (other > mine)",
        "scores = mine - self.penalty * (other < mine)",
        PREFIXES,
    ),
    (
        "rationales-of-the-other-label",
        REWARD,
        "mine = both.gather(1, answer[row, None]).squeeze(1)",
        "mine = both.gather(1, 1 - answer[row, None]).squeeze(1)",
        PREFIXES,
    ),
    (
        "rationales-of-unknown-labels",
        REWARD,
        "if bool((answer < 0).any()):",
        "if bool((answer < -1).any()):",
        f"{TESTS}::test_what_makes_no_sense_is_refused",
    ),
    (
        "rationales-m-step-away",
        STEP,
        "return nn.functional.nll_loss(said, answer)",
        "return -nn.functional.nll_loss(said, answer)",
        f"{TESTS}::test_the_gradient_of_an_m_step_is_that_of_the_cross_entropy",
    ),
    (
        "rationales-reward-remembers",
        STEP,
        "        self.reward.forget()\n        return loss",
        "        self.reward.version += 1\n        return loss",
        f"{TESTS}::test_the_m_step_is_due_by_its_pace_and_the_reward_hears_of_it",
    ),
    (
        "rationales-resumed-untuned",
        STEP,
        "self.fit.head.tuned = self.fit.steps > 0",
        "self.fit.head.tuned = False",
        f"{TESTS}::test_runs_go_on_from_checkpoints_to_the_same_numbers",
    ),
    (
        "rationales-answers-by-row",
        STEP,
        "answer = self.reward.answers.to(device)[prompt]",
        "answer = self.reward.answers.to(device).repeat(len(prompt))[: len(prompt)]",
        f"{TESTS}::test_m_steps_see_rationales_of_labelled_reviews_alone",
    ),
    (
        "rationales-half-decides",
        VOTES,
        "return (share > 0.5).long()",
        "return (share >= 0.5).long()",
        f"{TESTS}::test_rationales_vote_and_more_than_half_decide",
    ),
    (
        "rationales-vote-for-the-first",
        VOTES,
        "second = (both[:, 1] > both[:, 0])",
        "second = (both[:, 1] < both[:, 0])",
        f"{TESTS}::test_rationales_vote_and_more_than_half_decide",
    ),
    (
        "rationales-greedy-by-chance",
        VOTES,
        "GREEDY if greedy else 1.0",
        "1.0 if greedy else GREEDY",
        f"{TESTS}::test_greedy_rationales_are_the_likeliest_tokens",
    ),
    (
        "rationales-label-of-the-other-clause",
        "envs/language/rationale_reviews.py",
        "        return ATTRIBUTES[self.attribute][0]",
        "        return ATTRIBUTES[self.other][0]",
        f"{REVIEWS}::test_the_film_decides_and_no_review_names_its_attribute",
    ),
    (
        "rationales-corpus-denies",
        "envs/language/rationale_reviews.py",
        "if _chance(generator) >= right:",
        "if _chance(generator) < right:",
        f"{REVIEWS}::test_the_corpus_couples_rationale_and_label_as_loosely_as_it_says",
    ),
)
