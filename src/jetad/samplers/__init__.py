"""Markov chains that draw negatives from the density of an energy."""
