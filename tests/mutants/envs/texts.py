"""Mutants of `envs/language` (continuation, infilling)."""

CONTINUATION = "tests/envs/language/test_continuation.py"
INFILLING = "tests/envs/language/test_infilling.py"
ILLEGAL = f"{CONTINUATION}::test_what_would_end_or_break_a_sentence_is_illegal"

MUTANTS = (
    (
        "plain-tokens-with-initials",
        "envs/language/legal.py",
        'word not in "AI")',
        'word in "AI")',
        f"{ILLEGAL}[ B]",
    ),
    (
        "plain-tokens-with-addresses",
        "envs/language/legal.py",
        "word.lower() in ADDRESSES or",
        "word.upper() in ADDRESSES or",
        f"{ILLEGAL}[ http]",
    ),
    (
        "plain-tokens-of-one-part",
        "envs/language/legal.py",
        "PLAIN.fullmatch(text)",
        "PLAIN.match(text)",
        f"{ILLEGAL}[a/b]",
    ),
    (
        "help-trains-on-what-is-held-out",
        "envs/language/continuation_base.py",
        "list(rows[::HELD_OUT])",
        "list(rows[1::HELD_OUT])",
        f"{CONTINUATION}::test_paragraphs_of_help_are_prose_and_held_out_ones_are_not_trained_on",
    ),
    (
        "windows-never-reach-the-end",
        "envs/language/continuation_base.py",
        "(len(self.stream) - self.width, (count,)",
        "(len(self.stream) - self.width - 3, (count,)",
        f"{CONTINUATION}::test_windows_are_pieces_of_the_text_behind_the_token_that_opens_it",
    ),
    (
        "base-trained-again",
        "envs/language/kept.py",
        'if folder and (Path(folder) / "config.json").exists()',
        'if folder and (Path(folder) / "none.json").exists()',
        f"{CONTINUATION}::test_the_base_is_kept_and_used_again",
    ),
    (
        "continuation-trains-on-others",
        "envs/language/continuation_task.py",
        "env.prompts.sampler(self.repeat, range(self.openings))",
        "env.prompts.sampler(self.repeat)",
        f"{CONTINUATION}::test_training_draws_the_prompts_that_are_trained_on",
    ),
    (
        "continuation-stays-warm",
        "envs/language/continuation_task.py",
        "1.0, self.temperature, self.anneal)",
        "1.0, 1.0, self.anneal)",
        f"{CONTINUATION}::test_training_draws_the_prompts_that_are_trained_on",
    ),
    (
        "continuation-reward-over-all-tokens",
        "envs/language/continuation.py",
        "ReferenceLM(model, prompts, end, temperature, legal)",
        "ReferenceLM(model, prompts, end, temperature)",
        f"{CONTINUATION}::test_the_reward_is_the_tempered_probability_of_the_sentence",
    ),
    (
        "stories-of-other-things",
        "envs/language/stories.py",
        "thing = one(things)",
        "thing = one(THINGS)",
        f"{INFILLING}::test_the_middle_explains_the_ending_and_things_are_those_of_the_story",
    ),
    (
        "stories-sold-by-the-owner",
        "envs/language/stories.py",
        "who for who in people if who != what",
        "who for who in people if who == what",
        f"{INFILLING}::test_middles_by_hand",
    ),
    (
        "prompts-tell-the-true-ending",
        "envs/language/infilling_base.py",
        "labelled(story, other.ending)",
        "labelled(story, story.ending)",
        f"{INFILLING}::test_the_corpus_shows_the_shape_of_prompts_with_endings_of_others",
    ),
    (
        "infilling-without-the-full-stop",
        "envs/language/infilling.py",
        "[[stop, *model.encode(before + story.ending), stop]",
        "[[*model.encode(before + story.ending), stop]",
        f"{INFILLING}::test_the_reward_reads_the_story_in_its_order",
    ),
    (
        "infilling-judges-by-the-prompt",
        "envs/language/infilling.py",
        "SuffixLM(model, reads, suffixes, temperature)",
        "SuffixLM(model, asks, suffixes, temperature)",
        f"{INFILLING}::test_the_reward_reads_the_story_in_its_order",
    ),
    (
        "infilling-counts-what-is-found-twice",
        "envs/language/infilling.py",
        "sum(n == k for n, _ in seen)",
        "sum(n == k for n, fit in zip(numbers, fits, strict=True) if fit)",
        f"{INFILLING}::test_metrics_of_middles_by_hand",
    ),
    (
        "infilling-memory-without-seeds",
        "envs/language/infilling_task.py",
        "if self.seeds:",
        "if not self.seeds:",
        f"{INFILLING}::test_the_memory_begins_with_the_true_middles",
    ),
)
