"""Mutants of runs in several processes."""

MACHINES = "tests/gflow/machines/test_machines.py"
EQUAL = f"{MACHINES}::test_two_processes_step_as_one_with_the_joined_batch"
LAID = f"{MACHINES}::test_terms_of_other_widths_and_types_lie_where_they_are_looked_for"
RAY = "tests/gflow/machines/test_ray.py"
BESIDE = f"{MACHINES}::test_learners_and_further_batches_need_not_step_in_every_process"

MUTANTS = (
    (
        "machines-own-rows-once", "gflow/machines/joined.py",
        "return gradient[0][ctx.rows] * ctx.size, None, None, None",
        "return gradient[0][ctx.rows], None, None, None",
        f"{EQUAL}[tb]",
    ),
    (
        "machines-first-rows", "gflow/machines/joined.py",
        "start = sum(layout.counts[:rank])",
        "start = 0",
        f"{EQUAL}[vargrad]",
    ),
    (
        "machines-cut-where-others-are-whole", "gflow/machines/joined.py",
        "float(name in HOLDS)",
        "0.0",
        LAID,
    ),
    (
        "machines-sum-of-gradients", "gflow/machines/distributed.py",
        "flat /= len(stepping)",
        "flat /= 1",
        BESIDE,
    ),
    (
        "machines-clip-before-the-mean", "gflow/training/trainer.py",
        "        failed = self.ranks.reduce(self._parameters, self.deferred.failed)\n"
        "        if self.config.grad_clip:",
        "        failed = self.deferred.failed\n        if self.config.grad_clip:",
        f"{EQUAL}[db]",
    ),
    (
        "machines-stop-apart", "gflow/runs/run.py",
        "and not self.ranks.any(bool(interrupted))",
        "and not interrupted",
        f"{MACHINES}::test_a_run_is_written_once_and_resumes_to_the_same_numbers",
    ),
    (
        "machines-others-random-numbers", "gflow/training/trainer.py",
        "mine = own[0 if to_look_at else self.ranks.rank]",
        "mine = own[0]",
        f"{MACHINES}::test_a_run_is_written_once_and_resumes_to_the_same_numbers",
    ),
    (
        "pool-dead-worker-not-replaced", "gflow/rewards/pool.py",
        "if self.deaths[number] <= self.retries:",
        "if self.deaths[number] < self.retries:",
        "tests/gflow/rewards/test_pool_ends.py"
        "::test_what_a_worker_held_when_it_died_is_computed_again",
    ),
    (
        "pool-of-ray-without-its-limit", "gflow/rewards/pools.py",
        "return RayPool(workers, pool, timeout=timeout)",
        "return RayPool(workers, pool)",
        f"{RAY}::test_pools_have_names",
    ),
    (
        "ray-takes-the-signal-to-stop", "gflow/machines/cluster.py",
        "        signal.signal(signal.SIGTERM, before)",
        "        pass",
        f"{RAY}::test_what_a_worker_held_when_it_died_is_computed_again",
    ),
    (
        "ray-searchers-keep-old-weights", "gflow/searchers/ray_crew.py",
        "told = None if post.knows else self._told",
        "told = None",
        f"{RAY}::test_searchers_on_ray_fill_the_memory_and_are_replaced",
    ),
)  # fmt: skip
