"""The app of test_superlink.py."""
