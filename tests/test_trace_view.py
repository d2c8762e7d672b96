"""A trace as lines for people and as a document, and `bundle show` of one."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import lz4.block
import pytest
from asupersync_samples import traces, truth
from builders import a_log, a_recording, a_test
from command_line import BUNDLE, place
from msgspec import msgpack

from bundler.cli import run
from bundler.formats.trace import read_trace
from bundler.trace_view import describe_trace, trace_words

KINDS = "scheduler_all_kinds_00000000deadbeef"
Capture = pytest.CaptureFixture[str]


def lines(name: str) -> list[str]:
    return list(describe_trace(read_trace(traces()[f"traces/{name}.trace"])))


def file(name: str, tmp_path: Path, called: str = "x.trace") -> str:
    path = tmp_path / called
    path.write_bytes(traces()[f"traces/{name}.trace"])
    return str(path)


def test_a_whole_trace() -> None:
    assert lines("scheduler_no_description_0000000000000000") == [
        "trace version 3, not compressed, 7 events",
        "seed         0000000000000000 (0)",
        "recorded at  unknown",
        "config hash  0000000000000000",
        "digests      metadata ok, events ok",
        "ends         at byte 280, as it should",
        "",
        "    1  IoError token=20 kind=127",
        "    2  TimerCreated timer_id=10 deadline_nanos=50",
        "    3  TaskSpawned task=38654705664 region=25769803777 at_tick=18446744073709551615",
        "    4  IoResult token=18446744073709551615 bytes=4096",
        "    5  RegionClosed region=30064771073 outcome=1",
        "    6  IoResult token=4295386875 bytes=-32768",
        "    7  ChaosInjection kind=4 task=- data=239",
        "",
        "    IoResult        2",
        "    ChaosInjection  1",
        "    IoError         1",
        "    RegionClosed    1",
        "    TaskSpawned     1",
        "    TimerCreated    1",
    ]


def test_every_event_is_listed_and_counted_by_type() -> None:
    shown = lines(KINDS)
    assert "recorded at  2025-10-09T08:53:20.000000000Z" in shown
    assert "description  'all kinds, v3, plain — žluť'" in shown
    assert "    ChaosInjection   2" in shown
    assert len([line for line in shown if line.startswith("    ") and "=" in line]) == 40


def test_a_damaged_trace_says_what_is_wrong() -> None:
    shown = lines("damaged/cut_in_event")
    assert shown[0] == "trace version 3, not compressed, 7 readable events of 40 declared"
    assert "digests      metadata ok, events unchecked" in shown
    end = "at byte 351, the file ends inside an event (at byte 355), 9 more bytes follow"
    assert f"ends         {end}" in shown


def test_a_trace_cut_in_its_header_has_no_events_to_show() -> None:
    shown = lines("damaged/cut_count")
    assert (
        shown[0] == "trace version 3, not compressed, 0 readable events of an unknown number"
        " declared"
    )
    assert shown[-1].startswith("ends         at byte 109")


def test_a_trace_in_one_line() -> None:
    whole = read_trace(traces()[f"traces/{KINDS}.trace"])
    assert trace_words(whole) == "version 3, 40 events, whole"
    bit = read_trace(traces()["traces/damaged/event_bit.trace"])
    assert trace_words(bit) == "version 3, 40 events, the digest of its events does not hold"


def test_a_description_cannot_break_out_of_its_line() -> None:
    content = traces()["traces/scheduler_legacy_v1_0000000000000005.trace"]
    evil = content.replace(b"legacy-v1", b"\x1b[2J\nxy\xc2\x9b")
    [line] = [one for one in describe_trace(read_trace(evil)) if one.startswith("description")]
    assert line == r"description  '\x1b[2J\nxy\x9b'"


# --- bundle show ---------------------------------------------------------------------------------


@pytest.mark.parametrize("row", truth()["traces"], ids=lambda row: Path(row["file"]).stem)
def test_show_gives_the_whole_of_a_whole_trace(
    row: dict[str, object], tmp_path: Path, capfd: Capture
) -> None:
    name = str(row["file"]).removeprefix("traces/").removesuffix(".trace")
    assert run(["show", file(name, tmp_path), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    events, metadata = row["events"], row["metadata"]
    assert isinstance(events, dict)
    assert isinstance(metadata, dict)
    assert len(document["events"]) == document["event_count"] == events["count"]
    assert document["seed"] == metadata["seed"]
    assert document["config_hash"] == metadata["config_hash"]
    assert document["whole"] is True


@pytest.mark.parametrize("row", truth()["damaged_traces"], ids=lambda row: Path(row["file"]).stem)
def test_show_gives_what_is_left_of_any_trace_and_never_a_traceback(
    row: dict[str, object], tmp_path: Path, capfd: Capture
) -> None:
    name = str(row["file"]).removeprefix("traces/").removesuffix(".trace")
    code = run(["show", file(name, tmp_path)])
    out, err = capfd.readouterr()
    assert code in (0, 3)
    assert (code == 3) == (err != "")
    assert "bundle itself failed" not in err
    reader = row["original_reader"]
    assert isinstance(reader, dict)
    recovered = reader.get("recovered", 0)
    assert out.count("=") >= recovered


def test_a_damaged_trace_gives_its_prefix_says_where_it_ends_and_exits_3(
    tmp_path: Path, capfd: Capture
) -> None:
    assert run(["show", file("damaged/cut_in_event", tmp_path)]) == 3
    out, err = capfd.readouterr()
    assert "    7  TimerFired timer_id=18446744073709551614\n" in out
    assert "x.trace ends at byte 351, the file ends inside an event (at byte 355)" in err


def test_a_trace_that_was_never_finished_exits_3_with_all_its_events(
    tmp_path: Path, capfd: Capture
) -> None:
    assert run(["show", file("damaged/killed_plain", tmp_path), "--json"]) == 3
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["declared_events"] == 0
    assert len(document["events"]) == document["event_count"] > 500
    assert "its writer never finished it" in err


def test_a_trace_is_known_by_its_first_bytes_whatever_it_is_called(
    tmp_path: Path, capfd: Capture
) -> None:
    assert run(["show", file(KINDS, tmp_path, "upload.bin")]) == 0
    assert capfd.readouterr().out.startswith("trace version 3")


def test_a_file_that_is_called_like_a_run_is_not_meant(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(KINDS, tmp_path, "latest")
    monkeypatch.chdir(tmp_path)
    assert run(["show", "latest"]) == 4
    assert run(["verify", "latest"]) == 4
    assert run(["show", "./latest"]) == 0


def test_a_trace_of_no_events_is_valid_json(tmp_path: Path, capfd: Capture) -> None:
    name = "scheduler_zero_events_lz4_0000000000000000"
    assert run(["show", file(name, tmp_path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["events"] == []


def test_a_trace_that_is_replayed_says_what_to_do(tmp_path: Path, capfd: Capture) -> None:
    assert run(["replay", file(KINDS, tmp_path)]) == 3
    assert "`bundle show FILE`" in capfd.readouterr().err


def test_a_trace_inside_a_recording_is_named_by_its_file(tmp_path: Path, capfd: Capture) -> None:
    made = a_recording(a_log(a_test("a"), a_test("b")))
    content = traces()[f"traces/{KINDS}.trace"]
    names = ["manifest.json", "events.ndjson", "tests/a/0000000000000001/io.trace"]
    names += ["tests/a/0000000000000001/twice.trace", "tests/b/0000000000000001/twice.trace"]
    log = b"".join(line.content + b"\n" for line in made.log.lines())
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for name in names:
            documents = {"manifest.json": json.dumps(made.document).encode(), "events.ndjson": log}
            archive.writestr(name, documents.get(name, content))
    path = str(tmp_path / "run.zip")
    assert run(["show", path, "io.trace"]) == 0
    assert capfd.readouterr().out.startswith("trace version 3")
    assert run(["show", path, "tests/b/0000000000000001/twice.trace"]) == 0
    capfd.readouterr()
    assert run(["show", path, "twice.trace"]) == 4
    assert "trace 'twice.trace' is more than one: tests/a/" in capfd.readouterr().err


def test_a_trace_that_unpacks_without_end_ends_at_the_limit(tmp_path: Path) -> None:
    content = traces()["traces/scheduler_zero_events_lz4_0000000000000000.trace"]
    event = msgpack.encode(["WakerWake", 7])
    frame = len(event).to_bytes(4, "little") + event
    raw = frame * ((4 << 20) // len(frame))
    block = lz4.block.compress(raw, store_size=False)
    chunk = (len(block) + 4).to_bytes(4, "little") + len(raw).to_bytes(4, "little") + block
    path = tmp_path / "bomb.trace"
    head = content[:-40] + (10**9).to_bytes(8, "little") + bytes(32)  # the count, the digest
    path.write_bytes(head + chunk * 12)
    trace = read_trace(path)
    assert "over the limit ratio=200" in trace.end.why
    assert trace.event_count == 8 * len(raw) // len(frame)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_trace_shown_to_a_reader_that_leaves_is_quiet(tmp_path: Path) -> None:
    here = place(tmp_path)
    name = file("scheduler_default_chunks_ffffffffffffffff", tmp_path)
    ended = here.run(["bash", "-c", f"{' '.join(BUNDLE)} show {name} | head -1"])
    assert ended.stderr == ""
    assert ended.stdout == "trace version 3, LZ4, 6000 events\n"
