"""The events of a run: what they are, and a line of `events.ndjson` to an event and back.

# NDJSON schema v1

Why lines: a process that is killed loses at most the line it was writing, two processes can
append to one file, and `grep` and `jq` read it. One event is one JSON object on one line, ASCII
only, ended by one `\\n`, at most 1 MiB long. `schemas/event.v1.json` is the same in JSON Schema.

    {"v":1,"ts_us":1204,"level":"INFO","category":"test","event":"TestStarted",
     "test_id":"tests/test_a.py::test_x","seed":7,"seed_hex":"0000000000000007","thread_id":41,
     "message":"started","data":{…}}

| field | type | |
|---|---|---|
| `v` | u32 | 1 |
| `ts_us` | u64 | microseconds since the run (in a test bundle: the test) started, monotonic |
| `level` | string | `ERROR WARN INFO DEBUG TRACE` |
| `category` | string | `run test output artifact log`, or whatever a test logs under |
| `event` | string | the type, PascalCase |
| `test_id` | string? | the runner's own exact name of one test |
| `seed` | u64? | the test's seed; the root seed on run events |
| `seed_hex` | string? | the same seed as 16 hex digits, for readers that round numbers above 2^53 |
| `subsystem`, `invariant` | string? | |
| `thread_id` | u64 | OS thread |
| `message` | string | for people |
| `data` | object | by event, below |

Absent optionals are omitted, never null.

## What `data` holds

A *session* is one start of a test runner inside the run (`make` may start pytest twice): eight hex
digits. *occurrence* tells apart tests of one session that share an id (`--keep-duplicates`), counted
from 1 and omitted where it is 1. *attempt* counts from 1. *worker* is the xdist worker, omitted in a
single process. *order* is the test's place in its worker's sequence, from 0.
A run that another tool recorded lacks what that tool did not say: its `order`, most of a session.
In the table, KEY is `session, occurrence?, attempt`. Durations are microseconds.

| event | category | `data` |
|---|---|---|
| `RunStarted` | run | `run_id, argv, cwd, started_at` (RFC 3339, UTC) |
| `SessionStarted` | run | `session, runner, runner_version?, python?, executable?, rootdir?, args?, capture?, plugins? {name: version}, packages? {name: version}, workers?, hash_probe?, random_seeds? {plugin: seed}, timeout?, hypothesis_profile?` |
| `TestsCollected` | run | `session, selected [id…]` or `session, deselected [id…], reason?`; in chunks, in order; a repeated id is a further occurrence |
| `CollectionFailed` | run | `session, failures […]`; `test_id` names the file or node that failed |
| `CollectionSkipped` | run | `session, reason, file?, line?`; `test_id` names the file or node |
| `TestStarted` | test | KEY, `worker?, order?, file?, line?` |
| `TestOutput` | output | KEY, `stream` (`stdout stderr log` or a section's title), `phase` (`setup call teardown`), `text` or `base64`, `omitted_bytes?` (cut between this chunk and the one before) |
| `SubtestFinished` | test | KEY, `name, outcome, duration_us, failures` |
| `TestFinished` | test | KEY, `worker?, order?, outcome, setup_us?, call_us?, teardown_us?, reason?, failures […], will_retry?, properties? [[name, value]…]`. Without `attempt` it closes the open attempt of that test (a worker that died) |
| `GeneratorState` | test | KEY, `states {random?, numpy?}` (of the random generators when the attempt started, kept where it does not pass; before its TestFinished) |
| `EntropyDrawn` | test | `session, source, file, line` (the test drew what no seed reaches; with `--watch-entropy`) |
| `Attachment` | artifact | `name, path, media_type, size` and, of a test, KEY |
| `RunOutput` | output | `stream` (`stdout stderr terminal`), `text` or `base64`, `omitted_bytes?` |
| `Warning` | log | `warning, message, file?, line?, when?` |
| `SessionFinished` | run | `session, exit_status?, reason?` |
| `RunFinished` | run | `status, reason?, exit_code?` or `signal?, duration_us, counts {verdict: n}, events` (how many lines stand before this one) |

A failure is `{phase, type?, message, traceback?, file?, line?}`. Anything that is not in the table
is a test's own event: it passes through every reader and writer unchanged.

Deliberately absent: a schema per event (a reader takes what it knows and ignores the rest), and any
identity but the test id (no numbering that would change when a test is added).

History: v1, first version; from bundle format 1.2 on, `seed_hex` beside `seed`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from bundler.seeds import exact_seed, show_seed

VERSION = 1
MAX_LINE_BYTES = 1 << 20
LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
RUN_EVENTS = frozenset(
    {
        "RunStarted",
        "SessionStarted",
        "TestsCollected",
        "CollectionFailed",
        "CollectionSkipped",
        "TestStarted",
        "TestOutput",
        "SubtestFinished",
        "TestFinished",
        "GeneratorState",
        "EntropyDrawn",
        "Attachment",
        "RunOutput",
        "Warning",
        "SessionFinished",
        "RunFinished",
    }
)
"""The events in the table above; every other one is a test's own."""


class Event(msgspec.Struct, omit_defaults=True, frozen=True):
    """One event; the fields are described in this module's docstring.

    `data` stays undecoded until `payload` asks for it: most readers look at few events' data.
    """

    v: int
    ts_us: int
    level: str
    category: str
    event: str
    message: str
    test_id: str | None = None
    seed: int | None = None
    seed_hex: str | None = None
    subsystem: str | None = None
    invariant: str | None = None
    thread_id: int = 0
    data: msgspec.Raw = msgspec.Raw(b"{}")

    def payload(self) -> dict[str, Any]:
        """Decode `data`. Raises ValueError where it is not an object."""
        value = msgspec.json.decode(self.data)
        if not isinstance(value, dict):
            raise ValueError("data is not an object")
        return value


_decoder = msgspec.json.Decoder(Event)


def decode_line(line: bytes) -> Event:
    """Return the event of one line (with or without its newline).

    A seed that another program rounded is as `seed_hex` has it. Raises ValueError where the line is
    not an event of this version: not JSON, a field of another type, a number outside u64, another
    `v`.
    """
    try:
        event = _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if event.v != VERSION:
        raise ValueError(f"event version {event.v}, not {VERSION}")
    if event.seed_hex is not None and event.seed is not None:
        event = _with_exact_seed(event, event.seed, event.seed_hex)
    if event.ts_us < 0 or (event.seed is not None and not 0 <= event.seed < 1 << 64):
        raise ValueError("a number outside u64")
    return event


def _with_exact_seed(event: Event, seed: int, seed_hex: str) -> Event:
    if f"{seed:016x}" == seed_hex:
        return event
    exact = exact_seed(seed, seed_hex)
    return msgspec.structs.replace(event, seed=exact)


def encode_line(
    event: str,
    *,
    ts_us: int,
    category: str,
    message: str,
    level: str = "INFO",
    test_id: str | None = None,
    seed: int | None = None,
    thread_id: int = 0,
    data: dict[str, Any] | None = None,
) -> bytes:
    """Return one whole line, in the order of fields that the schema lists.

    Raises ValueError where it would be longer than 1 MiB: whoever has long data cuts it first.
    """
    fields: dict[str, Any] = {"v": VERSION, "ts_us": ts_us, "level": level}
    fields |= {"category": category, "event": event}
    if test_id is not None:
        fields["test_id"] = test_id
    if seed is not None:
        fields |= {"seed": seed, "seed_hex": show_seed(seed)}
    fields |= {"thread_id": thread_id, "message": message, "data": data or {}}
    line = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"a {event} of {len(line)} bytes is over the limit of {MAX_LINE_BYTES}")
    return line


def as_text(word: str) -> str:
    """Return a word of the system as text: bytes that are not UTF-8 are shown as escapes."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def text_fields(raw: bytes) -> dict[str, str]:
    """Return `{"text": …}`, or `{"base64": …}` where the bytes are not UTF-8."""
    try:
        return {"text": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def text_bytes(data: dict[str, Any]) -> bytes:
    """Return the bytes that an output event holds. Raises ValueError where it holds none."""
    text = data.get("text")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    encoded = data.get("base64")
    if isinstance(encoded, str):
        return base64.b64decode(encoded, validate=True)
    raise ValueError("an output event without text")
