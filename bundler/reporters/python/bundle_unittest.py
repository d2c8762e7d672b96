"""`python -m bundle_unittest` is `python -m unittest`, recorded: what is shown is the same.

The standard library alone, on Python 3.9 and later. A result class tells what happens, line by
line, in the file that BUNDLE_REPORT names. The id of a test is its `id()`, the dotted name by which
unittest itself can be asked for it.

Nothing here ever raises into the suite: the first error of the recording ends the recording.
"""

import functools
import importlib.util
import json
import os
import sys
import time
import traceback
import unittest
from unittest import suite as suites

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_LONGEST = 1 << 18
_FAILED = "unittest.loader._FailedTest."
_open, _write, _now, _dumps = os.open, os.write, time.time, json.dumps
_perf = time.perf_counter
_format = traceback.TracebackException


class Stream:
    """Appends lines to the stream; the first failure ends it."""

    def __init__(self, told):
        self._descriptor = None
        self.selection = {}
        try:
            settings = json.loads(told)
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = _open(settings["stream"], flags)
            self._pid = os.getpid()
            self._getpid = os.getpid
            if settings.get("selection"):
                with open(settings["selection"], encoding="utf-8") as file:
                    self.selection = json.load(file)
        except Exception:
            self._descriptor = None  # nothing is told, and the tests run as ever

    def write(self, **line):
        """Append one line, unless this is a forked child. Never raises, whatever is written."""
        if self._descriptor is None or self._getpid() != self._pid:
            return
        try:
            line.setdefault("at", int(_now() * 1000))
            _write(self._descriptor, _dumps(_sound(line)).encode("ascii") + b"\n")
        except Exception as error:
            self.fail(error)

    def fail(self, error):
        """Write no more, and say why where that is possible."""
        descriptor, self._descriptor = self._descriptor, None
        try:
            why = {"e": "failed", "why": "%s: %s" % (type(error).__name__, error)}
            _write(descriptor, _dumps(why).encode("ascii") + b"\n")
        except Exception:
            pass  # its end is missing, and that is seen

    def left_out(self, known):
        """Why a test is left out; None where it is to run."""
        only = self.selection.get("only")
        if only is not None:
            return None if known in only else "deselected"
        return "passing" if known in self.selection.get("deselect", ()) else None


def guarded(method):
    """Make a method of a recorder that never raises."""

    @functools.wraps(method)
    def never_raises(self, *arguments):
        try:
            method(self, *arguments)
        except Exception as error:
            self.stream.fail(error)

    return never_raises


class Recorder:
    """What is known of the test that is going on."""

    def __init__(self, stream):
        self.stream = stream
        self.current = None
        self.outcome = self.reason = None
        self.failures = []
        self.started = 0.0

    @guarded
    def begin(self, runner):
        """The suite begins."""
        version = "%d.%d.%d" % sys.version_info[:3]
        self.stream.write(
            e="begin", runner="unittest", version=version, python=version,
            executable=sys.executable or "", rootdir=os.getcwd(), args=sys.argv[1:],
            capture="buffer" if runner.buffer else "no",
        )  # fmt: skip

    @guarded
    def collected(self, tests):
        """These are about to run, in this order."""
        self._name([known for known in map(_id, _each(tests)) if not known.startswith(_FAILED)])

    @guarded
    def choose(self, tests):
        """Take out of a suite what is not to run, and say so."""
        left = {"passing": [], "deselected": []}
        _choose(tests, self.stream, left)
        for why, ids in left.items():
            self._name(ids, left=why)

    def _name(self, ids, **why):
        for at in range(0, len(ids), 1000):
            self.stream.write(e="collected", ids=ids[at : at + 1000], **why)

    @guarded
    def start(self, test):
        """A test begins."""
        self.current = _id(test)
        self.outcome, self.reason, self.failures = "passed", None, []
        self.started = _perf()
        if self.current.startswith(_FAILED):
            return
        file, line = _place(test)
        self.stream.write(e="test", id=self.current, file=file, line=line)

    @guarded
    def stop(self, test, buffered):
        """A test has ended; `buffered` is what it printed, as far as it was kept back."""
        known, current, self.current = _id(test), self.current, None
        if known != current:
            return  # one that is skipped as a whole is only ended, in some versions
        if known.startswith(_FAILED):
            node = known[len(_FAILED) :]
            self.stream.write(e="broken", id=node, failures=self.failures)
            return
        for name, text in buffered:
            for at in range(0, len(text), 200000):
                self.stream.write(e="out", id=known, stream=name, text=text[at : at + 200000])
        self.stream.write(
            e="done", id=known, outcome=self.outcome, reason=self.reason,
            ms=(_perf() - self.started) * 1000, failures=self.failures,
        )  # fmt: skip

    @guarded
    def judge(self, outcome, test, error=None, reason=None):
        """Something was said of a test, or of the set-up of a class or module."""
        found = [] if error is None else [_failure(error)]
        if error is None and outcome == "failed":
            found = [{"message": reason}]
        known = _id(test)
        if known != self.current:
            self._around(outcome, test, known, found, reason)
            return
        self.failures += found
        if self.outcome in ("passed", "skipped"):
            self.outcome, self.reason = outcome, reason
        elif outcome == "failed":
            self.outcome = outcome

    @guarded
    def judge_part(self, test, part, error):
        """A `subTest` has ended."""
        wrong = error is not None
        found = [_failure(error)] if wrong else []
        failed = wrong and issubclass(error[0], test.failureException)
        outcome = "passed" if not wrong else "failed" if failed else "errored"
        name = part._subDescription()
        self.stream.write(e="sub", id=_id(test), name=name, outcome=outcome, failures=found)
        if wrong:
            self.failures.append({"message": "failed in %s" % name, "phase": "call"})
            self.outcome = "failed" if failed or self.outcome == "failed" else "errored"

    @guarded
    def end(self, result):
        """The suite has ended."""
        reason = "stopping after a failure" if result.failfast and result.shouldStop else None
        self.stream.write(e="end", reason=reason)

    def _around(self, outcome, test, known, found, reason):
        if outcome == "skipped" and isinstance(test, suites._ErrorHolder):
            self.stream.write(e="skipped", id=_inside(known), reason=reason or "")
        elif isinstance(test, suites._ErrorHolder):
            self.stream.write(e="broken", id=_inside(known), failures=found)
        else:  # `@unittest.skip` of a whole class: started, and told outside of it before 3.12.1
            self.stream.write(e="test", id=known)
            self.stream.write(e="done", id=known, outcome=outcome, reason=reason, failures=found)


class Result(unittest.TextTestResult):
    """Tells what it is told, and does what it always did."""

    recorder = None

    def startTest(self, test):
        self.recorder.start(test)
        super().startTest(test)

    def stopTest(self, test):
        self.recorder.stop(test, self._buffered())
        super().stopTest(test)

    def addError(self, test, err):
        self.recorder.judge("errored", test, err)
        super().addError(test, err)

    def addFailure(self, test, err):
        self.recorder.judge("failed", test, err)
        super().addFailure(test, err)

    def addSkip(self, test, reason):
        self.recorder.judge("skipped", test, None, str(reason))
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err):
        self.recorder.judge("xfailed", test, None, _words(err))
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self.recorder.judge("failed", test, None, "unexpected success")
        super().addUnexpectedSuccess(test)

    def addSubTest(self, test, subtest, err):
        self.recorder.judge_part(test, subtest, err)
        super().addSubTest(test, subtest, err)

    def _buffered(self):
        try:
            pairs = (("stdout", self._stdout_buffer), ("stderr", self._stderr_buffer))
            return [(name, kept.getvalue()) for name, kept in pairs if kept and kept.getvalue()]
        except Exception:
            return []  # a result of another kind keeps its output elsewhere


class Program(unittest.TestProgram):
    """`unittest.main`, with the tests chosen that are to run and a result that tells."""

    recorder = None

    def runTests(self):
        if self.testRunner is None:
            told = {"recorder": self.recorder}
            told["resultclass"] = type("TextTestResult", (Result,), told)
            self.testRunner = type("TextTestRunner", (_Runner,), told)
        super().runTests()


class _Runner(unittest.TextTestRunner):
    recorder = None

    def run(self, test):
        recorder = self.recorder
        recorder.begin(self)
        if recorder.stream.selection:
            recorder.choose(test)
        recorder.collected(test)
        result = super().run(test)
        recorder.end(result)
        return result


def _choose(suite, stream, left):
    """Take out of a suite, in place, what is not to run."""
    kept = []
    for one in suite:
        if isinstance(one, unittest.BaseTestSuite):
            _choose(one, stream, left)
            kept.append(one)
            continue
        why = None if _id(one).startswith(_FAILED) else stream.left_out(_id(one))
        if why is None:
            kept.append(one)
        else:
            left[why].append(_id(one))
    suite._tests = kept


def _each(suite):
    for one in suite:
        if isinstance(one, unittest.BaseTestSuite):
            yield from _each(one)
        elif one is not None:
            yield one


def _id(test):
    known = test.id()
    return known if isinstance(known, str) else str(known)


def _inside(known):
    """`setUpClass (tests.test_a.TestX)` is the class."""
    return known.rpartition(" (")[2].rstrip(")") if " (" in known else known


def _place(test):
    """The file of a test, relative to here, and its line."""
    try:
        method = getattr(type(test), test._testMethodName)
        code = getattr(method, "__wrapped__", method).__code__
        return os.path.relpath(code.co_filename).replace(os.sep, "/"), code.co_firstlineno
    except Exception:
        return None, None  # a test that was made in another way than by its class


def _failure(error):
    kind, value, trace = error
    message = _words(error)
    file = line = None
    frame = trace
    while frame is not None:
        if "__unittest" not in frame.tb_frame.f_globals:
            file, line = frame.tb_frame.f_code.co_filename, frame.tb_lineno
        elif file is not None:
            break
        frame = frame.tb_next
    name = (
        kind.__name__
        if kind.__module__ == "builtins"
        else kind.__module__ + "." + kind.__qualname__
    )
    text = "".join(_format(kind, value, trace).format())
    return {
        "type": name, "message": message, "traceback": text, "line": line,
        "file": os.path.relpath(file).replace(os.sep, "/") if file else None,
    }  # fmt: skip


def _words(error):
    try:
        return str(error[1])
    except Exception:
        return "<%s that cannot be shown>" % error[0].__name__


def _sound(value):
    """A value on its way into a line: no JSON reader takes half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")[:_LONGEST]
    if isinstance(value, dict):
        return {key: _sound(one) for key, one in value.items()}
    return [_sound(one) for one in value] if isinstance(value, list) else value


def _take_from_environment():
    """What BUNDLE_REPORT tells, taken out of the environment with this folder's place in it."""
    folder = _FOLDER
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder in parts:
        parts.remove(folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(parts)
        if not parts:
            del os.environ["PYTHONPATH"]
    sys.path[:] = [one for one in sys.path if one != folder]
    return os.environ.pop("BUNDLE_REPORT", None)


__unittest = True

if __name__ == "__main__":
    # As unittest/__main__.py does: the usage names the module, not the file.
    sys.argv[0] = os.path.basename(sys.executable) + " -m unittest"
    # A process that multiprocessing spawns looks here for what to import as its own main module.
    __spec__ = importlib.util.find_spec("unittest.__main__")
    __file__, __package__ = __spec__.origin, "unittest"
    Program.recorder = Recorder(Stream(_take_from_environment()))
    Program(module=None)
