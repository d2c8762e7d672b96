"""The commands, one file each: arguments, help, and a function that returns the exit code."""

COMMANDS = {
    "run": "Record a command.",
    "replay": "Show a recorded run again, or one test, or what tests log.",
    "rerun": "Run what did not pass, same seed, same order.",
    "repro": "See recorded failures again: an honest verdict on each.",
    "diff": "Say what changed between two runs.",
    "list": "List the recorded runs, or the tests of one.",
    "show": "Show one run, one test of it, or a trace, in detail.",
    "export": "Write a run in another tool's format.",
    "pack": "Put a run into one zip file.",
    "add": "Take a recording into the store.",
    "prune": "Delete old runs.",
    "config": "Show the values in force, and where each came from.",
    "scan": "Look for secrets before anybody else does.",
    "verify": "Check that a run is whole and valid; repair it.",
}
"""Every command, in the order of the help, with its one-line summary: `bundler.commands.<name>`
holds it, and is imported only when it is asked for."""
