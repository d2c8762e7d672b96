"""How to start a command under recording: the process itself, and one file a runner."""
