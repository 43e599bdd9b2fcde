"""Training: the loop, its settings, checkpoints and trackers."""
