"""Mutants of the likelihood of data."""

LIKELIHOOD = "tests/objectives/test_max_likelihood.py"

MUTANTS = (
    (
        "mle-of-weights", "objectives/max_likelihood.py",
        "return -terms.log_pf.where(terms.mask, 0.0)",
        "return -(terms.log_pf - terms.log_pb).where(terms.mask, 0.0)",
        f"{LIKELIHOOD}::test_the_likelihood_at_the_optimum_is_the_entropy_in_closed_form",
    ),
    (
        "mle-scaled", "objectives/max_likelihood.py",
        ".sum(-1) / len(terms.length)",
        ".sum(-1).exp() / len(terms.length)",
        f"{LIKELIHOOD}::test_the_exact_solution_has_the_greatest_likelihood",
    ),
)  # fmt: skip
