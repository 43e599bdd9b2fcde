"""Objectives where some moves are chance's: expected flows, and what they are compared with."""
