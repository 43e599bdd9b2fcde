"""Discrete energies."""
