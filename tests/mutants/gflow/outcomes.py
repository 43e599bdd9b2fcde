"""Mutants of `gflow/outcomes`, of behaviours for it, and of what environments say is reached."""

FLOWS = "tests/gflow/outcomes/test_outcome_flows.py"
TOLD = "tests/gflow/outcomes/test_conditioned.py"
ACHIEVED = "tests/gflow/behaviours/test_achieved.py"
MISSES = "tests/gflow/outcomes/test_misses.py"
SEEKER = "tests/gflow/cli/test_pretrain_novelty.py"
REACH = "tests/gflow/testing/test_reach_rules.py"
REACHED = f"{REACH}::test_what_is_said_to_be_reached_is_what_moves_lead_to"

MUTANTS = (
    (
        "outcome-t31-reward", "gflow/outcomes/conditioned.py",
        "return torch.where(hit, zero, self.log_floor)",
        "return torch.where(hit, zero - 0.1, self.log_floor)",
        f"{FLOWS}::test_flows_of_an_outcome_are_chances_of_the_walk_back_from_it[grid]",
    ),
    (
        "outcome-t33-anchor", "gflow/outcomes/conditioned.py",
        "return condition.new_zeros(len(condition))",
        "return 0.1 * condition[:, 0]",
        f"{FLOWS}::test_successes_alone_make_success_certain_where_the_source_is_anchored[words]",
    ),
    (
        "outcome-t33-tables", "gflow/outcomes/tables.py",
        "tables.flow_table[row] = one.flow_table",
        "tables.flow_table[row] = one.flow_table + row",
        f"{FLOWS}::test_without_the_anchor_successes_leave_the_scale_open",
    ),
    (
        "outcome-t35-told", "gflow/outcomes/conditioned.py",
        "self.has_known_log_z = anchored and (outcome is None or log_count is not None)",
        "self.has_known_log_z = False",
        f"{FLOWS}::test_successes_alone_make_success_certain_where_the_source_is_anchored[grid]",
    ),
    (
        "outcome-of-many", "gflow/outcomes/conditioned.py",
        "return self.log_count(condition)",
        "return self.log_count(condition).neg()",
        f"{TOLD}::test_objects_may_share_an_outcome",
    ),
    (
        "outcome-any-column", "gflow/outcomes/conditioned.py",
        "return (self.outcomes(objects) == condition.to(torch.get_default_dtype())).all(-1)",
        "return (self.outcomes(objects) == condition.to(torch.get_default_dtype())).any(-1)",
        f"{TOLD}::test_the_reward_is_one_for_what_was_asked_and_the_floor_else",
    ),
    (
        "outcome-encoder", "gflow/outcomes/encoder.py",
        'F.embedding_bag(condition.long() + self.offset, self.table, mode="sum")',
        'F.embedding_bag(condition.long(), self.table, mode="sum")',
        f"{TOLD}::test_encoders_read_outcomes_as_features",
    ),
    (
        "outcome-store", "gflow/outcomes/store.py",
        "new = first[~torch.isin(keys[first], self._keys)].sort().values",
        "new = first.sort().values",
        f"{TOLD}::test_visited_outcomes_are_different_ones_and_the_oldest_go",
    ),
    (
        "outcome-store-forgets", "gflow/outcomes/store.py",
        "self._keys = torch.cat([self._keys, keys[new]])[-self.capacity :]",
        "self._keys = torch.cat([self._keys, keys[new]])[: self.capacity]",
        f"{TOLD}::test_visited_outcomes_are_different_ones_and_the_oldest_go",
    ),
    (
        "wander-order", "gflow/outcomes/random_objects.py",
        "ends = ends | (action == found.stop_action)",
        "ends = ends & (action == found.stop_action)",
        f"{TOLD}::test_random_moves_end_in_every_object_and_ask_for_no_reward",
    ),
    (
        "success-of-others", "gflow/outcomes/success.py",
        "repeat_interleave(repeat, 0)",
        "repeat(repeat, 1)",
        f"{TOLD}::test_success_is_the_share_of_trajectories_that_build_what_they_were_told",
    ),
    (
        "achieved-keeps-rewards", "gflow/behaviours/achieved.py",
        "batch.log_reward.index_put((chosen,), reward),",
        "batch.log_reward,",
        f"{ACHIEVED}::test_a_share_is_told_and_the_others_keep_what_they_were_asked_for",
    ),
    (
        "achieved-unfinished", "gflow/behaviours/achieved.py",
        "chosen = chosen[batch.complete[chosen]]",
        "chosen = chosen[~batch.complete[chosen]]",
        f"{ACHIEVED}::test_unfinished_trajectories_achieve_nothing",
    ),
    (
        "achieved-retried", "gflow/behaviours/achieved.py",
        "asked = told.condition[_in_turn(again, len(told), told.length.device)]",
        "asked = told.condition[_in_turn(again, len(told), told.length.device).flip(0)]",
        f"{ACHIEVED}::test_the_policy_tries_again_for_what_was_achieved_and_misses_at_the_floor",
    ),
    (
        "achieved-mismatched", "gflow/behaviours/achieved.py",
        "condition = told.condition[(rows + shift.to(device)) % len(told)]",
        "condition = told.condition[rows]",
        f"{ACHIEVED}::test_some_are_told_the_outcome_of_another",
    ),
    (
        "achieved-open-scale", "gflow/behaviours/achieved.py",
        "if isinstance(reward, OutcomeReward) and not misses and not reward.has_known_log_z:",
        "if isinstance(reward, OutcomeReward) and not misses and not reward.floor:",
        f"{ACHIEVED}::test_what_it_serves[scale]",
    ),
    (
        "explorer-resumes", "gflow/behaviours/explorer.py",
        'self.trainer.load_state_dict(state["trainer"])',
        "self.trainer.load_state_dict(self.trainer.state_dict())",
        f"{ACHIEVED}::test_an_explorer_trains_beside_and_resumes_to_the_same_numbers",
    ),
    (
        "explorer-count", "gflow/behaviours/explorer.py",
        "trainer.config = replace(trainer.config, batch_size=count)",
        "trainer.config = replace(trainer.config, batch_size=count + 1)",
        f"{ACHIEVED}::test_its_batches_are_as_large_as_asked_and_of_the_same_states",
    ),
    (
        "teleported-reward", "gflow/outcomes/teleported.py",
        "return (delta - _log_r(terms)[:, None]).where(terms.mask, 0.0)",
        "return (delta + _log_r(terms)[:, None]).where(terms.mask, 0.0)",
        f"{MISSES}::test_teleported_balance_asks_for_two_things_at_once",
    ),
    (
        "teleported-weight", "gflow/outcomes/teleported.py",
        "return even * (1 - (1 - self.failure_weight) * missed[:, None])",
        "return even * (1 - self.failure_weight * missed[:, None])",
        f"{MISSES}::test_teleported_balance_asks_for_two_things_at_once",
    ),
    (
        "teleported-t33-scale", "gflow/outcomes/teleported.py",
        "missed = (_log_r(terms) < MISSED).to(even.dtype)",
        "missed = (_log_r(terms) > MISSED).to(even.dtype)",
        f"{MISSES}::test_the_scale_of_teleported_flows_depends_on_the_outcome",
    ),
    (
        "misses-floor", "gflow/outcomes/conditioned.py",
        "self.log_floor = math.log(floor) if floor else -math.inf",
        "self.log_floor = 2 * math.log(floor) if floor else -math.inf",
        f"{MISSES}::test_misses_at_the_last_transition_have_an_exact_solution",
    ),
    (
        "stored-of-other-states", "gflow/outcomes/stored.py",
        "return strange or self.walks",
        "return self.walks",
        f"{MISSES}::test_objects_of_other_states_are_not_walked_back_from",
    ),
    (
        "stored-once", "gflow/outcomes/stored.py",
        'rebuild="backward", distinct=True)',
        'rebuild="backward", distinct=False)',
        f"{MISSES}::test_objects_that_were_found_once_are_walked_back_from_as_often_as_others",
    ),
    (
        "stored-evenly", "gflow/outcomes/stored.py",
        "self.buffer.rows(count, generator)",
        "self.buffer.rows(count, generator) // 2",
        f"{MISSES}::test_objects_that_were_found_once_are_walked_back_from_as_often_as_others",
    ),
    (
        "seeker-seed", "gflow/tasks/outcomes.py",
        "seed = int(torch.randint(2**31, ()))",
        "seed = 0",
        f"{SEEKER}::test_the_explorer_has_the_tasks_network_and_no_conditions",
    ),
    (
        "seeker-even", "gflow/tasks/outcomes.py",
        "return torch.full((batch_size(objects),), EVEN, device=device_of(objects))",
        "return torch.full((batch_size(objects),), -EVEN, device=device_of(objects))",
        f"{SEEKER}::test_the_explorer_has_the_tasks_network_and_no_conditions",
    ),
    (
        "stored-turn", "gflow/outcomes/stored.py",
        "if self.batches % self.every == 0 or not len(buffer):",
        "if self.batches % self.every == 1 or not len(buffer):",
        f"{MISSES}::test_objects_that_were_found_once_are_walked_back_from_as_often_as_others",
    ),
    (
        "stored-saved", "gflow/outcomes/stored.py",
        'self.batches, self._saved = state["batches"], state["buffer"]',
        'self.batches, self._saved = state["batches"], None',
        f"{MISSES}::test_memories_of_objects_are_part_of_a_checkpoint",
    ),
    (
        "reaches-grid", "envs/grids/hypergrid.py",
        "return below & (~self.is_terminal(states) | (states == objects).all(-1))",
        "return below",
        f"{REACHED}[grid-forced]",
    ),
    (
        "reaches-both-ends", "envs/sequences/env.py",
        "windows = beyond.unfold(1, self.length, 1)",
        "windows = beyond.unfold(1, self.length, 1)[:, :2]",
        f"{REACHED}[both-ends]",
    ),
    (
        "reaches-sets", "envs/sets/sets.py",
        "return (~states | objects).all(-1)",
        "return (states | ~objects).all(-1)",
        f"{REACHED}[sets]",
    ),
    (
        "reaches-bags", "envs/sets/bags.py",
        "return (states <= objects).all(-1)",
        "return (states <= objects).any(-1)",
        f"{REACHED}[bags]",
    ),
    (
        "reaches-spins", "envs/spins/env.py",
        "return ((states == objects) | (states == 0)).all(-1)",
        "return ((states == objects) | (states == 1)).all(-1)",
        f"{REACHED}[spins]",
    ),
    (
        "reaches-dags", "envs/dags/env.py",
        "return (~states.adjacency | objects.adjacency).flatten(1).all(-1)",
        "return (~states.adjacency | objects.adjacency.mT).flatten(1).all(-1)",
        f"{REACHED}[dags]",
    ),
    (
        "reaches-trees", "envs/phylogeny/env.py",
        "same = (states.into == objects.into) & (states.made == objects.made)",
        "same = states.into == objects.into",
        f"{REACHED}[trees]",
    ),
    (
        "reaches-table", "gflow/testing/table.py",
        "reached = torch.eye(count, dtype=torch.bool)",
        "reached = torch.zeros(count, count, dtype=torch.bool)",
        f"{REACHED}[table]",
    ),
    (
        "checker-reaches-promise", "gflow/testing/discrete/reach_rules.py",
        "elif bool((claimed & ~truth).any()):",
        "elif bool((claimed & truth & ~truth).any()):",
        f"{REACH}::test_wrong_answers_are_found[promises]",
    ),
    (
        "checker-reaches-parents", "gflow/testing/discrete/reach_rules.py",
        "lost = after.view(-1, len(chosen)) & ~claimed[found.parent]",
        "lost = ~after.view(-1, len(chosen)) & ~claimed[found.parent] & claimed[found.parent]",
        f"{REACH}::test_wrong_answers_are_found[large-parents]",
    ),
    (
        "outcome-symmetry", "gflow/outcomes/conditioned.py",
        "anchored = anchored and env.log_symmetry(some) is None",
        "anchored = anchored or env.log_symmetry(some) is not None",
        "tests/gflow/outcomes/test_conditioned.py"
        "::test_flows_are_not_anchored_where_objects_are_counted_by_their_symmetries",
    ),
)  # fmt: skip
