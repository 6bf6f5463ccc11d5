"""The study's Flower app, the same in simulation and deployment."""
