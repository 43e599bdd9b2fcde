"""Sequences over an alphabet."""
