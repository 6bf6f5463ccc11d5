"""Tables 1.0 and 2.0 of the poster.

table_1_and_2.py      the values that the poster prints, and ours: by a strategy, in the clear, and over many seeds
linear_regression.py  the hospitals' rows, and how they train alone and together by summed gradients
secure_summation.py   sums of real numbers by any strategy of the catalogue
tables_figures.py     the figures
"""
