"""`bundle show`: one run, or one test of it, in detail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from builders import RUN_ID, a_log, line
from replay_golden import agrees, visible_styles, without_places
from replay_scenes import (
    BASKET,
    FAILURE,
    SCENES,
    all_passed,
    attempt,
    damaged,
    of_every_verdict,
    on_disk,
    recording,
    session,
    still_running,
    stored,
    with_subtests,
)

from bundler.cli import run
from bundler.levels import Options
from bundler.look import Look
from bundler.manifest import Log, Member
from bundler.names import slug
from bundler.naming import matching_tests
from bundler.recording import Recording
from bundler.replay import replay
from bundler.run_details import run_lines
from bundler.test_details import Neighbours, lines_of_tests

Capture = pytest.CaptureFixture[str]


def shown_run(made: Recording, look: Look | None = None) -> str:
    return "".join(f"{text}\n" for text in run_lines(made, look or Look()))


def shown_test(made: Recording, text: str, look: Look | None = None) -> str:
    [test] = matching_tests(made.results, text)
    return "".join(f"{text}\n" for text in lines_of_tests(made, [test], look or Look()))


@pytest.mark.parametrize("scene", SCENES)
def test_every_kind_of_run_looks_as_it_should(scene: str) -> None:
    agrees(f"show-{scene}", shown_run(SCENES[scene]()), without_places)


@pytest.mark.parametrize("name", ["test_total", "test_flaky", "test_never", "test_stuck"])
def test_every_kind_of_test_looks_as_it_should(name: str) -> None:
    agrees(f"show-test-{name}", shown_test(of_every_verdict(), name))


@pytest.mark.parametrize(
    ("runner", "why"),
    [
        ("pytest", "the suite ran with -s"),
        ("nextest", "the suite ran with --no-capture"),
        ("unittest", "the suite ran without --buffer"),
        ("rspec", "rspec leaves it where it is printed"),
        (["a", "list"], "['a', 'list'] leaves it where it is printed"),
    ],
)
def test_why_nothing_was_captured_is_said_in_the_words_of_the_runner(
    runner: object, why: str
) -> None:
    log = a_log(session(runner=runner, capture="no"), attempt("test_total", "failed"))
    for shown in (
        shown_test(recording(log), "test_total"),
        "\n".join(replay(recording(log), Options(), Look(), name="x")),
    ):
        assert f"(output was not captured: {why})" in shown


def test_every_subtest_is_shown() -> None:
    agrees("show-test-subtests", shown_test(with_subtests(), "test_prices"))


def test_colour_marks_what_things_mean() -> None:
    text = shown_run(of_every_verdict(), Look(colour=True))
    text += shown_test(of_every_verdict(), "test_total", Look(colour=True))
    agrees("show-colour", text, visible_styles, without_places)


def test_all_that_is_known_is_told() -> None:
    made = recording(
        a_log(session(plugins={"xdist": "3.5", "timeout": "2.3"}, args=["-n", "2", "tests dir"])),
        recorder={"name": "seedbundle", "version": "0.1.0"},
        log=Log(events=3, complete=True, frames=[(100, 900), (50, 500)]),
        members=[Member("environment.json", 1000, "0"), Member("summary.json", 234, "0")],
    )
    made.files = {
        "environment.json": json.dumps(
            {
                "git": {"commit": "0123456789abcdef", "branch": "main", "dirty": True},
                "variables": {"LANG": "C", "TZ": "UTC\x1b[2J"},
            }
        ).encode()
    }
    agrees("show-all-that-is-known", shown_run(made), without_places)


def test_a_run_of_which_little_is_known_is_shown(tmp_path: Path) -> None:
    made = recording(b"")
    made.files = {"environment.json": b"[not json"}
    assert "Replayable no: there is no event log" in shown_run(made)


def test_why_a_run_cannot_be_replayed_whole() -> None:
    assert re.search(r"Replayable yes\n", shown_run(all_passed()))
    assert "Replayable as far as it is: still being recorded" in shown_run(still_running())
    text = shown_run(damaged())
    assert "Replayable in part: the log does not end as a finished one does; " in text
    assert "summary.json is missing; 2 lines of the event log cannot be read" in text


def test_neighbours_are_those_of_the_same_worker() -> None:
    ids = [f"{BASKET}::test_{name}" for name in "abcde"]
    places = [("gw0", 0), ("gw1", 0), ("gw0", 1), ("gw1", 1), ("gw0", 2)]
    runs = [
        attempt(one, "passed", started_us=us, worker=worker, order=order)
        for us, (one, (worker, order)) in enumerate(zip(ids, places, strict=True))
    ]
    made = recording(a_log(session(), *runs))
    neighbours = Neighbours(made.results)
    rows = [neighbours.of(test) for test in made.results.tests]
    names = [tuple(one and one.test_id[-1] for one in row) for row in rows]
    assert names == [(None, "c"), (None, "d"), ("a", "e"), ("b", None), ("c", None)]


def test_a_test_that_was_retried_is_not_its_own_neighbour() -> None:
    first, second = f"{BASKET}::test_a", f"{BASKET}::test_b"
    made = recording(
        a_log(
            session(),
            attempt(first, "failed", will_retry=True),
            attempt(first, "passed", attempt=2),
            attempt(second, "passed"),
        )
    )
    one, two = made.results.tests
    neighbours = Neighbours(made.results)
    assert neighbours.of(one) == (None, two)
    assert neighbours.of(two) == (one, None)


def test_the_files_of_a_test_are_named() -> None:
    made = all_passed()
    test_id = f"{BASKET}::test_add"
    name = f"tests/{slug(test_id)}/00000000deadbeef/manifest.json"
    made.files = {**made.files, name: b"{}"}
    assert f"File {name}\n" in shown_test(made, test_id)


def test_a_test_is_named_by_its_id_or_a_part_that_only_it_has() -> None:
    ids = ["a.py::test_x", "a.py::test_x[1]", "b.py::test_y"]
    made = recording(a_log(session(), *(attempt(one, "passed") for one in ids)))
    names = {text: len(matching_tests(made.results, text)) for text in (*ids, "test_", "y", "no")}
    assert names == {**dict.fromkeys(ids, 1), "test_": 3, "y": 3, "no": 0}


def test_a_name_is_its_tests_rather_than_what_it_begins() -> None:
    ids = ["a.py::test_x[1]", "a.py::test_x[2]", "a.py::test_xylophone", "crate tests::test_x"]
    made = recording(a_log(session(), *(attempt(one, "passed") for one in ids)))
    found = {
        text: [test.test_id for test in matching_tests(made.results, text)]
        for text in ("test_x", "test_x[1]", "tests::test_x", "test_xy", "est_x")
    }
    assert found == {
        "test_x": [ids[0], ids[1], ids[3]],
        "test_x[1]": [ids[0]],
        "tests::test_x": [ids[3]],
        "test_xy": [ids[2]],
        "est_x": ids,
    }


def test_the_latest_run_is_shown(capfd: Capture) -> None:
    stored(of_every_verdict())
    assert run(["show"]) == 0
    assert f"Run {RUN_ID}" in capfd.readouterr().out


def test_a_test_of_a_run_is_shown(tmp_path: Path, capfd: Capture) -> None:
    assert run(["show", str(on_disk(of_every_verdict(), tmp_path / "run")), "test_total"]) == 0
    assert "makes 8?" in capfd.readouterr().out


def test_a_word_that_is_no_run_is_a_test_of_the_latest_one(capfd: Capture) -> None:
    stored(of_every_verdict())
    assert run(["show", "test_total"]) == 0
    assert run(["show", f"{BASKET}::test_total"]) == 0
    assert capfd.readouterr().out.count("Of run 0f4c1a52, failed") == 2


def test_a_prefix_of_two_runs_is_not_looked_for_among_tests(capfd: Capture) -> None:
    log = a_log(session(), attempt(f"{BASKET}::test_0f4c", "passed"))
    stored(recording(log))
    stored(recording(log, run_id=RUN_ID.replace("8d0e", "9999")))
    assert run(["show", "0f4c"]) == 4
    assert "run '0f4c' is more than one" in capfd.readouterr().err


def test_a_word_that_is_neither_is_exit_code_four(capfd: Capture) -> None:
    stored(all_passed())
    assert run(["show", "nothing"]) == 4
    err = capfd.readouterr().err
    assert "'nothing' is neither a run nor a test of the latest run" in err


def test_without_any_run_the_error_is_about_the_run(capfd: Capture) -> None:
    assert run(["show", "ffff"]) == 4
    assert "run 'ffff' is not in the store" in capfd.readouterr().err


def test_a_part_that_many_have_lists_them(capfd: Capture) -> None:
    stored(of_every_verdict())
    assert run(["show", "latest", "test_cart"]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "error: test 'test_cart' is one of 4 in run 0f4c1a52:\n"
        "    tests/test_cart.py::TestCart::test_flaky[1-é]\n"
        "    tests/test_cart.py::TestCart::test_windows\n"
        "    tests/test_cart.py::test_never\n"
        "    tests/test_cart.py::test_stuck\n"
    )


def test_a_test_that_is_not_there_is_exit_code_four(capfd: Capture) -> None:
    stored(of_every_verdict())
    assert run(["show", "latest", "test_nothing"]) == 4
    assert "run 0f4c1a52 has no test 'test_nothing'" in capfd.readouterr().err


def test_both_occurrences_of_an_id_are_shown(tmp_path: Path, capfd: Capture) -> None:
    test_id = f"{BASKET}::test_a"
    log = a_log(session(), attempt(test_id, "passed"), attempt(test_id, "failed", occurrence=2))
    assert run(["show", str(on_disk(recording(log), tmp_path / "run")), test_id]) == 0
    assert f"Test {test_id} #2" in capfd.readouterr().out


def test_a_run_as_json_is_its_summary(tmp_path: Path, capfd: Capture) -> None:
    assert run(["show", str(on_disk(of_every_verdict(), tmp_path / "run")), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["counts"]["flaky"] == 1
    assert document["seed_hex"] == "00000000deadbeef"
    assert len(document["tests"]) == 11


def test_a_test_as_json_is_one_object(tmp_path: Path, capfd: Capture) -> None:
    path = str(on_disk(of_every_verdict(), tmp_path / "run"))
    assert run(["show", path, "test_total", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["verdict"] == "failed"
    assert document["worker"] == "gw1"
    [only] = document["attempts"]
    assert only["failures"] == [FAILURE]
    assert [piece["text"] for piece in only["output"]][:2] == ["filling\n", "3 + 4\nmakes 8?\n"]


def test_bytes_that_are_no_text_stay_whole_in_json(tmp_path: Path, capfd: Capture) -> None:
    test_id = f"{BASKET}::test_a"
    output = line("TestOutput", test_id, stream="stdout", phase="call", base64="/w==")
    path = on_disk(recording(a_log(session(), attempt(test_id, "passed", output))), tmp_path / "r")
    assert run(["show", str(path), test_id, "--json"]) == 0
    [only] = json.loads(capfd.readouterr().out)["attempts"]
    assert only["output"] == [
        {"stream": "stdout", "phase": "call", "omitted_bytes": 0, "base64": "/w=="}
    ]
