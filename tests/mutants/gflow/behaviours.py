"""Mutants of `gflow/behaviours`."""

SOURCES = "tests/gflow/behaviours/test_sources.py"
SEARCH = "tests/gflow/behaviours/test_local_search.py"
SEARCH_BATCHES = "tests/gflow/behaviours/test_local_search_batches.py"
REPLAY = "tests/gflow/memory/test_replay_strategies.py"
LIKELIHOOD = "tests/objectives/test_max_likelihood.py"
LANGEVIN = "tests/gflow/behaviours/test_langevin_search.py"

REFRESHED = "tests/gflow/behaviours/test_refreshed.py"

CHANCE = "tests/gflow/behaviours/test_chance_and_players.py"

MUTANTS = (
    (
        "search-in-games", "gflow/behaviours/local_search.py",
        "if env.num_players > 1 and self.filter.judges:",
        "if env.num_players > 2 and self.filter.judges:",
        f"{CHANCE}::test_behaviours_refuse_what_means_nothing[better for whom]",
    ),
    (
        "search-looks-back", "gflow/behaviours/local_search.py",
        'if not env.has_backward and (self.prefix == "resampled" or self.filter.exact):',
        'if not env.has_backward and self.prefix == "resampled":',
        f"{CHANCE}::test_behaviours_refuse_what_means_nothing[ratio]",
    ),
    (
        "memory-makes-chance-up", "gflow/behaviours/refreshed.py",
        'redrawn = self.rebuild == "backward" and env.has_chance',
        "redrawn = False",
        f"{CHANCE}::test_what_learns_chance_takes_memories_of_what_chance_did[backward]",
    ),
    (
        "exact-in-games", "gflow/behaviours/exact_samples.py",
        "if env.num_players > 1:",
        "if env.num_players > 2:",
        f"{CHANCE}::test_behaviours_refuse_what_means_nothing[no target]",
    ),
    (
        "agents-in-games", "gflow/objective.py",
        "if env.num_players > 1 and cls.solution not in",
        "if env.num_players > 2 and cls.solution not in",
        f"{CHANCE}::test_objectives_of_one_agent_refuse_games[tb]",
    ),
    (
        "bounds-without-p-b", "gflow/evaluation/evaluate.py",
        "has_log_pb=env.has_backward and (needs.log_pb or not env.numbered),",
        "has_log_pb=needs.log_pb or not env.numbered,",
        f"{CHANCE}::test_what_looks_back_refuses_environments_without_moves_back",
    ),
    (
        "refreshed-late", "gflow/behaviours/refreshed.py",
        "missing = 0 if self.batches % self.every else self.added",
        "missing = 0 if (self.batches + 1) % self.every else self.added",
        f"{REFRESHED}::test_it_is_filled_before_the_first_batch_and_refreshed_every_third",
    ),
    (
        "refreshed-forgets-the-turn", "gflow/behaviours/refreshed.py",
        'self.batches = state["batches"]',
        'self.batches = state["batches"] + 1',
        f"{REFRESHED}::test_training_resumes_to_the_same_numbers",
    ),
    (
        "langevin-turn", "gflow/behaviours/langevin.py",
        "if self.batches % 2 or not seen.ready(count):",
        "if True or not seen.ready(count):",
        f"{LANGEVIN}::test_batches_take_turns_and_the_chains_find_what_the_policy_does_not",
    ),
    (
        "langevin-condition", "gflow/behaviours/langevin.py",
        "condition=None if condition is None else condition[chains.accepted_chain],",
        "condition=None if condition is None else condition[:1].expand(len(chains.accepted), -1),",
        f"{LANGEVIN}::test_conditions_stay_with_their_objects",
    ),
    (
        "source-explored-own", "gflow/source.py",
        "return (self & ~Source.OWN) | Source.EXPLORED if Source.OWN in self else self",
        "return self",
        f"{SOURCES}::test_adjoint_sampling_refuses_what_biases_it",
    ),
    (
        "replay-of-replayed", "gflow/behaviours/replay.py",
        "self.buffer.add(parts[0].whole)",
        "self.buffer.add(Trajectories.join(parts).whole)",
        "tests/gflow/behaviours/test_replay_behaviour.py::test_its_batches",
    ),
    (
        "replay-always-fair", "gflow/memory/replay.py",
        'self.is_fair = keep == "recent" and draw == "uniform" and not self.distinct',
        "self.is_fair = True",
        f"{SOURCES}::test_adjoint_sampling_refuses_what_biases_it",
    ),
    (
        "mle-of-anything", "gflow/behaviours/base.py",
        "return source_refusal(self.gives, objective.learns_from)",
        "return None",
        f"{LIKELIHOOD}::test_data_will_do_for_the_likelihood_and_nothing_less",
    ),
    (
        "exact-tempered", "gflow/behaviours/exact_samples.py",
        "target = graph.log_target().exp()",
        "target = graph.log_target().mul(0.9).exp()",
        "tests/gflow/behaviours/test_exact_samples.py"
        "::test_listed_objects_are_drawn_in_proportion_to_their_reward",
    ),
    (
        "mo-relabel-reward", "gflow/behaviours/hindsight.py",
        "return replace(batch, condition=condition, log_reward=log_reward)",
        "return replace(batch, condition=condition)",
        "tests/gflow/behaviours/test_relabel.py::test_relabelled_rewards_are_those_of_the_other_condition",
    ),
    (
        "branch-at-source", "gflow/behaviours/branching.py",
        "keep = keep.masked_fill(place[1] < self.whole, 0)",
        "keep = keep * 0",
        "tests/gflow/behaviours/test_branching.py::test_groups_share_a_beginning_and_a_graph",
    ),
    (
        "search-inverted", "gflow/behaviours/acceptance.py",
        "return self.reward + self.backward + self.forward + self.keep",
        "return self.reward - self.backward - self.forward + self.keep",
        f"{SEARCH}::test_ls1_exact_filters_are_reversible_on_sets",
    ),
    (
        "search-prefix", "gflow/behaviours/local_search.py",
        "later = terms.mask & (time >= torch.cat([keep, keep])[:, None])",
        "later = terms.mask & (time > torch.cat([keep, keep])[:, None])",
        f"{SEARCH}::test_ls3_a_perfect_policy_is_always_accepted",
    ),
    (
        "search-lengths", "gflow/behaviours/local_search.py",
        "keep=log_q(keep, candidate.length) - log_q(keep, current.length),",
        "keep=log_q(keep, current.length) - log_q(keep, current.length),",
        f"{SEARCH}::test_ls4_reversible_for_every_distribution_of_steps",
    ),
    (
        "search-follows", "gflow/behaviours/local_search.py",
        ".select(row + len(row) * accepted)",
        ".select(row + len(row))",
        f"{SEARCH_BATCHES}::test_ls6_counts",
    ),
    (
        "search-explores", "gflow/behaviours/local_search.py",
        "sampler.resume(policy, current, keep, generator=generator)",
        "sampler.resume(\n"
        "            policy, current, keep, exploration=sampling.exploration, generator=generator\n"
        "        )",
        f"{SEARCH_BATCHES}::test_ls6_only_fresh_trajectories_explore",
    ),
    (
        "search-greedy", "gflow/behaviours/acceptance.py",
        "return (gain() > 0).double()",
        "return (gain() >= 0).double()",
        f"{SEARCH}::test_ls7_greedy_never_falls",
    ),
    (
        "search-steps", "gflow/behaviours/backtracking.py",
        "(u * length).long()",
        "(u * (length - 1)).long()",
        f"{SEARCH}::test_ls8_every_number_of_steps_is_drawn_alike",
    ),
    (
        "search-depth", "gflow/behaviours/backtracking.py",
        "return (length - self.steps).clamp(min=0)",
        "return (length - self.steps).clamp(min=1)",
        f"{SEARCH}::test_ls8_beyond_the_depth_it_is_an_independent_resample",
    ),
    (
        "search-accepts", "gflow/behaviours/acceptance.py",
        "return u < p",
        "return u < p.sqrt()",
        f"{SEARCH}::test_a_sampled_round_is_distributed_as_the_kernel_says",
    ),
    (
        "search-symmetry", "gflow/behaviours/local_search.py",
        "old, new = both.log_reward.double().chunk(2)",
        "old, new = plain_log_reward(sampling.env, both).double().chunk(2)",
        "tests/test_environment_table.py::"
        "test_local_search_keeps_the_distribution_of_symmetric_objects[atoms]",
    ),
    (
        "augmentation-once", "gflow/behaviours/augmentation.py",
        'sampling.generator, "tenth")',
        "sampling.generator)",
        f"{REPLAY}::test_augmentation_takes_its_steps_back_from_good_and_other_objects",
    ),
    (
        "langevin-beta", "gflow/behaviours/langevin.py",
        "inverse_temperature=self.beta,",
        "inverse_temperature=1.0,",
        f"{LANGEVIN}::test_chains_run_at_their_own_temperature[25.0]",
    ),
    (
        "langevin-draws-evenly", "gflow/behaviours/langevin.py",
        'draw="rank"',
        'draw="uniform"',
        f"{LANGEVIN}::test_the_best_of_both_memories_are_drawn_most",
    ),
)  # fmt: skip
