"""Arithmetic on additive shares for training: two compute parties, and a dealer of correlated randomness.

One program, written once, is read by four roles (`roles.Role`): each compute party on its share, the dealer on the
masks, and the twin on the values themselves. See docs/shared-training.md.

gradient_descent.py      the program: one iteration of training a sigmoid network
activation.py            the sigmoids that shares can compute
threshold_comparison.py  the program of a comparison with public thresholds
roles.py                 what a program may do, and what every role is
compute_party.py, dealer.py, twin.py, bounds.py  the four readings of a program
in_process.py            all roles in one process: `SharedTraining`
sharing.py, streams.py   how rows are shared, and where correlated randomness comes from
ring_fixed_point.py      numbers as multiples of 2^-16 in Z_2^64
tape.py, recorded_roles.py, operations.py, ring_kernels.py, compiled_twin.py  the same computations, compiled
"""
