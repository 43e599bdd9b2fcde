"""Objectives that seek what is new beside what is good."""
