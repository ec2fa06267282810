"""Studies of a method rather than of one run: both directions, distorted jets, contaminated training data."""
