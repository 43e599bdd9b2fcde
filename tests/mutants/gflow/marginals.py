"""Mutants of `gflow/marginals`."""

POLICY = "tests/gflow/marginals/test_marginal_policy.py"
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
        "return self.network.log_marginal(self.sites.read(query)) - self.log_scale()",
        "return self.network.log_marginal(self.sites.read(query))",
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
        "unknown = symbols == self.sites.symbols\n        order = order.expand",
        "unknown = symbols == symbols\n        order = order.expand",
        f"{POLICY}::test_evidence_stays_and_the_rest_is_drawn_from_the_posterior",
    ),
    (
        "chains-erase-one-more",
        "gflow/behaviours/marginal_chains.py",
        "erased = order.argsort(1) < self.erase",
        "erased = order.argsort(1) <= self.erase",
        CHAINS,
    ),
    (
        "transitions-skip-a-place",
        "gflow/marginals/moves.py",
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
)
