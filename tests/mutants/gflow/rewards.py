"""Mutants of `gflow/rewards`."""

REWARD = "tests/gflow/rewards/test_reward.py"

MUTANTS = (
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
        "tempered-partial", "gflow/rewards/base.py",
        "return self.beta * _of(self.reward, self.reward.partial(states, condition))",
        "return _of(self.reward, self.reward.partial(states, condition))",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "tempered-partial-of-finished", "gflow/rewards/base.py",
        "return self.beta * _of(self.reward, self.reward.partial(states, condition))",
        "return self.beta * _of(self.reward, self.reward(states, condition))",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "clipped-partial", "gflow/rewards/base.py",
        "        return value.clamp(self.low, self.high)\n",
        "        return value\n",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "conditional-partial", "gflow/rewards/base.py",
        "self._tempered(_of(self.reward, self.reward.partial(states)), condition)",
        "self._tempered(_of(self.reward, self.reward(states)), condition)",
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
    (
        "cached-partial", "gflow/rewards/base.py",
        'not remembered."""\n        return self.reward.partial(states, condition)',
        'not remembered."""\n        return self.reward(states, condition)',
        f"{REWARD}::test_wrappers_wrap_the_rewards_of_unfinished_objects_too",
    ),
)  # fmt: skip
