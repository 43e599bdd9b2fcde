"""Runs: a folder, a trainer, the loop around it that reports, saves and resumes."""
