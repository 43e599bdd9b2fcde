"""Sampling trajectories, forward and backward."""
