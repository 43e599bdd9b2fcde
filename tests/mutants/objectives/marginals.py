"""Mutants of `gflow/objectives/marginals`."""

LOSS = (
    "tests/objectives/marginals/test_marginal_divergence.py::"
    "test_the_loss_is_that_of_the_definition"
)
DISTILLED = "tests/objectives/marginals/test_marginal_consistency.py"

MUTANTS = (
    (
        "divergence-gap-turned",
        "objectives/marginals/divergence.py",
        "gap = learned.detach() - terms.log_reward.to(learned)",
        "gap = terms.log_reward.to(learned) - learned.detach()",
        LOSS,
    ),
    (
        "divergence-through-the-advantage",
        "objectives/marginals/divergence.py",
        "gap = learned.detach() - terms.log_reward.to(learned)",
        "gap = learned - terms.log_reward.to(learned)",
        LOSS,
    ),
    (
        "divergence-without-a-baseline",
        "objectives/marginals/divergence.py",
        "gap = (gap - mean).where(ends, 0.0)",
        "gap = (gap - 0 * mean).where(ends, 0.0)",
        LOSS,
    ),
    (
        "divergence-without-places",
        "objectives/marginals/consistency.py",
        "return self.alpha * self.places * mask / mask.sum()",
        "return self.alpha * mask / mask.sum()",
        LOSS,
    ),
    (
        "divergence-anchor-turned",
        "objectives/marginals/consistency.py",
        "(scale - self.anchor).square() / len(scale)",
        "(scale + self.anchor).square() / len(scale)",
        LOSS,
    ),
    (
        "consistency-turned",
        "objectives/marginals/consistency.py",
        "+ terms.log_pf - terms.log_pb - terms.log_flow",
        "+ terms.log_pf + terms.log_pb - terms.log_flow",
        f"{DISTILLED}::test_the_loss_is_that_of_the_definition_and_reads_no_reward",
    ),
)
