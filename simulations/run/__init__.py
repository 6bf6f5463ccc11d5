"""One simulated federation, under Flower and Ray or in one process: `fedsec run`."""
