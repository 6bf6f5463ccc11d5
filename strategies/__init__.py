"""One file per aggregation strategy; a plug-in is a file like these."""
