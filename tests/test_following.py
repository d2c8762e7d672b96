"""A run that is being recorded is followed to its end, and nothing is shown twice or lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import SEED, line
from command_line import BUNDLE, place
from own_event_runs import DRAIN, Run, X

from bundler import bundle, test_bundles
from bundler.events import Event
from bundler.following import follow, interruptible
from bundler.own_events import OwnEvent, own_events


def everything(event: Event) -> bool:
    return True


class Follower:
    """Looks at a run whenever it is told to."""

    def __init__(self, run: Run) -> None:
        self.live = True
        self.looks = follow(
            run.directory, everything, is_live=lambda _: self.live, sleep=lambda _: None
        )

    def sees(self) -> list[str]:
        """What is new since the last time."""
        return kinds(next(self.looks))

    def to_the_end(self) -> list[str]:
        """All that is left when the run is over."""
        self.live = False
        return [kind for batch in self.looks for kind in kinds(batch)]


def kinds(events: Iterator[OwnEvent] | list[OwnEvent]) -> list[str]:
    return [f"{own.event.test_id} {own.event.event}" for own in events]


def test_what_is_logged_is_seen_at_the_next_look(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    assert following.sees() == []
    with run.test(DRAIN) as harness:
        assert following.sees() == []
        harness.log("One")
        harness.log("Two")
        assert following.sees() == ["drain One", "drain Two"]
        run.say("InLog", DRAIN)
        harness.log("Three")
        assert sorted(following.sees()) == ["drain InLog", "drain Three"]
    assert following.sees() == []
    run.end()
    assert following.to_the_end() == []


def test_what_came_between_the_last_look_and_the_end_is_not_lost(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    run.say("TestStarted", X, order=0)
    run.say("Before", X)
    assert following.sees() == [f"{X} Before"]
    run.say("After", X)
    with run.test(DRAIN) as harness:
        harness.log("Late")
    run.end()
    assert sorted(following.to_the_end()) == ["drain Late", f"{X} After"]


def test_following_sees_what_a_replay_shows(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    seen: list[str] = []
    for number in range(40):
        with run.test(f"test_{number}") as harness:
            for _ in range(number):
                harness.log("Event")
                run.say("InLog", f"test_{number}", n=1)
            seen += following.sees() if number % 3 else []
    run.end()
    seen += following.to_the_end()
    assert sorted(seen) == sorted(kinds(own_events(bundle.read(run.directory))))


def test_times_are_those_of_a_replay(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = follow(run.directory, everything, is_live=lambda _: False)
    with run.test(DRAIN) as harness:
        harness.log("One")
    seen = [own for batch in following for own in batch]
    run.end()
    replayed = list(own_events(bundle.read(run.directory)))
    assert [own.line for own in seen] == [own.line for own in replayed]
    assert seen[0].ts_us >= 2_000_000


def test_a_run_that_was_sealed_before_the_first_look_has_its_times_too(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = follow(run.directory, everything, is_live=lambda _: False)
    with run.test(DRAIN) as harness:
        harness.log("One")
    run.say("InLog", DRAIN)
    run.end()
    seen = [own for batch in following for own in batch]
    replayed = list(own_events(bundle.read(run.directory)))
    assert [own.line for own in seen] == [own.line for own in replayed]
    assert len(seen) == 2


def test_a_bundle_that_is_completed_at_the_end_is_not_shown_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    with run.test(DRAIN, outcome="failed"):
        run.say("InLog", DRAIN)
        assert following.sees() == ["drain InLog"]
    test_bundles.write(run.directory, bundle.read_directory(run.directory))
    assert list(run.directory.glob("tests/drain*/*/events.ndjson"))
    assert following.to_the_end() == []


def test_a_bundle_that_is_written_anew_goes_on_where_it_was(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    with run.test(DRAIN) as harness:
        harness.log("One")
        assert following.sees() == ["drain One"]
        harness.log("Two")
        file = harness.directory / "events.ndjson"
        whole = file.read_bytes()
        file.unlink()
        file.write_bytes(line("TestStarted", DRAIN, 0) + whole)
        assert following.sees() == ["drain Two"]


def test_half_a_line_is_shown_when_it_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    following = Follower(run)
    file = run.directory / "tests" / "a" / f"{SEED:016x}" / "events.ndjson"
    file.parent.mkdir(parents=True)
    whole = line("Own", "a", 5)
    file.write_bytes(whole[:30])
    assert following.sees() == []
    file.write_bytes(whole)
    assert following.sees() == ["a Own"]


def test_a_log_of_many_pieces_is_read_piece_by_piece(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.test(DRAIN) as harness:
        for number in range(12_000):
            harness.log("Event", "m" * 200, n=number)
    batches = list(follow(run.directory, everything, is_live=lambda _: False))
    numbers = [own.event.payload()["n"] for batch in batches for own in batch]
    assert numbers == list(range(12_000))
    assert max(map(len, batches)) < 5000


def test_a_link_among_the_test_bundles_is_not_followed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    evil = run.directory / "tests" / "a" / f"{SEED:016x}"
    evil.mkdir(parents=True)
    secret = tmp_path / "secret" / "events.ndjson"
    secret.parent.mkdir()
    secret.write_bytes(line("Secret", "a"))
    (evil / "events.ndjson").symlink_to(secret)
    (run.directory / "tests" / "b").symlink_to(secret.parent)
    assert Follower(run).to_the_end() == []


def test_a_recorder_that_vanished_ends_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.say("TestStarted", X, order=0)
    run.say("Own", X)
    run.live.close()
    seen = [kind for batch in follow(run.directory, everything) for kind in kinds(batch)]
    assert seen == [f"{X} Own"]


def test_the_first_ctrl_c_asks_and_the_second_insists() -> None:
    with interruptible() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_nobody_is_followed_who_nobody_wants(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.say("Own", X)
    asked = iter([False, False, True, True])
    looks = follow(run.directory, everything, stopped=lambda: next(asked), sleep=lambda _: None)
    assert [kinds(look) for look in looks] == [[f"{X} Own"]]


# --- the program ---------------------------------------------------------------------------------


def followed(tmp_path: Path, *words: str) -> subprocess.Popen[bytes]:
    here = place(tmp_path)
    return subprocess.Popen(
        [*BUNDLE, "replay", "--events", "--follow", str(tmp_path / "run"), *words],
        cwd=here.project,
        env=here.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_program_follows_and_ends_with_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [DRAIN])
    program = followed(tmp_path, "--json", "--category", "io")
    assert program.stdout is not None
    with run.test(DRAIN) as harness:
        harness.log("One", category="io")
        harness.log("Hidden", category="other")
        first = program.stdout.readline()
        harness.log("Two", category="io")
    run.end()
    out, err = program.communicate(timeout=30)
    shown = [json.loads(one)["event"] for one in (first + out).splitlines()]
    assert shown == ["One", "Two"]
    assert (program.returncode, err) == (0, b"")


def test_times_count_from_the_start_of_a_test_that_had_not_begun(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [DRAIN])
    program = followed(tmp_path, DRAIN)
    time.sleep(1)
    with run.test(DRAIN) as harness:
        harness.log("One")
    run.end()
    out, _ = program.communicate(timeout=30)
    assert 0 < float(out[1:12]) < 0.5


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent a Ctrl-C there")
def test_ctrl_c_ends_it_with_whole_lines_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [DRAIN])
    with run.test(DRAIN) as harness:
        for _ in range(5000):
            harness.log("Event", "m" * 300)
        program = followed(tmp_path)
        assert program.stdout is not None
        first = program.stdout.readline()
        time.sleep(0.5)  # now the pipe is full, in the middle of a line
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert first.startswith(b"[")
    assert out.endswith(b"\n")
    assert all(text.endswith(b"m") for text in out.splitlines())
    assert (program.returncode, err) == (130, b"")


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [DRAIN])
    program = followed(tmp_path)
    with run.test(DRAIN) as harness:
        harness.log("One")
        assert program.stdout is not None
        assert b"One" in program.stdout.readline()
        program.stdout.close()
        for _ in range(100):
            harness.log("More")
            if program.poll() is not None:
                break
            time.sleep(0.1)
    _, err = program.communicate(timeout=10)
    assert (program.returncode, err) == (0, b"")


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_run_that_is_over_is_shown_and_that_is_all(tmp_path: Path, words: list[str]) -> None:
    run = Run(tmp_path / "run", [DRAIN])
    with run.test(DRAIN) as harness:
        harness.log("One")
    run.end()
    out, err = followed(tmp_path, *words).communicate(timeout=30)
    assert (out.count(b"\n"), err) == (1, b"")
