"""Points of R^d in Gaussian steps."""
