"""Cells of a grid."""
