"""Causal structures."""
