"""Tasks: an environment with what a person needs around it."""
