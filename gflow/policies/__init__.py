"""Policies: what a network says about states, before any mask."""
