"""The words of CTRF: its statuses, and what of ours stands in `extra`.

The specification and its schema are at https://ctrf.io and in the npm package `ctrf`.

| verdict | `status`, with the verdict as `rawStatus` |
|---|---|
| passed, xpassed; flaky with `flaky: true` | `passed` |
| failed, errored, timed_out, crashed, unfinished | `failed` |
| skipped, xfailed | `skipped` |
| not_run | `pending` |

A file that was not collected is a test that failed, of rawStatus `not_collected`. `seedbundle` of a
test holds `duration_us`, `occurrence`, `seed_hex`, `reason`, `failure_type`, `properties` and
`streams`, other output than stdout and stderr; of a run `run_id`, `seed_hex`, `status` and more.
"""

from __future__ import annotations

from bundler.results import Verdict

OURS = "seedbundle"
NOT_COLLECTED = "not_collected"
STREAMS = ("stdout", "stderr")

STATUS = {
    Verdict.PASSED: "passed",
    Verdict.XPASSED: "passed",
    Verdict.FLAKY: "passed",
    Verdict.FAILED: "failed",
    Verdict.ERRORED: "failed",
    Verdict.TIMED_OUT: "failed",
    Verdict.CRASHED: "failed",
    Verdict.UNFINISHED: "failed",
    Verdict.SKIPPED: "skipped",
    Verdict.XFAILED: "skipped",
    Verdict.NOT_RUN: "pending",
}
