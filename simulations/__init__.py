"""The Flower app, its datasets and models, and the experiments."""
