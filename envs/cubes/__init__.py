"""Points of the square and the cube that move up."""
