"""Models, how a hospital trains them on its own rows, and what they are measured by."""
