"""The poster's network whose weights are encrypted, trained with a key holder's help.

encrypted_training.py    one iteration of the 3-4-1 network under encryption, and the loop around it
network.py               the 3-4-1 network in the clear: rows, weights, training in doubles, the plan of the fixed point
affine_model.py          the simpler model: XOR by an affine function, trained on ciphertexts alone between refreshes
key_holder.py            the exchange with the owner of the key: blinded numbers out, products and powers back
model_owner.py           the owner: its key, and what it encrypts and decrypts
packed_messages.py       the bytes of the exchange: several numbers to a ciphertext
linear_combinations.py   sums of ciphertexts with known factors
sigmoids.py              polynomials in place of the sigmoid, and the products that each takes
network_experiments.py   what `fedsec poster network` runs and measures
network_flower.py        the same over Flower: the owner and the hospital are nodes
network_figures.py       the figures
"""
