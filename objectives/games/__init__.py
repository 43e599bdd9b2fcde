"""Objectives of games: adversarial flows."""
