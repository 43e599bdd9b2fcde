"""Mutants of `gflow/marginals`."""

POLICY = "tests/gflow/marginals/test_marginal_policy.py"
LOSS = "tests/gflow/marginals/test_marginal_divergence.py::test_the_loss_is_that_of_the_definition"
BALANCE = f"{POLICY}::test_self_consistency_is_detailed_balance"
ASKED = f"{POLICY}::test_questions_are_answered"
SAMPLERS = f"{POLICY}::test_networks_are_samplers"
ORDERS = f"{POLICY}::test_every_order_says_the_same_of_exact_conditionals"
CHAINS = f"{POLICY}::test_chains_leave_the_distribution_as_it_is"

MUTANTS = (
    (
        "marginal-without-choices",
        "gflow/marginals/policy.py",
        "return value - log_choices(symbols, self.sites.symbols).to(value.dtype)",
        "return value + log_choices(symbols, self.sites.symbols).to(value.dtype)",
        BALANCE,
    ),
    (
        "marginal-choices-of-known",
        "gflow/marginals/policy.py",
        "(places + 1).lgamma() - (known + 1).lgamma() - (places - known + 1).lgamma()",
        "(places + 1).lgamma() - (known + 1).lgamma()",
        BALANCE,
    ),
    (
        "marginal-not-normalised",
        "gflow/marginals/policy.py",
        "return self.network.log_marginal(symbols) - self.network.log_marginal(nothing)",
        "return self.network.log_marginal(symbols) + 0 * self.network.log_marginal(nothing)",
        ASKED,
    ),
    (
        "conditional-of-the-query-alone",
        "gflow/marginals/policy.py",
        "both = torch.where(asked == none, given, asked)",
        "both = asked",
        ASKED,
    ),
    (
        "conditionals-of-what-may-not-be",
        "gflow/marginals/policy.py",
        ".masked_fill(~legal, -torch.inf).log_softmax(-1)",
        ".masked_fill(~legal & False, -torch.inf).log_softmax(-1)",
        SAMPLERS,
    ),
    (
        "likelihood-a-mean-of-logs",
        "gflow/marginals/policy.py",
        "torch.stack(found).logsumexp(0) - math.log(orders)",
        "torch.stack(found).mean(0)",
        ORDERS,
    ),
    (
        "likelihood-forgets-what-is-known",
        "gflow/marginals/policy.py",
        "            known = known.index_put((rows, place), value)\n",
        "",
        ORDERS,
    ),
    (
        "evidence-is-drawn-anew",
        "gflow/marginals/policy.py",
        "open_to = symbols[rows, place] == self.sites.symbols",
        "open_to = symbols[rows, place] == symbols[rows, place]",
        f"{POLICY}::test_evidence_stays_and_the_rest_is_drawn_from_the_posterior",
    ),
    (
        "chains-erase-one-more",
        "gflow/marginals/chains.py",
        "erased = order.argsort(1) < self.erase",
        "erased = order.argsort(1) <= self.erase",
        CHAINS,
    ),
    (
        "transitions-skip-a-place",
        "gflow/marginals/chains.py",
        "after = symbols.masked_fill(rank > size, sites.symbols)",
        "after = symbols.masked_fill(rank > size + 1, sites.symbols)",
        BALANCE,
    ),
    (
        "conditionals-everywhere",
        "gflow/marginals/policy.py",
        "left[trajectories.state_index[:, :-1][trajectories.mask]] = True",
        "left[trajectories.state_index] = True",
        f"{POLICY}::test_a_transition_costs_two_marginals_and_one_conditional",
    ),
    (
        "divergence-gap-turned",
        "gflow/marginals/divergence.py",
        "gap = learned.detach() - terms.log_reward.to(learned)",
        "gap = terms.log_reward.to(learned) - learned.detach()",
        LOSS,
    ),
    (
        "divergence-through-the-advantage",
        "gflow/marginals/divergence.py",
        "gap = learned.detach() - terms.log_reward.to(learned)",
        "gap = learned - terms.log_reward.to(learned)",
        LOSS,
    ),
    (
        "divergence-without-a-baseline",
        "gflow/marginals/divergence.py",
        "gap = (gap - mean).where(ends, 0.0)",
        "gap = (gap - 0 * mean).where(ends, 0.0)",
        LOSS,
    ),
    (
        "divergence-without-places",
        "gflow/marginals/divergence.py",
        "return self.alpha * self.places * mask / mask.sum()",
        "return self.alpha * mask / mask.sum()",
        LOSS,
    ),
    (
        "divergence-anchor-turned",
        "gflow/marginals/divergence.py",
        "drift = (value[:, 0] - self.anchor).square() / len(value)",
        "drift = (value[:, 0] + self.anchor).square() / len(value)",
        LOSS,
    ),
)
