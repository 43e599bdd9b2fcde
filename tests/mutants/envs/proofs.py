"""Mutants of `envs/proofs`."""

ENV = "tests/envs/proofs/test_proof_env.py"
CHECKERS = "tests/envs/proofs/test_checkers.py"
LEAN = "tests/envs/proofs/test_lean_checker.py"
MARKUP = "tests/envs/proofs/test_coq_markup.py"
REWARDS = "tests/envs/proofs/test_proof_rewards.py"
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
)
