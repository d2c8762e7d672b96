"""`bundle run -- go test`: the real Go, what it shows with us and without, what is recorded."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import BUNDLE, HERE, Ended, Place, place
from tools import needs

from bundler.runners.go_screen import Screen

SUITE = Path(__file__).parent / "fixtures" / "go-test" / "suite"
SHOP = "example.com/shop/"
CHANGING = (
    (r"[0-9.]+s\b|\(cached\)| +[0-9.]+ ns/op|\t +[0-9]+", "T"),
    (r'"Time":"[^"]+"|"Elapsed":[0-9.]+', "T"),
    (r"0x[0-9a-f]+\??|goroutine [0-9]+|\+0x\w+", "X"),
)


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    here = place(tmp_path)
    shutil.copytree(SUITE, here.project, dirs_exist_ok=True)
    return here


def go(here: Place, *words: str) -> Ended:
    return here.run(["go", *words], **CACHE)


def bundle(here: Place, *words: str) -> Ended:
    return here.bundle(*words, **CACHE)


CACHE = {"GOFLAGS": "", "GOCACHE": os.environ.get("GOCACHE", str(Path.home() / ".cache/go-build"))}


def scrubbed(text: str) -> list[str]:
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return [one for one in text.splitlines() if not one.startswith("bundle: ")]


def short(verdicts: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(SHOP): verdict for name, verdict in verdicts.items()}


@pytest.mark.slow
@needs("go")
@pytest.mark.parametrize(
    "words",
    [
        "./cart ./broken ./empty ./initpanic",
        "-v -run=^TestPasses$|^TestTable$|^TestPrintsWithoutNewline$ ./cart",
        "-run=^TestPasses$|^TestFails$ -count=2 ./cart",
        "-shuffle=42 ./crash ./cart",
        "-json ./empty",
        "-timeout=1s ./slow",
    ],
)
def test_what_is_shown_is_what_go_shows(shop: Place, words: str) -> None:
    command = ["test", *words.split()]
    plain = go(shop, *command)
    ours = bundle(shop, "run", "--", "go", *command)
    assert ours.code == plain.code
    version = go(shop, "env", "GOVERSION").stdout
    in_order = not re.match(r"go1\.1[0-9]\b", version)  # before 1.20 no package says that it starts
    as_compared = list if in_order else sorted
    assert as_compared(scrubbed(ours.stdout)) == as_compared(scrubbed(plain.stdout))
    assert scrubbed(ours.stderr) == scrubbed(plain.stderr)


@pytest.mark.slow
@needs("go")
def test_every_test_is_recorded_and_rerun_until_green(shop: Place) -> None:
    cart = shop.project / "cart" / "cart_test.go"
    command = ["run", "--", "go", "test", "-shuffle=on", "./cart", "./crash", "./broken"]
    ended = bundle(shop, *command)
    assert ended.code != 0
    assert short(shop.verdicts())["cart::TestTable/two_words"] == "failed"
    assert short(shop.verdicts())["crash::TestPanics"] == "crashed"
    first = shop.latest()
    assert [one.node_id for one in first.results.collection] == [f"{SHOP}broken"]
    assert (first.manifest.command.runner, first.manifest.status.state) == ("go test", "failed")
    seeds = {one.info.get("suite"): one.info.get("shuffle_seed") for one in first.results.sessions}

    cart.write_text(cart.read_text().replace('t.Error("no")', "").replace("t.Errorf", "t.Logf"))
    (shop.project / "crash" / "crash_test.go").write_text(
        'package crash\nimport "testing"\nfunc TestPanics(t *testing.T) {}\n'
        "func TestWaits(t *testing.T) { t.Parallel() }\n"
        "func TestAfter(t *testing.T) {}\nfunc TestBefore(t *testing.T) {}\n"
    )
    (shop.project / "broken" / "broken_test.go").write_text(
        'package broken\nimport "testing"\nfunc TestNew(t *testing.T) {}\n'
    )
    again = bundle(shop, "rerun")
    assert "no values drawn from a generator that tests share" in again.stderr
    assert again.code == 0, again.stderr
    assert "nothing is outstanding" in again.stderr
    second = shop.latest()
    # Which tests the panic left unfinished depends on the order.
    others = ("crash::TestWaits", "crash::TestAfter", "crash::TestBefore")
    ran = {name: one for name, one in short(shop.verdicts()).items() if name not in others}
    assert ran == {
        "broken::TestNew": "passed",
        "cart::TestFails": "passed",
        "cart::TestTable": "passed",
        "cart::TestTable/two_words": "passed",
        "crash::TestPanics": "passed",
    }
    kept = {one.info.get("suite"): one.info.get("shuffle_seed") for one in second.results.sessions}
    assert kept[f"{SHOP}cart"] == seeds[f"{SHOP}cart"] is not None
    sessions = [one.id for one in second.results.sessions]
    assert len(sessions) == len(set(sessions)) >= 4  # an invocation each
    last = bundle(shop, "rerun")
    # What was left out before is known to pass: the two sets travel along.
    passing = len(first.results.tests) - 1 + len({"broken::TestNew"})
    assert f"0 outstanding, {passing} passing left out" in last.stderr
    assert (last.code, shop.latest().manifest.run_id) == (0, second.manifest.run_id)


@pytest.mark.slow
@needs("go")
def test_a_report_of_gotestsum_is_rerun(shop: Place) -> None:
    report = shop.file(
        "results.xml",
        '<testsuites><testsuite name="example.com/shop/cart">'
        '<testcase classname="example.com/shop/cart" name="TestPasses"/>'
        '<testcase classname="example.com/shop/cart" name="TestTable"><failure/></testcase>'
        '<testcase classname="example.com/shop/cart" name="TestTable/two_words"><failure/>'
        "</testcase></testsuite></testsuites>",
    )
    told = bundle(shop, "replay", str(report)).stdout
    assert f"bundle run -R {report} -- COMMAND" in told
    ended = bundle(shop, "rerun", str(report), "--", "go", "test", "./...")
    assert ended.code == 1
    assert short(shop.verdicts()) == {
        "cart::TestTable": "failed",
        "cart::TestTable/two_words": "failed",
    }
    ended = bundle(shop, "run", "-R", str(report), "--", "go", "test", "./...")
    assert "2 still outstanding" in ended.stderr


@pytest.mark.slow
@needs("go")
@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
def test_a_killed_recorder_has_kept_what_came(shop: Place) -> None:
    shop.file(
        "long/long_test.go",
        'package long\nimport ("testing"; "time")\nfunc TestFirst(t *testing.T) {}\n'
        "func TestLong(t *testing.T) { time.Sleep(60 * time.Second) }\n",
    )
    recorder = subprocess.Popen(
        [*BUNDLE, "run", "--", "go", "test", "./long"],
        cwd=shop.project,
        env=shop.environment(**CACHE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any(b"TestLong" in log.read_bytes() for log in shop.store.rglob("events.ndjson")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(recorder.pid, signal.SIGKILL)
    recorder.wait()
    assert "while running example.com/shop/long::TestLong" in shop.bundle("replay").stdout
    assert short(shop.verdicts()) == {"long::TestFirst": "passed", "long::TestLong": "unfinished"}


# What is shown, line by line


def event(action: str, test: str = "", output: str = "") -> dict[str, str]:
    named = {"Test": test} if test else {}
    said = {"Output": output} if output else {}
    return {"Action": action, "Package": "p", **named, **said}


def shown(screen: Screen, *events: dict[str, str]) -> str:
    pieces = [screen.show(one) or b"" for one in events]
    return b"".join([*pieces, screen.end()]).decode()


def test_what_a_passing_test_logs_is_not_shown_and_what_it_prints_is() -> None:
    screen = Screen(verbose=False, streams=True)
    assert (
        shown(
            screen,
            event("run", "TestA"),
            event("output", "TestA", "=== RUN   TestA\n"),
            event("output", "TestA", "    a_test.go:1: logged\n"),
            event("output", "TestA", "printed\n"),
            event("output", "TestA", "--- PASS: TestA (0.00s)\n"),
            event("pass", "TestA"),
            event("output", "", "PASS\n"),
            event("pass"),
        )
        == "printed\nPASS\n"
    )


def test_subtests_are_shown_inside_the_test_that_failed_where_they_ran() -> None:
    screen = Screen(verbose=False, streams=True)
    assert shown(
        screen,
        event("run", "TestA"),
        event("output", "TestA", "    a_test.go:1: first\n"),
        event("run", "TestA/a/b"),
        event("output", "TestA/a/b", "    a_test.go:2: inner\n"),
        event("output", "TestA/a/b", "        second line\n"),
        event("run", "TestA/ok"),
        event("output", "TestA/ok", "    a_test.go:3: unseen\n"),
        event("output", "TestA", "    a_test.go:4: last\n"),
        event("output", "TestA", "--- FAIL: TestA (0.00s)\n"),
        event("output", "TestA/a/b", "    --- FAIL: TestA/a/b (0.00s)\n"),
        event("output", "TestA/ok", "    --- PASS: TestA/ok (0.00s)\n"),
        event("fail", "TestA"),
        event("output", "", "FAIL\n"),
        event("fail"),
    ) == (
        "--- FAIL: TestA (0.00s)\n"
        "    a_test.go:1: first\n"
        "    --- FAIL: TestA/a/b (0.00s)\n"
        "        a_test.go:2: inner\n"
        "            second line\n"
        "    a_test.go:4: last\n"
        "FAIL\n"
    )


def test_packages_are_shown_in_the_order_in_which_they_started() -> None:
    screen = Screen(verbose=False, streams=False)
    lines = [
        {"Action": "start", "Package": "a"},
        {"Action": "start", "Package": "b"},
        {"Action": "output", "Package": "b", "Output": "ok  \tb\t0.1s\n"},
        {"Action": "pass", "Package": "b"},
        {"Action": "output", "Package": "a", "Test": "TestX", "Output": "said\n"},
        {"Action": "output", "Package": "a", "Output": "FAIL\ta\t0.1s\n"},
        {"Action": "fail", "Package": "a"},
    ]
    shown_at = [screen.show(one) for one in lines]
    assert shown_at == [b"", b"", b"", b"", b"", b"", b"said\nFAIL\ta\t0.1s\nok  \tb\t0.1s\n"]
    assert screen.end() == b"FAIL\n"


@needs("go")
def test_a_mistake_of_ours_never_reaches_the_tests(shop: Place) -> None:
    breaks = "import bundler.formats.go_test as f\ndef no(*_): raise ValueError('ours')\n"
    for member, said in [("Reading.take", "ours"), ("Reading.stop", "ours"), ("Reading", "ours")]:
        shop.file("inner/sitecustomize.py", f"{breaks}f.{member} = no\n")
        path = f"{shop.project / 'inner'}{os.pathsep}{HERE}"
        words = ["run", "--", "go", "test", "-run=TestPasses", "./cart"]
        ended = shop.bundle(*words, **CACHE, PYTHONPATH=path)
        assert (ended.code, said in ended.stderr) == (0, True), ended.stderr
        assert ended.stdout.startswith("ok  \t") or member == "Reading"


def test_lines_that_were_asked_for_are_shown_as_they_are() -> None:
    assert Screen(verbose=False, streams=False, raw=True).show(event("run", "TestA")) is None
