"""Mutants of `gflow/searchers` and of the behaviour that trains on what they found."""

FINDS = "tests/gflow/searchers/test_finds.py"
BESIDE = "tests/gflow/behaviours/test_searchers.py"
NEWEST = f"{FINDS}::test_recent_ones_are_the_newest_and_each_is_drawn_once"
TURNS = f"{FINDS}::test_conditions_are_drawn_in_turns"
TEXTS = f"{FINDS}::test_texts_come_with_the_scores_of_their_prefixes"

MUTANTS = (
    (
        "finds-newest-last", "gflow/searchers/memory.py",
        "keys = made[among] + unit if new",
        "keys = unit - made[among] if new",
        NEWEST,
    ),
    (
        "finds-drawn-twice", "gflow/searchers/memory.py",
        "return best[torch.arange(size) % len(best)]",
        "return best[torch.arange(size) % max(1, len(best) // 2)]",
        NEWEST,
    ),
    (
        "finds-shares-swapped", "gflow/searchers/memory.py",
        "parts = [(everything, new, True), (everything, count - new, False)]",
        "parts = [(everything, count - new, True), (everything, new, False)]",
        NEWEST,
    ),
    (
        "finds-worst-first", "gflow/searchers/memory.py",
        "weight[among] - (-unit.log()).log()",
        "-weight[among] - (-unit.log()).log()",
        f"{FINDS}::test_the_rest_is_drawn_by_reward_whatever_its_age[reward]",
    ),
    (
        "finds-uniform-by-reward", "gflow/searchers/memory.py",
        'if self.draw == "reward":',
        'if self.draw != "reward":',
        f"{FINDS}::test_the_rest_is_drawn_by_reward_whatever_its_age[uniform]",
    ),
    (
        "finds-newest-go", "gflow/searchers/memory.py",
        "self._next = (self._next + len(rows)) % self.capacity",
        "self._next = 0",
        f"{FINDS}::test_the_oldest_go",
    ),
    (
        "finds-stale-rewards", "gflow/searchers/memory.py",
        'self._renew("version", reward.version, rows)',
        'self._renew("version", 0, rows)',
        f"{FINDS}::test_rewards_are_those_of_now",
    ),
    (
        "finds-temperature", "gflow/searchers/memory.py",
        "return found / reward.temperature",
        "return found * reward.temperature",
        TEXTS,
    ),
    (
        "finds-prefix-before", "gflow/searchers/memory.py",
        'last = self.column("length")[rows, None] - 1',
        'last = (self.column("length")[rows, None] - 2).clamp(min=0)',
        TEXTS,
    ),
    (
        "finds-scored-here", "gflow/searchers/memory.py",
        'reward.recall(batch.final_states, self.column("prefixes")[rows])',
        "batch.final_states",
        TEXTS,
    ),
    (
        "finds-old-conditions", "gflow/searchers/memory.py",
        "group[made == made.max()].unique(), new",
        "group[made == made.min()].unique(), new",
        TURNS,
    ),
    (
        "finds-mixed-conditions", "gflow/searchers/memory.py",
        "drawn((group == which).nonzero().squeeze(1), size, place < new)",
        "drawn((group >= which).nonzero().squeeze(1), size, place < new)",
        TURNS,
    ),
    (
        "searcher-old-weights", "gflow/searchers/search.py",
        "        self._renew()\n",
        "",
        f"{FINDS}::test_searchers_take_the_newest_weights_they_see",
    ),
    (
        "searcher-same-again", "gflow/searchers/search.py",
        '            self._state["generator"],\n',
        "            torch.Generator(self.device).manual_seed(self.seed),\n",
        f"{FINDS}::test_searchers_take_the_newest_weights_they_see",
    ),
    (
        "searcher-explores-as-before", "gflow/searchers/search.py",
        'self.exploration = replace(self.exploration, **told["exploration"])',
        "self.exploration = replace(self.exploration)",
        f"{FINDS}::test_searchers_take_the_newest_weights_they_see",
    ),
    (
        "staleness-turned", "gflow/behaviours/searchers.py",
        'stale = self.batches - self.memory.column("made")[rows]',
        'stale = self.memory.column("made")[rows] - self.batches',
        f"{BESIDE}::test_the_share_that_is_new_is_not_stale",
    ),
    (
        "searchers-count-anew", "gflow/behaviours/searchers.py",
        'state[name] for name in ("batches", "searched", "turn")',
        '0 * state[name] for name in ("batches", "searched", "turn")',
        f"{BESIDE}::test_runs_without_workers_resume_to_the_same_numbers",
    ),
    (
        "searchers-conditions-alone", "gflow/behaviours/searchers.py",
        'self._turn = max(1, len(columns["condition"]) // len(turns))',
        "self._turn = max(1, len(turns) // len(turns))",
        f"{BESIDE}::test_conditions_stay_together_whoever_draws_them",
    ),
    (
        "searchers-for-densities", "gflow/behaviours/searchers.py",
        "if not env.numbered:",
        "if env.numbered and False:",
        f"{BESIDE}::test_flags_and_refusals",
    ),
    (
        "searchers-and-replay", "gflow/behaviours/replay.py",
        "if behaviour.remembers:",
        "if behaviour.remembers and False:",
        f"{BESIDE}::test_flags_and_refusals",
    ),
)  # fmt: skip
