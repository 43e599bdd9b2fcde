"""Subsets of nodes, and small graphs."""
