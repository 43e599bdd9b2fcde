"""Phylogenetic trees."""
