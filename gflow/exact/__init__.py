"""Exact answers on environments that can be listed."""
