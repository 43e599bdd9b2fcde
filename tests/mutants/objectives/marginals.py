"""Mutants of `gflow/objectives/marginals`."""

LOSS = (
    "tests/objectives/marginals/test_marginal_divergence.py::"
    "test_the_loss_is_that_of_the_definition"
)
MATCHED = (
    "tests/objectives/marginals/test_marginal_matching.py::test_the_loss_is_that_of_the_definition"
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
    (
        "matching-not-of-one-place",
        "objectives/marginals/matching.py",
        "return gap.square() / (self.places * ends.sum())",
        "return gap.square() / ends.sum()",
        MATCHED,
    ),
    (
        "matching-of-all-moves",
        "objectives/marginals/matching.py",
        "(learned - terms.log_reward.to(learned)).where(ends, 0.0)",
        "learned - terms.log_reward.to(learned)",
        MATCHED,
    ),
    (
        "matching-consistency-of-all-places",
        "objectives/marginals/matching.py",
        "return super().weight(terms) / self.places",
        "return super().weight(terms)",
        MATCHED,
    ),
    (
        "matching-z-without-a-scale",
        "objectives/marginals/energy.py",
        "gap = terms.log_reward.to(learned) - learned + self.scale(terms)",
        "gap = terms.log_reward.to(learned) - learned",
        MATCHED,
    ),
    (
        "matching-of-nothing",  # MM-4
        "objectives/marginals/matching.py",
        "return gap.square() / (self.places * ends.sum())",
        "return 0 * gap.square() / (self.places * ends.sum())",
        "tests/objectives/marginals/test_marginal_matching.py::"
        "test_it_learns_all_marginals_of_a_lattice",
    ),
    (
        "consistency-held-at-nought",
        "objectives/marginals/consistency.py",
        "self.anchor = self.places * math.log(symbols) if anchor is None else anchor",
        "self.anchor = 0.0 if anchor is None else anchor",
        "tests/objectives/marginals/test_marginal_matching.py::"
        "test_networks_begin_where_nothing_is_held",
    ),
)
