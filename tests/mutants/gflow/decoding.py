"""Mutants of decoding, and of what texts are measured by."""

DECODING = "tests/gflow/language/test_decoding.py"

MUTANTS = (
    (
        "decoding-stops-one-late",
        "gflow/language/diverse.py",
        "= size >= env.min_length",
        "= size > env.min_length",
        f"{DECODING}::test_beams_without_limit_find_the_likeliest_texts_in_order",
    ),
    (
        "decoding-end-not-forced",
        "gflow/language/diverse.py",
        "legal.clone() if size < env.max_length else",
        "legal.clone() if size <= env.max_length else",
        f"{DECODING}::test_greedy_takes_the_likeliest_token",
    ),
    (
        "diverse-beams-are-paid",
        "gflow/language/diverse.py",
        "law[:, g] - penalty * taken[:, None]",
        "law[:, g] + penalty * taken[:, None]",
        f"{DECODING}::test_diverse_beams_pay_for_what_earlier_groups_took",
    ),
    (
        "diverse-groups-never-done",
        "gflow/language/diverse.py",
        "(scores[:, g] > best[:, g, -1:])",
        "(scores[:, g] > -torch.inf)",
        f"{DECODING}::test_diverse_beams_pay_for_what_earlier_groups_took",
    ),
    (
        "diverse-ends-of-any-rank",
        "gflow/language/diverse.py",
        "masked_fill(~ends, -torch.inf)[:, :beams]",
        "masked_fill(~ends, -torch.inf)[:, -beams:]",
        f"{DECODING}::test_diverse_beams_without_a_penalty_are_beams",
    ),
    (
        "diverse-memory-of-other-beams",
        "gflow/language/diverse.py",
        "cache.batch_select_indices((first + parent).flatten())",
        "cache.batch_select_indices((first + 0 * parent).flatten())",
        f"{DECODING}::test_groups_of_many_beams_find_all_texts_in_order",
    ),
    (
        "diverse-rows-of-other-prompts",
        "gflow/language/diverse.py",
        "view(count, groups, 1) * beams",
        "view(count, groups, 1)",
        f"{DECODING}::test_diverse_beams_without_a_penalty_are_beams",
    ),
    (
        "decoding-with-adapters",
        "gflow/language/diverse.py",
        "nullcontext() if adapted",
        "nullcontext() if not adapted",
        f"{DECODING}::test_adapters_are_asked_only_on_request",
    ),
    (
        "decoding-favours-long-texts",
        "gflow/language/decoding.py",
        "length_penalty=0.0",
        "length_penalty=2.0",
        f"{DECODING}::test_beams_without_limit_find_the_likeliest_texts_in_order",
    ),
    (
        "decoding-nucleus-forgotten",
        "gflow/language/decoding.py",
        "top_p=nucleus,",
        "top_p=1.0,",
        f"{DECODING}::test_nucleus_sampling_never_leaves_the_nucleus",
    ),
    (
        "decoding-temperature-forgotten",
        "gflow/language/decoding.py",
        "temperature=temperature,",
        "temperature=1.0,",
        f"{DECODING}::test_sampling_is_the_tempered_model_over_legal_tokens[0.5]",
    ),
)
