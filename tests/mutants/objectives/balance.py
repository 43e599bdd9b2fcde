"""Mutants of objectives of the balance family."""

ORACLE = "tests/objectives/test_exact_oracle.py"
IDENTITIES = "tests/objectives/test_gradient_identities.py"
ZERO = f"{ORACLE}::test_every_residual_is_zero_at_the_exact_flow"
SIZE = f"{ORACLE}::test_one_wrong_logit_shows_with_its_exact_size"
DESCENT = "tests/objectives/test_regression_gradients.py"
BOX = "tests/envs/cubes/test_box.py"
LOSS = "tests/objectives/test_loss_invariances.py"
MSUBTB = "tests/objectives/test_msubtb.py"

RELATIVE = "tests/objectives/test_relative.py"

MUTANTS = (
    (
        "rtb-prior-backwards", "objectives/relative.py",
        "log_pb=self.log_prior(env, trajectories).to(terms.log_pf.dtype),",
        "log_pb=-self.log_prior(env, trajectories).to(terms.log_pf.dtype),",
        f"{RELATIVE}::test_it_vanishes_at_the_posterior_and_there_alone",
    ),
    (
        "rtb-counts-symmetries", "objectives/relative.py",
        "likelihood = likelihood + terms.log_symmetry",
        "likelihood = likelihood - terms.log_symmetry",
        f"{RELATIVE}::test_symmetric_objects_count_as_often_as_the_prior_builds_them",
    ),
    (
        "rtb-prior-learns", "objectives/relative.py",
        "self._prior = (prior,)",
        "self.own = prior; self._prior = (prior,)",
        f"{RELATIVE}::test_training_finds_the_posterior[learned]",
    ),
    (
        "posterior-without-stops", "gflow/exact/posterior.py",
        "ends[objects] = log_reward + log_stop[objects]",
        "ends[objects] = log_reward",
        f"{RELATIVE}::test_it_vanishes_at_the_posterior_and_there_alone",
    ),
    (
        "untold-is-told", "gflow/policies/untold.py",
        "return self.policy.of_trajectories(env, trajectories)",
        "return self.policy.of_trajectories(env, trajectories, condition)",
        f"{RELATIVE}::test_a_prior_that_is_told_nothing_has_a_posterior_for_each_condition",
    ),
    (
        "needs-from-source", "gflow/objective.py",
        "if self.needs.from_source and terms.from_source is not None:",
        "if not self.needs.from_source and terms.from_source is not None:",
        "tests/objectives/test_segments.py::test_sums_over_whole_trajectories_refuse_parts[tb]",
    ),
    (
        "tb-sign", "objectives/tb.py",
        "return log_z - terms.log_weight",
        "return log_z + terms.log_weight",
        ZERO,
    ),
    (
        "vargrad-sign", "objectives/vargrad.py",
        "return self.log_z_estimate(terms) - terms.log_weight",
        "return self.log_z_estimate(terms) + terms.log_weight",
        ZERO,
    ),
    (
        "db-sign", "objectives/db.py",
        "return terms.log_pf - terms.log_pb",
        "return terms.log_pf + terms.log_pb",
        ZERO,
    ),
    (
        "mdb-stop-sign", "objectives/mdb.py",
        "implied = terms.state_log_reward - terms.log_stop  # (B, T + 1) log F(s)",
        "implied = terms.state_log_reward + terms.log_stop  # (B, T + 1) log F(s)",
        f"{IDENTITIES}::test_modified_balance_has_the_size_written_in_its_docstring",
    ),
    (
        "fm-scale-turned", "objectives/fm.py",
        "out = torch.where(self._ends(terms), out - self.log_scale, out)",
        "out = torch.where(self._ends(terms), out + self.log_scale, out)",
        "tests/objectives/test_flow_matching_scale.py::test_a_scale_is_a_unit_of_the_reward",
    ),
    (
        "fm-ignores-outflow", "objectives/fm.py",
        "return (into - out).where(terms.mask, 0.0)",
        "return (into - into.detach()).where(terms.mask, 0.0)",
        SIZE,
    ),
    (
        "subtb-sign", "objectives/subtb.py",
        "return terms.log_pf - terms.log_pb",
        "return terms.log_pf + terms.log_pb",
        "tests/objectives/test_subtb.py::test_residuals_are_those_of_the_definition",
    ),
    (
        "subtb-exponent", "objectives/subtb.py",
        "decay = ((lengths - 1) * math.log(self.lam)).expand_as(pairs)",
        "decay = ((1 - lengths) * math.log(self.lam)).expand_as(pairs)",
        "tests/objectives/test_subtb.py::test_weights_are_those_of_the_table_and_sum_to_one",
    ),
    (
        "cosh-half", "objectives/regression.py",
        "return 4 * (residual / 2).sinh().square()",
        "return 4 * residual.sinh().square()",
        "tests/objectives/test_regression.py::test_formula_zero_and_sign",
    ),
    (
        "linex-turned", "objectives/regression.py",
        "scaled = self.alpha * residual",
        "scaled = -self.alpha * residual",
        f"{DESCENT}::test_each_regression_descends_its_divergence[linex(-1)]",
    ),
    (
        "linex-default", "objectives/regression.py",
        "Bounds(-100, 100)] = -1.0",
        "Bounds(-100, 100)] = 1.0",
        f"{DESCENT}::test_each_regression_descends_its_divergence[linex]",
    ),
    (
        "linex-scale", "objectives/regression.py",
        "(scaled.expm1() - scaled) / self.alpha**2",
        "(scaled.expm1() - scaled) / self.alpha.__abs__()",
        f"{DESCENT}::test_each_regression_descends_its_divergence[linex(2)]",
    ),
    (
        "box-modified-stop-turned", "objectives/mdb.py",
        "implied = terms.state_log_reward - terms.log_stop",
        "implied = terms.state_log_reward + terms.log_stop",
        f"{BOX}::test_modified_detailed_balance_is_detailed_balance_with_the_flow_put_in",
    ),
    (
        "fm-leaves-of-cut", "objectives/fm.py",
        "return ends if terms.complete is None else ends & terms.complete[:, None]",
        "return ends",
        f"{LOSS}::test_flow_matching_balances_ends_of_whole_trajectories_alone",
    ),
    (
        "fm-leaf-share", "objectives/fm.py",
        "(self.leaf_coefficient / ends.sum().clamp(min=1))",
        "(self.leaf_coefficient / seen.sum().clamp(min=1))",
        f"{LOSS}::test_flow_matching_balances_ends_of_whole_trajectories_alone",
    ),
    (
        "mdb-weighs-stops", "objectives/mdb.py",
        "return moves.to(terms.log_pf.dtype) / moves.sum().clamp(min=1)",
        "return moves.to(terms.log_pf.dtype) / terms.mask.sum().clamp(min=1)",
        f"{LOSS}::test_modified_balance_of_one_move_and_of_none",
    ),
    (
        "mdb-one-move-left-out", "objectives/mdb.py",
        "moves.sum().clamp(min=1)",
        "moves.sum().clamp(min=2)",
        f"{LOSS}::test_modified_balance_of_one_move_and_of_none",
    ),
    (
        "mdb-no-move-nan", "objectives/mdb.py",
        "moves.sum().clamp(min=1)",
        "moves.sum()",
        f"{LOSS}::test_modified_balance_of_one_move_and_of_none",
    ),
    (
        "subtb-beyond-the-cut", "objectives/subtb.py",
        "return (g[:, i] - g[:, j]).where(j <= terms.length[:, None], 0.0)",
        "return (g[:, i] - g[:, j]).where(j < terms.length[:, None], 0.0)",
        f"{LOSS}::test_cut_trajectories_are_read_up_to_the_cut[subtb]",
    ),
    (
        "regression-unchecked", "objectives/regression.py",
        "objective.regression != Squared()",
        "objective.regression == Squared()",
        "tests/objectives/test_objective_refusals.py::test_a_regression_of_no_residuals_is_refused",
    ),
    (
        "msubtb-stop-turned", "objectives/msubtb.py",
        "log_flow = terms.state_log_reward - terms.log_stop.masked_fill(~there, 0.0)",
        "log_flow = terms.state_log_reward + terms.log_stop.masked_fill(~there, 0.0)",
        f"{MSUBTB}::test_the_optimum_has_no_residual",
    ),
    (
        "msubtb-one-late", "objectives/msubtb.py",
        "total = log_flow - torch.nn.functional.pad(gain, (1, 0))",
        "total = log_flow - torch.nn.functional.pad(gain, (0, 1))",
        f"{MSUBTB}::test_the_optimum_has_no_residual",
    ),
    (
        "msubtb-last-prefix-left-out", "objectives/msubtb.py",
        "there = (time <= moves[:, None]) & (terms.log_stop > -torch.inf)",
        "there = (time < moves[:, None]) & (terms.log_stop > -torch.inf)",
        f"{MSUBTB}::test_the_loss_is_that_of_the_definition[1.0-all]",
    ),
    (
        "msubtb-ends-left-out",  # LM-3, rule 1
        "objectives/msubtb.py",
        "there = (time <= moves[:, None]) &",
        "there = (time < moves[:, None]) &",
        f"{MSUBTB}::test_it_is_learned",
    ),
    (
        "msubtb-no-root", "objectives/msubtb.py",
        "return there & ~there[:, :1]",
        "return there & ~there[:, :1] & False",
        f"{MSUBTB}::test_one_wrong_logit_is_punished[token-2]",
    ),
    (
        "msubtb-root-everywhere", "objectives/msubtb.py",
        "return there & ~there[:, :1]",
        "return there",
        f"{MSUBTB}::test_consecutive_pairs_are_modified_detailed_balance",
    ),
    (
        "msubtb-root-of-all-prompts", "objectives/msubtb.py",
        "group = torch.unique(terms.condition, dim=0, return_inverse=True)[1]",
        "group = torch.zeros_like(terms.length)",
        f"{MSUBTB}::test_estimates_are_compared_among_texts_of_one_prompt",
    ),
    (
        "msubtb-root-counts-nothing", "objectives/msubtb.py",
        "each = torch.stack([total.sum(1), there.to(total.dtype).sum(1)], 1)",
        "each = torch.stack([total.sum(1), torch.ones_like(total).sum(1)], 1)",
        f"{MSUBTB}::test_the_optimum_has_no_residual",
    ),
    (
        "msubtb-root-learned-by-the-mean", "objectives/msubtb.py",
        "root = total - self._mean(terms, total, there).detach()[:, None]",
        "root = total - self._mean(terms, total, there)[:, None]",
        f"{MSUBTB}::test_no_gradient_flows_through_the_mean",
    ),
    (
        "msubtb-ranks-not-times", "objectives/msubtb.py",
        "place = there.long().cumsum(1)",
        "place = torch.ones_like(there).long().cumsum(1)",
        f"{MSUBTB}::test_the_loss_is_that_of_the_definition[0.5-all]",
    ),
    (
        "msubtb-decay-grows", "objectives/msubtb.py",
        "decay = self.lam ** (apart - 1).to(terms.log_pf.dtype)",
        "decay = self.lam ** (1 - apart).to(terms.log_pf.dtype)",
        f"{MSUBTB}::test_the_loss_is_that_of_the_definition[0.5-all]",
    ),
    (
        "msubtb-consecutive-and-next", "objectives/msubtb.py",
        "both = both & (apart == 1)",
        "both = both & (apart <= 2)",
        f"{MSUBTB}::test_consecutive_pairs_are_modified_detailed_balance",
    ),
    (
        "msubtb-forced-ends-left-out", "objectives/msubtb.py",
        "log_flow = torch.where(end, terms.log_reward[:, None].to(log_flow.dtype), log_flow)",
        "log_flow = log_flow + 0",
        f"{MSUBTB}::test_grids_with_free_ends_and_refusals",
    ),
)  # fmt: skip
