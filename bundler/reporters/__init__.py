"""What says, inside another runner, what its tests do: a reporter each, in that runner's language.

A reporter is handed BUNDLE_REPORT, JSON with `stream` (a file that exists) and `selection` (the
`selection.json` of a rerun, or null), and takes it out of the environment. It appends whole lines
of JSON to the stream as things happen, so that a run that is killed keeps what it said. What goes
wrong in a reporter ends its stream and nothing else.

In every line: `e`, what happened; `at`, milliseconds since 1970; `s`, which session, where a runner
has several (projects); `id`, the test.

| `e` | more of it | what it becomes |
|---|---|---|
| `begin` | `runner version suite rootdir args seed shuffled workers` and more | a session |
| `collected` | `ids`; with `left` (why) they do not run | the tests of a session |
| `test` | `attempt file line` | an attempt starts |
| `out` | `stream text` | its output |
| `sub` | `name outcome ms failures` | a part of it has ended |
| `done` | `attempt outcome ms reason retry failures` | it has ended |
| `broken` | `failures` | a file or node that could not be loaded, or not be cleaned up |
| `skipped` | `reason` | a node that skipped itself |
| `end` | `reason` | the session has ended |
| `failed` | `why` | the reporter broke |

`left` is `passing` or `deselected`. A failure has `message type traceback file line`, as far as the
runner knows them, or `text`: a stack trace as JavaScript prints it, which `bundler.runners.report`
takes apart. An `attempt` of 1 of a test that has ended is another test of that id.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
PYTHON = FOLDER / "python"
"""The folder for the head of PYTHONPATH, with `bundle_unittest` in it and nothing else."""
