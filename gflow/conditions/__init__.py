"""Conditions: what a conditional sampler is asked for."""
