"""Sets and multisets."""
