"""Bad input gets one clear sentence, a hint, and the exit code; never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import Place, place
from tools import cannot

from bundler import bundle, cli
from bundler.store import Store

COMMANDS = {
    "replay": ["replay", "RUN"],
    "replay --json": ["replay", "RUN", "--json"],
    "show": ["show", "RUN"],
    "export": ["export", "RUN", "--to", "junit"],
    "pack": ["pack", "RUN", "-o", "out.zip"],
    "add": ["add", "RUN"],
    "verify": ["verify", "RUN"],
    "verify --repair": ["verify", "RUN", "--repair"],
    "rerun": ["rerun", "RUN"],
}
NAMING = [name for name in COMMANDS if name != "add"]  # what takes an id as well as a path
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX files and limits")


@dataclass(frozen=True)
class Said:
    """How a command ended, and the one error that it named with its hint."""

    code: int
    error: str
    hint: str


Bundle = Callable[..., Said]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one test that failed, in one zip file."""
    here = place(tmp_path_factory.mktemp("packed"))
    here.file("test_it.py", "def test_it(): assert False\n")
    here.bundle("run", "--", sys.executable, "-m", "pytest", "-q", "test_it.py")
    assert here.bundle("pack", "-o", "run.zip").code == 0
    return here.project / "run.zip"


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Bundle:
    """Run `bundle` in this process, in a project of its own."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)

    def say(*words: str) -> Said:
        capfd.readouterr()
        code = cli.run(list(words))
        stderr = capfd.readouterr().err
        assert "Traceback" not in stderr
        told = [line for line in stderr.splitlines() if line.startswith("error: ")]
        hints = [line for line in stderr.splitlines() if line.startswith(" hint: ")]
        assert len(told) <= 1 and len(hints) <= len(told), stderr
        return Said(code, "".join(told), "".join(hints))

    return say


def unpacked(packed: Path, target: Path) -> Path:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(target)
    return target


def rezipped(packed: Path, target: Path, *extra: tuple[str, bytes]) -> Path:
    """The zip with more members at its end, whatever their names."""
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in extra:
            new.writestr(name, content)
    return target


def with_manifest(folder: Path, **changes: object) -> Path:
    path = folder / bundle.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def no_bundle(_packed: Path, folder: Path) -> Path:
    (folder / "notes.zip").write_text("hello")
    return folder / "notes.zip"


def an_empty_file(_packed: Path, folder: Path) -> Path:
    (folder / "empty.zip").touch()
    return folder / "empty.zip"


def no_manifest(_packed: Path, folder: Path) -> Path:
    (folder / "plain").mkdir()
    return folder / "plain"


def a_cut_zip(packed: Path, folder: Path) -> Path:
    content = packed.read_bytes()
    (folder / "cut.zip").write_bytes(content[: len(content) // 2])
    return folder / "cut.zip"


def a_way_out(packed: Path, folder: Path) -> Path:
    return rezipped(packed, folder / "out.zip", ("../evil", b"x"))


def a_member_twice(packed: Path, folder: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return rezipped(packed, folder / "twice.zip", (bundle.MANIFEST, b"{}"))


def a_newer_major(packed: Path, folder: Path) -> Path:
    return with_manifest(unpacked(packed, folder / "new"), format={"major": 2, "minor": 0})


def a_newer_major_zip(packed: Path, folder: Path) -> Path:
    new = a_newer_major(packed, folder)
    with zipfile.ZipFile(folder / "new.zip", "w") as archive:
        archive.write(new / bundle.MANIFEST, bundle.MANIFEST)
    return folder / "new.zip"


def a_broken_manifest(packed: Path, folder: Path) -> Path:
    broken = unpacked(packed, folder / "broken")
    (broken / bundle.MANIFEST).write_bytes(b'{"format": {"major": 1, "minor": 0}, "run_id":')
    return broken


def a_pipe_inside(packed: Path, folder: Path) -> Path:
    piped = unpacked(packed, folder / "piped")
    os.mkfifo(piped / "pipe")
    return piped


def a_link_inside(packed: Path, folder: Path) -> Path:
    linked = unpacked(packed, folder / "linked")
    (linked / "environment.json").unlink(missing_ok=True)
    (linked / "environment.json").symlink_to("/etc/hostname")
    return linked


def a_pipe_for_a_manifest(packed: Path, folder: Path) -> Path:
    piped = unpacked(packed, folder / "headless")
    (piped / bundle.MANIFEST).unlink()
    os.mkfifo(piped / bundle.MANIFEST)
    return piped


UNREADABLE = [
    no_bundle,
    an_empty_file,
    no_manifest,
    a_cut_zip,
    a_way_out,
    a_member_twice,
    a_newer_major,
    a_newer_major_zip,
    a_broken_manifest,
]
ODD_FILES = [a_pipe_inside, a_link_inside, a_pipe_for_a_manifest]


def refuse(said: Bundle, command: str, run: str) -> Said:
    return said(*[run if word == "RUN" else word for word in COMMANDS[command]])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", UNREADABLE, ids=lambda make: make.__name__)
def test_what_cannot_be_read_is_refused_with_3(
    said: Bundle, packed: Path, tmp_path: Path, command: str, make: Callable[[Path, Path], Path]
) -> None:
    bad = make(packed, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    answer = refuse(said, command, str(bad))
    packed_file = command == "verify --repair" and bad.is_file()
    assert answer.code == (2 if packed_file else 3)
    assert answer.error
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written for it"


@posix_only
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", ODD_FILES, ids=lambda make: make.__name__)
def test_a_file_that_is_none_is_refused_and_not_waited_for(
    said: Bundle, packed: Path, tmp_path: Path, command: str, make: Callable[[Path, Path], Path]
) -> None:
    answer = refuse(said, command, str(make(packed, tmp_path)))
    assert (answer.code, bool(answer.error)) == (3, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_to_nothing_is_no_such_run(said: Bundle, command: str) -> None:
    answer = refuse(said, command, "./nothing.zip")
    assert (answer.code, "does not exist" in answer.error) == (4, True)
    assert "bundle list" in answer.hint


@pytest.mark.parametrize("command", NAMING)
@pytest.mark.parametrize("name", ["latest", "abcdef", "zzz", ""])
def test_no_such_run_is_4_with_a_hint(said: Bundle, command: str, name: str) -> None:
    answer = refuse(said, command, name)
    assert (answer.code, bool(answer.error), bool(answer.hint)) == (4, True, True)


@pytest.mark.parametrize("command", NAMING)
def test_an_ambiguous_prefix_is_4_and_asks_for_more(
    said: Bundle, packed: Path, tmp_path: Path, own_store: Path, command: str
) -> None:
    store = Store(own_store, tmp_path)
    for digit in "12":
        run_id = f"abcdef0{digit}-0000-4000-8000-000000000000"
        with_manifest(unpacked(packed, store.new_run(run_id)), run_id=run_id)
    answer = refuse(said, command, "abcdef")
    assert (answer.code, "is more than one" in answer.error) == (4, True)
    assert "more digits" in answer.hint


def test_a_newer_major_names_the_version_that_reads_it(
    said: Bundle, packed: Path, tmp_path: Path
) -> None:
    answer = said("replay", str(a_newer_major(packed, tmp_path)))
    assert "seedbundle 2.x" in answer.hint


@pytest.mark.parametrize("command", NAMING)
def test_a_damaged_stored_run_is_3_and_the_others_are_listed(
    said: Bundle, packed: Path, tmp_path: Path, own_store: Path, command: str
) -> None:
    assert said("add", str(packed)).code == 0
    store = Store(own_store, tmp_path)
    bad = store.new_run("abcdef01-0000-4000-8000-000000000000")
    (bad / bundle.MANIFEST).write_text("{")
    assert refuse(said, command, "abcdef").code == 3
    assert [run.status.state for run in store.runs()] == ["failed", "damaged"]


@pytest.mark.parametrize("words", [["--limit", "entries=1"], ["--limit=total_bytes=9"]])
def test_a_limit_is_named_and_can_be_set_by_a_flag(
    said: Bundle, packed: Path, words: list[str]
) -> None:
    name = words[-1].removeprefix("--limit=").partition("=")[0]
    answer = said("replay", str(packed), *words)
    assert (answer.code, f"over the limit {name}=" in answer.error) == (3, True)
    cure = answer.hint.partition("`")[2].rstrip("`.").split()
    assert said(*cure, "replay", str(packed)).code == 0
    assert said("replay", str(packed)).code == 0, "it holds for one command"


def test_the_limit_of_a_command_that_is_run_is_its_own(said: Bundle, tmp_path: Path) -> None:
    script = f"import pathlib, sys; pathlib.Path({str(tmp_path)!r}, *sys.argv[1:]).touch()"
    assert said("run", sys.executable, "-c", script, "--limit=x").code == 0
    assert (tmp_path / "--limit=x").exists()
    assert said("replay", "--limit", "no_such=1").code == 2
    answer = said("replay", "--limit")
    assert (answer.code, answer.error) == (2, "error: --limit has no value")


# Places that refuse


@pytest.fixture
def recorded(tmp_path: Path, packed: Path) -> Place:
    """A project with one stored run."""
    here = place(tmp_path)
    here.file("test_it.py", "def test_it(): assert False\n")
    assert here.bundle("add", str(packed)).code == 0
    return here


@contextlib.contextmanager
def mounted(*words: str, at: Path) -> Iterator[bool]:
    """Mount something for a while, where this process may; yield whether it was mounted."""
    may = sys.platform == "linux" and os.geteuid() == 0
    done = may and not subprocess.run(["mount", *words, str(at)], capture_output=True).returncode
    try:
        yield bool(done)
    finally:
        if done:
            subprocess.run(["umount", str(at)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write below a folder: by a mount as root, by its modes otherwise."""
    with mounted("--bind", "-o", "ro", str(folder), at=folder) as is_mounted:
        if not is_mounted:
            subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
        try:
            with contextlib.suppress(OSError):
                (folder / "probe").touch()
                (folder / "probe").unlink()
                cannot("a store cannot be made read-only here")
            yield
        finally:
            if not is_mounted:
                subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)


@posix_only
def test_a_read_only_store_is_read_as_ever(recorded: Place) -> None:
    with read_only(recorded.store):
        for words in (["list"], ["replay"], ["show"], ["export", "--to", "junit"], ["verify"]):
            ended = recorded.bundle(*words)
            assert (ended.code, "error" in ended.stderr) == (0, False), words
        assert recorded.bundle("pack", "-o", "out.zip").code == 0


@posix_only
def test_a_read_only_store_records_nothing_and_the_suite_runs_as_ever(recorded: Place) -> None:
    with read_only(recorded.store):
        ended = recorded.bundle("run", "--", sys.executable, "-m", "pytest", "-q")
    assert ended.code == 1
    assert "1 failed" in ended.stdout
    assert [line for line in ended.stderr.splitlines() if line.startswith("bundle: not")]
    assert len(ended.stderr.splitlines()) == 1


@posix_only
@pytest.mark.parametrize(
    "words", [["prune", "--keep-runs", "0"], ["verify", "--repair"], ["add", "other.zip"]]
)
def test_what_must_write_into_a_read_only_store_is_refused_with_2(
    recorded: Place, packed: Path, words: list[str]
) -> None:
    other = with_manifest(
        unpacked(packed, recorded.project / "other"), run_id="0" * 8 + "-0000-4000-8000-" + "0" * 12
    )
    shutil.make_archive(str(other), "zip", other)
    with read_only(recorded.store):
        ended = recorded.bundle(*words)
    assert ended.code == 2
    assert ended.stderr.count("error: ") == 1
    assert "Traceback" not in ended.stderr


@contextlib.contextmanager
def full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for 256 KiB below a folder: a small disk as root, a limit on each file otherwise."""
    import resource

    folder.mkdir(exist_ok=True)
    with mounted("-t", "tmpfs", "-o", "size=256k", "none", at=folder) as is_mounted:
        if is_mounted:
            yield
            return
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix_only
def test_a_disk_that_fills_while_recording_changes_nothing_for_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "def test_a():\n    print('x' * 2_000_000)\n    assert False\n")
    with full_disk(here.store, monkeypatch):
        ended = here.bundle("run", "--", sys.executable, "-m", "pytest", "-q", "--show-capture=no")
        assert (ended.code, "1 failed" in ended.stdout) == (1, True)
        assert "Traceback" not in ended.stderr
        warnings = [line for line in ended.stderr.splitlines() if "incomplete" in line]
        assert len(warnings) == 1, ended.stderr
        listed = here.bundle("list")
        assert (listed.code, len(listed.stdout.splitlines())) == (0, 3)
        for words in (["replay"], ["show"], ["verify"]):
            ended = here.bundle(*words)
            assert ended.code in (0, 1)
            assert "Traceback" not in ended.stderr
        shutil.rmtree(Store(here.store, here.project).find("latest").path)
        after = here.bundle("run", "--", sys.executable, "-c", "")
        assert (after.code, "run " in after.stderr) == (0, True), after.stderr
        assert here.latest().results.complete


@posix_only
@pytest.mark.parametrize("words", [["pack"], ["export", "--to", "junit"]])
def test_a_disk_that_fills_while_writing_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    here = place(tmp_path)
    code = "import os; print(os.urandom(600_000).hex())"
    here.file("test_it.py", f"def test_a():\n    {code}\n    assert False\n")
    here.bundle("run", "--", sys.executable, "-m", "pytest", "-q", "--show-capture=no")
    small = tmp_path / "small"
    with full_disk(small, monkeypatch):
        ended = here.bundle(*words, "-o", str(small / "out"))
        assert ended.code == 2, ended.stderr
        assert ended.stderr.count("error: ") == 1
        assert not list(small.iterdir())


@posix_only
def test_a_disk_that_fills_while_adding_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place(tmp_path)
    code = "import os; print(os.urandom(600_000).hex())"
    here.bundle("run", "--", sys.executable, "-c", code)
    here.bundle("pack", "-o", "big.zip")
    other = Place(here.project, tmp_path / "small")
    with full_disk(other.store, monkeypatch):
        ended = other.bundle("add", "big.zip")
        assert (ended.code, ended.stderr.count("error: ")) == (2, 1)
        assert not [path for path in other.store.rglob("*") if path.name == bundle.MANIFEST]
        assert other.bundle("list").code == 0


def test_standard_input_that_is_no_bundle_is_refused(
    said: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello")))
    for command in ("replay", "show", "export", "add", "verify"):
        assert refuse(said, command, "-").code == 3
