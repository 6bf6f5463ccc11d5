"""Cryptographic building blocks: pure functions of their arguments and of the randomness passed in."""
