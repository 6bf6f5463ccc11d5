"""The poster's experiments, run again: each beside the number that the poster prints.

tables/             Tables 1.0 and 2.0: hospitals that train together by summed gradients
encrypted_network/  a network whose weights are encrypted, trained with a key holder's help
shared_training/    training on secret-shared rows: what collapses, what does not, and what it costs
basics.py           the poster's claims about its tools: exact sums, fresh ciphertexts, shares
claims.py           every claim of the poster, with the verdict that follows from what was measured
verdicts.py         the words of a verdict
poster_page.py      the page of all experiments, from poster_page.html.j2
experiment_output.py  the JSON, CSV and figures that an experiment leaves in its folder
"""
