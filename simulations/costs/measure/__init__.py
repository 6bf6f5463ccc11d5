"""One setting measured: rounds, memory, and the machine under it."""
