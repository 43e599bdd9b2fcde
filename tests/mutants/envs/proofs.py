"""Mutants of `envs/proofs`."""

ENV = "tests/envs/proofs/test_proof_env.py"
CHECKERS = "tests/envs/proofs/test_checkers.py"
LEAN = "tests/envs/proofs/test_lean_checker.py"
MARKUP = "tests/envs/proofs/test_coq_markup.py"
REWARDS = "tests/envs/proofs/test_proof_rewards.py"
DATA = "tests/envs/proofs/test_proof_data.py"
POLICY = "tests/envs/proofs/test_proof_policy.py"
SEARCH = "tests/envs/proofs/test_proof_search.py"
TASK = "tests/envs/proofs/test_proofs_task.py"
BENCHMARK = "tests/test_proofs_benchmark.py"
FREE = "tests/envs/proofs/test_free_text_proofs.py"
WRITTEN = "tests/envs/proofs/test_written_proofs.py"
LIVE = "tests/envs/proofs/test_coq_live.py"
SANITISER = "tests/envs/proofs/test_coq_sanitiser.py"

MUTANTS = (
    (
        "proofs-reward-an-error-as-an-open-end",  # PF-1
        "envs/proofs/reward.py",
        "value = torch.where(status >= FAILED, error, limit)",
        "value = torch.where(status > FAILED, error, limit)",
        f"{ENV}::test_the_tree_of_pf1_has_29_open_proofs_145_calls_and_117_ends",
    ),
    (
        "proofs-of-other-places-after-a-restart",  # PF-2, without Coq
        "envs/proofs/tree.py",
        "found.append((place - 1) % self.width)",
        "found.append(place % self.width)",
        f"{ENV}::test_places_mean_the_same_whatever_was_asked_before",
    ),
    (
        "proof-stream-with-numeric-quotes",  # PF-3
        "envs/proofs/coq/markup.py",
        'return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")',
        'return __import__("html").escape(text)',
        f"{MARKUP}::test_requests_escape_three_letters_and_leave_quotes",
    ),
    (
        "proof-tactics-may-be-commands",  # PF-4
        "envs/proofs/coq/sanitise.py",
        'r"[a-z0-9(!]"',
        'r"[a-zA-Z0-9(!]"',
        f"{SANITISER}::test_all_else_is_refused",
    ),
    (
        "proof-tactics-of-two-sentences",  # PF-4
        "envs/proofs/coq/sanitise.py",
        "if INNER_DOT.search(body):",
        "if INNER_DOT.match(body):",
        f"{SANITISER}::test_all_else_is_refused",
    ),
    (
        "proof-tactics-that-give-up",  # PF-4
        "envs/proofs/coq/sanitise.py",
        "banned = sorted(BANNED.intersection(WORD.findall(body)))",
        "banned = sorted(BANNED.intersection(WORD.findall(body)[:1]))",
        f"{SANITISER}::test_all_else_is_refused",
    ),
    (
        "proof-tactics-asked-before-they-are-read",  # PF-4
        "envs/proofs/coq/checker.py",
        "if reason is not None:",
        "if reason is None:",
        f"{SANITISER}::test_no_process_is_started_for_what_is_refused",
    ),
    (
        "proof-states-that-share-a-place",  # PF-5
        "envs/proofs/tree.py",
        "place * self.width + action + 1, place)",
        "place * self.width + action, place)",
        f"{ENV}::test_states_form_a_tree",
    ),
    (
        "proofs-one-tactic-too-long",
        "envs/proofs/tree.py",
        "torch.where(self.level(place) < self.depth,",
        "torch.where(self.level(place) <= self.depth,",
        f"{ENV}::test_nothing_is_behind_an_end",
    ),
    (
        "proofs-of-the-first-theorem-alone",  # PF-8
        "envs/proofs/env.py",
        "states[:, 0] = condition[:, 0]",
        "states[:, 0] = 0 * condition[:, 0]",
        f"{ENV}::test_theorems_stand_side_by_side",
    ),
    (
        "proofs-replayed-by-the-parent-s-action",  # PF-8
        "envs/proofs/env.py",
        "return self.tree.action(states[:, 1])",
        "return self.tree.action(self.tree.parent(states[:, 1]))",
        f"{ENV}::test_the_tree_of_pf1_has_29_open_proofs_145_calls_and_117_ends",
    ),
    (
        "proofs-asked-again",
        "envs/proofs/tree.py",
        "self._row[key] = self._append(answer)",
        "self._row[key] = self._append(answer) if key % 3 else self._row.get(key, 0)",
        f"{ENV}::test_the_tree_of_pf1_has_29_open_proofs_145_calls_and_117_ends",
    ),
    (
        "posterior-of-proofs-without-beta",
        "envs/proofs/reward.py",
        "return self.beta * log_p.sum(-1) + outcome",
        "return log_p.sum(-1) + outcome",
        f"{REWARDS}::test_the_posterior_form_by_hand",
    ),
    (
        "reference-of-proofs-over-all-candidates-less-one",
        "envs/proofs/reward.py",
        "return -count.to(torch.get_default_dtype()).log()",
        "return -(count - 1).to(torch.get_default_dtype()).log()",
        f"{REWARDS}::test_with_beta_one_z_is_the_chance_that_the_reference_finds_a_proof",
    ),
    (
        "paper-reward-of-proofs-with-the-wrong-sign-of-the-length",
        "envs/proofs/reward.py",
        "((self.longest - mean) / self.longest).log()",
        "((self.longest + mean) / self.longest).log()",
        f"{REWARDS}::test_the_form_of_the_paper_by_hand",
    ),
    (
        "candidates-for-the-oldest-hypothesis-first",
        "envs/proofs/tactics.py",
        "for name in reversed(list(hypotheses(goal))):",
        "for name in list(hypotheses(goal)):",
        f"{CHECKERS}::test_candidates_come_from_the_first_goal",
    ),
    (
        "pool-that-answers-out-of-order",
        "envs/proofs/pool.py",
        "answers[place] = answer",
        "answers[-1 - place] = answer",
        f"{CHECKERS}::test_a_pool_answers_in_order_each_theorem_by_its_checker",
    ),
    (
        "lean-takes-every-axiom",
        "envs/proofs/lean.py",
        'for name in found[1].split(",")} - TRUSTED',
        'for name in found[1].split(",")[:1]} - TRUSTED',
        f"{LEAN}::test_done_needs_axioms_that_are_trusted",
    ),
    (
        "lean-numbers-of-a-session-that-is-gone",
        "envs/proofs/lean.py",
        "if proof.age == self._age:",
        "if proof.age <= self._age:",
        f"{LEAN}::test_after_a_breakdown_handles_are_replayed_in_the_next_session",
    ),
    (
        "search-of-the-unlikeliest-first",  # PF-7
        "envs/proofs/search.py",
        "heapq.heappush(self._open, (-priority, self._count, node))",
        "heapq.heappush(self._open, (priority, self._count, node))",
        f"{SEARCH}::test_breadth_first_search_finds_a_shortest_proof",
    ),
    (
        "search-that-forgets-the-way-there",  # PF-7
        "envs/proofs/search.py",
        "child = Node(place, node.log_prob + log_p, node)",
        "child = Node(place, log_p, node)",
        f"{SEARCH}::test_all_proofs_are_found_in_order_under_any_policy",
    ),
    (
        "search-that-fails-with-the-first-child",  # PF-7
        "envs/proofs/search.py",
        "elif before.waiting == 0 and before.expanded:",
        "elif before.expanded:",
        f"{SEARCH}::test_what_is_known_goes_up_the_tree",
    ),
    (
        "search-beyond-its-budget",
        "envs/proofs/search.py",
        "if search.calls >= budget:",
        "if search.calls > budget:",
        f"{SEARCH}::test_budgets_are_kept_and_decide_nothing_else",
    ),
    (
        "search-that-drops-goals-with-more-tactics-left",
        "envs/proofs/search.py",
        "if self._seen.get(text, -1) >= left:",
        "if text in self._seen:",
        f"{SEARCH}::test_goals_that_were_seen_are_dropped_unless_more_tactics_are_left",
    ),
    (
        "propositions-by-excluded-middle",
        "envs/proofs/propositions.py",
        'needed = _proves(rest | {Formula("->", (second, after))}, one.parts[0])',
        'needed = _proves(rest | {Formula("->", (second, after))}, second)',
        f"{DATA}::test_what_holds_without_excluded_middle",
    ),
    (
        "propositions-with-one-parenthesis-less",
        "envs/proofs/propositions.py",
        "inside(left, True)",
        "inside(left, False)",
        f"{DATA}::test_formulas_are_written_with_the_parentheses_that_they_need",
    ),
    (
        "sentences-with-what-is-in-comments",
        "envs/proofs/coq/library.py",
        'elif two == "*)" and depth:\n            depth, place = depth - 1, place + 2',
        'elif two == "*)" and depth:\n            depth, place = 0, place + 2',
        f"{DATA}::test_files_are_split_into_sentences",
    ),
    (
        "lemmas-inside-sections",
        "envs/proofs/coq/library.py",
        "if not depth and ended and proof:",
        "if ended and proof:",
        f"{DATA}::test_lemmas_outside_sections_that_end_with_qed",
    ),
    (
        "tactic-scores-one-place-off",
        "envs/proofs/policy.py",
        "pair = start[where[row]] + action",
        "pair = start[where[row]] + (action - 1).clamp(min=0)",
        f"{POLICY}::test_outputs_do_not_depend_on_the_batch",
    ),
    (
        "goals-read-by-their-names",
        "envs/proofs/features.py",
        "if word in local:",
        "if word not in local:",
        f"{POLICY}::test_goals_are_read_up_to_names",
    ),
    (
        "log-z-of-the-theorem-before",
        "envs/proofs/policy.py",
        "place = inside + (starts(self.sizes)[number] - begin).repeat_interleave(sizes)",
        "place = inside + (starts(self.sizes)[number] * 0 - begin).repeat_interleave(sizes)",
        f"{POLICY}::test_log_z_is_read_from_the_theorem",
    ),
    (
        "proofs-counted-twice",
        "envs/proofs/metrics.py",
        "found = ends[env.status(ends) == DONE].unique(dim=0)",
        "found = ends[env.status(ends) == DONE]",
        f"{POLICY}::test_outcomes_are_counted",
    ),
    (
        "proofs-judged-by-what-was-trained-on",
        "envs/proofs/task.py",
        "return found[: self.train_theorems], found[self.train_theorems :]",
        "return found[: self.train_theorems], found[: self.test_theorems]",
        f"{TASK}::test_options_say_what_they_do",
    ),
    (
        "reinforce-whose-baseline-holds-itself",
        "benchmarks/proofs.py",
        "(reward.sum(1, keepdim=True) - reward) / (self.group - 1)",
        "reward.sum(1, keepdim=True) / self.group",
        f"{BENCHMARK}::test_reinforce_has_the_gradient_of_the_mean_reward",
    ),
    (
        "transcripts-that-read-the-checker-s-words-as-tactics",
        "envs/proofs/free_text.py",
        "begin = place + 1 + len(self.said(theorem, tactics))\n                found",
        "begin = place + 1\n                found",
        f"{FREE}::test_outcomes_of_transcripts",
    ),
    (
        "transcripts-that-go-on-after-the-proof",
        "envs/proofs/free_text.py",
        'found.append("open" if state == "open" else "error")',
        "found.append(state)",
        f"{FREE}::test_outcomes_of_transcripts",
    ),
    (
        "tactics-without-a-time-limit",
        "envs/proofs/coq/checker.py",
        'return f"Timeout {self.tactic_seconds} {tactic}"',
        "return tactic",
        f"{SANITISER}::test_every_tactic_is_sent_with_a_time_limit",
    ),
    (
        "limits-that-count-as-failures",
        "envs/proofs/coq/checker.py",
        "return TimedOut() if TOO_LONG in str(error) else Failed(str(error))",
        "return Failed(str(error))",
        f"{SANITISER}::test_every_tactic_is_sent_with_a_time_limit",
    ),
    (
        "transcripts-proved-behind-an-error",
        "envs/proofs/free_text.py",
        "if isinstance(reply, Done) and not ended:",
        "if isinstance(reply, Done):",
        f"{FREE}::test_outcomes_of_transcripts",
    ),
    (
        "posteriors-of-what-the-checker-says",
        "envs/proofs/free_text.py",
        "said = said.cpu().to(value).masked_fill(~own, 0.0)",
        "said = said.cpu().to(value)",
        f"{WRITTEN}::test_the_posterior_is_of_the_tactics_alone",
    ),
    (
        "posteriors-over-tokens-that-are-not-legal",
        "envs/proofs/free_text.py",
        "masked_fill(~kept, -PENALTY)",
        "masked_fill(~kept, 0.0)",
        f"{WRITTEN}::test_the_posterior_is_of_the_tactics_alone",
    ),
    (
        "attempts-that-learn-their-prompts",
        "envs/proofs/written_base.py",
        "(place >= opened[:, None]) & (place < size[:, None])",
        "(place > 0) & (place < size[:, None])",
        f"{WRITTEN}::test_attempts_try_candidates_and_hear_what_is_said",
    ),
    (
        "attempts-that-fail-at-once",
        "envs/proofs/written_base.py",
        "if talk.said(theorem, one) != talk.error),",
        "),",
        f"{WRITTEN}::test_attempts_try_candidates_and_hear_what_is_said",
    ),
    (
        "proofs-known-by-their-rows",  # PF-8
        "envs/proofs/env.py",
        "return states[:, 0] * self.tree.places + states[:, 1]",
        "return states[:, 0] * self.tree.places + self.rows(states)",
        f"{ENV}::test_losses_of_replayed_and_of_fresh_trajectories_are_equal",
    ),
    (
        "coq-asked-where-it-is",  # PF-2
        "envs/proofs/coq/checker.py",
        "requests = [edit_at(tip)] if self._at != tip else []",
        "requests = [edit_at(self._at)] if self._at != tip else []",
        f"{LIVE}::test_branches_and_replays_give_the_same_states",
    ),
    (
        "coq-messages-of-another-answer",  # PF-3
        "envs/proofs/coq/markup.py",
        "                self._messages = []\n",
        "",
        f"{MARKUP}::test_answers_are_the_same_however_the_stream_is_cut",
    ),
    (
        "coq-proofs-that-assume",  # PF-4
        "envs/proofs/coq/checker.py",
        "if answer.goals() is None and any(CLOSED in text for text in answer.messages):",
        "if answer.goals() is None:",
        f"{LIVE}::test_done_means_qed_and_no_assumptions",
    ),
    (
        "coq-tactics-of-before",  # PF-3
        "envs/proofs/coq/checker.py",
        "        del self._line[common:]\n",
        "        del self._line[common + 1 :]\n",
        f"{LIVE}::test_after_any_text_the_next_tactic_behaves_as_before",
    ),
)
