"""Mutants of `envs/sequences`."""

LISTED = "tests/envs/test_listed_states.py::test_listed_states_are_those_that_can_be_reached"

MUTANTS = (
    (
        "prefixes-all-allowed", "envs/sequences/env.py",
        "if found is None or self.allowed is None:",
        "if found is None or self.allowed is not None:",
        f"{LISTED}[autoregressive-allowed]",
    ),
    (
        "any-order-digits", "envs/sequences/env.py",
        "found = torch.where(digits > 0, digits - 1, self.blank)",
        "found = torch.where(digits > 0, self.num_symbols - digits, self.blank)",
        f"{LISTED}[any-order]",
    ),
    (
        "any-order-all-allowed", "envs/sequences/env.py",
        "        if self.allowed is None:\n            return found\n        fits",
        "        if self.allowed is not None:\n            return found\n        fits",
        f"{LISTED}[any-order-allowed]",
    ),
)  # fmt: skip
