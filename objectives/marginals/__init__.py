"""Objectives of marginalization models."""
