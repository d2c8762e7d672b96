"""With the probe on, pytest does what it does without; and what it did stands in the log."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from probe_driver import PYTHON, ROOT_SEED, Ran, Workshop, settled, unmet
from probe_suites import SUITES, Suite

from bundler.events import MAX_LINE_BYTES, text_bytes
from bundler.probe import PATH
from bundler.results import Verdict
from bundler.seeds import scenario_seed


@dataclass(frozen=True)
class Both:
    """One suite, run plainly and with the probe; the terminal output of both made comparable."""

    suite: Suite
    plain: Ran
    probed: Ran


Run = Callable[[str], Both]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a suite by its name both ways at once, and remember what came of it."""
    place = tmp_path_factory.mktemp("probe")
    shops = Workshop(place / "a"), Workshop(place / "b")
    known: dict[str, Both] = {}
    suites = {suite.name: suite for suite in SUITES}

    def both(name: str) -> Both:
        if name not in known:
            known[name] = _run_both(suites[name], *shops)
        return known[name]

    return both


def _run_both(suite: Suite, left: Workshop, right: Workshop) -> Both:
    if lacking := unmet(suite.needs):
        pytest.skip(f"{PYTHON} has no {', '.join(lacking)}")
    left.lay(suite.files)
    right.lay(suite.files)
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(left.plain, *suite.args, env=suite.env, interrupt=suite.interrupt)
        probed = pool.submit(right.probed, *suite.args, env=suite.env, interrupt=suite.interrupt)
    return Both(suite, _at(plain.result(), left.suite), _at(probed.result(), right.suite))


def _at(ran: Ran, place: Path) -> Ran:
    stdout, stderr = (
        settled(text.replace(str(place), "SUITE")) for text in (ran.stdout, ran.stderr)
    )
    return Ran(ran.exit_code, stdout, stderr, ran.lines)


every_suite = pytest.mark.parametrize("name", [suite.name for suite in SUITES])


@every_suite
def test_pytest_does_what_it_does_without_the_probe(run: Run, name: str) -> None:
    both = run(name)
    assert both.plain.exit_code == both.suite.exit_code
    assert both.probed.exit_code == both.plain.exit_code
    if both.suite.same_output:
        assert both.probed.stdout == both.plain.stdout
        assert both.probed.stderr == both.plain.stderr
    said = both.probed.stdout + both.probed.stderr
    assert "bundle_probe" not in said and "bundle:" not in said


@every_suite
def test_what_happened_stands_in_the_log(run: Run, name: str) -> None:
    suite, ran = run(name).suite, run(name).probed
    assert ran.verdicts() == dict(suite.verdicts)
    problems = [(problem.node_id, str(problem.outcome)) for problem in ran.results.collection]
    assert sorted(problems) == sorted(suite.collection.items())
    assert len(ran.results.sessions) == suite.sessions
    for session in ran.results.sessions:
        assert session.finished == suite.finished
        assert session.exit_status == (suite.exit_code if suite.finished else None)
        assert suite.reason in (None, session.reason)


@every_suite
def test_every_line_is_whole_and_an_event(run: Run, name: str) -> None:
    ran = run(name).probed
    assert [line.problem for line in ran.lines if line.problem] == []
    assert max(len(line.content) for line in ran.lines) < MAX_LINE_BYTES
    times = [event.ts_us for _, event in ran.events if not event.payload().get("worker")]
    assert times == sorted(times)
    for _, event in ran.events:
        assert event.v == 1
        event.payload()


def test_every_suite_has_its_own_name() -> None:
    names = [suite.name for suite in SUITES]
    assert len(names) == len(set(names))


def _only(ran: Ran, name: str) -> dict[str, object]:
    """The data of the one TestFinished of a test in `test_it.py`."""
    test_id = f"test_it.py::{name}"
    (data,) = (
        e.payload() for _, e in ran.events if (e.event, e.test_id) == ("TestFinished", test_id)
    )
    return data


@pytest.mark.parametrize(
    ("test", "phase", "kind", "message", "line"),
    [
        ("test_fails", "call", "AssertionError", "assert 1 == 2", 14),
        ("test_raises", "call", "ValueError", "ValueError: boom", 15),
        ("test_errors", "setup", "LookupError", "LookupError: no setup", 6),
        ("test_errors_late", "teardown", "OSError", "OSError: no teardown", 11),
        ("test_xpasses_strictly", "call", None, "[XPASS(strict)] known", None),
        (
            "test_has_no_such_fixture",
            "setup",
            "FixtureLookupError",
            "fixture 'nowhere' not found",
            31,
        ),
    ],
)
def test_a_failure_says_what_where_and_when(
    run: Run, test: str, phase: str, kind: str | None, message: str, line: int | None
) -> None:
    (result,) = run("outcomes").probed.results.with_id(f"test_it.py::{test}")
    (failure,) = result.attempts[0].failures
    assert (failure.phase, failure.type, failure.message) == (phase, kind, message)
    assert (failure.line, failure.file) == (line, "test_it.py" if line else None)


def test_a_failure_in_call_and_in_teardown_are_both_kept(run: Run) -> None:
    (result,) = run("outcomes").probed.results.with_id("test_it.py::test_fails_and_errors_late")
    assert [f.phase for f in result.attempts[0].failures] == ["call", "teardown"]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("test_skips", "not today"),
        ("test_skips_inside", "not now"),
        ("test_xfails", "known"),
        ("test_xpasses", "known"),
    ],
)
def test_a_reason_is_the_one_that_pytest_shows(run: Run, test: str, reason: str) -> None:
    assert _only(run("outcomes").probed, test)["reason"] == reason


def test_the_phases_have_durations(run: Run) -> None:
    passed = _only(run("outcomes").probed, "test_passes")
    assert all(isinstance(passed[f"{phase}_us"], int) for phase in ("setup", "call", "teardown"))
    assert "call_us" not in _only(run("outcomes").probed, "test_errors")


def test_a_test_has_its_seed_its_place_and_its_turn(run: Run) -> None:
    started = [e for _, e in run("outcomes").probed.events if e.event == "TestStarted"]
    assert [e.seed for e in started] == [scenario_seed(ROOT_SEED, e.test_id or "") for e in started]
    assert [e.payload()["order"] for e in started] == list(range(len(started)))
    assert started[0].payload()["file"] == "test_it.py"
    assert started[0].payload()["line"] == 13


def test_output_is_kept_by_stream_and_phase_and_only_once(run: Run) -> None:
    ran = run("output").probed
    kept = [(d["stream"], d["phase"], d["text"]) for d in ran.named("TestOutput")]
    assert kept[:2] == [("stdout", "setup", "rising\n"), ("stdout", "call", "said\n")]
    assert kept[2][:2] == ("stderr", "call") or kept[2][:2] == ("log", "call")
    assert sorted(stream for stream, _, _ in kept[1:4]) == ["log", "stderr", "stdout"]
    assert kept[4:] == [
        ("stdout", "teardown", "falling\n"),
        ("stdout", "setup", "rising\n"),
        ("stdout", "call", "said\n"),
        ("stdout", "teardown", "falling\n"),
    ]


@pytest.mark.parametrize(
    ("name", "capture"),
    [
        ("output", "fd"),
        ("output_not_captured", "no"),
        ("output_captured_in_python", "sys"),
        ("output_captured_and_shown", "tee-sys"),
    ],
)
def test_the_way_of_capturing_is_recorded(run: Run, name: str, capture: str) -> None:
    ran = run(name).probed
    assert ran.results.sessions[0].info["capture"] == capture
    assert any(d["stream"] == "stdout" for d in ran.named("TestOutput")) == (capture != "no")


def test_of_huge_output_head_and_tail_are_kept(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_it(): print('a' * 3_000_000 + 'Z' * 3_000_000, end='')\n"})
    ran = shop.probed(output_limit=1_000_000)
    pieces = ran.named("TestOutput")
    content = b"".join(text_bytes(piece) for piece in pieces)
    assert content == b"a" * 500_000 + b"Z" * 500_000
    assert sum(piece.get("omitted_bytes", 0) for piece in pieces) == 5_000_000
    cut = next(i for i, piece in enumerate(pieces) if "omitted_bytes" in piece)
    assert text_bytes(pieces[cut]).startswith(b"Z")
    assert len(content) == sum(len(text_bytes(piece)) for piece in pieces)


def test_the_limit_is_for_a_stream_of_a_test_over_its_phases(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({
        "test_it.py": "import pytest\n@pytest.fixture\ndef loud(): print('s' * 80, end='')\n"
        "def test_it(loud): print('c' * 80, end='')\ndef test_other(loud): pass\n"
    })  # fmt: skip
    pieces = shop.probed(output_limit=100).named("TestOutput")
    assert [text_bytes(p) for p in pieces] == [b"s" * 80, b"c" * 10, b"c" * 10, b"s" * 80]
    assert [p.get("omitted_bytes", 0) for p in pieces] == [0, 0, 60, 0]


def test_output_that_is_not_unicode_comes_back_as_it_was(run: Run) -> None:
    piece = run("output_that_is_not_unicode").probed.named("TestOutput")[0]
    assert text_bytes(piece).decode("utf-8", "surrogatepass") == "lone \udc80 surrogate"


def test_a_section_of_its_own_is_kept_under_its_title(run: Run) -> None:
    pieces = run("a_section_of_its_own").probed.named("TestOutput")
    assert [(p["stream"], p["phase"], p["text"]) for p in pieces] == [
        ("Screenshots", "setup", "of setup"),
        ("stdout", "call", "said\n"),
        ("Screenshots", "call", "of call"),
        ("Screenshots", "teardown", "of teardown"),
    ]


def test_a_message_without_end_keeps_its_beginning_and_its_end(run: Run) -> None:
    (result,) = run("a_message_without_end").probed.results.with_id("test_it.py::test_it")
    (failure,) = result.attempts[0].failures
    assert failure.type == "ValueError"
    assert failure.message.startswith("ValueError: xxx") and failure.message.endswith("the end")
    assert "bytes cut" in failure.message and "bytes cut" in (failure.traceback or "")


def test_properties_are_text_and_one_without_words_is_named(run: Run) -> None:
    properties = _only(run("properties").probed, "test_it")["properties"]
    assert properties == [
        ["colour", "blue"],
        ["count", "3"],
        ["silent", "<Silent that cannot be shown: TypeError>"],
    ]


def test_a_warning_is_kept_once_for_each_place(run: Run) -> None:
    ran = run("warnings").probed
    (event,) = (e for _, e in ran.events if e.event == "Warning")
    assert event.test_id == "test_it.py::test_warns"
    data = event.payload()
    assert (data["warning"], data["message"], data["file"]) == ("UserWarning", "old", "test_it.py")


def test_of_warnings_without_end_the_first_are_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({
        "test_it.py": "import warnings\ndef test_it():\n"
        "    for number in range(5003): warnings.warn(f'number {number}')\n"
    })  # fmt: skip
    told = shop.probed("-q").named("Warning")
    assert len(told) == 5001
    assert told[-1]["message"] == "3 further warnings were not recorded"


def test_each_attempt_has_its_number_and_says_whether_another_follows(run: Run) -> None:
    ran = run("reruns").probed
    ends = [
        (e.test_id, d["attempt"], d["outcome"], d.get("will_retry", False))
        for e, d in ((e, e.payload()) for _, e in ran.events if e.event == "TestFinished")
    ]
    assert ends == [
        ("test_it.py::test_flaky", 1, "failed", True),
        ("test_it.py::test_flaky", 2, "passed", False),
        ("test_it.py::test_never", 1, "failed", True),
        ("test_it.py::test_never", 2, "failed", True),
        ("test_it.py::test_never", 3, "failed", False),
        ("test_it.py::test_flaky_setup", 1, "errored", True),
        ("test_it.py::test_flaky_setup", 2, "passed", False),
        ("test_it.py::test_steady", 1, "passed", False),
    ]


def test_every_attempt_is_started_and_has_its_own_output(run: Run) -> None:
    ran = run("reruns").probed
    mine = [(e.event, e.payload()["attempt"]) for _, e in ran.events
            if e.test_id == "test_it.py::test_flaky"]  # fmt: skip
    assert mine == [
        ("TestStarted", 1),
        ("TestOutput", 1),
        ("GeneratorState", 1),
        ("TestFinished", 1),
        ("TestStarted", 2),
        ("TestOutput", 2),
        ("TestFinished", 2),
    ]


def test_output_is_kept_where_a_plugin_forgets_that_of_the_attempt_before(tmp_path: Path) -> None:
    if lacking := unmet(("pytest_rerunfailures",)):
        pytest.skip(f"{PYTHON} has no {', '.join(lacking)}")
    shop = Workshop(tmp_path)
    shop.lay({
        "test_it.py": "def test_it():\n    print('attempt')\n    assert False\n",
        "conftest.py": "def pytest_runtest_setup(item): del item._report_sections[:]\n",
    })  # fmt: skip
    kept = shop.probed("--reruns=1").named("TestOutput")
    assert [(d["attempt"], d["text"]) for d in kept] == [(1, "attempt\n"), (2, "attempt\n")]


def test_a_test_whose_worker_died_is_crashed_on_that_worker(run: Run) -> None:
    (result,) = run("worker_dies").probed.results.with_id("test_it.py::test_it")
    (attempt,) = result.attempts
    assert attempt.outcome is Verdict.CRASHED
    assert attempt.worker in ("gw0", "gw1")
    assert "crashed while running" in (attempt.reason or "")


def test_the_attempt_after_the_death_of_a_worker_is_the_second(run: Run) -> None:
    ran = run("worker_dies_and_the_test_is_rerun").probed
    (result,) = ran.results.with_id("test_it.py::test_it")
    assert [(a.number, a.outcome) for a in result.attempts] == [
        (1, Verdict.CRASHED),
        (2, Verdict.PASSED),
    ]
    assert result.attempts[0].worker != result.attempts[1].worker


def test_a_failed_subtest_is_grouped_under_its_test(run: Run) -> None:
    ran = run("unittest_subtests").probed
    (result,) = ran.results.with_id("test_it.py::TestParts::test_parts")
    failed = [s for s in result.attempts[0].subtests if s.outcome is Verdict.FAILED]
    assert [s.name for s in failed] == ["[part] (i=1)"]
    assert failed[0].failures[0].message == "AssertionError: 1 == 1"
    assert [f.message for f in result.attempts[0].failures] == ["contains 1 failed subtest"]


def test_output_of_a_subtest_is_kept_once(run: Run) -> None:
    ran = run("subtests").probed
    texts = [d["text"] for d in ran.named("TestOutput")]
    assert texts == ["in part 0\n", "in part 1\n", "in part 2\n"]


@pytest.mark.parametrize("name", ["some_deselected", "some_deselected_in_every_worker"])
def test_what_is_left_out_is_recorded_once_with_the_reason(run: Run, name: str) -> None:
    left_out = [d for d in run(name).probed.named("TestsCollected") if "deselected" in d]
    assert [(d["deselected"], d["reason"]) for d in left_out] == [
        (["test_it.py::test_other"], "deselected")
    ]


def test_a_module_that_cannot_be_imported_says_why_and_where(run: Run) -> None:
    (problem,) = run("import_error").probed.results.collection
    (failure,) = problem.failures
    assert failure.phase == "collect"
    assert failure.type == "ModuleNotFoundError"
    assert failure.message == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert (failure.file, failure.line) == ("test_bad.py", 1)


@pytest.mark.parametrize("args", [(), ("-n1",)])
def test_what_could_not_be_imported_has_its_traceback(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    if args and unmet(("xdist",)):
        pytest.skip(f"{PYTHON} has no xdist")
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "import nowhere_to_be_found\n"})
    (problem,) = shop.probed(*args).results.collection
    lines = (problem.failures[0].traceback or "").splitlines()
    assert lines[-2:] == [
        "    import nowhere_to_be_found",
        "E   ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ]


def test_a_syntax_error_says_where(run: Run) -> None:
    (problem,) = run("syntax_error").probed.results.collection
    assert (problem.failures[0].type, problem.failures[0].line) == ("SyntaxError", 1)


def test_a_module_that_skips_itself_says_why(run: Run) -> None:
    first, second = run("module_skips_itself").probed.results.collection
    assert (first.reason, first.file, first.line) == ("elsewhere", "test_a.py", 2)
    assert "nowhere_to_be_found" in (second.reason or "")


def test_a_doctest_fails_at_its_line_with_what_it_expected(run: Run) -> None:
    (result,) = run("doctests").probed.results.with_id("words.py::words.f")
    (failure,) = result.attempts[0].failures
    assert (failure.type, failure.file, failure.line) == ("DocTestFailure", "words.py", 7)
    assert failure.message.split() == ["Expected:", "5", "Got:", "4"]


def test_the_session_says_what_ran_it_and_nothing_of_the_probe(run: Run) -> None:
    info = run("outcomes").probed.results.sessions[0].info
    assert info["runner"] == "pytest"
    assert Path(info["executable"]).name.startswith("python")
    assert info["packages"]["pytest"] == info["runner_version"]
    assert int(info["hash_probe"], 16) >= 0
    assert "bundle-probe" not in info["packages"] and "bundle-probe" not in info["plugins"]
    assert "workers" not in info


def test_the_hash_probe_tells_another_hash_seed(run: Run, tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_it(): pass\n"})
    other = shop.probed(env={"PYTHONHASHSEED": "7"}).results.sessions[0].info["hash_probe"]
    again = shop.probed(env={"PYTHONHASHSEED": "7"}).results.sessions[0].info["hash_probe"]
    assert other == again != run("outcomes").probed.results.sessions[0].info["hash_probe"]


def test_a_session_with_workers_is_one_session(run: Run) -> None:
    ran = run("workers_by_file").probed
    (session,) = ran.results.sessions
    assert session.info["workers"] == 2
    assert session.info["args"] == ["-n2", "--dist=loadfile"]
    assert {test.worker for test in ran.results.tests} <= {"gw0", "gw1"}
    orders = [(test.worker, test.order) for test in ran.results.tests]
    assert len(set(orders)) == len(orders)


def test_last_failed_is_undisturbed(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_a(): assert 0\ndef test_b(): pass\n"})
    shop.plain()
    ran = shop.probed("--lf", "-v")
    assert ran.exit_code == 1
    assert ran.verdicts() == {"test_it.py::test_a": "failed"}


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_where_plugins_are_not_loaded_by_themselves_it_is_named(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    if args and unmet(("xdist",)):
        pytest.skip(f"{PYTHON} has no xdist")
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_it(): pass\n"})
    named = ("-p", "bundle_probe", *(("-p", "xdist", *args) if args else ()))
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = shop.probed(*named, "-W", "error", env=env)
    assert ran.verdicts() == {"test_it.py::test_it": "passed"}
    assert "bundle" not in ran.stdout.replace(str(tmp_path), "") + ran.stderr


def test_without_its_variable_it_is_a_module_without_hooks(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay({
        "test_it.py": "import sys\ndef test_it():\n"
        "    mine = [name for name in sys.modules if name.startswith('bundle_probe')]\n"
        "    assert mine == ['bundle_probe']\n"
        "    assert not [n for n in vars(sys.modules['bundle_probe']) if n.startswith('pytest')]\n"
    })  # fmt: skip
    # The plugin that may be installed here offers fixtures, with or without a recording.
    assert shop.plain("-p", "no:bundle", env={"PYTHONPATH": str(PATH)}).exit_code == 0


def test_what_was_on_the_path_before_stays_there(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.lay(
        {"test_it.py": "import os\ndef test_it(): print('path is', os.environ['PYTHONPATH'])\n"}
    )
    ran = shop.probed("-s", env={"PYTHONPATH": f"{tmp_path}:/elsewhere"})
    assert f"path is {tmp_path}:/elsewhere\n" in ran.stdout
    assert ran.exit_code == 0


CONFTEST = """
import os
from bundler import probe
def pytest_configure(config):
    probe.load().activate(config, os.environ["TOLD"])
    assert probe.load().is_active()
"""


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_another_plugin_may_switch_it_on(tmp_path: Path, args: tuple[str, ...]) -> None:
    if args and unmet(("xdist",)):
        pytest.skip(f"{PYTHON} has no xdist")
    from probe_driver import probe_settings

    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_it(): pass\n", "conftest.py": CONFTEST})
    shop.log.write_bytes(b"")
    root = str(PATH.parent.parent.parent)
    env = {"TOLD": probe_settings(shop.log, t0_ns=0), "PYTHONPATH": root}
    ran = shop.plain(*args, env=env)
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert shop.read().verdicts() == {"test_it.py::test_it": "passed"}


def test_it_is_switched_on_once(tmp_path: Path) -> None:
    from probe_driver import probe_settings

    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": "def test_it(): pass\n", "conftest.py": CONFTEST})
    root = str(PATH.parent.parent.parent)
    ran = shop.probed(env={"TOLD": probe_settings(shop.log, t0_ns=0), "PYTHONPATH": root})
    assert len(ran.results.sessions) == 1
    assert [len(test.attempts) for test in ran.results.tests] == [1]
