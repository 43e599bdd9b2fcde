"""Cells of neural networks."""
