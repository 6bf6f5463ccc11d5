"""Arithmetic on additive shares for training: two compute parties, and a dealer of correlated randomness.

One program, written once, is read by four roles (`roles.Role`): each compute party on its share, the dealer on the
masks, and the twin on the values themselves. See docs/shared-training.md.
"""
