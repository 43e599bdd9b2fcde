"""What a run remembers: replay, the best, the Pareto front."""
