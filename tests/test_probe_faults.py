"""Whatever becomes of the log, pytest ends as it would have; one line on stderr says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from probe_driver import PYTHON, Ran, Workshop, settled, unmet

SOURCE = """
import warnings
def test_passes(): print("said")
def test_warns(): warnings.warn("old")
def test_fails(): assert False
def test_passes_too(): pass
"""
ARGS = ("-p", "no:cacheprovider", "-v")
SAID = re.compile(r"bundle: recording stopped: [^\n]+\n")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """What the suite does without the probe."""
    shop = Workshop(tmp_path_factory.mktemp("plain"))
    shop.lay({"test_it.py": SOURCE})
    return comparable(shop, shop.plain(*ARGS))


def comparable(shop: Workshop, ran: Ran) -> Ran:
    """Take out where and how fast a suite ran."""
    return Ran(ran.exit_code, settled(ran.stdout.replace(str(shop.suite), "SUITE")), ran.stderr)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A place with a suite in it that passes, warns and fails."""
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": SOURCE})
    return shop


def assert_undisturbed(shop: Workshop, probed: Ran, plain: Ran) -> None:
    """Exit code and terminal are as without the probe, but for one line at the very end."""
    assert probed.exit_code == plain.exit_code == 1
    assert comparable(shop, probed).stdout == plain.stdout
    assert plain.stderr == ""
    assert SAID.fullmatch(probed.stderr), probed.stderr


def test_a_full_disk_is_one_line(shop: Workshop, plain: Ran) -> None:
    probed = shop.probed(*ARGS, log=Path("/dev/full"))
    assert_undisturbed(shop, probed, plain)
    assert "No space left on device" in probed.stderr


def test_a_log_that_is_not_there_is_one_line_and_is_not_made(shop: Workshop, plain: Ran) -> None:
    probed = shop.probed(*ARGS, log=shop.place / "nowhere" / "events.ndjson")
    assert_undisturbed(shop, probed, plain)
    assert not (shop.place / "nowhere").exists()


def test_a_log_that_is_a_directory_is_one_line(shop: Workshop, plain: Ran) -> None:
    assert_undisturbed(shop, shop.probed(*ARGS, log=shop.place), plain)


def test_a_log_that_is_full_in_the_middle_keeps_its_whole_lines(shop: Workshop, plain: Ran) -> None:
    limited = ("bash", "-c", 'ulimit -f 4; exec "$@"', "limited")
    probed = shop.probed(*ARGS, prefix=limited)
    assert_undisturbed(shop, probed, plain)
    assert "File too large" in probed.stderr
    assert [line.problem for line in probed.lines][-1:] in (["torn"], [""])
    assert all(not line.problem for line in probed.lines[:-1])
    assert probed.results.sessions and not probed.results.sessions[0].finished


def test_settings_that_mean_nothing_are_one_line(shop: Workshop) -> None:
    probed = shop.probed(*ARGS, v=2)
    assert probed.exit_code == 1
    assert probed.stderr == "bundle: not recording: BUNDLE_PROBE is not of version 1\n"


def test_the_first_failure_disarms_for_good(shop: Workshop) -> None:
    # The log is exchanged, so that the descriptor's own check fails once and would succeed later.
    shop.lay({
        "test_it.py": SOURCE,
        "conftest.py": f"""
import os, pytest
LOG = {str(shop.log)!r}
@pytest.fixture(autouse=True)
def meddle(request):
    if request.node.name == "test_warns":
        os.rename(LOG, LOG + ".away")
        open(LOG, "w").close()
        os.closerange(3, 1000)
    if request.node.name == "test_fails":
        os.replace(LOG + ".away", LOG)
""",
    })  # fmt: skip
    quiet = (*ARGS, "--capture=sys", "-p", "no:logging", "-p", "no:faulthandler")
    probed = shop.probed(*quiet)
    assert SAID.fullmatch(probed.stderr)
    assert "the log was replaced" in probed.stderr
    assert probed.verdicts() == {
        "test_it.py::test_passes": "passed",
        "test_it.py::test_warns": "unfinished",
        "test_it.py::test_fails": "not_run",
        "test_it.py::test_passes_too": "not_run",
    }


@pytest.mark.parametrize(
    "target",
    ["attempts.Attempts._take", "session.Session._write_start", "session.Session._finish",
     "recorder.Recorder.collected"],
)  # fmt: skip
def test_a_mistake_of_the_probe_itself_is_one_line(shop: Workshop, plain: Ran, target: str) -> None:
    # Stands for any defect: something that the probe relies on raises.
    shop.lay({
        "test_it.py": SOURCE,
        "conftest.py": f"""
from bundle_probe import {target.split(".")[0]}
def broken(*args, **more): raise ZeroDivisionError("a defect")
{target} = broken
""",
    })  # fmt: skip
    probed = shop.probed(*ARGS)
    assert_undisturbed(shop, probed, plain)
    assert "ZeroDivisionError: a defect" in probed.stderr


def test_the_line_comes_from_the_process_that_began_alone(shop: Workshop) -> None:
    shop.lay({"test_it.py": "import os\ndef test_forks(): os.fork()\ndef test_after(): pass\n"})
    probed = shop.probed("-p", "no:cacheprovider", log=Path("/dev/full"))
    assert len(SAID.findall(probed.stderr)) == 1


@pytest.mark.skipif(unmet(("xdist",)) != [], reason=f"{PYTHON} has no xdist")
class TestWorkers:
    def test_a_full_disk_is_one_line_for_all(self, shop: Workshop) -> None:
        probed = shop.probed("-n2", *ARGS, log=Path("/dev/full"))
        assert probed.exit_code == 1
        assert SAID.fullmatch(probed.stderr), probed.stderr
        assert "1 failed, 3 passed" in probed.stdout

    def test_a_worker_that_cannot_open_the_log_is_named(self, shop: Workshop) -> None:
        # The controller has it open; a worker on another machine would find no such file.
        shop.lay({
            "test_it.py": SOURCE,
            "conftest.py": f"""
import os
LOG = {str(shop.log)!r}
def pytest_xdist_setupnodes(): os.rename(LOG, LOG + ".away")
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        os.rename(LOG + ".away", LOG)
""",
        })  # fmt: skip
        probed = shop.probed("-n2", *ARGS)
        assert probed.exit_code == 1
        assert SAID.fullmatch(probed.stderr), probed.stderr
        told = [d["message"] for d in probed.named("Warning") if d["warning"] == "NotRecorded"]
        assert sorted(message.split(": ")[0] for message in told) == [
            "the tests of worker gw0 are not recorded",
            "the tests of worker gw1 are not recorded",
        ]
        assert "No such file" in told[0]
        assert set(probed.verdicts().values()) == {"not_run"}
        assert probed.results.sessions[0].finished
