"""Mutants of `gflow/stacked`."""

TRAINER = "tests/gflow/stacked/test_stacked_trainer.py"
NUMBERS = f"{TRAINER}::test_all_numbers_are_those_of_the_runs_by_themselves"
SWEEP = "tests/gflow/stacked/test_stacked_sweep.py"

MUTANTS = (
    (
        "stacked-keys", "gflow/stacked/environment.py",
        "return keys + states.run * self.one.num_keys",
        "return keys + 0 * self.one.num_keys",
        f"{NUMBERS}[2-hypergrid-subtb]",
    ),
    (
        "stacked-rewards", "gflow/stacked/environment.py",
        "for number, env in enumerate(self.envs):\n            rows",
        "for number, env in enumerate(self.envs[::-1]):\n            rows",
        f"{NUMBERS}[3-hypergrid-vargrad]",
    ),
    (
        "stacked-coins", "gflow/stacked/draws.py",
        "if p and part.shape[0]:",
        "if part.shape[0]:",
        f"{NUMBERS}[0-hypergrid-tb]",
    ),
    (
        "stacked-counts", "gflow/stacked/sampling.py",
        "counts = torch.bincount(whose, minlength=runs).tolist()",
        "counts = torch.bincount(whose, minlength=runs).flip(0).tolist()",
        f"{NUMBERS}[0-hypergrid-tb]",
    ),
    (
        "stacked-layout", "gflow/stacked/policy.py",
        "rank = place - (sizes.cumsum(0) - sizes)[sorted_run]",
        "rank = place - sizes.cumsum(0)[sorted_run]",
        f"{NUMBERS}[2-hypergrid-subtb]",
    ),
    (
        "stacked-clip", "gflow/stacked/optimizer.py",
        "torch.stack(norms, 1), dim=1)",
        "torch.stack(norms, 1), dim=1).amax().repeat(len(self.clip))",
        f"{NUMBERS}[3-hypergrid-vargrad]",
    ),
    (
        "stacked-rates", "gflow/stacked/optimizer.py",
        "self._adam(moving, steps, run, own)",
        "self._adam(moving, steps, run, settings[0])",
        f"{NUMBERS}[1-hypergrid-db]",
    ),
    (
        "stacked-bag", "gflow/stacked/layers.py",
        "numbers = (features + first[:, None, None]).flatten(0, 1)",
        "numbers = (features + 0 * first[:, None, None]).flatten(0, 1)",
        f"{NUMBERS}[7-hypergrid-tb]",
    ),
    (
        "stacked-perceptron", "gflow/stacked/perceptron.py",
        "self._offset = (policies[0].offset + first[:, None])[:, None]",
        "self._offset = (policies[0].offset + 0 * first[:, None])[:, None]",
        f"{NUMBERS}[0-hypergrid-tb]",
    ),
    (
        "stacked-perceptron-heads", "gflow/stacked/perceptron.py",
        "flow = out[:, -1] if head.num_flows == 1",
        "flow = out[:, 0] if head.num_flows == 1",
        f"{NUMBERS}[1-hypergrid-db]",
    ),
    (
        "stacked-half-life", "gflow/stacked/trainer.py",
        "0.5 ** (self.step / half_life)",
        "0.5 ** ((self.step - 1) / half_life)",
        f"{NUMBERS}[0-hypergrid-tb]",
    ),
    (
        "stacked-check", "gflow/stacked/trainer.py",
        "if abs(mine - alone) > TOLERANCE[losses.dtype] * max(1.0, abs(alone)):",
        "if abs(mine - alone) > 1e9:",
        f"{TRAINER}::test_a_policy_that_mixes_rows_is_found_out",
    ),
    (
        "stacked-decided", "gflow/stacked/commit.py",
        "            ready.replace(last)\n        decided.unlink()",
        "            ready.unlink()\n        decided.unlink()",
        f"{SWEEP}::test_a_killed_sweep_goes_on_to_the_same_numbers",
    ),
    (
        "checkpoint-alone", "gflow/training/checkpoint.py",
        "return value.clone()",
        "return value",
        f"{SWEEP}::test_each_folder_is_that_of_a_run_by_itself",
    ),
)  # fmt: skip
