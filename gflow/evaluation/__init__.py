"""From trajectories to flow terms."""
