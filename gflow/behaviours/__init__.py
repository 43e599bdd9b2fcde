"""Behaviours: where the trajectories of a training batch come from."""
