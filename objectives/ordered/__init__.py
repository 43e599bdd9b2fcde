"""Order-preserving objectives: of the reward the order alone is given."""
