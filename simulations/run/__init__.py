"""One simulated federation under Flower and Ray: `fedsec run`."""
