"""A sweep over many settings, kept part by part, and the comparison that it makes."""
