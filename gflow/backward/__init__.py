"""Backward policies by name, and what fits them."""
