"""The poster's experiments, each beside the number that the poster prints, and what its claims hold up to."""
