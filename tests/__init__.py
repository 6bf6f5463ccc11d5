"""The tests: a package, for an installed one of the name `tests` would come before a bare folder."""
