"""`bundle diff`: what changed between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import SESSION, a_log, a_test, line, results_of
from command_line import place
from replay_scenes import on_disk, recording

from bundler.cli import run as bundle_command
from bundler.comparison import ChangeKind, changes
from bundler.environment_difference import differences, taken_over
from bundler.eventlog import Line, PlainLog
from bundler.results import Results, Verdict
from bundler.store import Store

WELL = ["passed", "skipped", "xfailed", "xpassed"]
RED = ["failed", "errored", "timed_out", "crashed"]


def run(**outcomes: str | None) -> Results:
    """The results of a run with these tests; None is one that never ran."""
    ids = list(outcomes)
    logs = [a_test(name, outcome) for name, outcome in outcomes.items() if outcome is not None]
    return results_of(a_log(line("TestsCollected", session=SESSION, selected=ids), *logs))


def kinds(before: Results, after: Results) -> dict[str, str]:
    return {change.test_id: change.kind.value for change in changes(before, after)}


@pytest.mark.parametrize("was", WELL)
@pytest.mark.parametrize("now", RED)
def test_what_went_well_and_fails_is_a_regression_and_the_other_way_round(
    was: str, now: str
) -> None:
    assert kinds(run(t=was), run(t=now)) == {"t": "regression"}
    assert kinds(run(t=now), run(t=was)) == {"t": "changed" if was == "skipped" else "fixed"}


def test_what_was_not_there_is_new_and_a_failure_of_it_is_bad_news() -> None:
    before, after = run(a="passed"), run(b="passed", c="failed")
    assert kinds(before, after) == {"c": "new_failure", "b": "new", "a": "gone"}


def test_what_never_ran_proves_nothing() -> None:
    assert kinds(run(t=None), run(t="passed")) == {}
    assert kinds(run(t=None), run(t="failed")) == {"t": "new_failure"}
    assert kinds(run(t="passed"), run(t=None)) == {"t": "changed"}
    assert kinds(run(t="failed"), run(t=None)) == {"t": "changed"}


def test_a_test_that_a_filter_left_out_is_not_gone() -> None:
    after = results_of(a_log(line("TestsCollected", session=SESSION, deselected=["t"])))
    assert kinds(run(t="passed"), after) == {}


def test_flaky_is_told_and_is_no_fix() -> None:
    flaky = results_of(a_log(a_test("t", "failed"), a_test("t", "passed", attempt=2)))
    assert kinds(run(t="passed"), flaky) == {"t": "flaky"}
    assert kinds(run(t="failed"), flaky) == {"t": "flaky"}
    assert kinds(flaky, flaky) == {}


def test_slower_is_by_a_factor_and_by_what_can_be_felt() -> None:
    def took(us: int) -> Results:
        return results_of(a_log(a_test("t", call_us=us)))

    assert kinds(took(100_000), took(900_000)) == {"t": "slower"}
    assert kinds(took(10), took(90_000)) == {}
    assert kinds(took(1_000_000), took(1_900_000)) == {}


def test_regressions_stand_first() -> None:
    before = run(a="failed", b="passed", c="passed")
    found = changes(before, run(a="passed", b="passed", c="failed", d="passed"))
    assert [change.kind for change in found] == [
        ChangeKind.REGRESSION,
        ChangeKind.FIXED,
        ChangeKind.NEW,
    ]
    assert found[0].after is Verdict.FAILED


# --- where they ran ----------------------------------------------------------------------------


def an_environment(**changes: object) -> dict[str, object]:
    session = {
        "session": SESSION, "python": "3.11.7", "hash_probe": "aa",
        "packages": {"requests": "2.31", "idna": "3.1"},
    }  # fmt: skip
    return {
        "git": {"commit": "a" * 40, "dirty": False},
        "platform": {"os": "Linux", "release": "6.1", "machine": "x86_64"},
        "time_zone": {"abbreviation": "UTC", "utc_offset_s": 0, "zone": "UTC"},
        "locale": {"ctype": "C.UTF-8", "encoding": "utf-8"},
        "cpu": {"usable": 2},
        "variables": {"TERM": "xterm"},
        "sessions": [session],
        **changes,
    }


def whats(a: dict[str, object], b: dict[str, object], failures: str = "") -> list[str]:
    return [one.what for one in differences(a, b, failures)]


def test_the_same_environment_does_not_differ() -> None:
    assert whats(an_environment(), an_environment()) == []


def test_the_source_stands_before_the_machine_and_what_is_cosmetic_last() -> None:
    other = an_environment(
        git={"commit": "b" * 40, "dirty": True},
        platform={"os": "Linux", "release": "6.2", "machine": "arm64"},
        variables={"TERM": "dumb"},
    )
    assert whats(an_environment(), other) == [
        "commit", "uncommitted changes", "architecture", "system release", "TERM",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "first"),
    [
        ("UnicodeEncodeError: 'ascii' codec can't encode", "locale encoding"),
        ("ModuleNotFoundError: No module named 'idna'", "package idna"),
        ("Failed: Timeout >1.0s", "processors usable"),
        ("assert hour == 9  # in UTC", "time zone"),
        ("KeyError: 'GODEBUG'", "GODEBUG"),
    ],
)
def test_what_the_failure_speaks_of_stands_first(failure: str, first: str) -> None:
    there = an_environment()
    here = an_environment(
        sessions=[{"python": "3.11.7", "hash_probe": "aa", "packages": {"requests": "2.31"}}],
        time_zone={"abbreviation": "JST", "utc_offset_s": 32400, "zone": "Asia/Tokyo"},
        locale={"ctype": "C", "encoding": "ascii"},
        cpu={"usable": 64},
        variables={"TERM": "xterm", "GODEBUG": "1"},
    )
    assert whats(there, here, failure)[0] == first


def test_a_plugin_is_a_difference_also_where_the_other_side_has_none_at_all() -> None:
    def with_plugins(**plugins: str) -> dict[str, object]:
        return {"sessions": [{"python": "3.11.7", "plugins": plugins, "packages": plugins}]}

    none, one = with_plugins(), with_plugins(**{"pytest-randomly": "5.1.0"})
    for a, b in ((none, one), (one, none)):
        [found] = differences(a, b, "")
        assert (found.what, found.weight) == ("plugin pytest-randomly", 70)
    assert list(differences({"sessions": [{"python": "3.11.7"}]}, one, "")) == []


def test_an_installer_matters_less_than_what_it_installed() -> None:
    def with_packages(**packages: str) -> dict[str, object]:
        return {"sessions": [{"plugins": {}, "packages": packages}]}

    found = differences(with_packages(pip="1", zope="1"), with_packages(pip="2", zope="2"), "")
    assert [one.what for one in found] == ["package zope", "package pip"]


def test_only_variables_of_a_harmless_form_are_taken_over() -> None:
    recorded = an_environment(
        variables={
            "TZ": "/etc/passwd",
            "LC_ALL": "de_DE.UTF-8",
            "PYTHONHASHSEED": "7",
            "PYTHONPATH": "/evil",
            "PYTEST_ADDOPTS": "-p evil",
            "LANG": "$(evil)",
        },
        time_zone={"abbreviation": "", "utc_offset_s": 7200},
    )
    taken = taken_over(recorded, {"LC_TIME": "C", "PATH": "/bin"})
    assert taken.sets == {"LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "7", "TZ": "XXX-02:00"}
    assert taken.refused == ("TZ=/etc/passwd", "LANG=$(evil)", "PYTEST_ADDOPTS=-p evil")
    assert taken.over({"LC_TIME": "C", "PATH": "/bin"}) == {"PATH": "/bin", **taken.sets}


# --- the command -------------------------------------------------------------------------------

SUITE = """
def test_steady(): pass
def test_turning():
    print("one"); print({word!r})
    assert {good}
"""


def test_a_regression_is_told_first_with_where_it_parts_and_exits_with_1(tmp_path: Path) -> None:
    here = place(tmp_path)
    pytest_words = ("--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    here.file("test_it.py", SUITE.format(word="two", good=True))
    here.bundle("run", *pytest_words)
    first = here.latest().manifest.run_id
    here.file("test_it.py", SUITE.format(word="three", good=False))
    here.bundle("run", *pytest_words, TZ="Asia/Tokyo")

    told = here.bundle("diff", first, "latest", "--events")
    assert told.code == 1, told.stderr
    assert "REGRESSION  test_it.py::test_turning  passed → failed" in told.stdout
    assert "text=one two" in told.stdout
    assert "text=one three" in told.stdout
    assert "Asia/Tokyo (UTC+09:00)" in told.stdout

    back = here.bundle("diff", "latest", first, "--json")
    document = json.loads(back.stdout)
    assert back.code == 0
    assert [one["change"] for one in document["changes"]] == ["fixed"]
    assert document["regressions"] == 0

    same = here.bundle("diff", first, first)
    assert (same.code, "No test changed." in same.stdout) == (0, True)
    missing = here.bundle("diff", first, "latest", "--events", "--test", "test_it.py::test_none")
    assert missing.code == 4


def test_the_logs_are_read_once_however_many_tests_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [f"t.py::test_{number}" for number in range(30)]
    for name, outcome in (("a", "passed"), ("b", "failed")):
        failures = [{"phase": "call", "message": f"no {name}"}] if outcome == "failed" else []
        on_disk(
            recording(a_log(*(a_test(one, outcome, failures=failures) for one in ids))),
            tmp_path / name,
        )
    read: list[PlainLog] = []
    lines = PlainLog.lines

    def counted(log: PlainLog) -> Iterator[Line]:
        read.append(log)
        return lines(log)

    monkeypatch.setattr(PlainLog, "lines", counted)
    monkeypatch.setattr(Results, "with_id", None)  # it goes through all tests
    assert bundle_command(["diff", f"{tmp_path}/a", f"{tmp_path}/b", "--events"]) == 1
    told = capsys.readouterr().out
    assert [told.count(one) for one in ("REGRESSION", "no b", "outcome=passed")] == [30, 60, 30]
    assert len(read) == 4  # each to fold it, and to find the events


TOLD = """
def test_sim(bundle, bundle_rng):
    bundle.log("Began")
    bundle.log("Drew", of=bundle_rng.random())
    assert {good}
"""


def test_two_seeds_part_at_the_first_event_that_the_test_itself_told(tmp_path: Path) -> None:
    here = place(tmp_path)
    pytest_words = ("--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    for seed, good in (("7", False), ("8", True)):
        here.file("test_it.py", TOLD.format(good=good))
        here.bundle("run", "--seed", seed, *pytest_words)
    first, last = (run.run_id for run in Store(here.store, here.project).runs())
    document = json.loads(here.bundle("diff", first, last, "--events", "--json").stdout)
    parting = document["partings"]["test_it.py::test_sim"]
    assert [step["event"] for step in parting["before"]] == ["TestStarted", "Began"]
    for side in ("a", "b"):
        assert [step["event"] for step in parting[side]] == ["Drew", "TestFinished"]


REPORT = """<testsuites name="pytest tests"><testsuite name="pytest">
<testcase classname="test_it" name="test_steady"/>
<testcase classname="test_it" name="test_turning"><failure message="no">no</failure></testcase>
</testsuite></testsuites>
"""


def test_a_report_of_junit_is_compared_under_the_names_of_the_runner(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE.format(word="two", good=True))
    here.file("report.xml", REPORT)
    here.bundle("run", "--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    told = here.bundle("diff", "report.xml")
    assert told.code == 0
    changes = [line for line in told.stdout.splitlines() if "test_it" in line]
    assert changes == ["      FIXED  test_it.py::test_turning  failed → passed"]
    assert "not set" not in told.stdout
    back = here.bundle("diff", "latest", "report.xml")
    assert (back.code, "REGRESSION  test_it.py::test_turning" in back.stdout) == (1, True)


def test_of_what_is_new_or_gone_only_some_are_listed(tmp_path: Path) -> None:
    here = place(tmp_path)
    cases = "".join(f'<testcase classname="a" name="n{number}"/>' for number in range(25))
    here.file("some.xml", f"<testsuite>{cases}</testsuite>")
    here.file("none.xml", '<testsuite><testcase classname="b" name="b"/></testsuite>')
    gone = here.bundle("diff", "some.xml", "none.xml").stdout
    assert gone.count("       GONE  a::n") == 20
    assert "             and 5 more gone (--json)" in gone
    document = json.loads(here.bundle("diff", "some.xml", "none.xml", "--json").stdout)
    assert len(document["changes"]) == 26
