"""Mutants of `gflow/rewards`."""

REWARD = "tests/gflow/rewards/test_reward.py"
CHANGING = "tests/gflow/memory/test_changing_rewards.py"
BEGINS = "tests/gflow/rewards/test_pool_begins.py"

MUTANTS = (
    (
        "reward-version-inside", "gflow/rewards/base.py",
        "return self._changes + sum(",
        "return self._changes + 0 * sum(",
        f"{CHANGING}::test_a_change_inside_is_a_change_outside",
    ),
    (
        "reward-cache-version", "gflow/rewards/remembering.py",
        "            self.memory.clear()\n",
        "",
        f"{CHANGING}::test_caches_forget_what_an_older_version_scored",
    ),
    (
        "mo-cone-edge", "gflow/rewards/scalarizations.py",
        "self.gamma = math.log(limit) / math.log(cosine)",
        "self.gamma = math.log(cosine) / math.log(limit)",
        "tests/gflow/rewards/test_scalarizations.py::test_the_limit_is_met_at_the_edge",
    ),
    (
        "mo-beta-column", "gflow/rewards/scalarizations.py",
        "return condition[:, :num], condition[:, num] if beta is None else beta",
        "return condition[:, :num], condition[:, 0] if beta is None else beta",
        "tests/gflow/rewards/test_scalarizations.py::test_weighted_sums",
    ),
    (
        "wrapped-partial", "gflow/rewards/wrappers.py",
        "return self._of(self.reward.partial(states, self.inner_condition(condition)), condition)",
        "return self._of(self.reward(states, self.inner_condition(condition)), condition)",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "tempered-value", "gflow/rewards/wrappers.py",
        "return self.beta * value",
        "return value",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "clipped-value", "gflow/rewards/wrappers.py",
        "return value.clamp(self.low, self.high)",
        "return value",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "conditional-value", "gflow/rewards/wrappers.py",
        "return condition[:, -1].to(value.dtype) * value",
        "return value",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "cached-partial", "gflow/rewards/remembering.py",
        'not remembered."""\n        return self.reward.partial(states, condition)',
        'not remembered."""\n        return self.reward(states, condition)',
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "worker-deadline", "gflow/rewards/pool.py",
        'if time.monotonic() >= self.deadline.get(worker, math.inf):',
        'if time.monotonic() >= self.deadline.get(worker, 0.0) + 0.5:',
        "tests/gflow/rewards/test_pool_ends.py::test_the_limit_is_for_each_object_and_not_for_all",
    ),
    (
        "worker-lifeline", "gflow/rewards/serve.py",
        'fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC',
        'fcntl.fcntl(lifeline, fcntl.F_GETFL)',
        "tests/gflow/rewards/test_pool_ends.py::test_nothing_outlives_a_parent_that_is_killed",
    ),
    (
        "begin-first-only", "gflow/rewards/pool.py",
        "            begun.share.send(self._idle)\n",
        "",
        f"{BEGINS}::test_workers_have_begun",
    ),
    (
        "begin-not-awaited", "gflow/rewards/pool.py",
        "            if self._begun is not None:\n                self._begun.abandon()\n",
        "",
        f"{BEGINS}::test_begun_and_mapped_are_the_same",
    ),
    (
        "late-reward-forgotten", "gflow/rewards/remembering.py",
        "            if version == self.version:\n                self.memory.update(zip(things",
        "            if version != self.version:\n                self.memory.update(zip(things",
        f"{BEGINS}::test_late_rewards_are_rewards",
    ),
    (
        "late-reward-once", "gflow/trajectories.py",
        "            object.__setattr__(self, \"log_reward\", value)\n",
        "",
        f"{BEGINS}::test_late_rewards_are_rewards",
    ),
)  # fmt: skip
