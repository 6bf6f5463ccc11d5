"""The poster's training on secret-shared rows; the arithmetic on shares is `fedsec.mpc`.

training_on_shares.py        training on shares in process, and what one iteration costs
training_data.py             the rows
training_network.py          the network, its first weights and its quality
twin_training.py             the same training in the clear, on the twin and in doubles
plain_descent.py             the descent in doubles
trained_cells.py             which trainings the tables are made of, and where results are kept
sigmoid_approximations.py    the polynomials that stand for the sigmoid, by name
training_summary.py          what trained cells amount to: collapses, accuracy over splits
training_claims.py           the verdicts on the poster's claims about this training
training_comparison.py       one table: the same network trained in every way, and what each way costs
encrypted_network_row.py     the row of that table for the encrypted network
training_flower.py           a short training over Flower, with three hospitals as nodes
training_node.py             what one of these nodes does
training_figures.py          the figures
"""
