"""What a comparison or a run has to show: one page that needs nothing else, its figures and its tables."""
