"""What a stranger meets first: slips of the keyboard, odd places, streams closed or full."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import BUNDLE, Ended, Place, place

from bundler import cli
from bundler.configuration import KEYS
from bundler.errors import BundleError

COMMAND = " ".join(BUNDLE)
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
needs_shell = pytest.mark.skipif(os.name == "nt", reason="written for a POSIX shell")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return place(tmp_path)


def one_sentence(ended: Ended) -> str:
    """The one error of a command, without its hint."""
    assert "Traceback" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.stderr
    return errors[0].removeprefix("error: ")


def test_a_mistyped_command_is_told_the_nearest(here: Place) -> None:
    ended = here.bundle("lisst")
    assert (ended.code, one_sentence(ended)) == (2, "no such command 'lisst'")
    assert "Did you mean `bundle list`?" in ended.stderr


def test_a_word_like_no_command_is_told_how_to_record(here: Place) -> None:
    assert "`bundle run -- COMMAND`" in here.bundle("pytest").stderr


def test_a_mistyped_option_of_run_is_not_taken_for_the_command(here: Place) -> None:
    ended = here.bundle("run", "--sed", "1", "--", "true")
    assert ended.code == 2
    assert one_sentence(ended) == "no such option: --sed"
    assert "Did you mean --seed?" in ended.stderr


def test_an_option_like_no_other_is_told_where_the_help_is(here: Place) -> None:
    ended = here.bundle("list", "--xyzzy")
    assert one_sentence(ended) == "no such option: --xyzzy"
    assert "Run `bundle list --help`" in ended.stderr


def test_the_help_of_config_has_every_key_and_config_the_store_in_force(here: Place) -> None:
    shown = here.bundle("config", "--help", COLUMNS="40").stdout
    for name, key in KEYS.items():
        assert re.search(rf"^ +{name} +{re.escape(key.help)}\n +Takes ", shown, re.MULTILINE), name
    told = here.bundle("prune", "--keep-runs", "x")
    assert "Run `bundle config --help`" in told.stderr
    values = json.loads(here.bundle("config", "--json", BUNDLE_STORE="").stdout)
    assert values["store"]["from"] == "default"
    assert Path(values["store"]["value"]).is_absolute()


def test_what_follows_the_command_is_the_commands(here: Place) -> None:
    echo = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--seed", "3"]
    assert here.bundle("run", *echo).stdout == "['--seed', '3']\n"


def test_a_directory_that_an_artifact_was_unpacked_into_is_named_by_its_name(here: Place) -> None:
    here.bundle("run", "--", "true")
    here.bundle("pack", "-o", "ci.zip")
    zipfile.ZipFile(here.project / "ci.zip").extractall(here.project / "artifact")
    here.bundle("run", "--", "false")
    for words in (["replay", "artifact"], ["show", "artifact"], ["verify", "artifact"]):
        ended = here.bundle(*words)
        assert ended.code == 0, ended.stderr
    assert "Command true" in here.bundle("replay", "artifact").stdout
    assert "Command false" in here.bundle("replay", "latest").stdout


def test_a_file_that_is_no_recording_is_neither_a_run_nor_a_test(here: Place) -> None:
    here.bundle("run", "--", "true")
    here.file("notes", "of mine")
    ended = here.bundle("replay", "notes")
    assert ended.code == 4
    assert "neither a run nor a test" in one_sentence(ended)
    assert "no format that is known" in one_sentence(ended)


def test_a_name_that_is_too_long_is_one_short_sentence(here: Place) -> None:
    ended = here.bundle("replay", "x" * 5000 + ".zip")
    assert ended.code == 4
    assert len(one_sentence(ended)) < 400


def test_a_project_without_runs_is_pruned_without_complaint(here: Place) -> None:
    ended = here.bundle("prune")
    assert (ended.code, ended.stderr) == (0, "deleted 0 runs, 0 B, 0 kept\n")


def test_a_file_that_is_no_recording_is_not_taken_for_a_test(here: Place) -> None:
    here.bundle("run", "--", sys.executable, "-c", "")
    here.file("notes.txt", "hello")
    ended = here.bundle("show", "./notes.txt")
    assert ended.code == 3
    assert "no format that is known" in one_sentence(ended)


@pytest.mark.parametrize("words", [["pack"], ["export", "--to", "junit"]])
def test_an_empty_name_to_write_to_is_refused(here: Place, words: list[str]) -> None:
    here.bundle("run", "--", sys.executable, "-c", "")
    ended = here.bundle(*words, "-o", "")
    assert ended.code == 2
    assert "is empty" in one_sentence(ended)


@needs_full
@needs_shell
@pytest.mark.parametrize("words", ["--help", "list", "pack -o -", "export --to junit", "replay"])
def test_a_full_disk_behind_stdout_is_one_sentence(here: Place, words: str) -> None:
    here.bundle("run", "--", sys.executable, "-c", "")
    ended = here.run(["sh", "-c", f"{COMMAND} {words} > /dev/full"])
    assert ended.code == 2
    assert "No space left on device" in one_sentence(ended)


@needs_shell
@pytest.mark.parametrize("words", ["--help", "list", "pack -o -", "export --to junit", "replay"])
def test_a_reader_that_left_is_no_error(here: Place, words: str) -> None:
    here.bundle("run", "--", sys.executable, "-c", "")
    ended = here.run(["sh", "-c", f"{COMMAND} {words} | true"])
    assert ended.stderr == ""


@needs_shell
def test_a_command_runs_as_ever_where_all_streams_are_closed(here: Place) -> None:
    ended = here.run(["sh", "-c", f"{COMMAND} run -- sh -c 'exit 7' <&- >&- 2>&-"])
    assert ended.code == 7
    assert here.latest().results.complete


@needs_shell
def test_a_command_runs_as_ever_where_the_working_directory_is_gone(here: Place) -> None:
    gone = "mkdir gone && cd gone && rmdir ../gone"
    ended = here.run(["sh", "-c", f"{gone} && {COMMAND} run -- sh -c 'echo ran; exit 7'"])
    assert (ended.code, ended.stdout) == (7, "ran\n")
    assert ended.stderr.startswith("bundle: not recording: the working directory is gone\n")


def test_tests_that_were_only_collected_are_not_called_red(here: Place) -> None:
    here.file("test_it.py", "def test_a(): pass\n")
    ended = here.bundle("run", "--", sys.executable, "-m", "pytest", "--collect-only", "-q")
    assert "bundle: 1 test, none run, run " in ended.stderr


def test_a_user_file_below_a_file_is_a_file_that_is_not_there(here: Place) -> None:
    file = here.file("a file", "")
    ended = here.bundle("run", "--", sys.executable, "-c", "", BUNDLE_CONFIG=str(file / "x.toml"))
    assert "warning" not in ended.stderr


def test_a_zip_is_not_written_to_a_terminal(here: Place) -> None:
    here.bundle("run", "--", sys.executable, "-c", "")
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = [*BUNDLE, "pack", "-o", "-"]
    done = subprocess.run(
        words, cwd=here.project, env=here.environment(), stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"not for a terminal" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(28, "No space left on device", "/s"), 2, "/s is refused: No space left on device"),
        (OSError(5, "Input/output error"), 2, "the system refuses: Input/output error"),
        (KeyError("x"), 70, "bundle itself failed: KeyError: 'x'"),
        (MemoryError(), 70, "bundle itself failed: MemoryError"),
        (BundleError("a thing is off"), 1, "a thing is off"),
    ],
)
def test_whatever_fails_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    sentence: str,
) -> None:
    def fail(_words: object, _ui: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_command", fail)
    monkeypatch.setattr("bundler.terminal.Stream.abandon", lambda _stream: None)
    assert cli.run([]) == code
    assert capfd.readouterr().err.startswith(f"error: {sentence}")


def test_an_interrupted_command_ends_as_one_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_words: object, _ui: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_command", interrupt)
    monkeypatch.setattr("bundler.terminal.Stream.abandon", lambda _stream: None)
    assert cli.run([]) == 130
    assert capfd.readouterr().err == ""


def test_an_interrupt_while_loading_is_no_traceback(here: Place) -> None:
    code = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "bundler.terminal":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from bundler.cli import main
main()
"""
    ended = here.run([sys.executable, "-c", code])
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "")


def test_an_interrupt_that_a_library_turns_into_an_error_is_still_one(here: Place) -> None:
    code = """
import os, signal, sys
from bundler import cli

def interrupted(words, ui):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while True: pass
    except KeyboardInterrupt:
        raise SystemError("returned a result with an exception set") from None

cli._command = interrupted
cli.main()
"""
    ended = here.run([sys.executable, "-c", code])
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "")


@needs_shell
def test_an_interrupt_that_hits_the_end_of_an_object_is_not_lost(here: Place) -> None:
    code = """
import os, signal
from bundler import cli

class Ending:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass

def interrupted(words, ui):
    ending = Ending()
    del ending
    while True: pass

cli._command = interrupted
cli.main()
"""
    ended = here.run([sys.executable, "-c", code])
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C cannot be sent once more")
def test_an_interrupt_during_an_import_comes_when_the_import_is_over(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n[0 for _ in range(9)]\nwhole = 1\n"
    )
    code = f"""
import sys, time
sys.path.insert(0, {str(tmp_path)!r})
from bundler import cli
cli._notice_interrupts()
try:
    import interrupted
    time.sleep(5)
except KeyboardInterrupt:
    print(sys.modules["interrupted"].whole)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl-C cannot be sent once more")
def test_an_interrupt_when_all_is_done_ends_the_interpreter_on_its_way_out(tmp_path: Path) -> None:
    """It imports there, too; no alarm is left that would go off when nobody minds it any more."""
    (tmp_path / "interrupted.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    code = f"""
import atexit, importlib, sys, time
sys.path.insert(0, {str(tmp_path)!r})
from bundler import cli
atexit.register(importlib.import_module, "interrupted")
sys.argv[1:] = ["--version"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith("bundle ")
