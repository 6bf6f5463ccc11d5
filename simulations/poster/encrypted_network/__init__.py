"""The poster's network whose weights are encrypted, trained with a key holder's help."""
