"""The server's side of a federation: epochs, sessions, and what it accepts as an answer."""
