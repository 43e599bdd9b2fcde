"""Molecules atom by atom."""
