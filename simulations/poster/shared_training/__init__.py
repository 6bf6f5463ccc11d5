"""The poster's training on secret-shared rows."""
