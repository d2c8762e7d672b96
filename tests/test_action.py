"""The GitHub action, its own blocks run in order as the runner does (`action_job`)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path
from typing import Any

import pytest
from action_job import (
    ROOT,
    Job,
    accepted,
    interrupt_when_started,
    kill_when_started,
    python_of,
    wheel,
)

SUITE = """
    def test_adds():
        assert 1 + 1 == 2

    def test_waits():
        import os, pathlib, time
        pathlib.Path("started").write_text(str(os.getpid()))
        time.sleep(float(os.environ.get("WAIT", "0")))

    def test_fails():
        assert 1 + 1 == int(__import__("os").environ.get("SUM", "2"))
"""
PYTEST = f'"{sys.executable}" -m pytest -q -p no:cacheprovider test_suite.py'

needs_process_groups = pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")


# --- three jobs --------------------------------------------------------------------------------


def test_a_job_that_passes_uploads_one_bundle_that_replays(job: Job) -> None:
    job.run(PYTEST)
    assert job.result == "success"
    assert job.outcomes() == "prepare install run pack scan upload summary"
    uploaded = job.only_upload()
    assert uploaded.manifest["status"]["state"] == "passed"
    assert "3 tests run: 3 passed" in uploaded.replay()


def test_a_job_that_fails_uploads_one_bundle_and_fails_as_the_command_did(job: Job) -> None:
    job.run(PYTEST, env={"SUM": "3"})
    assert (job.result, job.exit_code) == ("failure", 1)
    assert job.outcomes() == "prepare install run=failure pack scan upload summary"
    uploaded = job.only_upload()
    assert uploaded.manifest["status"] == {"state": "failed", "exit_code": 1}
    assert "assert (1 + 1) == 3" in uploaded.replay()


@needs_process_groups
def test_a_job_that_is_killed_uploads_what_was_recorded_until_then(job: Job) -> None:
    job.run(PYTEST, env={"WAIT": "60"}, stop=kill_when_started)
    assert (job.result, job.exit_code) == ("failure", -signal.SIGKILL)
    assert job.outcomes() == "prepare install run=failure pack scan upload summary"
    uploaded = job.only_upload()
    assert uploaded.manifest["status"]["state"] in ("running", "interrupted")
    shown = uploaded.replay()
    assert "test_suite.py::test_adds" in shown
    assert "test_suite.py::test_waits" in shown


@needs_process_groups
def test_a_job_that_is_cancelled_uploads_a_sealed_bundle(job: Job) -> None:
    job.run(PYTEST, env={"WAIT": "60"}, stop=interrupt_when_started)
    assert job.result == "failure"
    assert job.outcomes() == "prepare install run=failure pack scan upload summary"
    assert job.only_upload().manifest["status"]["state"] == "cancelled"


# --- what is uploaded --------------------------------------------------------------------------


def test_the_name_holds_run_attempt_job_matrix_and_shard(job: Job) -> None:
    job.run("true", name="unit tests", shard="2/4", matrix={"os": "ubuntu-latest", "python": 3.12})
    assert re.fullmatch(
        r"unit-tests-1658821493-2-test-os-ubuntu-latest-python-3\.12-shard-2of4-\w{6}\.zip",
        job.only_upload().name,
    )


HOSTILE = [
    '"a:b<c>d|e*f?g\\h/i\r\nj',
    "..",
    "-rf",
    "$(touch owned)`touch owned`'; touch owned; '",
    "${{ github.token }}",
    "名前",
    "",
    "x" * 500,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_uploader_accepts_whatever_the_name_is_made_of(job: Job, hostile: str) -> None:
    job.github["GITHUB_JOB"] = hostile or "test"
    matrix = {"os": hostile, hostile: [hostile]}
    job.run("true", name=hostile, shard=hostile, matrix=matrix, until="prepare")
    name = job.steps["prepare"]["outputs"]["artifact"]
    assert accepted(name)
    assert len(name) <= 120
    assert name.endswith(".zip")


def test_nothing_that_a_job_is_given_is_taken_for_a_command(job: Job) -> None:
    hostile = "".join(HOSTILE[:5])
    job.run("true", name=hostile, shard=hostile, matrix={"os": hostile})
    assert job.result == "success"
    assert job.only_upload().manifest["ci"]["shard"] == hostile
    assert [path.name for path in job.workspace.iterdir()] == ["test_suite.py"]


def test_two_bundles_of_one_job_have_two_names(job: Job) -> None:
    job.run("true")
    job.run("true")
    assert job.result == "success"
    assert len({upload.name for upload in job.uploads}) == 2


def test_the_manifest_knows_where_it_was_recorded(job: Job) -> None:
    job.run("true", shard="2/4", matrix={"os": "ubuntu-latest", "python": "3.12"})
    ci = job.only_upload().manifest["ci"]
    assert ci["url"] == "https://github.com/octo/project/actions/runs/1658821493/attempts/2"
    assert (ci["matrix"], ci["shard"]) == ("os=ubuntu-latest, python=3.12", "2/4")


def test_the_summary_says_what_became_of_it_and_how_to_see_it(job: Job) -> None:
    job.run(PYTEST, env={"SUM": "3"})
    name = job.only_upload().name
    assert f"[{name}](https://example.org/artifacts/1)" in job.summary
    assert "3 tests run: 2 passed, 1 failed" in job.summary
    assert "test_suite.py::test_fails" in job.summary
    assert f"`bundle replay {name}`" in job.summary
    assert "`pipx install seedbundle`" in job.summary


def test_the_summary_is_bounded_and_says_what_it_left_out(job: Job) -> None:
    many = [f"def test_{number:03}_{'x' * 400}(): assert 0\n" for number in range(100)]
    (job.workspace / "test_suite.py").write_text("".join(many))
    job.run(PYTEST)
    assert re.search(r"\(\d\d more lines\)", job.summary)
    head, *quoted, foot = filter(None, job.summary.splitlines())
    assert head.startswith("**Recorded:**")
    assert foot.startswith("`bundle replay")
    assert 10 < len(quoted) <= 60
    assert all(line.startswith("    ") and len(line) <= 304 for line in quoted)


def test_nothing_of_a_stranger_is_markup_in_the_summary(job: Job) -> None:
    ids = ["<script>x</script>", "```", "a\n\n<img src=x>", "[x](https://example.org)"]
    (job.workspace / "test_suite.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('x', {ids!r}, ids=str)\ndef test_x(x): assert 0\n"
    )
    job.run(PYTEST)
    head, *quoted, _foot = filter(None, job.summary.splitlines())
    assert "<" not in head
    assert any("<script>" in line for line in quoted)
    assert all(line.startswith("    ") for line in quoted)  # a block of code


# --- where a secret is left --------------------------------------------------------------------

SECRET = "kX7-canary-9QzR4mW2"
LEAVES_PACKED = f"""
import gzip, os, pathlib, sys
place = pathlib.Path(os.environ["BUNDLE_ARTIFACTS_DIR"])
place.mkdir(exist_ok=True)
(place / "page.gz").write_bytes(gzip.compress(os.environ.get("API_TOKEN", "{SECRET}").encode()))
print("see", "{SECRET}")
sys.exit(int(os.environ.get("CODE", "0")))
"""


def leaves_a_secret(job: Job, env: dict[str, str], **inputs: Any) -> None:
    (job.workspace / "leaves.py").write_text(LEAVES_PACKED)
    job.run(f'"{sys.executable}" leaves.py', env=env, **inputs)


def test_a_secret_that_is_left_is_not_uploaded_and_the_job_fails(job: Job) -> None:
    leaves_a_secret(job, {"API_TOKEN": SECRET})
    assert (job.result, job.exit_code) == ("failure", 0)
    assert job.outcomes() == "prepare install run pack scan=failure"
    assert job.uploads == []
    assert "tests/page.gz:1: byte 0: the value of API_TOKEN (19 bytes)\n" in job.log
    assert "::error title=bundle::there are secrets in what was recorded;" in job.log
    assert "scan: false" in job.log
    assert "**Not uploaded:** there are secrets" in job.summary
    said = job.log.replace(f"see {SECRET}", "")  # what the command itself printed
    assert SECRET not in said + job.summary


def test_a_command_that_fails_beside_a_secret_ends_as_it_ended(job: Job) -> None:
    leaves_a_secret(job, {"API_TOKEN": SECRET, "CODE": "3"})
    assert (job.result, job.exit_code) == ("failure", 3)
    assert job.outcomes() == "prepare install run=failure pack scan=failure"


def test_a_secret_that_was_masked_does_not_matter(job: Job) -> None:
    job.run(f"echo see {SECRET}", env={"API_TOKEN": SECRET})
    assert job.result == "success"
    assert "***$API_TOKEN***" in job.only_upload().replay()


def test_whoever_asks_for_it_uploads_unseen(job: Job) -> None:
    leaves_a_secret(job, {"API_TOKEN": SECRET}, scan="false")
    assert job.result == "success"
    assert job.outcomes() == "prepare install run pack scan upload summary"
    assert job.only_upload()


@pytest.mark.parametrize("word", ["", "no", "False "])
def test_any_other_word_searches(job: Job, word: str) -> None:
    leaves_a_secret(job, {"API_TOKEN": SECRET}, scan=word)
    assert job.uploads == []


def test_what_cannot_be_searched_is_not_uploaded_and_does_not_fail_the_job(job: Job) -> None:
    bomb = "import gzip; gzip.open('z.gz', 'wb').write(bytes(1 << 27))"
    move = 'mkdir -p "$BUNDLE_ARTIFACTS_DIR" && mv z.gz "$BUNDLE_ARTIFACTS_DIR"'
    job.run(f'"{sys.executable}" -c "{bomb}"\n{move}')
    assert job.outcomes() == "prepare install run pack scan"
    assert job.result == "success"
    assert job.uploads == []
    assert "::warning title=bundle::it could not be searched for secrets" in job.log


# --- how the command is run --------------------------------------------------------------------


@pytest.mark.parametrize("code", [3, 255])
def test_the_job_ends_with_the_exit_code_of_the_command(job: Job, code: int) -> None:
    job.run(f"exit {code}")
    assert job.exit_code == code
    assert job.only_upload().manifest["status"]["exit_code"] == code


def test_a_plain_command_is_started_without_a_shell(job: Job) -> None:
    job.run(f'"{sys.executable}" -V\n')
    assert job.only_upload().manifest["command"]["argv"] == [sys.executable, "-V"]


def test_a_script_runs_to_its_first_failure(job: Job) -> None:
    job.run("echo one > first\nfalse | cat\necho two > second\n")
    assert job.exit_code == 1
    assert (job.workspace / "first").exists()
    assert not (job.workspace / "second").exists()


@pytest.mark.parametrize(
    "command",
    [
        "A='x y' sh -c 'echo $A > out'",
        "echo 'x y' > out",
        "cd . && echo x' 'y >out",
        "printf 'x y' | cat > out",
    ],
)
def test_whatever_bash_understands_may_be_a_command(job: Job, command: str) -> None:
    job.run(command)
    assert (job.workspace / "out").read_text().strip() == "x y"


def test_the_command_runs_where_it_is_told_to(job: Job) -> None:
    (job.workspace / "sub dir").mkdir()
    job.run("pwd > here", working_directory="sub dir")
    assert (job.workspace / "sub dir" / "here").exists()
    assert job.only_upload()


def test_the_command_sees_none_of_the_action_s_own_variables(job: Job) -> None:
    job.run("env > seen")
    seen = dict(
        line.split("=", 1)
        for line in (job.workspace / "seen").read_text().splitlines()
        if "=" in line
    )
    assert not {"COMMAND", "TOOL", "DIRECTORY", "ARTIFACT"} & seen.keys()
    assert seen["GITHUB_RUN_ID"] == "1658821493"


# --- where recording is not possible -----------------------------------------------------------


def test_where_bundle_cannot_be_installed_the_command_runs_all_the_same(job: Job) -> None:
    job.run("echo ran > out; exit 3", venv=str(job.workspace / "none"))
    assert (job.result, job.exit_code) == ("failure", 3)
    assert job.outcomes() == "prepare install=failure run=failure pack"
    assert (job.workspace / "out").exists()
    assert job.uploads == []
    assert "::warning title=bundle::bundle could not be installed" in job.log
    assert "::warning title=bundle::nothing was recorded" in job.log


def test_where_the_store_cannot_be_written_the_command_runs_all_the_same(job: Job) -> None:
    (job.workspace / "file").touch()
    job.run("echo ran > out", store=str(job.workspace / "file"))
    assert job.result == "success"
    assert (job.workspace / "out").exists()
    assert job.uploads == []


def test_an_upload_that_fails_does_not_fail_the_job(job: Job) -> None:
    job.refuses_uploads = True
    job.run("true")
    assert job.result == "success"
    assert job.outcomes() == "prepare install run pack scan upload=failure summary"


@pytest.mark.slow
def test_bundle_is_installed_from_what_is_asked_for(job: Job, tmp_path: Path) -> None:
    # No network in tests: pip installs this very project, and its dependencies are borrowed.
    job.github |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    job.run("sleep 0", venv="", source=str(wheel(tmp_path)), python=sys.executable)
    assert job.outcomes() == "prepare install run pack scan upload summary"
    assert job.only_upload().manifest["recorder"]["version"]


# --- where bundle is installed -----------------------------------------------------------------


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has this checkout, and borrows the dependencies from here."""
    folder = tmp_path_factory.mktemp("tool") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    command = [str(python_of(folder)), "-I", "-c", code]
    packages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "borrowed.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    return folder


@pytest.fixture
def job(tmp_path: Path, installed: Path) -> Job:
    workspace, temporary = tmp_path / "workspace", tmp_path / "_temp"
    workspace.mkdir()
    temporary.mkdir()
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "HOME", "LANG")
    github = {name: os.environ[name] for name in kept if name in os.environ}
    github |= {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_JOB": "test",
        "GITHUB_REPOSITORY": "octo/project",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_RUN_ID": "1658821493",
        "GITHUB_SERVER_URL": "https://github.com",
        "RUNNER_TEMP": str(temporary),
    }
    (workspace / "test_suite.py").write_text(textwrap.dedent(SUITE))
    return Job(workspace, temporary, installed, github)
