"""One party's side of every protocol: its identity, its policy, and what it has answered."""
