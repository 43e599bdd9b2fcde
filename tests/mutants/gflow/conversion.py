"""Mutants of conversion: sums of flows to outcomes, and their amortised predictor."""

SUMS = "tests/gflow/outcomes/test_conversion.py"
LEARNED = "tests/gflow/outcomes/test_amortised.py"

MUTANTS = (
    (
        "conversion-t32-flow",
        "gflow/outcomes/conversion.py",
        "weight = log_weight.double() + found.log_flow.double()",
        "weight = log_weight.double()",
        f"{SUMS}::test_mixtures_of_flows_sample_any_reward[HyperGrid0]",
    ),
    (
        "conversion-t32-reward",
        "gflow/outcomes/conversion.py",
        "log_weight = log_r - conditioned",
        "log_weight = 0.9 * log_r - conditioned",
        f"{SUMS}::test_mixtures_of_flows_sample_any_reward[AnyOrder]",
    ),
    (
        "conversion-draws-shared-outcomes",
        "gflow/outcomes/conditioned.py",
        "reward.log_count(outcomes) <= 0, complain",
        "reward.log_count(outcomes) >= 0, complain",
        f"{SUMS}::test_sums_over_drawn_objects_are_for_outcomes_of_one_object_each",
    ),
    (
        "conversion-back",
        "gflow/outcomes/conversion.py",
        "parts.append(weight[:, None] + found.log_pb.double())",
        "parts.append(found.log_pb.double())",
        f"{SUMS}::test_the_mixture_is_a_flow[HyperGrid0]",
    ),
    (
        "conversion-many-to-one",
        "gflow/outcomes/conversion.py",
        "return cls(distinct, top)",
        "return cls(distinct, top + torch.bincount(group).log())",
        f"{SUMS}::test_outcomes_that_objects_share",
    ),
    (
        "conversion-proposal",
        "gflow/outcomes/conversion.py",
        "log_weight = log_weight - log_proposal.double()",
        "log_weight = log_weight + log_proposal.double()",
        f"{SUMS}::test_drawn_outcomes_are_right_on_average",
    ),
    (
        "conversion-unreachable",
        "gflow/outcomes/conversion.py",
        "at, which = at[kept], which[kept]",
        "at, which = at[kept | True], which[kept | True]",
        f"{SUMS}::test_unreachable_outcomes_are_left_out_where_the_environment_tells",
    ),
    (
        "conversion-t33-source",
        "gflow/outcomes/flows.py",
        "flow = torch.where(env.is_initial(states), known.to(flow.dtype), flow)",
        "flow = flow - known.to(flow.dtype) * 0 + env.is_initial(states)",
        f"{SUMS}::test_the_mixture_is_a_flow[HyperGrid0]",
    ),
    (
        "conversion-stop",
        "gflow/outcomes/flows.py",
        "log_pf[:, stop] = (end - flow)",
        "log_pf[:, stop] = (end * 0 - flow - 0.1)",
        f"{SUMS}::test_the_numerator_of_a_stop_is_the_reward",
    ),
    (
        "conversion-pairs",
        "gflow/outcomes/tabulated.py",
        "keep(torch.cat([below, of_their_own(parents.unique())]).unique())",
        "keep(torch.cat([below, of_their_own(parents.unique())]))",
        f"{SUMS}::test_reachable_pairs_are_those_that_moves_connect",
    ),
    (
        "conversion-both-ends",
        "gflow/outcomes/tabulated.py",
        "theirs = found.log_flow[pair] + log_pb - found.log_flow",
        "theirs = found.log_flow[pair] - log_pb - found.log_flow",
        f"{SUMS}::test_tables_of_all_states_say_the_same[HyperGrid0]",
    ),
    (
        "amortised-t34-posterior",
        "gflow/outcomes/amortised.py",
        "log_n[:, :, None] + found.log_posterior - found.log_numerator",
        "log_n[:, :, None] - found.log_posterior - found.log_numerator",
        f"{LEARNED}::test_exact_sums_and_shares_have_no_loss[stops]",
    ),
    (
        "amortised-t34-numerator",
        "gflow/outcomes/amortised.py",
        "flow = (found.log_flow + log_pf).clamp(min=LEAST)",
        "flow = log_pf.clamp(min=LEAST)",
        f"{LEARNED}::test_exact_sums_and_shares_have_no_loss[forced]",
    ),
    (
        "amortised-ends",
        "gflow/outcomes/posterior.py",
        "return [where(moves.ends, moves.children, drawn) for drawn in found]",
        "return found",
        f"{LEARNED}::test_listed_outcomes_are_drawn_as_log_prob_says",
    ),
    (
        "amortised-blank",
        "gflow/outcomes/posterior.py",
        "before = torch.arange(self.length, device=rows.device) < places[:, None]",
        "before = torch.arange(self.length, device=rows.device) <= places[:, None]",
        f"{LEARNED}::test_sequences_are_completed_with_what_log_prob_says[any order]",
    ),
    (
        "amortised-draws-of-evaluation",
        "gflow/outcomes/amortised.py",
        "if not torch.is_grad_enabled():",
        "if False:",
        f"{LEARNED}::test_evaluating_changes_no_draw_of_training",
    ),
)
