"""Mutants of `gflow/training`."""

PATHWISE = "tests/objectives/test_pathwise_kl.py"

MUTANTS = (
    (
        "kl-explores", "gflow/training/trainer.py",
        "source_refusal(self.behaviour.gives.explored, objective.learns_from)",
        "None",
        f"{PATHWISE}::test_what_the_divergence_cannot_learn_from",
    ),
    (
        "training-clip", "gflow/training/trainer.py",
        "torch.nn.utils.clip_grad_norm_(self._main, self.config.grad_clip)",
        "torch.nn.utils.clip_grad_norm_(\n"
        "                self.__dict__.setdefault('once', (p for p in self._main)),\n"
        "                self.config.grad_clip,\n"
        "            )",
        "tests/gflow/training/test_training.py::test_gradients_are_clipped_in_every_step",
    ),
    (
        "training-average", "gflow/training/trainer.py",
        "average_into(self.average, self.policy, 1 - self.config.ema)",
        "average_into(self.average, self.policy, self.config.ema)",
        "tests/gflow/training/test_training.py::test_the_average_follows_the_weights_as_declared",
    ),
    (
        "checkpoint-generator", "gflow/training/trainer.py",
        'self.generator.set_state(state["generator"])',
        'state["generator"]',
        "tests/gflow/training/test_checkpoint.py::TestInterrupted",
    ),
)  # fmt: skip
