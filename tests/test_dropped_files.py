"""Whatever tests leave in their run bundle, it can be read afterwards, and what changed is said."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, place
from own_event_runs import Run, X

from bundler import bundle
from bundler.archive import open_directory, open_zip
from bundler.dropped_files import Bounds, Change, make_safe
from bundler.errors import HostileRecording
from bundler.limits import Limits
from bundler.recording import Recording
from bundler.verification import verify

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX file system")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "outside").write_text("not to be touched")
    (tmp_path / "tests").mkdir()
    yield tmp_path / "tests"
    assert (tmp_path / "outside").read_text() == "not to be touched"


def left(folder: Path) -> list[str]:
    """What is there now, which the gate reads."""
    return list(open_directory(folder))


def reasons(changes: list[Change]) -> dict[str, str]:
    return {one.name: one.why for one in changes}


def test_what_is_safe_stays(folder: Path) -> None:
    for name in ("a.png", "Upper.TXT", "a-b_c.1"):
        (folder / name).write_text(name)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "manifest.json").write_text("{}")
    assert make_safe(folder) == []
    assert left(folder) == sorted(["a.png", "Upper.TXT", "a-b_c.1", "deep/er/manifest.json"])


def test_a_folder_that_is_not_there_is_no_problem(folder: Path) -> None:
    assert make_safe(folder / "absent") == []


@POSIX
def test_what_is_no_file_is_removed_and_never_followed(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)  # the path of a socket may not be long
        listening.bind("socket")
        assert reasons(make_safe(folder)) == {
            "dangling": "is a link",
            "link": "is a link",
            "loop": "is a link",
            "pipe": "is a pipe",
            "socket": "is a socket",
        }
    assert list(folder.iterdir()) == []


@POSIX
@pytest.mark.parametrize("kind", ["link", "file"])
def test_the_folder_itself_may_have_been_replaced(folder: Path, kind: str) -> None:
    folder.rmdir()
    if kind == "link":
        folder.symlink_to(folder.parent)
    else:
        folder.write_text("")
    assert reasons(make_safe(folder)) == {"tests": "is no directory"}
    assert not os.path.lexists(folder)


BAD_NAMES = [
    *("CON", "aux.txt", "com1", "trailing.", "trailing ", ".hidden", "a:b", "a\\b", 'a"b', "a?"),
    *("größe.txt", "with space.txt", "-option"),
    *("new\nline", "\x1b[31m", "half.tmp", "run.lock", "x" * 121, "y" * 255),
]


@POSIX
@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_bad_name_is_changed_and_what_is_in_it_stays(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    if kind == "directory":
        path.mkdir()
        path = path / "inside"
    path.write_text("content")
    [change] = make_safe(folder)
    assert change.name == name
    assert change.became is not None
    [now] = left(folder)
    assert now == (change.became if kind == "file" else f"{change.became}/inside")
    assert (folder / now).read_text() == "content"
    assert make_safe(folder) == []


@POSIX
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no name that is not UTF-8")
def test_a_name_that_is_not_utf_8_is_changed(folder: Path) -> None:
    raw = os.fsencode(folder) + b"/\xff\xfe.png"
    with open(raw, "wb") as file:  # noqa: PTH123 - a Path holds no bytes
        file.write(b"content")
    [change] = make_safe(folder)
    assert "\\xff" not in (change.became or "") and left(folder) == [change.became]
    assert str(change).isprintable()


@POSIX
def test_names_that_differ_in_case_or_form_only_do_not_meet(folder: Path) -> None:
    names = ["Log.txt", "log.txt", "LOG.txt", "e", "\u00e9", "e\u0301"]
    for name in names:
        (folder / name).write_text(name)
    if len(list(folder.iterdir())) < len(names):
        pytest.skip("this file system has no such names")
    changes = make_safe(folder)
    assert len(changes) == 4
    found = {(folder / name).read_text() for name in left(folder)}
    assert found == set(names)
    assert len({name.casefold() for name in left(folder)}) == 6


@POSIX
def test_a_name_that_was_guessed_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    (folder / "CON").write_text("first")
    [change] = make_safe(folder)
    guessed = str(change.became)
    (folder / "CON").write_text("second")
    [again] = make_safe(folder)
    assert again.became != guessed
    assert (folder / guessed).read_text() == "first"
    assert (folder / str(again.became)).read_text() == "second"


def test_too_much_is_removed_in_the_order_of_names(folder: Path) -> None:
    for number in range(6):
        (folder / f"{number}").write_bytes(b"x" * 10)
    (folder / "5").write_bytes(b"x" * 100)
    found = reasons(make_safe(folder, Bounds(file=50, total=40)))
    assert found == {"4": "is beyond 40 bytes of all together", "5": "has 100 bytes, over 50"}
    found = reasons(make_safe(folder, Bounds(entries=3)))
    assert found == {"3": "is beyond 3 files and directories"}
    assert left(folder) == ["0", "1", "2"]


def test_a_sparse_file_counts_as_what_it_says(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert list(reasons(make_safe(folder))) == ["sparse"]


@POSIX
def test_a_tree_without_end_is_cut_however_deep(folder: Path) -> None:
    here = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        for _ in range(300):  # longer than a path may be
            os.mkdir("d" * 60)  # noqa: PTH102
            os.chdir("d" * 60)
        Path("bottom").write_text("x")
    finally:
        os.chdir(here)
    [change] = make_safe(folder)
    assert change.why == "has a path of over 700 bytes"
    assert left(folder) == []
    (folder / "/".join("d" * 25)).mkdir(parents=True)
    [change] = make_safe(folder, Bounds(path=10_000))
    assert change.why == "lies over 24 directories deep"


@POSIX
def test_what_its_owner_may_not_read_is_made_readable(folder: Path) -> None:
    (folder / "shut").mkdir()
    (folder / "shut" / "file").write_text("x")
    (folder / "shut" / "file").chmod(0)
    (folder / "shut").chmod(0)
    assert make_safe(folder) == []
    assert (folder / "shut").stat().st_mode & 0o700 == 0o700
    assert (folder / "shut" / "file").stat().st_mode & 0o600 == 0o600


# --- in a run ----------------------------------------------------------------------------------

DROPS = """
import os
here = os.environ["BUNDLE_ARTIFACTS_DIR"]
assert here == os.environ["ASUPERSYNC_TEST_ARTIFACTS_DIR"]
os.chdir(here)
os.symlink("/etc/passwd", "link")
os.mkfifo("pipe")
open("CON", "w").write("con")
open(b"\\xff.txt", "w").write("ff")
open("Case", "w").write("1"); open("case", "w").write("2")
os.makedirs("fine/deep"); open("fine/deep/plain.txt", "w").write("plain")
open("sparse", "wb").truncate(1 << 40)
for _ in range(100):
    os.mkdir("d" * 60); os.chdir("d" * 60)
"""


def files(recording: Recording) -> dict[str, bytes]:
    return {name: recording.files[name] for name in recording.files if name.startswith("tests/")}


@POSIX
def test_what_a_suite_drops_is_in_its_run_and_what_changed_is_said(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("drop.py", DROPS)
    ended = here.bundle("run", "--", sys.executable, "drop.py")
    assert ended.code == 0
    [line] = [line for line in ended.stderr.splitlines() if "renamed or removed" in line]
    assert line.startswith("bundle: 7 files that the tests left had to be renamed or removed: ")
    assert "'CON' has a name that is reserved on Windows, now 'CON-" in line
    assert line.endswith("; 4 more")
    run = here.latest()
    assert verify(run) == []
    kept = files(run)
    assert kept["tests/fine/deep/plain.txt"] == b"plain"
    assert sorted(kept.values()) == sorted([b"con", b"ff", b"1", b"2", b"plain"])
    [warning] = run.results.warnings
    assert warning["warning"] == "ArtifactsChanged"
    deep = "/".join(["d" * 60] * 12)
    assert {one["name"] for one in warning["artifacts"]} == {
        *("CON", "case", "link", "pipe", "\\xff.txt", "sparse", deep),
    }
    packed = tmp_path / "run.zip"
    assert here.bundle("pack", "-o", str(packed)).code == 0
    assert files(bundle.from_members(open_zip(packed, where="x"), where="x")) == kept


@POSIX
def test_what_a_suite_drops_never_fails_the_run(tmp_path: Path) -> None:
    here = place(tmp_path)
    replaced = "import os; h = os.environ['BUNDLE_ARTIFACTS_DIR']; os.rmdir(h); os.symlink('/', h)"
    ended = here.bundle("run", "--", sys.executable, "-c", replaced)
    assert (ended.code, here.latest().manifest.status.state) == (0, "passed")
    assert "'tests' is no directory" in ended.stderr


@POSIX
def test_where_the_recorder_vanished_a_repair_makes_it_safe(tmp_path: Path) -> None:
    here = place(tmp_path)
    kill = "import os; os.symlink('/', os.environ['BUNDLE_ARTIFACTS_DIR'] + '/link')\n"
    kill += "os.kill(os.getppid(), 9)"
    assert here.bundle("run", "--", sys.executable, "-c", kill).code == -9
    refused = here.bundle("replay")
    assert refused.code == 3 and "link" in refused.stderr
    repaired = here.bundle("verify", "--repair")
    assert "tests: 'link' is a link" in repaired.stderr
    assert here.bundle("replay").code == 0
    assert here.latest().manifest.status.state == "interrupted"


@POSIX
def test_a_live_run_shows_what_is_there_and_names_what_it_passes_over(tmp_path: Path) -> None:
    here = place(tmp_path)
    run = Run(tmp_path / "run", [X])
    with run.test(X, prints="said so far\n") as harness:
        harness.attach(b"...", "kept.bin")
    left = run.directory / "tests" / "left"
    left.mkdir()
    (left / "link").symlink_to("/")
    os.mkfifo(left / "pipe")
    with (left / "huge").open("wb") as huge:
        huge.truncate(Limits().member_bytes + 1)
    whole = here.bundle("replay", str(run.directory))
    one = here.bundle("replay", str(run.directory), X)
    packed = here.bundle("pack", str(run.directory), "-o", "live.zip")
    run.end()
    assert "said so far" in one.stdout
    for ended in (whole, one, packed):
        said = [line for line in ended.stderr.splitlines() if "; passed over" in line]
        assert ended.code == 0
        assert [line.split("'")[1].rpartition("/")[2] for line in said] == ["huge", "link", "pipe"]
    assert X in here.bundle("replay", "live.zip", "--final-status-level", "all").stdout


@POSIX
def test_a_live_run_whose_folder_is_a_link_is_shown(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [X])
    (run.directory / "tests").symlink_to("/")
    recording = bundle.read_directory(run.directory)
    assert [test.test_id for test in recording.results.tests] == [X]
    [problem] = recording.problems
    assert problem.startswith("'tests' is a link") and "passed over" in problem
    (run.directory / "tests").unlink()
    run.end()


@POSIX
@pytest.mark.parametrize("name", ["link", "tests2", "tests/../source"])
def test_a_link_elsewhere_in_a_live_run_is_refused(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / "run", [X])
    (run.directory / "tests").mkdir()
    (run.directory / name).symlink_to("/")
    with pytest.raises(HostileRecording, match="is a link"):
        bundle.read_directory(run.directory)
    (run.directory / name).unlink()
    run.end()


@POSIX
def test_a_sealed_run_with_a_link_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", [X])
    (run.directory / "tests").mkdir()
    (run.directory / "tests" / "link").symlink_to("/")
    bundle.read_directory(run.directory)
    run.end()
    with pytest.raises(HostileRecording, match="'tests/link' is a link"):
        bundle.read_directory(run.directory)


def test_a_variable_that_the_user_set_stays(tmp_path: Path) -> None:
    here = place(tmp_path)
    words = "import os; print(os.environ['BUNDLE_ARTIFACTS_DIR'])"
    ended = here.bundle("run", "--", sys.executable, "-c", words, BUNDLE_ARTIFACTS_DIR="/mine")
    assert ended.stdout == "/mine\n"


def test_a_run_inside_a_run_has_a_place_of_its_own(tmp_path: Path) -> None:
    here = place(tmp_path)
    words = "import os; print(os.environ['BUNDLE_ARTIFACTS_DIR'], os.environ['BUNDLE_RUN_ID'])"
    here.file("inner.py", words)
    bundle_run = [sys.executable, "-m", "bundler", "run", "--", sys.executable]
    ended = here.bundle("run", "--", *bundle_run, "inner.py")
    directory, run_id = ended.stdout.split()
    assert run_id in directory


def test_a_run_that_left_nothing_has_no_folder_for_it(tmp_path: Path) -> None:
    here: Place = place(tmp_path)
    here.bundle("run", "--", sys.executable, "-c", "pass")
    assert not (Path(here.latest().where) / "tests").exists()
