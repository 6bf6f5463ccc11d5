"""What each strategy costs: measured, swept over settings, and predicted."""
