"""Mutants of `objectives/exploration`."""

GAFN = "tests/objectives/exploration/test_gafn.py"
ZERO = f"{GAFN}::test_residuals_vanish_at_exact_flows_and_nowhere_near"

MUTANTS = (
    (
        "gafn-edge-bonus", "objectives/exploration/gafn.py",
        "back = torch.logaddexp(log_pb, log_bonus - into)",
        "back = torch.logaddexp(log_pb, log_bonus + into)",
        f"{ZERO}[stops-trajectory]",
    ),
    (
        "gafn-ends", "objectives/exploration/gafn.py",
        "passing = steps < terms.length[:, None] - 1",
        "passing = steps < terms.length[:, None]",
        f"{ZERO}[forced-trajectory]",
    ),
    (
        "gafn-object-bonus", "objectives/exploration/gafn.py",
        "torch.logaddexp(terms.log_reward.to(at_end), at_end.log())",
        "terms.log_reward.to(at_end)",
        f"{ZERO}[both-transition]",
    ),
    (
        "gafn-shifted", "objectives/exploration/gafn.py",
        "log_bonus = terms.bonus[:, 1:].where(passing, 0.0).log()",
        "log_bonus = terms.bonus[:, :-1].where(passing, 0.0).log()",
        f"{ZERO}[stops-transition]",
    ),
    (
        "gafn-transition", "objectives/exploration/gafn.py",
        "balanced = torch.logaddexp(balanced, log_bonus)",
        "balanced = torch.logaddexp(balanced, log_bonus + log_pb)",
        f"{GAFN}::test_balanced_transitions_fix_all_flows[both]",
    ),
    (
        "gafn-exact", "objectives/exploration/gafn.py",
        "log_edge[edges] = torch.logaddexp(flow[child] + log_pb[edges], on_the_way[child])",
        "log_edge[edges] = torch.logaddexp(flow[child], on_the_way[child]) + log_pb[edges]",
        f"{GAFN}::test_exact_flows_are_sums_over_trajectories[stops]",
    ),
    (
        "gafn-known-log-z", "objectives/exploration/gafn.py",
        "if env.reward.has_known_log_z:",
        "if not env.reward.has_known_log_z:",
        f"{GAFN}::test_where_bonuses_mean_nothing_it_is_refused",
    ),
    (
        "novelty-of-itself", "objectives/exploration/novelty.py",
        "parameter.copy_(parameter.flatten()[order].view_as(parameter))",
        "parameter.copy_(parameter.flatten()[order.sort().values].view_as(parameter))",
        f"{GAFN}::test_novelty_goes_where_one_has_been_and_stays_elsewhere",
    ),
    (
        "novelty-scale", "objectives/exploration/novelty.py",
        "bonus: Tensor = self.scale * self.gap(env, states, condition).norm(dim=-1)",
        "bonus: Tensor = self.gap(env, states, condition).norm(dim=-1)",
        f"{GAFN}::test_novelty_goes_where_one_has_been_and_stays_elsewhere",
    ),
    (
        "checker-fitted-beside", "gflow/testing/learning_rules.py",
        "if id(p) not in fitted",
        "if id(p) in fitted",
        f"{GAFN}::test_it_keeps_the_contract_of_objectives",
    ),
)  # fmt: skip
