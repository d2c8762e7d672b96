"""How to start a command under recording: one file a runner, and the list of them."""

RUNNERS = ("pytest", "nextest")
"""In the order in which they are asked whether a command is theirs."""
