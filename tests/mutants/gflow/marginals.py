"""Mutants of `gflow/marginals`."""

TRUNKS = "tests/gflow/marginals/test_shared_trunks.py"
CORRELATION = "tests/gflow/marginals/test_marginal_correlation.py"
POLICY = "tests/gflow/marginals/test_marginal_policy.py"
BALANCE = f"{POLICY}::test_self_consistency_is_detailed_balance"
ASKED = f"{POLICY}::test_questions_are_answered"
SAMPLERS = f"{POLICY}::test_networks_are_samplers"
ORDERS = f"{POLICY}::test_every_order_says_the_same_of_exact_conditionals"
CHAINS = f"{POLICY}::test_chains_leave_the_distribution_as_it_is"

DISTILLED = "tests/objectives/marginals/test_marginal_consistency.py"

SOLUTION = f"{POLICY}::test_exact_marginals_are_the_solution"
LATTICE = f"{POLICY}::test_it_learns_the_marginals_of_a_lattice"

MUTANTS = (
    (
        "conditionals-over-places",  # MM-2
        "gflow/marginals/policy.py",
        ".masked_fill(~legal, -torch.inf).log_softmax(-1)",
        ".masked_fill(~legal, -torch.inf).log_softmax(-2)",
        SOLUTION,
    ),
    (
        "moves-never-end",  # MM-3, MM-4
        "gflow/marginals/moves.py",
        "size = torch.randint(places, (count,)",
        "size = torch.randint(places - 1, (count,)",
        LATTICE,
    ),
    (
        "marginal-without-choices",  # MM-1
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
        "likelihood-forgets-what-is-known",  # MM-6
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
        "chains-erase-one-more",  # MM-7
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
    (
        "correlation-compares-what-is-near",
        "gflow/marginals/correlation.py",
        "kept.append(value - last > threshold)",
        "kept.append(value - last >= threshold)",
        f"{CORRELATION}::test_what_is_kept_is_far_apart",
    ),
    (
        "correlation-from-the-first-always",
        "gflow/marginals/correlation.py",
        "last = value.where(kept[-1], last)",
        "last = last + 0 * value",
        f"{CORRELATION}::test_what_is_kept_is_far_apart",
    ),
    (
        "correlation-kept-in-sorted-places",
        "gflow/marginals/correlation.py",
        "return torch.stack(kept, 1).gather(1, rank.argsort(1))",
        "return torch.stack(kept, 1).gather(1, rank)",
        f"{CORRELATION}::test_what_is_kept_is_far_apart",
    ),
    (
        "correlation-of-two",
        "gflow/marginals/correlation.py",
        "if int(keep.sum()) >= FEWEST",
        "if int(keep.sum()) >= 2",
        f"{CORRELATION}::test_correlations_are_means_over_items_that_have_three",
    ),
    (
        "correlation-erases-one-more",
        "gflow/marginals/correlation.py",
        "order.argsort(1) < size, policy",
        "order.argsort(1) <= size, policy",
        f"{CORRELATION}::test_so_many_places_are_drawn_anew",
    ),
    (
        "correlation-not-normalised",
        "gflow/marginals/correlation.py",
        "network = policy.marginal(found).view(-1, each)",
        "network = policy.network.log_marginal(policy.sites.read(found)).view(-1, each)",
        f"{CORRELATION}::test_exact_marginals_agree_with_exact_conditionals",
    ),
    (
        "one-conditional-knows-too-much",
        "gflow/marginals/baselines.py",
        "hidden = order.argsort(1) >= size[:, None]",
        "hidden = order.argsort(1) > size[:, None]",
        f"{CORRELATION}::test_one_conditional_is_right_on_average",
    ),
    (
        "one-conditional-not-times-places",
        "gflow/marginals/baselines.py",
        "return places * said[rows, place, symbols[rows, place]]",
        "return said[rows, place, symbols[rows, place]]",
        f"{CORRELATION}::test_one_conditional_is_right_on_average",
    ),
    (
        "convolution-columns-first",
        "gflow/marginals/convolution.py",
        ".mT.unflatten(2, self.shape)",
        ".mT.unflatten(2, self.shape[::-1]).mT",
        f"{TRUNKS}::test_how_far_it_sees",
    ),
    (
        "convolution-norm-over-pixels",
        "gflow/marginals/convolution.py",
        "return super().forward(x.movedim(1, -1)).movedim(-1, 1)",
        "return (x - x.mean((2, 3), keepdim=True)) * self.weight[:, None, None]",
        f"{TRUNKS}::test_how_far_it_sees",
    ),
    (
        "convolution-heads-mixed-up",
        "gflow/marginals/convolution.py",
        "x + self.mix(mixed.flatten(1, 2)",
        "x + self.mix(mixed.transpose(1, 2).flatten(1, 2)",
        f"{TRUNKS}::test_heads_take_features_in_turn",
    ),
    (
        "marginal-trains-the-trunk",
        "gflow/marginals/trunk.py",
        "torch.is_grad_enabled() and not self.fitted",
        "torch.is_grad_enabled()",
        f"{TRUNKS}::test_what_conditionals_depend_on_is_a_part[convolution]",
    ),
    (
        "networks-speak-at-first",
        "gflow/marginals/trunk.py",
        "nn.init.zeros_(parameter)",
        "nn.init.ones_(parameter)",
        f"{TRUNKS}::test_nothing_is_said_at_first",
    ),
    (
        "shares-of-the-next-symbol",
        "gflow/marginals/trunk.py",
        "self.marginal(features).gather(2, symbols[:, :, None])",
        "self.marginal(features).gather(2, (symbols[:, :, None] + 1) % (self.symbols + 1))",
        f"{TRUNKS}::test_each_place_has_a_share_for_what_it_holds",
    ),
    (
        "shares-of-the-next-symbol-in-residuals",
        "gflow/marginals/networks.py",
        "self.marginal(symbols).gather(2, symbols[:, :, None])",
        "self.marginal(symbols).gather(2, (symbols[:, :, None] + 1) % (self.symbols + 1))",
        f"{TRUNKS}::test_each_place_has_a_share_for_what_it_holds",
    ),
    (
        "open-places-fewer-choices",
        "gflow/marginals/networks.py",
        "(symbols == none).sum(1) * math.log(none)",
        "(symbols != none).sum(1) * math.log(none)",
        f"{TRUNKS}::test_nothing_is_said_at_first",
    ),
    (
        "perceptron-without-a-linear-part",
        "gflow/marginals/networks.py",
        "if self.linear is not None:",
        "if self.linear is None:",
        f"{TRUNKS}::test_energies_of_pairs_are_linear",
    ),
    (
        "convolution-ends-at-the-border",
        "gflow/marginals/convolution.py",
        'around: Around = "circular" if periodic else "zeros"',
        'around: Around = "zeros"',
        f"{TRUNKS}::test_how_far_it_sees",
    ),
    (
        "conditionals-of-other-rows",
        "gflow/marginals/trunk.py",
        "asked = features if rows is None else features[rows]",
        "asked = features if rows is None else features[: len(rows)]",
        f"{TRUNKS}::test_both_are_those_of_either[shared]",
    ),
    (
        "fit-over-all-places",
        "gflow/marginals/likelihood.py",
        "value.where(unknown, 0.0).sum(1) / unknown.sum(1)",
        "value.where(unknown, 0.0).sum(1) / places",
        f"{DISTILLED}::test_the_bound_of_a_batch_is_that_of_the_definition",
    ),
    (
        "fit-knows-one-more",
        "gflow/marginals/likelihood.py",
        "unknown = rank >= size",
        "unknown = rank >= size - 1",
        f"{DISTILLED}::test_the_bound_of_a_batch_is_that_of_the_definition",
    ),
    (
        "fit-goes-on",
        "gflow/marginals/likelihood.py",
        "due = min(self.each, self.steps - self.taken)",
        "due = self.each",
        f"{DISTILLED}::test_a_killed_fit_goes_on_as_if_nothing_had_been",
    ),
    (
        "fit-forgets-its-steps",
        "gflow/marginals/likelihood.py",
        'self.taken = state["taken"]',
        "self.taken = 0",
        f"{DISTILLED}::test_a_killed_fit_goes_on_as_if_nothing_had_been",
    ),
    (
        "balance-moves-fitted-conditionals",
        "gflow/marginals/policy.py",
        "logits = logits.detach()",
        "logits = logits + 0",
        f"{DISTILLED}::test_what_is_fitted_to_data_gets_no_gradient_from_balance",
    ),
    (
        "moves-beside-data-elsewhere",
        "gflow/marginals/data.py",
        "self.inner.collect(sampling, count - old)",
        "transitions(sampling.env, self.sites, draw_rows(self.symbols, count - old, "
        "sampling.generator, sampling.device), sampling.generator)",
        f"{DISTILLED}::test_some_moves_lead_to_data_and_the_others_come_from_elsewhere",
    ),
    (
        "moves-beside-data-the-other-share",
        "gflow/marginals/data.py",
        "round(self.share * count)",
        "round((1 - self.share) * count)",
        f"{DISTILLED}::test_some_moves_lead_to_data_and_the_others_come_from_elsewhere",
    ),
    (
        "sites-written-and-read-alike",
        "gflow/marginals/sites.py",
        "found = self._tables.get((device, reading))",
        "found = self._tables.get((device, True), self._tables.get((device, False)))",
        f"{POLICY}::test_sites_are_written_and_read",
    ),
)
