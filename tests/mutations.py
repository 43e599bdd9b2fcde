"""Mutants of the library, each with the test that must notice it.

    python tests/mutations.py            # all of them
    python tests/mutations.py tb walk    # those whose name contains one of the words

A mutant is one small edit: a sign, an index, a mask. It is applied to a copy of the repository, and
the named test must fail there. `tests/test_mutations.py` does the same inside the suite, so that a
test which stops testing is found, and so is a mutant whose source text has moved on.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "mutants"
ORACLE = "tests/objectives/test_exact_oracle.py"
IDENTITIES = "tests/objectives/test_gradient_identities.py"
ZERO = f"{ORACLE}::test_every_residual_is_zero_at_the_exact_flow"
LOOKING = "tests/objectives/test_forward_looking.py"
LED = "tests/objectives/test_led.py"
SEARCH = "tests/gflow/behaviours/test_local_search.py"
BACKWARD = "tests/gflow/backward/test_backward_policies.py"
REPLAY = "tests/gflow/memory/test_replay_strategies.py"
MOLECULES = "tests/envs/molecules/test_molecules_objectives.py"
SIZE = f"{ORACLE}::test_one_wrong_logit_shows_with_its_exact_size"
ORDER = "tests/objectives/test_order.py"
PRESERVING = "tests/objectives/test_order_preserving.py"
TARGETS = "tests/envs/targets/test_targets.py"
TARGET_ORACLE = "tests/envs/targets/test_targets_oracle.py"
CHAINS = "tests/gflow/mcmc/test_chains.py"
ANNEALING = "tests/gflow/mcmc/test_annealing.py"
TRANSPORT = "tests/gflow/metrics/test_transport_metrics.py"
COVERAGE = "tests/gflow/metrics/test_coverage_metrics.py"
ANNEALED = "tests/envs/diffusion/test_annealed.py"
PATHWISE = "tests/objectives/test_pathwise_kl.py"
LIKELIHOOD = "tests/objectives/test_max_likelihood.py"
ADJOINT = "tests/objectives/test_adjoint.py"
TORUS = "tests/envs/torus/test_torus.py"
CIRCLE = "tests/envs/torus/test_von_mises.py"
TORUS_TARGETS = "tests/envs/torus/test_torus_targets.py"
DIFFUSION = "tests/envs/diffusion/test_diffusion.py"
LANGEVIN = "tests/gflow/behaviours/test_langevin_search.py"
BOX = "tests/envs/cubes/test_box.py"
CUBE = "tests/envs/cubes/test_cube.py"
BOX_TRAINING = "tests/envs/cubes/test_box_training.py"
BOX_ARC = "return self.place.log_prob(v) - self.width.log() - math.log(self.delta * QUARTER)"


@dataclass(frozen=True)
class Mutant:
    """One edit of one file.

    Attributes:
        name: Short, unique.
        file: Path from the root.
        old: Text that occurs exactly once.
        new: What replaces it.
        test: Node that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    # ---- diffusions
    Mutant(
        "bridge-variance", "envs/diffusion/process.py",
        "self.sigma2 * t * (u - t) / u",
        "self.sigma2 * t * (u - t)",
        f"{DIFFUSION}::test_residuals_vanish_at_the_time_reversal_of_a_gaussian",
    ),
    Mutant(
        "noising-turned", "envs/diffusion/process.py",
        "return t * self.beta_0 + (1 - t) * self.beta_1",
        "return t * self.beta_1 + (1 - t) * self.beta_0",
        f"{DIFFUSION}::test_the_rate_is_that_of_noising_time",
    ),
    Mutant(
        "noising-variance", "envs/diffusion/process.py",
        "return (-total).exp(), -(self.nu**2) * torch.expm1(-2 * total)",
        "return (-total).exp(), -(self.nu**2) * torch.expm1(-total)",
        f"{DIFFUSION}::test_noising_steps_compose",
    ),
    Mutant(
        "diffusion-noise", "envs/diffusion/gaussian_steps.py",
        "return DiffusionState(mean + variance.sqrt() * z, step + 1, grid), None",
        "return DiffusionState(mean + variance * z, step + 1, grid), None",
        f"{DIFFUSION}::test_noise_changes_what_is_drawn_and_not_what_it_weighs",
    ),
    Mutant(
        "diffusion-forced", "envs/diffusion/gaussian_steps.py",
        "return gaussian_log_prob(x, mean, variance).masked_fill(forced, 0.0)",
        "return gaussian_log_prob(x, mean, variance)",
        f"{DIFFUSION}::test_residuals_vanish_on_any_time_grid",
    ),
    Mutant(
        "diffusion-grid", "envs/diffusion/gaussian_steps.py",
        "return self._table(like)[1][grid * self.horizon + (step - 1).clamp(min=0)]",
        "return self._table(like)[1][(step - 1).clamp(min=0)]",
        f"{DIFFUSION}::test_residuals_vanish_on_any_time_grid",
    ),
    Mutant(
        "diffusion-forward-looking", "envs/diffusion/env.py",
        "value = (1 - time) * base + time * self.reward(states, condition)",
        "value = time * base + (1 - time) * self.reward(states, condition)",
        f"{DIFFUSION}::test_flows_look_forward_from_the_process_to_the_target",
    ),
    Mutant(
        "diffusion-session", "envs/diffusion/policy.py",
        "read = self._read(inputs, condition, times[k : k + 1])",
        "read = self._read(inputs, condition, times[:1])",
        f"{DIFFUSION}::test_rollouts_with_a_memory_follow_the_same_law",
    ),
    Mutant(
        "gaussian-norm", "gflow/environment/kernel.py",
        "norm = -0.5 * x.shape[-1] *",
        "norm = -0.5 *",
        f"{DIFFUSION}::test_residuals_vanish_at_the_time_reversal_of_a_gaussian",
    ),
    Mutant(
        "pairs-after", "gflow/evaluation/kernel_terms.py",
        "self._before, self._after = index[:, :-1][moves], index[:, 1:][moves]",
        "self._before, self._after = index[:, :-1][moves], index[:, :-1][moves]",
        f"{DIFFUSION}::test_resumed_and_cut_trajectories_weigh_as_whole_ones",
    ),
    Mutant(
        "langevin-turn", "gflow/behaviours/langevin.py",
        "if self.batches % 2 or not seen.ready(count):",
        "if True or not seen.ready(count):",
        f"{LANGEVIN}::test_batches_take_turns_and_the_chains_find_what_the_policy_does_not",
    ),
    Mutant(
        "langevin-condition", "gflow/behaviours/langevin.py",
        "condition=None if condition is None else condition[chains.accepted_chain],",
        "condition=None if condition is None else condition[:1].expand(len(chains.accepted), -1),",
        f"{LANGEVIN}::test_conditions_stay_with_their_objects",
    ),
    # ---- annealed Langevin steps
    Mutant(
        "annealed-score-of-the-parent", "gflow/evaluation/kernel_terms.py",
        "back = None if learned is None else pairs.after(learned)",
        "back = None if learned is None else pairs.before(learned)",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    Mutant(
        "annealed-drift-both-ways", "envs/diffusion/annealed.py",
        "return c * s.x + pull * score - push * drift, v",
        "return c * s.x + pull * score + push * drift, v",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    Mutant(
        "annealed-drift-both-ways-carries", "envs/diffusion/annealed.py",
        "return c * s.x + pull * score - push * drift, v",
        "return c * s.x + pull * score + push * drift, v",
        f"{ANNEALED}::test_the_right_constant_drift_carries_the_path_along",
    ),
    Mutant(
        "annealed-backward-climbs-down", "envs/diffusion/annealed.py",
        "return c * s.x + pull * score - push * drift, v",
        "return c * s.x - pull * score - push * drift, v",
        f"{ANNEALED}::test_on_a_path_that_stands_still_the_weight_is_constant_up_to_the_step",
    ),
    Mutant(
        "annealed-scale-of-the-parent", "envs/diffusion/annealed.py",
        "h * self.rate_at(u).sqrt(), 2 * pull], -1)",
        "h * self.rate_at(t).sqrt(), 2 * pull], -1)",
        f"{ANNEALED}::test_log_densities_are_those_of_the_formulas",
    ),
    Mutant(
        "annealed-half-the-noise", "envs/diffusion/annealed.py",
        "ahead = torch.stack([pull, h * rate.sqrt(), 2 * pull], -1)",
        "ahead = torch.stack([pull, h * rate.sqrt(), pull], -1)",
        f"{ANNEALED}::test_on_a_path_that_stands_still_the_weight_is_constant_up_to_the_step",
    ),
    Mutant(
        "annealed-unforced", "envs/diffusion/annealed.py",
        "return c * s.x + pull * score - push * drift, v",
        "return s.x + pull * score - push * drift, v",
        f"{ANNEALED}::test_backward_walks_reach_the_source_by_force",
    ),
    Mutant(
        "annealed-backwards", "envs/diffusion/annealing_path.py",
        "return beta * target_score - (1 - beta) / self.variance * x",
        "return (1 - beta) * target_score - beta / self.variance * x",
        f"{ANNEALED}::test_the_path_leads_from_the_gaussian_to_the_target",
    ),
    Mutant(
        "annealed-no-condition", "envs/diffusion/policy.py",
        "score = inputs.score(condition)",
        "score = inputs.score(None if condition is None else condition.roll(1, 0))",
        f"{ANNEALED}::test_targets_may_read_a_condition",
    ),
    # ---- divergences of diffusion samplers
    Mutant(
        "kl-noise-free", "envs/diffusion/gaussian_steps.py",
        "noise = ((states.x - mean) / std).detach()",
        "noise = ((states.x - mean) / std)",
        f"{PATHWISE}::test_gradients_go_through_the_samples",
    ),
    Mutant(
        "kl-score-attached", "envs/diffusion/gaussian_steps.py",
        "x = self.x.detach()  # also",
        "x = self.x  # also",
        f"{PATHWISE}::test_no_gradient_goes_through_the_score",
    ),
    Mutant(
        "kl-reward-detached", "gflow/evaluation/retrace.py",
        "return trajectories.log_reward + (value - value.detach())",
        "return trajectories.log_reward + 0 * value",
        f"{PATHWISE}::test_on_its_own_trajectories_balance_descends_the_divergence",
    ),
    Mutant(
        "kl-turned", "objectives/pathwise_kl.py",
        "return -terms.log_weight / (self.divisor",
        "return terms.log_weight / (self.divisor",
        f"{PATHWISE}::test_the_loss_is_the_divergence",
    ),
    Mutant(
        "kl-times-mixed", "gflow/evaluation/retrace.py",
        "log_pb=log_pb.view(env.horizon, count).T",
        "log_pb=log_pb.view(count, env.horizon)",
        f"{PATHWISE}::test_a_retraced_walk_is_the_walk",
    ),
    Mutant(
        "kl-explores", "gflow/training/trainer.py",
        "explores = self.exploration is not ON_POLICY and not self.behaviour.gives_samples",
        "explores = False",
        f"{PATHWISE}::test_what_the_divergence_cannot_learn_from",
    ),
    Mutant(
        "kl-no-gradient", "gflow/evaluation/retrace.py",
        "if moves and not value.requires_grad:",
        "if False and not value.requires_grad:",
        f"{PATHWISE}::test_a_reward_without_gradient_is_refused_with_a_way_out",
    ),
    Mutant(
        "brownian-wide", "envs/diffusion/process.py",
        "return torch.ones_like(t), u - t, self.sigma2 * (u - t)",
        "return torch.ones_like(t), u - t, self.sigma2 * (u - t) * 1.001",
        f"{PATHWISE}::test_the_optimal_constant_drift_leaves_no_variance",
    ),
    Mutant(
        "brownian-bridge-wide", "envs/diffusion/process.py",
        "return t / u, self.sigma2 * t * (u - t) / u",
        "return t / u, self.sigma2 * t * (u - t)",
        f"{PATHWISE}::test_girsanov_holds_in_discrete_time",
    ),
    Mutant(
        "dds-half-drift", "envs/diffusion/process.py",
        "-2 * self.nu**2 * torch.expm1(-total),",
        "-1 * self.nu**2 * torch.expm1(-total),",
        f"{PATHWISE}::test_girsanov_holds_for_the_exponential_scheme",
    ),
    Mutant(
        "diffusion-deaf-to-noise", "envs/diffusion/gaussian_steps.py",
        "variance = torch.where(variance > 0, variance + noise**2, variance)",
        "variance = variance + 0 * noise",
        f"{PATHWISE}::test_log_pf_knows_nothing_of_exploration",
    ),
    Mutant(
        "mle-of-weights", "objectives/max_likelihood.py",
        "return -terms.log_pf.where(terms.mask, 0.0)",
        "return -(terms.log_pf - terms.log_pb).where(terms.mask, 0.0)",
        f"{LIKELIHOOD}::test_the_likelihood_at_the_optimum_is_the_entropy_in_closed_form",
    ),
    Mutant(
        "mle-scaled", "objectives/max_likelihood.py",
        ".sum(-1) / len(terms.length)",
        ".sum(-1).exp() / len(terms.length)",
        f"{LIKELIHOOD}::test_the_exact_solution_has_the_greatest_likelihood",
    ),
    Mutant(
        "mle-of-anything", "gflow/behaviours/base.py",
        'if objective.samples == "needed" and not self.gives_samples:',
        'if objective.samples == "never" and not self.gives_samples:',
        f"{LIKELIHOOD}::test_data_will_do_for_the_likelihood_and_nothing_less",
    ),
    Mutant(
        "exact-tempered", "gflow/behaviours/exact_samples.py",
        "law = graph.log_target().exp()",
        "law = graph.log_target().mul(0.9).exp()",
        "tests/gflow/behaviours/test_exact_samples.py"
        "::test_listed_objects_are_drawn_in_proportion_to_their_reward",
    ),
    Mutant(
        "adjoint-sigma", "envs/diffusion/bridge.py",
        "return self.sigma2 * score + objects.x",
        "return self.sigma * score + objects.x",
        f"{ADJOINT}::test_to_one_gaussian_every_end_asks_for_the_same_drift",
    ),
    Mutant(
        "adjoint-no-reference", "envs/diffusion/bridge.py",
        "return self.sigma2 * score + objects.x",
        "return self.sigma2 * score",
        f"{ADJOINT}::test_the_mean_pull_given_a_point_on_the_way_is_the_optimal_drift",
    ),
    Mutant(
        "adjoint-bridge-open", "envs/diffusion/bridge.py",
        "(self.sigma2 * t * (1 - t)).sqrt()",
        "(self.sigma2 * t).sqrt()",
        f"{ADJOINT}::test_bridges_have_the_law_of_the_process_given_its_end",
    ),
    Mutant(
        "adjoint-rows-mixed", "objectives/adjoint.py",
        "gap = (drift.view(self.repeats, count, -1) - wanted)",
        "gap = (drift.view(count, self.repeats, -1).transpose(0, 1) - wanted)",
        f"{ADJOINT}::test_the_regression_is_smallest_at_the_optimal_drift",
    ),
    Mutant(
        "adjoint-units", "objectives/adjoint.py",
        " - wanted) / bridge.sigma",
        " - wanted) / bridge.sigma**2",
        f"{ADJOINT}::test_the_loss_is_a_mean_over_objects_and_times",
    ),
    Mutant(
        "adjoint-clips-each", "envs/diffusion/bridge.py",
        "score = score * (clip / norm.clamp(min=clip))",
        "score = score.clamp(-clip, clip)",
        f"{ADJOINT}::test_the_clip_is_of_the_norm_of_the_gradient",
    ),
    Mutant(
        "adjoint-estimate-of-all", "objectives/adjoint.py",
        "return terms.log_weight[:measured].mean()",
        "return terms.log_weight.mean()",
        f"{ADJOINT}::test_some_log_weights_are_known_and_no_gradient_goes_into_them",
    ),
    Mutant(
        "adjoint-generator-lost", "objectives/adjoint.py",
        "self.generator.set_state(state)",
        "self.generator.get_state()",
        f"{ADJOINT}::test_objects_are_brought_back_by_a_memory_and_a_run_resumes",
    ),
    # ---- order losses and what order-preserving objectives read
    Mutant(
        "order-turned", "objectives/order.py",
        "loss = target * softplus(-gap) + (1 - target) * softplus(gap)",
        "loss = target * softplus(gap) + (1 - target) * softplus(-gap)",
        f"{ORDER}::test_neighbours_in_a_bounded_total_order_are_spaced_evenly",
    ),
    Mutant(
        "order-ties-win", "objectives/order.py",
        "target = (1 + wins) / 2",
        "target = (wins >= 0).to(gap)",
        f"{ORDER}::test_ties_have_no_gap_and_the_rest_increases",
    ),
    Mutant(
        "order-any-score", "objectives/order.py",
        "return (above & ~below).to(torch.int8) - (below & ~above).to(torch.int8)",
        "return above.to(torch.int8) - (below & ~above).to(torch.int8)",
        f"{ORDER}::test_beating_is_an_order",
    ),
    Mutant(
        "order-self-pairs", "objectives/order.py",
        "compared = known & known[partner] & (partner != place)[:, None]",
        "compared = known & known[partner] & (partner >= 0)[:, None] & (place >= 0)[:, None]",
        f"{ORDER}::test_all_pairs_is_what_random_partners_give_on_average",
    ),
    Mutant(
        "order-front-of-beaten", "objectives/order.py",
        "beaten = relation(scores, tolerance).view(len(value), len(value), -1) < 0",
        "beaten = relation(scores, tolerance).view(len(value), len(value), -1) > 0",
        f"{ORDER}::test_fronts_of_batches_leave_mass_to_beaten_items",
    ),
    Mutant(
        "order-one-list", "objectives/order.py",
        "log_prob = value - top[group] - log_mass[group]",
        "log_prob = value.where(known, -torch.inf).log_softmax(0)",
        f"{ORDER}::test_columns_and_groups_are_compared_apart",
    ),
    Mutant(
        "optb-sign", "objectives/optb.py",
        "(terms.log_pf - terms.log_pb)",
        "(terms.log_pf + terms.log_pb)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[optb-forced]",
    ),
    Mutant(
        "opdb-last", "objectives/opdb.py",
        "last = terms.length[:, None] - 1",
        "last = (terms.length[:, None] - 2).clamp(min=0)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opdb-stop]",
    ),
    Mutant(
        "op-reads-log-r", "objectives/order_preserving.py",
        "return steps < terms.length[:, None] - 1",
        "return steps < terms.length[:, None]",
        f"{PRESERVING}::test_the_inner_balance_by_hand[opdb-stop]",
    ),
    Mutant(
        "opfm-outflow", "objectives/opfm.py",
        "return terms.log_inflow.gather(1, terms.length[:, None]).squeeze(1)",
        "return terms.log_inflow.gather(1, terms.length[:, None] - 1).squeeze(1)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opfm-forced]",
    ),
    Mutant(
        "opsubtb-suffix", "objectives/opsubtb.py",
        "(terms.length[:, None] - lengths).clamp(min=0)",
        "(terms.length[:, None] - lengths + 1).clamp(min=0)",
        f"{PRESERVING}::test_the_implied_rewards_by_hand[opsubtb-stop]",
    ),
    Mutant(
        "opsubtb-decay", "objectives/opsubtb.py",
        "decay = (lengths - 1) * torch.tensor(self.lam",
        "decay = lengths**2 * torch.tensor(self.lam",
        f"{PRESERVING}::test_the_inner_balance_by_hand[opsubtb-forced]",
    ),
    Mutant(
        "opflsubtb-energy-sign", "objectives/opsubtb.py",
        "(energy[:, i] - energy[:, j])[..., None]",
        "(energy[:, j] - energy[:, i])[..., None]",
        f"{PRESERVING}::test_differences_of_the_partial_reward_by_hand[forced]",
    ),
    Mutant(
        "op-symmetry", "objectives/order_preserving.py",
        "return rho + terms.log_symmetry",
        "return rho - terms.log_symmetry",
        f"{PRESERVING}::test_symmetric_objects_are_ordered_by_their_own_probability[optb]",
    ),
    Mutant(
        "op-all-conditions", "objectives/order_preserving.py",
        "        found: Tensor = group\n        return found\n",
        "        return None if bool((group >= 0).all()) else group\n",
        f"{PRESERVING}::test_only_equal_conditions_are_compared",
    ),
    Mutant(
        "op-divergence-mask", "gflow/evaluation/evaluate.py",
        "return -log_prob.masked_fill(~mask, 0.0).sum(-1) / count - count.log()",
        "return -log_prob.masked_fill(~mask, -1e3).sum(-1) / count - count.log()",
        f"{PRESERVING}::test_the_backward_regulariser_is_zero_for_uniform_policies_only[stop]",
    ),
    # ---- one sign in each objective
    Mutant(
        "tb-sign", "objectives/tb.py",
        "return log_z - terms.log_weight",
        "return log_z + terms.log_weight",
        ZERO,
    ),
    Mutant(
        "vargrad-sign", "objectives/vargrad.py",
        "return self.log_z_estimate(terms) - terms.log_weight",
        "return self.log_z_estimate(terms) + terms.log_weight",
        ZERO,
    ),
    Mutant(
        "db-sign", "objectives/db.py",
        "delta = flow[:, :-1] + terms.log_pf - flow[:, 1:] - terms.log_pb",
        "delta = flow[:, :-1] + terms.log_pf - flow[:, 1:] + terms.log_pb",
        ZERO,
    ),
    Mutant(
        "mdb-stop-sign", "objectives/mdb.py",
        "implied = terms.state_log_reward - terms.log_stop  # (B, T + 1) log F(s)",
        "implied = terms.state_log_reward + terms.log_stop  # (B, T + 1) log F(s)",
        f"{IDENTITIES}::test_modified_balance_has_the_size_written_in_its_docstring",
    ),
    Mutant(
        "fm-ignores-outflow", "objectives/fm.py",
        "return (into - out).where(terms.mask, 0.0)",
        "return (into - into.detach()).where(terms.mask, 0.0)",
        SIZE,
    ),
    Mutant(
        "subtb-sign", "objectives/subtb.py",
        "gain = (terms.log_pf - terms.log_pb).cumsum(-1)",
        "gain = (terms.log_pf + terms.log_pb).cumsum(-1)",
        "tests/objectives/test_subtb.py::test_residuals_are_those_of_the_definition",
    ),
    # ---- weights and punishments
    Mutant(
        "subtb-exponent", "objectives/subtb.py",
        "decay = ((lengths - 1) * math.log(self.lam)).expand_as(pairs)",
        "decay = ((1 - lengths) * math.log(self.lam)).expand_as(pairs)",
        "tests/objectives/test_subtb.py::test_weights_are_those_of_the_table_and_sum_to_one",
    ),
    Mutant(
        "cosh-half", "objectives/regression.py",
        "return 4 * (residual / 2).sinh().square()",
        "return 4 * residual.sinh().square()",
        "tests/objectives/test_regression.py::test_formula_zero_and_sign",
    ),
    # ---- the hypergrid
    Mutant(
        "grid-step", "envs/grids/hypergrid.py",
        "return states.scatter_add(1, actions[:, None], torch.ones_like(actions)[:, None])",
        "return states.scatter_add(1, actions[:, None], 2 * torch.ones_like(actions)[:, None])",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    Mutant(
        "grid-backstep", "envs/grids/hypergrid.py",
        "torch.full_like(actions, -1)[:, None])",
        "torch.full_like(actions, 1)[:, None])",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    Mutant(
        "grid-forward-mask", "envs/grids/hypergrid.py",
        "room = states < self.side - 1",
        "room = states < self.side - 2",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    Mutant(
        "grid-backward-mask", "envs/grids/hypergrid.py",
        "return above & (edge | ~edge.any(-1, keepdim=True))",
        "return above",
        "tests/envs/grids/test_hypergrid.py::test_masks_and_steps_are_those_of_the_definition",
    ),
    Mutant(
        "molecules-symmetry", "envs/molecules/env.py",
        "return self.canonical(states).log_overcount()",
        "return -self.canonical(states).log_overcount()",
        f"{MOLECULES}::test_sampled_molecules_have_the_exact_law",
    ),
    Mutant(
        "docking-box", "envs/molecules/docking.py",
        "max(abs(x - c) - s / 2, 0.0)",
        "max(abs(x - c) - s, 0.0)",
        "tests/envs/molecules/test_docking.py::test_bad_receptors",
    ),
    Mutant(
        "bags-mean", "envs/sets/bags_task.py",
        "double().exp().mean()) / exact",
        "double().mean().exp()) / exact",
        "tests/gflow/tasks/test_objects_tasks.py::test_bags_know_their_exact_mean",
    ),
    Mutant(
        "molecules-detach", "envs/molecules/env.py",
        "kept = (index + (index >= gone)).clamp(max=n - 1)",
        "kept = (index + (index > gone)).clamp(max=n - 1)",
        f"{MOLECULES}::test_objectives_vanish_on_the_exact_flows",
    ),
    Mutant(
        "grid-key", "envs/grids/hypergrid.py",
        "self._radix = side ** torch.arange(dim)",
        "self._radix = (side - 1) ** torch.arange(dim)",
        "tests/envs/grids/test_hypergrid.py::test_keys_number_the_cells",
    ),
    Mutant(
        "grid-band", "envs/grids/rewards.py",
        "return (a > low + TIE) & (a < high - TIE)",
        "return (a >= low - TIE) & (a < high - TIE)",
        "tests/envs/grids/test_hypergrid.py::test_bands_at_their_thresholds",
    ),
    # ---- the engine
    Mutant(
        "walk-inverse", "gflow/sampling/walk.py",
        "take(states, index[:, :-1].flatten()), actions.flatten()",
        "take(states, index[:, 1:].flatten()), actions.flatten()",
        "tests/gflow/sampling/test_walk.py::test_a_walk_is_made_of_legal_steps_that_can_be_undone",
    ),
    Mutant(
        "walk-full-stop", "gflow/sampling/walk.py",
        "actions, length - 1 if stops else None)",
        "actions, None)",
        "tests/gflow/sampling/test_walk.py::test_rows_that_all_stop_at_one_time_have_full_tables",
    ),
    Mutant(
        "walk-small-batch", "gflow/sampling/walk.py",
        "states, owner = take(states, chosen), owner[chosen]",
        "states, owner = states, owner[chosen]",
        "tests/gflow/sampling/test_walk.py::test_small_batches_compare_their_states_at_the_end",
    ),
    Mutant(
        "walk-static-stop", "gflow/sampling/walk.py",
        "going = live & ~stops",
        "going = live",
        "tests/gflow/sampling/test_walk.py::test_all_plans_agree_in_both_directions",
    ),
    Mutant(
        "evaluation-anchor", "gflow/evaluation/anchored.py",
        "end = times(trajectories.state_index) == trajectories.length[:, None]",
        "end = times(trajectories.state_index) == trajectories.length[:, None] - 1",
        "tests/gflow/evaluation/test_evaluation.py::test_the_end_is_anchored_at_the_reward_and_only_there",
    ),
    Mutant(
        "evaluation-parent", "gflow/evaluation/evaluate.py",
        "states, index = trajectories.states, trajectories.state_index[:, 1:]",
        "states, index = trajectories.states, trajectories.state_index[:, :-1]",
        ZERO,
    ),
    Mutant(
        "exact-flow", "gflow/exact/graph.py",
        "log_pf = flow[self.child] + log_pb - flow[self.parent]",
        "log_pf = flow[self.child] - log_pb - flow[self.parent]",
        "tests/gflow/exact/test_exact.py::test_flows_and_laws_are_sums_over_trajectories",
    ),
    Mutant(
        "exact-entropy", "gflow/exact/graph.py",
        "return count[self.parent] - count[self.child]",
        "return count[self.child] - count[self.parent]",
        "tests/gflow/exact/test_exact.py::test_backward_policies_are_normalised_over_distinct_parents",
    ),
    Mutant(
        "masking-uniform", "gflow/masking.py",
        "return -mask.sum(-1).clamp(min=1).log().to(torch.get_default_dtype())",
        "return -(mask.sum(-1) + 1).log().to(torch.get_default_dtype())",
        "tests/gflow/test_masking.py::test_equivalent_actions_count_once",
    ),
    Mutant(
        "masking-finite", "gflow/masking.py",
        "return logits.masked_fill(~(mask | dead), -torch.inf).log_softmax(-1)",
        "return logits.masked_fill(~(mask | dead), -10.0).log_softmax(-1)",
        "tests/gflow/test_masking.py::test_probabilities_are_those_of_the_legal_logits_alone",
    ),
    Mutant(
        "masking-noise", "gflow/masking.py",
        "return torch.sub(logits, noise, out=noise)",
        "return torch.add(logits, noise, out=noise)",
        "tests/gflow/test_masking.py::test_frequencies_are_the_softmax",
    ),
    Mutant(
        "trajectories-join", "gflow/trajectories.py",
        "first_state += part.num_states",
        "first_state += part.num_states - 1",
        "tests/gflow/test_trajectories.py::test_joined_ones_are_the_same",
    ),
    Mutant(
        "trajectories-cut", "gflow/trajectories.py",
        "whole = kept == self.length",
        "whole = kept <= self.length",
        "tests/gflow/test_trajectories.py::test_cut_ones_are_prefixes",
    ),
    Mutant(
        "exploration-bias", "gflow/sampling/exploration.py",
        "logits[:, stop_action] -= self.stop_bias",
        "logits[:, stop_action] += self.stop_bias",
        "tests/gflow/sampling/test_exploration.py::test_objects_have_the_exact_law_of_the_behaviour"
        "[stop-bias-free-listed]",
    ),
    Mutant(
        "exploration-nothing", "gflow/sampling/exploration.py",
        "logits = logits.masked_fill(self._coin(self.epsilon, logits, generator)[:, None], 0.0)",
        "logits.masked_fill(self._coin(self.epsilon, logits, generator)[:, None], 0.0)",
        "tests/gflow/sampling/test_exploration.py::"
        "test_a_full_epsilon_is_uniform_over_the_legal_actions_of_every_state",
    ),
    Mutant(
        "training-clip", "gflow/training/trainer.py",
        "torch.nn.utils.clip_grad_norm_(self._main, self.config.grad_clip)",
        "torch.nn.utils.clip_grad_norm_(\n"
        "                self.__dict__.setdefault('once', (p for p in self._main)),\n"
        "                self.config.grad_clip,\n"
        "            )",
        "tests/gflow/training/test_training.py::test_gradients_are_clipped_in_every_step",
    ),
    Mutant(
        "training-average", "gflow/training/trainer.py",
        "average_into(self.average, self.policy, 1 - self.config.ema)",
        "average_into(self.average, self.policy, self.config.ema)",
        "tests/gflow/training/test_training.py::test_the_average_follows_the_weights_as_declared",
    ),
    Mutant(
        "checkpoint-generator", "gflow/training/trainer.py",
        'self.generator.set_state(state["generator"])',
        'state["generator"]',
        "tests/gflow/training/test_checkpoint.py::TestInterrupted",
    ),
    Mutant(
        "replay-order", "gflow/memory/replay.py",
        "rows = rows[-self.capacity :]",
        "rows = rows[: self.capacity]",
        "tests/gflow/memory/test_replay.py::TestReplay",
    ),
    # ---- several objectives
    Mutant(
        "mo-domination", "gflow/memory/pareto.py",
        "return (first >= second).all(-1) & (first > second).any(-1)",
        "return (first >= second).all(-1)",
        "tests/gflow/memory/test_pareto.py::test_the_order_is_irreflexive_asymmetric_and_transitive",
    ),
    Mutant(
        "mo-front-block", "gflow/memory/pareto.py",
        "for rivals in (*front.split(BLOCK), block):",
        "for rivals in (block,):",
        "tests/gflow/memory/test_pareto.py::test_many_points_are_compared_in_parts",
    ),
    Mutant(
        "mo-archive-forgets", "gflow/memory/pareto.py",
        "kept = kept[non_dominated(scores[kept], self.deduplicate)]",
        "kept = kept[kept >= old]",
        "tests/gflow/memory/test_pareto.py::test_the_front_survives_the_overwriting_of_a_ring",
    ),
    Mutant(
        "mo-cone-edge", "gflow/rewards/scalarizations.py",
        "self.gamma = math.log(limit) / math.log(cosine)",
        "self.gamma = math.log(cosine) / math.log(limit)",
        "tests/gflow/rewards/test_scalarizations.py::test_the_limit_is_met_at_the_edge",
    ),
    Mutant(
        "mo-beta-column", "gflow/rewards/scalarizations.py",
        "return condition[:, :num], condition[:, num] if beta is None else beta",
        "return condition[:, :num], condition[:, 0] if beta is None else beta",
        "tests/gflow/rewards/test_scalarizations.py::test_weighted_sums",
    ),
    Mutant(
        "mo-scores-unshared", "gflow/environment/base.py",
        "        value = _less(value, self.log_multiplicity(states))\n",
        "",
        "tests/envs/molecules/test_molecule_scores.py::test_molecules_come_in_proportion_to_what_is_preferred",
    ),
    Mutant(
        "mo-relabel-reward", "gflow/behaviours/hindsight.py",
        "return replace(batch, condition=condition, log_reward=log_reward)",
        "return replace(batch, condition=condition)",
        "tests/gflow/behaviours/test_relabel.py::test_relabelled_rewards_are_those_of_the_other_condition",
    ),
    Mutant(
        "mo-replay-scores", "gflow/memory/replay.py",
        "                \"scores\": batch.scores,",
        "                \"scores\": batch.scores.flip(0),",
        "tests/gflow/behaviours/test_relabel.py::test_a_memory_forgets_scores_with_their_trajectories",
    ),
    Mutant(
        "mo-hypervolume-order", "gflow/metrics/multiobjective.py",
        "x, order = points[:, 0].sort(descending=True)",
        "x, order = points[:, 0].sort()",
        "tests/gflow/metrics/test_multiobjective.py::test_golden_fronts_of_two_landscapes",
    ),
    Mutant(
        "mo-igd-side", "gflow/metrics/multiobjective.py",
        "return _nearest(front, scores, lambda p, u: (p - u).clamp(min=0)).mean()",
        "return _nearest(front, scores, lambda p, u: (u - p).clamp(min=0)).mean()",
        "tests/gflow/metrics/test_multiobjective.py::test_distances_are_those_of_the_definition",
    ),
    Mutant(
        "mo-architecture-digits", "envs/architectures/data.py",
        "for place in reversed(range(len(EDGES)))]",
        "for place in range(len(EDGES))]",
        "tests/envs/architectures/test_architecture.py::test_cells_are_in_the_order_of_the_table",
    ),
    Mutant(
        "mo-focus-table", "gflow/conditions/preferences.py",
        "vain = self.tried & ~self.reached",
        "vain = ~self.reached",
        "tests/gflow/conditions/test_preferences.py::test_the_table_learns_what_is_tried_in_vain",
    ),
    # ---- branches and states with equal futures
    Mutant(
        "branch-at-source", "gflow/behaviours/branching.py",
        "keep = keep.masked_fill(place[1] < self.whole, 0)",
        "keep = keep * 0",
        "tests/gflow/behaviours/test_branching.py::test_groups_share_a_beginning_and_a_graph",
    ),
    Mutant(
        "futures-of-other-graphs", "envs/graphs/policy.py",
        " + GRAPH_MARK * (states.graph + 1)",
        "",
        "tests/envs/graphs/test_graph_policy.py::test_states_with_equal_futures_are_looked_at_once",
    ),
    # ---- local search
    Mutant(
        "search-inverted", "gflow/behaviours/acceptance.py",
        "return self.reward + self.backward + self.forward + self.keep",
        "return self.reward - self.backward - self.forward + self.keep",
        f"{SEARCH}::test_ls1_exact_filters_are_reversible_on_sets",
    ),
    Mutant(
        "search-prefix", "gflow/behaviours/local_search.py",
        "later = terms.mask & (time >= torch.cat([keep, keep])[:, None])",
        "later = terms.mask & (time > torch.cat([keep, keep])[:, None])",
        f"{SEARCH}::test_ls3_a_perfect_policy_is_always_accepted",
    ),
    Mutant(
        "search-lengths", "gflow/behaviours/local_search.py",
        "keep=law(keep, candidate.length) - law(keep, current.length),",
        "keep=law(keep, current.length) - law(keep, current.length),",
        f"{SEARCH}::test_ls4_reversible_for_every_law_of_steps",
    ),
    Mutant(
        "search-suffix", "gflow/sampling/sampler.py",
        "return trajectories.splice(keep, tail)",
        "return tail",
        f"{SEARCH}::test_ls5_stored_trajectories_are_whole",
    ),
    Mutant(
        "search-follows", "gflow/behaviours/local_search.py",
        ".select(row + len(row) * accepted)",
        ".select(row + len(row))",
        f"{SEARCH}::test_ls6_counts",
    ),
    Mutant(
        "search-explores", "gflow/behaviours/local_search.py",
        "sampler.resume(policy, current, keep, generator=generator)",
        "sampler.resume(\n"
        "            policy, current, keep, exploration=rollout.exploration, generator=generator\n"
        "        )",
        f"{SEARCH}::test_ls6_only_fresh_trajectories_explore",
    ),
    Mutant(
        "search-greedy", "gflow/behaviours/acceptance.py",
        "return (gain() > 0).double()",
        "return (gain() >= 0).double()",
        f"{SEARCH}::test_ls7_greedy_never_falls",
    ),
    Mutant(
        "search-steps", "gflow/behaviours/backtracking.py",
        "(u * length).long()",
        "(u * (length - 1)).long()",
        f"{SEARCH}::test_ls8_every_number_of_steps_is_drawn_alike",
    ),
    Mutant(
        "search-depth", "gflow/behaviours/backtracking.py",
        "return (length - self.steps).clamp(min=0)",
        "return (length - self.steps).clamp(min=1)",
        f"{SEARCH}::test_ls8_beyond_the_depth_it_is_an_independent_resample",
    ),
    Mutant(
        "search-accepts", "gflow/behaviours/acceptance.py",
        "return u < chance",
        "return u < chance.sqrt()",
        f"{SEARCH}::test_a_sampled_round_has_the_law_of_the_kernel",
    ),
    Mutant(
        "search-symmetry", "gflow/behaviours/local_search.py",
        "old, new = both.log_reward.double().chunk(2)",
        "old, new = plain_log_reward(rollout.env, both).double().chunk(2)",
        "tests/test_environment_table.py::"
        "test_local_search_keeps_the_law_of_symmetric_objects[atoms]",
    ),
    Mutant(
        "splice-meeting", "gflow/trajectories.py",
        "later = time - keep[:, None]",
        "later = time - keep[:, None] + 1",
        "tests/gflow/training/test_resume.py::test_what_is_kept_is_kept",
    ),
    # ---- backward policies with a network of their own
    Mutant(
        "split-gradient", "gflow/policies/split.py",
        "torch.is_grad_enabled() and not self.detached",
        "torch.is_grad_enabled()",
        f"{BACKWARD}::test_objectives_send_gradients_where_they_may",
    ),
    Mutant(
        "count-pin", "gflow/backward/count.py",
        "value.where(~env.is_initial(states), 0.0)",
        "value",
        f"{BACKWARD}::test_counts_that_are_exact_give_the_maximum_entropy_policy",
    ),
    Mutant(
        "count-classes", "gflow/backward/count.py",
        "mask = representatives(mask, classes)",
        "mask = mask.clone()",
        f"{BACKWARD}::test_counts_that_are_exact_give_the_maximum_entropy_policy",
    ),
    Mutant(
        "tlm-share", "gflow/backward/fits.py",
        "average_into(self.target, self.network, self.tau)",
        "average_into(self.target, self.network, 1 - self.tau)",
        f"{BACKWARD}::test_the_target_is_the_average_of_what_was_fitted",
    ),
    Mutant(
        "likelihood-sign", "gflow/backward/fits.py",
        "return -log_pb(env, network, batch)",
        "return log_pb(env, network, batch)",
        f"{BACKWARD}::test_likelihood_converges_to_the_frequencies_seen",
    ),
    Mutant(
        "pessimistic-memory", "gflow/backward/fits.py",
        '"memory": self.memory.state_dict()',
        '"memory": []',
        f"{BACKWARD}::test_a_killed_fit_resumes_to_the_same_bits",
    ),
    # ---- replay
    Mutant(
        "replay-stale-order", "gflow/memory/replay.py",
        "self.order.remove(gone)",
        "self.order.remove(gone[:0])",
        f"{REPLAY}::test_old_entries_are_never_drawn_under_the_rank_of_the_new",
    ),
    Mutant(
        "prt-percentile", "gflow/memory/draw.py",
        "divmod(9 * (size - 1), 10)",
        "divmod(9 * size, 10)",
        f"{REPLAY}::test_half_of_prt_comes_from_each_side_of_the_percentile",
    ),
    Mutant(
        "rank-from-the-worst", "gflow/memory/draw.py",
        "return order.slots[size - 1 - rank.clamp(max=size - 1)]",
        "return order.slots[rank.clamp(max=size - 1)]",
        f"{REPLAY}::test_ranks_have_their_law",
    ),
    Mutant(
        "sorted-ties", "gflow/memory/sorted_index.py",
        "torch.searchsorted(old, values, right=True)",
        "torch.searchsorted(old, values)",
        f"{REPLAY}::test_the_index_is_a_sorted_list",
    ),
    Mutant(
        "weakest-of-all", "gflow/memory/keep.py",
        "order.slots[: len(stored)][out[: len(stored)]], out[len(stored) :]",
        "order.slots[: len(stored)], out[len(stored) :]",
        "tests/gflow/memory/test_replay.py::TestReplay",
    ),
    Mutant(
        "diverse-near", "gflow/memory/keep.py",
        "take(objects, rows), take(stored, part)) < cutoff",
        "take(objects, rows), take(stored, part)) <= cutoff",
        f"{REPLAY}::test_diverse_objects_are_apart_and_the_better_of_two_stays",
    ),
    Mutant(
        "replay-order-forgotten", "gflow/memory/replay.py",
        'self.order.add(self.log_reward[state["order"]], state["order"])',
        'self.order.add(-self.log_reward[state["order"]], state["order"])',
        f"{REPLAY}::test_a_killed_run_resumes_to_the_same_bits",
    ),
    Mutant(
        "augmentation-once", "gflow/behaviours/augmentation.py",
        'trainer.generator, "tenth")',
        "trainer.generator)",
        f"{REPLAY}::test_augmentation_takes_its_steps_back_from_good_and_other_objects",
    ),
    # ---- forward-looking and learned energies
    Mutant(
        "fl-energy-sign", "gflow/evaluation/anchored.py",
        "learned = learned - energy.to(learned.dtype)",
        "learned = learned + energy.to(learned.dtype)",
        f"{LOOKING}::test_fl2_it_is_the_base_with_the_energy_taken_from_the_flow",
    ),
    Mutant(
        "fl-no-anchor", "gflow/evaluation/anchored.py",
        "log_flow = anchor(learned, trajectories)",
        "log_flow = learned",
        f"{LOOKING}::test_fl3_the_flow_head_is_not_read_at_the_end",
    ),
    Mutant(
        "fl-cut-is-end", "gflow/sampling/sampler.py",
        "complete=complete,",
        "complete=None,",
        f"{LOOKING}::test_fl5_a_sampler_that_cuts_anchors_what_it_finishes_and_nothing_else",
    ),
    Mutant(
        "led-sign", "objectives/led.py",
        "end[:, None], terms.log_flow - spent)",
        "end[:, None], terms.log_flow + spent)",
        f"{LED}::test_led1_exact_potentials_are_forward_looking_energies",
    ),
    Mutant(
        "led-gap-sign", "objectives/led.py",
        "shared = (gap / moves.sum(-1).clamp(min=1))",
        "shared = -(gap / moves.sum(-1).clamp(min=1))",
        f"{LED}::test_led5_redistribution_makes_sums_exact_and_leaves_exact_ones_alone",
    ),
    Mutant(
        "led-all-dropped", "objectives/potential.py",
        "kept = kept | (last & ~kept.any(-1, keepdim=True))",
        "kept = kept & (last | ~last)",
        f"{LED}::test_led7_one_potential_is_always_kept_and_keeping_all_is_deterministic",
    ),
    Mutant(
        "led-straddles", "objectives/potential.py",
        "after[index[rows, times + 1]]",
        "after[(index[rows, times] + 1) % len(after)]",
        f"{LED}::test_led8_pairs_never_straddle_trajectories_and_stops_have_no_potential",
    ),
    Mutant(
        "led-gradient", "objectives/led.py",
        "        with torch.no_grad():\n            potential = self.potential(env, trajectories)",
        "        if True:\n            potential = self.potential(env, trajectories)",
        f"{LED}::test_led7_flows_send_no_gradient_into_potentials",
    ),
    # ---- points in R^d: targets, chains, distances
    Mutant(
        "target-well-tilt", "envs/targets/double_well.py",
        "(12 - 4 * across.square()) + 0.5",
        "(12 - 4 * across.square()) - 0.5",
        f"{TARGETS}::test_score_is_the_gradient",
    ),
    Mutant(
        "target-volume", "envs/targets/rescaled.py",
        "base.log_z - self.dim",
        "base.log_z + self.dim",
        f"{TARGETS}::test_rescaling_is_a_change_of_variables",
    ),
    Mutant(
        "target-cell", "envs/targets/inverse_cdf.py",
        "rest * (left + right) / (left + root)",
        "rest",
        f"{TARGETS}::test_inverse_cdf_inverts_the_integral_of_its_own_polygon",
    ),
    Mutant(
        "oracle-within", "envs/targets/oracle.py",
        "within = variances * sigma2 * (1 - time) / spread",
        "within = variances * sigma2 / spread",
        f"{TARGET_ORACLE}::test_mixture_moments_agree_with_quadrature",
    ),
    Mutant(
        "oracle-rest", "envs/targets/oracle.py",
        "(later - now) * (1 - later) / (1 - now)",
        "(later - now)",
        f"{TARGET_ORACLE}::test_reverse_kernel_of_a_gaussian_is_the_conditional_gaussian",
    ),
    Mutant(
        "oracle-bridge", "envs/targets/oracle.py",
        "- time[..., None] * nodes.square() / 2",
        "- nodes.square() / 2",
        f"{TARGET_ORACLE}::test_double_well_moments_agree_with_quadrature",
    ),
    Mutant(
        "chain-back", "gflow/mcmc/langevin.py",
        "(forth - back)",
        "(back - forth)",
        f"{CHAINS}::test_langevin_moves_balance_in_detail",
    ),
    Mutant(
        "chain-noise", "gflow/mcmc/langevin.py",
        "(2 * step).sqrt()",
        "step.sqrt()",
        f"{CHAINS}::test_exact_draws_stay_exact",
    ),
    Mutant(
        "chain-kinetic", "gflow/mcmc/hamiltonian.py",
        "(momentum.square() - after.square())",
        "(after.square() - momentum.square())",
        f"{CHAINS}::test_one_leapfrog_step_is_the_langevin_move",
    ),
    Mutant(
        "chain-half-step", "gflow/mcmc/hamiltonian.py",
        "x = x + step * momentum",
        "x = x + step / 2 * momentum",
        f"{CHAINS}::test_one_leapfrog_step_is_the_langevin_move",
    ),
    Mutant(
        "chain-nan", "gflow/mcmc/chains.py",
        "return uniform.log() < log_ratio",
        "return ~(uniform.log() >= log_ratio)",
        f"{CHAINS}::test_what_is_not_a_number_is_rejected",
    ),
    Mutant(
        "chain-heat", "gflow/mcmc/chains.py",
        "heights[accepts] / inverse_temperature",
        "heights[accepts]",
        f"{CHAINS}::test_accepted_proposals_come_apart_from_the_chains",
    ),
    Mutant(
        "anneal-rise", "gflow/mcmc/annealing.py",
        "log_weight + rise * gain",
        "log_weight + beta * gain",
        f"{ANNEALING}::test_z_of_a_gaussian_is_unbiased",
    ),
    Mutant(
        "anneal-forgets", "gflow/mcmc/annealing.py",
        "torch.where(few, log_z + mean, log_z)",
        "torch.where(few, log_z, log_z)",
        f"{ANNEALING}::test_z_of_25_components_is_unbiased",
    ),
    Mutant(
        "anneal-keeps", "gflow/mcmc/annealing.py",
        "torch.where(few, 0.0, log_weight)",
        "log_weight",
        f"{ANNEALING}::test_z_of_25_components_is_unbiased",
    ),
    Mutant(
        "resample-shift", "gflow/mcmc/resampling.py",
        "+ shift) / count",
        "+ 0.5) / count",
        f"{ANNEALING}::test_systematic_counts_are_right_on_average",
    ),
    Mutant(
        "transport-shift", "gflow/metrics/transport.py",
        "(best + shift.cpu()).sqrt()",
        "best.sqrt()",
        f"{TRANSPORT}::test_w2_is_the_best_of_all_pairings",
    ),
    Mutant(
        "transport-diagonal", "gflow/metrics/transport.py",
        "/ (count * (count - 1))",
        "/ count**2",
        f"{TRANSPORT}::test_mmd_is_unbiased_in_closed_form",
    ),
    Mutant(
        "coverage-forward-ess", "gflow/metrics/bounds.py",
        "(3 * count -",
        "(2 * count -",
        f"{COVERAGE}::test_forward_ess_is_at_most_the_number_and_does_not_read_z",
    ),
    Mutant(
        "coverage-open-end", "gflow/metrics/continuous.py",
        "torch.where(points == end, place - 1, place)",
        "place",
        f"{COVERAGE}::test_histogram_jsd_of_known_cells",
    ),
    Mutant(
        "coverage-flat", "gflow/metrics/continuous.py",
        "gap.cos() - 1 if kernel",
        "-gap.square() / 2 if kernel",
        f"{COVERAGE}::test_only_the_wrapped_kernel_closes_the_circle",
    ),
    # ---- angles whose moves have densities
    Mutant(
        "torus-way-back", "envs/torus/env.py",
        "self.forced = states.step == 1 if sign < 0 else None",
        "self.forced = states.step == 2 if sign < 0 else None",
        f"{TORUS}::test_the_way_back_from_step_one_is_forced",
    ),
    Mutant(
        "torus-forced-density", "envs/torus/env.py",
        "return value if self.forced is None else value.masked_fill(self.forced, 0.0)",
        "return value",
        f"{TORUS}::test_the_way_back_from_step_one_is_forced",
    ),
    Mutant(
        "torus-forced-angles", "envs/torus/env.py",
        "angles = angles.masked_fill(self.forced[:, None], 0.0)",
        "angles = angles + 0.0",
        f"{TORUS}::test_backward_trajectories_lead_to_the_source",
    ),
    Mutant(
        "torus-backward-sign", "envs/torus/env.py",
        "self.increment.log_prob(self.sign * (states.angles - self.states.angles))",
        "self.increment.log_prob(states.angles - self.states.angles)",
        f"{TORUS}::test_backward_takes_away_what_forward_adds",
    ),
    Mutant(
        "torus-backward-draw", "envs/torus/env.py",
        "wrap(self.states.angles + self.sign * drawn)",
        "wrap(self.states.angles + drawn)",
        f"{TORUS}::test_draws_of_a_kernel_have_its_density[False]",
    ),
    Mutant(
        "torus-no-wrap", "envs/torus/env.py",
        "wrap(self.states.angles + self.sign * drawn)",
        "self.states.angles + self.sign * drawn",
        f"{TORUS}::test_every_trajectory_makes_all_moves_within_the_circle",
    ),
    Mutant(
        "torus-least-concentration", "envs/torus/env.py",
        "torch.atan2(sine, cosine), self.min_concentration + excess",
        "torch.atan2(sine, cosine), excess",
        f"{TORUS}::test_the_least_concentration_is_kept_and_the_largest_finite",
    ),
    Mutant(
        "torus-steps-unread", "envs/torus/policy.py",
        "self.first(waves) + self.moves[step]",
        "self.first(waves) + self.moves[step * 0]",
        f"{TORUS}::test_policies_read_angles_that_wrap_and_the_number_of_moves",
    ),
    Mutant(
        "torus-angles-unwrapped", "envs/torus/policy.py",
        "(angles.unsqueeze(-1) * orders).flatten(1)",
        "(angles.unsqueeze(-1) * orders.sqrt()).flatten(1)",
        f"{TORUS}::test_policies_read_angles_that_wrap_and_the_number_of_moves",
    ),
    Mutant(
        "circle-norm", "envs/torus/von_mises.py",
        "torch.special.i0e(concentration)).log()",
        "torch.special.i1e(concentration + 1)).log()",
        f"{CIRCLE}::test_the_density_integrates_to_one[4.0]",
    ),
    Mutant(
        "circle-all-kept", "envs/torus/von_mises.py",
        "< c * (1 - c).exp()",
        "< c * 0 + 1",
        f"{CIRCLE}::test_draws_follow_the_density[300.0]",
    ),
    Mutant(
        "circle-envelope", "envs/torus/von_mises.py",
        "< c * (1 - c).exp()",
        "< (1 - c).exp()",
        f"{CIRCLE}::test_draws_follow_the_density[4.0]",
    ),
    Mutant(
        "circle-full-turn", "envs/torus/von_mises.py",
        "return turned.where(turned < 2 * math.pi, 0.0)",
        "return turned",
        f"{CIRCLE}::test_wrapping_ends_below_a_full_turn_in_both_precisions",
    ),
    Mutant(
        "circle-component", "envs/torus/von_mises.py",
        "(place.unsqueeze(-1) > ends[..., :-1])",
        "(place.unsqueeze(-1) < ends[..., :-1])",
        f"{CIRCLE}::test_draws_of_a_mixture_have_its_first_harmonics",
    ),
    Mutant(
        "circle-uniform-density", "envs/torus/von_mises.py",
        "value = -self.like.shape[-1] * math.log(2 * math.pi)",
        "value = -math.log(2 * math.pi)",
        f"{TORUS}::test_kernels_integrate_to_one[uniform]",
    ),
    Mutant(
        "waves-shift", "envs/torus/targets.py",
        "torch.sin(1.5 * first + math.pi / 4)",
        "torch.sin(1.5 * first - math.pi / 4)",
        f"{TORUS_TARGETS}::test_the_sum_of_waves_is_the_formula_and_finite_at_its_zeros",
    ),
    Mutant(
        "torus-table-slope", "envs/torus/targets.py",
        "-t / 2 + two - three / 2,",
        "-t / 3 + two - three / 2,",
        f"{TORUS_TARGETS}::test_a_table_passes_through_its_values_and_bends_smoothly",
    ),
    Mutant(
        "torus-cells-turned", "envs/torus/metrics.py",
        "return place[:, 0] * cells + place[:, 1]",
        "return place[:, 1] * cells + place[:, 0]",
        f"{TORUS_TARGETS}::test_exact_samples_fill_cells_as_they_should[TorusMixture(dim=2)]",
    ),
    Mutant(
        "torus-bandwidth", "envs/torus/metrics.py",
        "concentration = angles.new_tensor(bandwidth**-2)",
        "concentration = angles.new_tensor(bandwidth**-1)",
        f"{TORUS_TARGETS}::test_one_law_smoothed_is_the_convolution_of_two",
    ),
    # ---- boxes and cubes
    Mutant(
        "box-arc-width", "envs/cubes/moves.py", BOX_ARC,
        BOX_ARC.replace(" - self.width.log()", ""),
        f"{BOX}::test_densities_integrate_to_one",
    ),
    Mutant(
        "box-disk-radius", "envs/cubes/moves.py",
        "jacobian = place[:, 0].log() + 2 * math.log(self.delta)",
        "jacobian = 2 * math.log(self.delta)",
        f"{BOX}::test_trajectory_balance_is_zero_at_an_exact_solution",
    ),
    Mutant(
        "box-one-side-per-radian", "envs/cubes/box.py",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)\n"
        "        plain = later.log_prob\n"
        "        later.log_prob = lambda move: plain(move) + math.log(self.delta)",
        f"{BOX}::test_weights_have_the_mean_z",
    ),
    Mutant(
        "box-search-one-side-per-radian", "envs/cubes/box.py",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)",
        "later = Arc(self.delta, *self.legal_arc(1 - states), place)\n"
        "        plain = later.log_prob\n"
        "        later.log_prob = lambda move: plain(move) + math.log(self.delta)",
        f"{BOX_TRAINING}::test_local_search_keeps_the_law",
    ),
    Mutant(
        "box-leak", "envs/cubes/box.py",
        "low = torch.maximum(most[:, 0].acos(), least[:, 1].asin()) / QUARTER",
        "low = torch.zeros_like(most[:, 0])",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    Mutant(
        "box-room-turned", "envs/cubes/box.py",
        "self.legal_arc(1 - states)", "self.legal_arc(states)",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    Mutant(
        "box-stop-left-out", "envs/cubes/moves.py",
        "self.stop.no + self.later.log_prob(move)", "self.later.log_prob(move)",
        f"{BOX}::test_densities_integrate_to_one",
    ),
    Mutant(
        "box-forced-stop-has-a-logit", "envs/cubes/box.py",
        "stop = Atom(logit, self.is_terminal(states), source)",
        "stop = Atom(logit, torch.zeros_like(source), source)",
        f"{BOX}::test_forced_moves_are_certain_and_without_gradient",
    ),
    Mutant(
        "box-forced-return-has-a-density", "envs/cubes/moves.py",
        "torch.where((states == 0).all(-1), self.home.yes, moved)",
        "torch.where((states == 0).all(-1), self.back.log_prob(self.states - states), moved)",
        f"{BOX}::test_forced_moves_are_certain_and_without_gradient",
    ),
    Mutant(
        "box-return-too-late", "envs/cubes/box.py",
        "near: Tensor = states.norm(dim=-1) <= self.delta",
        "near: Tensor = states.norm(dim=-1) <= 0.9 * self.delta",
        f"{BOX}::test_moves_are_legal_both_ways",
    ),
    Mutant(
        "box-backward-density-halved", "envs/cubes/box.py",
        "HomeOrBack(states, atom, Arc(self.delta, *self.legal_arc(states), place))",
        "HomeOrBack(states, atom, Arc(0.9 * self.delta, *self.legal_arc(states), place))",
        f"{BOX}::test_detailed_balance_implies_flow_matching",
    ),
    Mutant(
        "box-modified-stop-turned", "objectives/mdb.py",
        "implied = terms.state_log_reward - terms.log_stop",
        "implied = terms.state_log_reward + terms.log_stop",
        f"{BOX}::test_modified_detailed_balance_is_detailed_balance_with_the_flow_put_in",
    ),
    Mutant(
        "box-exploration-by-radius", "envs/cubes/box.py",
        "states.new_tensor([2.0, 1.0])", "states.new_tensor([1.0, 1.0])",
        f"{BOX}::test_exploration_is_even_over_what_is_legal",
    ),
    Mutant(
        "box-beta-sample-of-one-part", "envs/cubes/beta_mixture.py",
        "alpha, beta = self.alpha.gather(-1, chosen), self.beta.gather(-1, chosen)",
        "alpha, beta = self.alpha[..., :1], self.beta[..., :1]",
        "tests/envs/cubes/test_beta_mixture.py::test_samples_have_the_moments_of_the_law",
    ),
    Mutant(
        "box-atom-forced-leak", "envs/cubes/atom.py",
        "F.logsigmoid(logit).masked_fill(forced, 0.0)", "F.logsigmoid(logit)",
        "tests/envs/cubes/test_atom.py::test_forced_and_ruled_out_are_exact_and_without_gradient",
    ),
    Mutant(
        "box-envelope", "envs/cubes/rewards.py",
        "self.masses = (r0, r1 * 0.5**dim, r2 * 0.2**dim)",
        "self.masses = (r0, r1 * 0.5**dim, (r2 - r1) * 0.2**dim)",
        "tests/envs/cubes/test_box_rewards.py::test_published_figures_of_the_square",
    ),
    Mutant(
        "cube-jacobian", "envs/cubes/moves.py",
        "(self.place.log_prob(r) - self.width.log()).sum(-1)",
        "self.place.log_prob(r).sum(-1)",
        f"{CUBE}::test_densities_integrate_to_one",
    ),
    Mutant(
        "cube-home-left-out", "envs/cubes/moves.py",
        "moved = self.home.no + self.back.log_prob(self.states - states)",
        "moved = self.back.log_prob(self.states - states)",
        f"{CUBE}::test_weights_have_the_mean_z",
    ),
    Mutant(
        "cube-leak", "envs/cubes/cube.py",
        "Increments(*self.legal_increments(1 - states), place)",
        "Increments(torch.zeros_like(states), 1 - states, place)",
        f"{CUBE}::test_moves_are_legal_both_ways",
    ),
    Mutant(
        "cube-forced-by-all-axes", "envs/cubes/cube.py",
        "return (states <= self.min_step + self.border).any(-1)",
        "return (states <= self.min_step + self.border).all(-1)",
        f"{CUBE}::test_forced_moves_are_certain_and_without_gradient",
    ),
)  # fmt: skip


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """A temporary copy to break: the package, its links, its tests and what they read."""
    with tempfile.TemporaryDirectory(prefix="gflow-mutants-") as folder:
        copy = Path(folder)
        for name in ("gflow", "envs", "objectives", "tests", "benchmarks"):
            shutil.copytree(
                ROOT / name,
                copy / name,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        shutil.copy(ROOT / "pyproject.toml", copy)
        yield copy


def imported_from(copy: Path) -> list[Path]:
    """Where the package and its two linked parts come from when tests run in the copy."""
    code = (
        "import gflow, gflow.envs.grids.hypergrid, gflow.objectives.tb\n"
        "for m in (gflow, gflow.envs.grids.hypergrid, gflow.objectives.tb): print(m.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=copy, check=True,
    )  # fmt: skip
    return [Path(line).resolve() for line in done.stdout.split()]


def occurrences(mutant: Mutant) -> int:
    """How often the text to be replaced occurs; it must be once."""
    return (ROOT / mutant.file).read_text().count(mutant.old)


def run_test(copy: Path, node: str) -> str:
    """What pytest prints about the named test, in the copy, with its exit status at the end.

    In a child of this process, so that torch is imported once for all mutants, and gflow, which
    this process never imports, anew for each.
    """
    with tempfile.TemporaryFile("w+") as out:
        child = os.fork()
        if child == 0:  # pragma: no cover
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            os.chdir(copy)
            sys.path.insert(0, str(copy))
            sys.dont_write_bytecode = True
            options = ["-x", "-p", "no:cacheprovider", f"--hypothesis-profile={PROFILE}"]
            options += ["-W", "ignore:Module already imported so cannot be rewritten"]
            try:
                status = int(pytest.main([node, *options]))
            except BaseException as error:
                print(repr(error))
                status = 99
            print(f"status {status}", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        out.seek(0)
        return out.read()


def survives(copy: Path, mutant: Mutant) -> str:
    """Why a mutant was not caught by a failing test, or an empty string if it was."""
    if occurrences(mutant) != 1:
        return f"{mutant.name}: its text occurs {occurrences(mutant)} times in {mutant.file}"
    path = copy / mutant.file
    whole = path.read_text()
    path.write_text(whole.replace(mutant.old, mutant.new))
    try:
        printed = run_test(copy, mutant.test)
    finally:
        path.write_text(whole)
    if f"FAILED {mutant.test.partition('[')[0]}" in printed and printed.endswith("status 1\n"):
        return ""
    tail = "\n".join(printed.splitlines()[-15:])
    return f"{mutant.name}: {mutant.test} did not fail:\n{tail}"


def main(words: list[str]) -> int:
    """Run the mutants whose names contain one of the words, or all; 0 if each was caught."""
    # Failures need not be made small: that they happen is enough.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        PROFILE, max_examples=25, deadline=None, derandomize=True, phases=phases
    )
    torch.set_num_threads(1)
    survivors = 0
    with copy_of_the_repository() as copy:
        strangers = [
            file for file in imported_from(copy) if not file.is_relative_to(copy.resolve())
        ]
        if strangers:
            print(f"not in the copy: {strangers}")
            return 1
        for mutant in MUTANTS:
            if words and not any(word in mutant.name for word in words):
                continue
            report = survives(copy, mutant)
            print(f"{'SURVIVED' if report else 'caught'} {mutant.name}", flush=True)
            if report:
                print(report, flush=True)
                survivors += 1
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
