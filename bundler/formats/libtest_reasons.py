"""Why a test failed, as libtest JSON has it in `reason`.

`time limit exceeded` is libtest's own; `crashed` and `errored` are ours, where there is no panic
that would tell.
"""

from __future__ import annotations

from bundler.results import Verdict

TIME_LIMIT = "time limit exceeded"
REASONS = {
    TIME_LIMIT: Verdict.TIMED_OUT,
    "crashed": Verdict.CRASHED,
    "errored": Verdict.ERRORED,
}
