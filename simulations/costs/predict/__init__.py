"""What a round will cost before it is run: exact bytes, and CPU from a model of this machine."""
