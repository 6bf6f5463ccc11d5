"""From reals to integers and back: fixed point, and the weighted mean of named arrays and metrics."""
