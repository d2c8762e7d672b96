"""Tiny suites, one for each thing that can happen to a recorder inside pytest.

Each says what pytest itself does with it (the exit code) and what has to stand in the recording
(the verdict of each test, the problems of the collection, the status of the run). The same table
is for every way of recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent

from bundler.results import Status

SIGABRT, SIGKILL, SIGSEGV = -6, -9, -11


@dataclass(frozen=True)
class Suite:
    """A suite as data.

    `needs` are modules without which it says nothing; `pytest9` is that, and `subtests` is that or
    pytest-subtests. `verdicts` has a further occurrence of an id as `id#2`. `collection` is what
    could not be collected, with its outcome. `finished` tells whether the session came to its end.
    `same_output` is False where two plain runs differ, too. Once the file `interrupt` appears, the
    run gets a SIGINT. `sessions` is 0 where pytest never starts one.
    """

    name: str
    files: Mapping[str, str | bytes]
    verdicts: Mapping[str, str]
    exit_code: int = 0
    status: Status = Status.PASSED
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    collection: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    finished: bool = True
    sessions: int = 1
    same_output: bool = True
    interrupt: str = ""


def _suite(
    name: str, source: str, verdicts: Mapping[str, str], exit_code: int = 0, **more: object
) -> Suite:
    """A suite of one file, `test_it.py`; verdicts are by the name of the test in it."""
    status = {0: Status.PASSED, 1: Status.FAILED}.get(exit_code, Status.PASSED)
    fields = {"exit_code": exit_code, "status": status, **more}
    files = {"test_it.py": dedent(source), **fields.pop("also", {})}  # type: ignore[dict-item]
    full = {f"test_it.py::{name}": verdict for name, verdict in verdicts.items()}
    return Suite(name, files, full, **fields)  # type: ignore[arg-type]


THREE = """
    def test_before(): pass
    def test_it(): {}
    def test_after(): pass
"""
THREE_PASSED = {"test_before": "passed", "test_it": "passed", "test_after": "passed"}
CUT_SHORT = {"test_before": "passed", "test_it": "unfinished", "test_after": "not_run"}


def _three(
    name: str, body: str, verdicts: Mapping[str, str], code: int = 0, **more: object
) -> Suite:
    """Three tests, the middle one doing something."""
    source = "import os, pytest, signal, sys\n" + dedent(THREE).format(body)
    return _suite(name, source, verdicts, code, **more)


_OUTCOMES = _suite(
    "outcomes",
    """
    import pytest

    @pytest.fixture
    def broken():
        raise LookupError("no setup")

    @pytest.fixture
    def leaky():
        yield
        raise OSError("no teardown")

    def test_passes(): print("to stdout")
    def test_fails(): assert 1 == 2
    def test_raises(): raise ValueError("boom")
    def test_errors(broken): pass
    def test_errors_late(leaky): pass
    def test_fails_and_errors_late(leaky): assert False, "first"
    @pytest.mark.skip(reason="not today")
    def test_skips(): pass
    def test_skips_inside(): pytest.skip("not now")
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    @pytest.mark.xfail(reason="known")
    def test_xpasses(): pass
    @pytest.mark.xfail(reason="known", strict=True)
    def test_xpasses_strictly(): pass
    @pytest.mark.xfail(raises=KeyError)
    def test_xfails_otherwise(): raise ValueError("another")
    def test_skips_then_errors(leaky): pytest.skip("but")
    def test_has_no_such_fixture(nowhere): pass
    """,
    {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_raises": "failed",
        "test_errors": "errored",
        "test_errors_late": "errored",
        "test_fails_and_errors_late": "failed",
        "test_skips": "skipped",
        "test_skips_inside": "skipped",
        "test_xfails": "xfailed",
        "test_xpasses": "xpassed",
        "test_xpasses_strictly": "failed",
        "test_xfails_otherwise": "failed",
        "test_skips_then_errors": "errored",
        "test_has_no_such_fixture": "errored",
    },
    1,
)

_MORTAL = (
    _three("exits_hard_with_success", "os._exit(0)", CUT_SHORT, 0, finished=False,
           status=Status.INTERRUPTED),
    _three("killed", "os.kill(os.getpid(), signal.SIGKILL)", CUT_SHORT, SIGKILL, finished=False,
           status=Status.INTERRUPTED),
    _three("segfault", "import faulthandler; faulthandler._sigsegv()", CUT_SHORT, SIGSEGV,
           finished=False, status=Status.INTERRUPTED),
    _three("killed_while_setting_up", "pass", CUT_SHORT, SIGKILL, finished=False,
           status=Status.INTERRUPTED, also={"conftest.py": dedent("""
               import os, pytest, signal
               @pytest.fixture(autouse=True)
               def deadly(request):
                   if request.node.name == "test_it":
                       os.kill(os.getpid(), signal.SIGKILL)
               """)}),
    _three("abort", "os.abort()", CUT_SHORT, SIGABRT, finished=False, status=Status.INTERRUPTED),
    _three("timeout_by_thread", "import time; time.sleep(30)", CUT_SHORT, 1, finished=False,
           args=("--timeout=1", "--timeout-method=thread"), needs=("pytest_timeout",),
           status=Status.INTERRUPTED, same_output=False),
    _three("timeout_by_signal", "import time; time.sleep(30)",
           {**THREE_PASSED, "test_it": "timed_out"}, 1,
           args=("--timeout=1", "--timeout-method=signal"), needs=("pytest_timeout",)),
    _three("worker_dies", "os._exit(3)", {**THREE_PASSED, "test_it": "crashed"}, 1, args=("-n2",),
           needs=("xdist",), same_output=False),
    _three("only_worker_dies_and_none_is_started_anew", "os._exit(3)",
           {"test_before": "passed", "test_it": "crashed", "test_after": "not_run"}, 1,
           args=("-n1", "--max-worker-restart=0"), needs=("xdist",), same_output=False),
    # pytest-rerunfailures has to hear of the test before the worker dies, or it is not rerun.
    _three("worker_dies_and_the_test_is_rerun",
           'import time; os.path.exists("died") or (open("died", "w").close(), time.sleep(0.5), '
           "os._exit(3))",
           {**THREE_PASSED, "test_it": "flaky"}, 0, args=("-n2", "--reruns=1"),
           needs=("xdist", "pytest_rerunfailures"), same_output=False),
    _three("forked_child_falls_through", "os.fork()", THREE_PASSED, same_output=False),
    _three("forked_child_that_exits", "os.fork() or os._exit(0)", THREE_PASSED),
)  # fmt: skip

_STOPPED = (
    _three("interrupted", 'open("ready", "w").close(); import time; time.sleep(30)', CUT_SHORT, 2,
           status=Status.CANCELLED, reason="keyboard interrupt", interrupt="ready"),
    _three("interrupts_itself", "raise KeyboardInterrupt", CUT_SHORT, 2, status=Status.CANCELLED,
           reason="keyboard interrupt"),
    _three("pytest_exit", 'pytest.exit("enough", 7)', CUT_SHORT, 7, status=Status.CANCELLED,
           reason="pytest.exit: enough"),
    _three("pytest_exit_with_success", 'pytest.exit("fine", 0)', CUT_SHORT, 0,
           reason="pytest.exit: fine"),
    _three("first_failure_stops", "assert False",
           {"test_before": "passed", "test_it": "failed", "test_after": "not_run"}, 1, args=("-x",),
           reason="stopping after 1 failures"),
    _three("session_should_stop", 'import __main__',
           {"test_before": "passed", "test_it": "passed", "test_after": "not_run"}, 2,
           status=Status.CANCELLED, reason="that will do",
           also={"conftest.py": dedent("""
               def pytest_runtest_teardown(item):
                   if item.name == "test_it":
                       item.session.shouldstop = "that will do"
               """)}),
    _three("system_exit_in_a_test", "sys.exit(5)", {**THREE_PASSED, "test_it": "failed"}, 1),
    _three("a_plugin_breaks_pytest", "pass",
           {"test_before": "passed", "test_it": "unfinished", "test_after": "not_run"}, 3,
           status=Status.INTERNAL_ERROR, reason="internal error: RuntimeError: plugin broke",
           also={"conftest.py": dedent("""
               def pytest_runtest_logreport(report):
                   if report.nodeid.endswith("test_it") and report.when == "call":
                       raise RuntimeError("plugin broke")
               """)}),
)  # fmt: skip

_PASSES = "def test_fine(): pass\n"
_COLLECTED = (
    Suite("import_error", {"test_bad.py": "import nowhere_to_be_found\n", "test_ok.py": _PASSES},
          {"test_ok.py::test_fine": "not_run"}, 2, Status.COLLECTION_FAILED,
          collection={"test_bad.py": "errored"}, reason="1 error during collection"),
    Suite("syntax_error", {"test_bad.py": "def broken(:\n"}, {}, 2, Status.COLLECTION_FAILED,
          collection={"test_bad.py": "errored"}, reason="1 error during collection"),
    Suite("import_error_and_go_on", {"test_bad.py": "1 / 0\n", "test_ok.py": _PASSES},
          {"test_ok.py::test_fine": "passed"}, 1, Status.FAILED,
          args=("--continue-on-collection-errors",), collection={"test_bad.py": "errored"}),
    Suite("import_error_in_every_worker",
          {"test_bad.py": "import os\nraise OSError(os.getpid())\n", "test_ok.py": _PASSES},
          {"test_ok.py::test_fine": "passed"}, 1, Status.FAILED, args=("-n2",),
          collection={"test_bad.py": "errored"}, needs=("xdist",), same_output=False),
    Suite("system_exit_in_collection", {"test_bad.py": "raise SystemExit(1)\n"}, {}, 3,
          Status.COLLECTION_FAILED, collection={"test_bad.py": "errored"},
          reason="internal error: SystemExit: 1", needs=("pytest9",)),
    Suite("system_exit_in_every_worker", {"test_bad.py": "raise SystemExit(1)\n"}, {}, 3,
          Status.COLLECTION_FAILED, collection={"test_bad.py": "errored"}, args=("-n2",),
          needs=("xdist", "pytest9"), same_output=False),
    Suite("module_skips_itself",
          {"test_a.py": "import pytest\npytest.skip('elsewhere', allow_module_level=True)\n",
           "test_b.py": "import pytest\npytest.importorskip('nowhere_to_be_found')\n",
           "test_ok.py": _PASSES},
          {"test_ok.py::test_fine": "passed"},
          collection={"test_a.py": "skipped", "test_b.py": "skipped"}),
    Suite("module_skips_itself_in_every_worker",
          {"test_a.py": "import pytest\npytest.skip('elsewhere', allow_module_level=True)\n",
           "test_ok.py": _PASSES},
          {"test_ok.py::test_fine": "passed"}, args=("-n2",), needs=("xdist",),
          collection={"test_a.py": "skipped"}, same_output=False),
    Suite("nothing_to_collect", {"notes.txt": "none here"}, {}, 5, Status.NO_TESTS),
    Suite("unknown_option", {"test_it.py": _PASSES}, {}, 4, Status.USAGE_ERROR, args=("--nowhere",),
          sessions=0),
    Suite("conftest_fails", {"conftest.py": "1 / 0\n", "test_it.py": _PASSES}, {}, 4,
          Status.USAGE_ERROR, sessions=0),
    Suite("only_collecting", {"test_it.py": _PASSES}, {"test_it.py::test_fine": "not_run"},
          args=("--co",)),
    Suite("some_deselected", {"test_it.py": _PASSES + "def test_other(): pass\n"},
          {"test_it.py::test_fine": "passed"}, args=("-k", "fine")),
    Suite("some_deselected_in_every_worker",
          {"test_it.py": _PASSES + "def test_other(): pass\n"},
          {"test_it.py::test_fine": "passed"}, args=("-n2", "-k", "fine"), needs=("xdist",),
          same_output=False),
    Suite("the_same_file_twice", {"test_it.py": _PASSES},
          {"test_it.py::test_fine": "passed", "test_it.py::test_fine#2": "passed"},
          args=("--keep-duplicates", "test_it.py", "test_it.py")),
    Suite("doctests", {"words.py": '"""\n>>> 1 + 1\n2\n"""\ndef f():\n    """\n    >>> f()\n    5\n'
                                   '    """\n    return 4\n'},
          {"words.py::words": "passed", "words.py::words.f": "failed"}, 1, Status.FAILED,
          args=("--doctest-modules", "words.py")),
    Suite("a_plugin_breaks_the_collection",
          {"test_it.py": _PASSES,
           "conftest.py": "def pytest_collection_modifyitems(): raise RuntimeError('broke')\n"},
          {"test_it.py::test_fine": "not_run"}, 3, Status.INTERNAL_ERROR,
          reason="internal error: RuntimeError: broke"),
)  # fmt: skip

_FLAKY = """
    import os, pytest
    def test_flaky():
        print("attempt")
        if not os.path.exists("tried"):
            open("tried", "w").close()
            assert False, "the first time"
    def test_never(): assert False
    @pytest.fixture
    def slow_to_rise():
        if not os.path.exists("risen"):
            open("risen", "w").close()
            raise OSError("not yet")
    def test_flaky_setup(slow_to_rise): pass
    def test_steady(): pass
"""
_FLAKY_VERDICTS = {
    "test_flaky": "flaky", "test_never": "failed", "test_flaky_setup": "flaky",
    "test_steady": "passed",
}  # fmt: skip
_FLAKY_SUBTESTS = """
    import os
    def test_flaky(subtests):
        with subtests.test(i=1):
            if not os.path.exists("tried"):
                open("tried", "w").close()
                assert False
    def test_never(subtests):
        with subtests.test(i=1): assert False
"""
_SUBTESTS = """
    def test_subtests(subtests):
        for i in range(3):
            with subtests.test("part", i=i):
                print("in part", i)
                assert i != 1
    def test_good_subtests(subtests):
        with subtests.test(i=1): pass
    def test_after(): pass
"""
_UNITTEST = """
    import unittest
    class TestParts(unittest.TestCase):
        def test_parts(self):
            for i in range(3):
                with self.subTest("part", i=i):
                    self.assertNotEqual(i, 1)
        def test_fine(self): pass
        @unittest.expectedFailure
        def test_expected(self): self.fail("as expected")
        @unittest.skip("not here")
        def test_skipped(self): pass
"""
_UNITTEST_VERDICTS = {
    "TestParts::test_parts": "failed", "TestParts::test_fine": "passed",
    "TestParts::test_expected": "xfailed", "TestParts::test_skipped": "skipped",
}  # fmt: skip
_REPEATED = (
    _suite("reruns", _FLAKY, _FLAKY_VERDICTS, 1, args=("--reruns=2",),
           needs=("pytest_rerunfailures",)),
    _suite("reruns_in_workers", _FLAKY, _FLAKY_VERDICTS, 1, args=("-n2", "--reruns=2"),
           needs=("pytest_rerunfailures", "xdist"), same_output=False),
    _suite("subtests", _SUBTESTS,
           {"test_subtests": "failed", "test_good_subtests": "passed", "test_after": "passed"}, 1,
           needs=("subtests",)),
    _suite("subtests_are_rerun", _FLAKY_SUBTESTS, {"test_flaky": "flaky", "test_never": "failed"},
           1, args=("--reruns=1",), needs=("pytest9", "pytest_rerunfailures")),
    _suite("unittest_subtests", _UNITTEST, _UNITTEST_VERDICTS, 1, needs=("subtests",)),
)  # fmt: skip

_TALKS = """
    import logging, sys, pytest
    @pytest.fixture
    def talkative():
        print("rising")
        yield
        print("falling")
    def test_talks(talkative):
        print("said")
        print("complained", file=sys.stderr)
        logging.getLogger().warning("noted")
    def test_talks_and_fails(talkative):
        print("said")
        assert False
"""
_TALKS_VERDICTS = {"test_talks": "passed", "test_talks_and_fails": "failed"}
_PRINTED = (
    _suite("output", _TALKS, _TALKS_VERDICTS, 1),
    _suite("output_not_captured", _TALKS, _TALKS_VERDICTS, 1, args=("-s",)),
    _suite("output_captured_in_python", _TALKS, _TALKS_VERDICTS, 1, args=("--capture=sys",)),
    _suite("output_captured_and_shown", _TALKS, _TALKS_VERDICTS, 1, args=("--capture=tee-sys",)),
    _three("huge_output", 'print("a" * 3_000_000 + "Z" * 3_000_000)', THREE_PASSED),
    _three("output_that_is_not_utf_8", r'os.write(1, b"caf\xe9 \xff\n")', THREE_PASSED),
    _three("output_that_is_not_unicode", "pass", THREE_PASSED,
           also={"conftest.py": dedent(r"""
               def pytest_runtest_teardown(item):
                   item.add_report_section("call", "stdout", "lone \udc80 surrogate")
               """)}),
    _suite("a_section_of_its_own", 'def test_it(): print("said")', {"test_it": "passed"},
           also={"conftest.py": dedent("""
               import pytest
               @pytest.hookimpl(hookwrapper=True)
               def pytest_runtest_makereport(item, call):
                   outcome = yield
                   outcome.get_result().sections.append(("Screenshots", f"of {call.when}"))
               """)}),
    _three("properties", "pass", THREE_PASSED,
           also={"conftest.py": dedent("""
               import pytest
               class Silent:
                   def __str__(self): raise TypeError("no words")
               @pytest.fixture(autouse=True)
               def noted(record_property):
                   record_property("colour", "blue")
                   record_property("count", 3)
                   record_property("silent", Silent())
               """)}),
    _suite("warnings", """
        import warnings
        def warn(): warnings.warn("old")
        def test_warns(): warn()
        def test_warns_again(): warn()
        """, {"test_warns": "passed", "test_warns_again": "passed"}),
    _three("a_message_without_end", 'raise ValueError("x" * 3_000_000 + "the end")',
           {**THREE_PASSED, "test_it": "failed"}, 1, args=("--tb=short",)),
    _three("a_message_of_control_characters", r'raise ValueError("\x01" * 400_000)',
           {**THREE_PASSED, "test_it": "failed"}, 1, args=("--tb=short",)),
    _three("an_exception_without_words", "raise type('Mute', (Exception,), "
           "{'__str__': lambda self: 1 / 0, '__repr__': lambda self: 1 / 0})",
           {**THREE_PASSED, "test_it": "failed"}, 1),
    _three("an_endless_recursion", "f = lambda: f(); f()",
           {**THREE_PASSED, "test_it": "failed"}, 1),
    *(_three(f"traceback_{style}", 'raise ValueError("boom")',
             {**THREE_PASSED, "test_it": "failed"}, 1, args=(f"--tb={style}",))
      for style in ("native", "line", "no")),
)  # fmt: skip

_PATCHED = (
    _suite("the_clock_is_patched", """
        import time, pytest
        @pytest.fixture
        def frozen(monkeypatch):
            for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
                monkeypatch.setattr(time, name, lambda: 1)
        def test_frozen(frozen): assert time.monotonic_ns() == 1
        def test_after(): pass
        """, {"test_frozen": "passed", "test_after": "passed"}),
    _suite("freezegun", """
        import datetime, freezegun
        freezer = freezegun.freeze_time("2012-01-14")
        def test_frozen():
            freezer.start()
            assert datetime.datetime.now().year == 2012
        def test_still_frozen():
            assert datetime.datetime.now().year == 2012
            freezer.stop()
        """, {"test_frozen": "passed", "test_still_frozen": "passed"}, needs=("freezegun",)),
    _suite("everything_else_is_patched", """
        import builtins, json, os, threading, pytest
        def refuse(*args, **kwargs): raise RuntimeError("patched")
        @pytest.fixture
        def hostile(monkeypatch):
            monkeypatch.setattr(os, "write", refuse)
            monkeypatch.setattr(os, "open", refuse)
            monkeypatch.setattr(os, "getpid", lambda: 1)
            monkeypatch.setattr(threading, "get_native_id", refuse)
            monkeypatch.setattr(json, "dumps", refuse)
            monkeypatch.setattr(json.encoder, "encode_basestring_ascii", refuse)
            monkeypatch.setattr(json.JSONEncoder, "encode", refuse)
        def test_hostile(hostile):
            print("said")
            assert os.getpid() == 1
        def test_hostile_and_failing(hostile):
            print("said")
            assert os.getpid() == 2
        def test_after(): pass
        """, {"test_hostile": "passed", "test_hostile_and_failing": "failed",
              "test_after": "passed"}, 1),
    _suite("pyfakefs", """
        import os, pathlib
        def test_fake(fs):
            fs.create_file("/nowhere/at/all")
            assert os.listdir("/nowhere") == ["at"]
        def test_fake_and_failing(fs):
            assert pathlib.Path("/nowhere").exists()
        def test_after(): assert not os.path.exists("/nowhere")
        """, {"test_fake": "passed", "test_fake_and_failing": "failed", "test_after": "passed"}, 1,
           needs=("pyfakefs",)),
    _suite("the_process_is_upset", """
        import os, sys
        def test_changes_directory(): os.chdir("/")
        def test_clears_environment():
            kept = os.environ["PYTEST_CURRENT_TEST"]
            os.environ.clear()
            os.environ["PYTEST_CURRENT_TEST"] = kept
        def test_masks(): os.umask(0o777)
        def test_after(): pass
        """, {"test_changes_directory": "passed", "test_clears_environment": "passed",
              "test_masks": "passed", "test_after": "passed"}, args=("-p", "no:cacheprovider")),
    _suite("descriptors_are_closed", """
        import os
        def test_closes(): os.closerange(3, 256)
        def test_closes_more(): os.closerange(3, 1000)
        def test_after(): pass
        """, {"test_closes": "passed", "test_closes_more": "passed", "test_after": "passed"},
           args=("-p", "no:faulthandler", "-p", "no:logging", "--capture=sys")),
    _suite("the_descriptor_is_taken_over", """
        import os
        def test_takes_over():
            mine = os.open("mine.txt", os.O_RDWR | os.O_CREAT)
            for number in range(3, 1000):
                try:
                    name = os.readlink(f"/proc/self/fd/{number}")
                except OSError:
                    continue
                if name.endswith("events.ndjson"):
                    os.dup2(mine, number)
        def test_after(): pass
        def test_mine_is_empty(): assert os.path.getsize("mine.txt") == 0
        """, {"test_takes_over": "passed", "test_after": "passed", "test_mine_is_empty": "passed"}),
    _suite("descriptors_have_the_same_numbers", """
        import os
        def test_next_number(): print("next is", os.dup(1))
        """, {"test_next_number": "passed"}, args=("-s", "-p", "no:rerunfailures")),
)  # fmt: skip

_NESTED = (
    _suite("nested_in_the_process", """
        pytest_plugins = ["pytester"]
        def test_nested(pytester):
            pytester.makepyfile(test_inner="def test_inner(): assert False")
            result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
            result.assert_outcomes(failed=1)
            assert "bundle_probe" not in result.stdout.str()
        def test_after(): pass
        """, {"test_nested": "passed", "test_after": "passed"}),
    _suite("nested_in_a_process", """
        import os, subprocess, sys
        def test_nested(tmp_path):
            (tmp_path / "test_inner.py").write_text("def test_inner(): assert False")
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header"]
            ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert ran.returncode == 1
            assert "bundle" not in ran.stdout
        def test_knows_nothing():
            assert not [n for n in os.environ if n == "BUNDLE_PROBE"]
            assert "PYTHONPATH" not in os.environ
            assert not [p for p in sys.path if p.endswith(os.path.join("probe", "path"))]
        """, {"test_nested": "passed", "test_knows_nothing": "passed"}),
    _suite("nested_in_a_worker", """
        import os, subprocess, sys
        def test_nested(tmp_path):
            (tmp_path / "test_inner.py").write_text("def test_inner(): pass")
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
            assert subprocess.run(command, cwd=tmp_path).returncode == 0
        def test_knows_nothing():
            assert not [p for p in sys.path if p.endswith(os.path.join("probe", "path"))]
        """, {"test_nested": "passed", "test_knows_nothing": "passed"}, args=("-n2",),
           needs=("xdist",), same_output=False),
)  # fmt: skip

_ODD = ("a/b", "..", "a::b", "[x]", "", "nul\0", "esc\x1b[31m", "line\nfeed", "sm\xf8r",
        "\U0001f98a", "lone\udc80", 'quo"te', "back\\slash")  # fmt: skip
_ODD_AS_SHOWN = ("a/b", "..", "a::b", "[x]", "", r"nul\x00", r"esc\x1b[31m", r"line\nfeed",
                 r"sm\xf8r", r"\U0001f98a", r"lone\udc80", 'quo"te', r"back\\slash")  # fmt: skip
_LONG = ("x" * 200_000, "x" * 200_000 + "y")


def _long_id(parameter: str) -> str:
    """The id under which a test is recorded whose own would not fit."""
    full = f"test_it.py::test_long[{parameter}]"
    return f"{full[:10_000]}[cut:{hashlib.sha256(full.encode()).hexdigest()}]"


_NAMED = (
    _suite("odd_ids", f"""
        import pytest
        @pytest.mark.parametrize("value", {_ODD!a})
        def test_odd(value): pass
        """, {f"test_odd[{shown}]": "passed" for shown in _ODD_AS_SHOWN}),
    Suite("ids_too_long_for_a_line",
          {"test_it.py": dedent("""
              import pytest
              LONG = ["x" * 200_000, "x" * 200_000 + "y"]
              @pytest.mark.parametrize("value", LONG, ids=LONG)
              def test_long(value): print("said"); assert value.endswith("x")
              """)},
          {_long_id(_LONG[0]): "passed", _long_id(_LONG[1]): "failed"}, 1, Status.FAILED,
          args=("-p", "no:cacheprovider")),
    Suite("a_file_name_that_is_not_ascii", {"test_sm\xf8r.py": _PASSES},
          {"test_sm\xf8r.py::test_fine": "passed"}),
)  # fmt: skip

_ARGUED = (
    _three("without_a_terminal", "pass", THREE_PASSED, args=("-p", "no:terminal")),
    _three("warnings_are_errors", "pass", THREE_PASSED, args=("-W", "error")),
    _three("every_warning_is_shown", "pass", THREE_PASSED, env={"PYTHONDEVMODE": "1"}),
    _three("without_a_cache", "assert False", {**THREE_PASSED, "test_it": "failed"}, 1,
           args=("-p", "no:cacheprovider")),
    _three("quietly", "pass", THREE_PASSED, args=("-qq",)),
    _three("verbosely", "pass", THREE_PASSED, args=("-vv",)),
    _three("workers_by_file", "assert False", {**THREE_PASSED, "test_it": "failed"}, 1,
           args=("-n2", "--dist=loadfile"), needs=("xdist",), same_output=False),
    _three("workers_by_group", "pass", THREE_PASSED, args=("-n2", "--dist=loadgroup"),
           needs=("xdist",), same_output=False),
    Suite("the_same_file_twice_in_workers", {"test_it.py": _PASSES},
          {"test_it.py::test_fine": "passed", "test_it.py::test_fine#2": "passed"},
          args=("-n2", "--keep-duplicates", "test_it.py", "test_it.py"), needs=("xdist",),
          same_output=False),
    Suite("more_than_one_place",
          {"a/test_it.py": _PASSES, "b/test_it.py": "def test_fine(): assert 0\n",
           "a/__init__.py": "", "b/__init__.py": ""},
          {"a/test_it.py::test_fine": "passed", "b/test_it.py::test_fine": "failed"}, 1,
          Status.FAILED),
)  # fmt: skip

SUITES: tuple[Suite, ...] = (
    _OUTCOMES,
    *_MORTAL,
    *_STOPPED,
    *_COLLECTED,
    *_REPEATED,
    *_PRINTED,
    *_PATCHED,
    *_NESTED,
    *_NAMED,
    *_ARGUED,
)
