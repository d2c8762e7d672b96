"""The GitHub action, its own blocks run in order as the runner does, and the workflow that uses it.

Emulated, after the runner's own rules: the files behind GITHUB_OUTPUT, GITHUB_ENV and
GITHUB_STEP_SUMMARY, the few expressions that the action uses, `if`, `continue-on-error`, and the
uploader. Everything else is real: bash, the command, `bundle`, the files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
import venv
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.schema import validator

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / ".github/actions/bundle/action.yml").read_bytes())
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_bytes())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
BASH = shutil.which("bash") or "bash"

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


# --- what is written down ----------------------------------------------------------------------


def test_no_expression_stands_inside_a_script() -> None:
    scripts = [step["run"] for step in STEPS if "run" in step]
    scripts += [step["run"] for step in workflow_steps() if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_every_script_says_which_shell_and_is_small() -> None:
    for step in STEPS:
        if "run" in step:
            assert step["shell"] == "bash"
            assert len(step["run"].splitlines()) <= 30


def test_what_runs_always_is_what_saves_the_recording() -> None:
    always = [step["id"] for step in STEPS if str(step.get("if", "")).startswith("always()")]
    assert always == ["pack", "scan", "upload", "summary"]
    spared = [step["id"] for step in STEPS if step.get("continue-on-error")]
    assert spared == ["install", "pack", "upload", "summary"]


def test_every_input_is_used_and_described() -> None:
    text = (ROOT / ".github/actions/bundle/action.yml").read_text()
    for name, declared in ACTION["inputs"].items():
        assert declared["description"].endswith(".")
        assert f"${{{{ inputs.{name} }}}}" in text
        assert declared.get("required") or "default" in declared


def test_actions_of_others_are_pinned() -> None:
    used = [step["uses"] for step in [*STEPS, *workflow_steps()] if "uses" in step]
    assert used
    for name in used:
        assert name.startswith("./") or re.search(r"@(v\d+(\.\d+)*|[0-9a-f]{40})$", name), name


# --- the workflow ------------------------------------------------------------------------------


def test_the_workflow_asks_for_no_permission_but_to_read() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [job for job in WORKFLOW["jobs"].values() if "permissions" in job]


def test_a_newer_push_cancels_the_older_run() -> None:
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True


def test_the_tests_run_on_three_systems_and_three_pythons() -> None:
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert WORKFLOW["jobs"]["test"]["strategy"]["fail-fast"] is False


def test_our_own_tests_are_recorded_by_our_own_action_with_the_readme_s_line() -> None:
    [step] = [one for one in workflow_steps() if one.get("uses") == "./.github/actions/bundle"]
    assert "runner.os == 'Linux' && 'bash .ci/run'" in step["with"]["command"]
    assert step["with"]["source"] == "."
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"<!-- tests -->\n+```\w*\n(.*?)```\n+<!-- end -->", readme, re.DOTALL)
    [line] = block.splitlines()
    assert "pytest" in line
    ran = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ran
    assert ("not slow" in line, "-m slow" in ran) == (True, True)


def workflow_steps() -> list[dict[str, Any]]:
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


# --- a job, as the runner runs it --------------------------------------------------------------


@dataclass
class Upload:
    """What the uploader took."""

    path: Path
    tool: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> dict[str, Any]:
        with zipfile.ZipFile(self.path) as archive:
            document: dict[str, Any] = json.loads(archive.read("manifest.json"))
        validator("manifest.v1").validate(document)
        return document

    def replay(self) -> str:
        command = [str(self.tool), "-I", "-m", "bundler", "replay", str(self.path)]
        command += ["--no-pager", "--color", "never"]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


@dataclass
class Job:
    """One job: its workspace, its matrix, what it printed, uploaded, and how it ended."""

    workspace: Path
    temporary: Path
    venv: Path
    github: dict[str, str]
    matrix: dict[str, Any] | None = None
    refuses_uploads: bool = False
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    result: str = "success"
    exit_code: int = 0
    log: str = ""
    summary: str = ""

    def run(
        self,
        command: str,
        *,
        env: dict[str, str] | None = None,
        matrix: dict[str, Any] | None = None,
        stop: Callable[[Job, subprocess.Popen[str]], None] | None = None,
        until: str = "",
        **inputs: str,
    ) -> None:
        """Use the action once, with these inputs, and these variables of the step that uses it."""
        defaults = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        given = defaults | {"venv": str(self.venv), "command": command}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        self.steps, self.matrix = {}, matrix
        for step in STEPS:
            evaluate = Expressions(given, self)
            outcome: str = "skipped"
            outputs: dict[str, str] = {}
            if evaluate.condition(step.get("if", "success()")):
                outcome, outputs = self._step(step, evaluate, env or {}, stop)
            self.steps[step["id"]] = {"outcome": outcome, "outputs": outputs}
            if outcome == "failure" and not step.get("continue-on-error"):
                self.result = "failure"
            if step["id"] == until:
                break

    def _step(
        self,
        step: dict[str, Any],
        evaluate: Expressions,
        env: dict[str, str],
        stop: Callable[[Job, subprocess.Popen[str]], None] | None,
    ) -> tuple[str, dict[str, str]]:
        if "uses" in step:
            return self._upload({k: evaluate.text(v) for k, v in step["with"].items()})
        files = {
            name: self.temporary / f"{step['id']}.{name}" for name in ("OUTPUT", "STEP_SUMMARY")
        }
        script = self.temporary / f"{step['id']}.sh"
        script.write_text(step["run"], encoding="utf-8")
        for file in files.values():
            file.write_text("")
        process = subprocess.Popen(
            [BASH, "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace / evaluate.text(step.get("working-directory", ".")),
            env=self.github
            | env
            | {name: evaluate.text(value) for name, value in step.get("env", {}).items()}
            | {f"GITHUB_{name}": str(file) for name, file in files.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        if step["id"] == "run" and stop is not None:
            stop(self, process)
        printed, _ = process.communicate(timeout=120)
        self.log += printed
        self.summary += files["STEP_SUMMARY"].read_text(encoding="utf-8")
        if step["id"] == "run":
            self.exit_code = process.returncode
        lines = files["OUTPUT"].read_text(encoding="utf-8").splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        return ("success" if process.returncode == 0 else "failure"), outputs

    def _upload(self, inputs: dict[str, str]) -> tuple[str, dict[str, str]]:
        """actions/upload-artifact, where `archive` is false: the file's name is the artifact's."""
        assert inputs["archive"] == "False"
        path = Path(inputs["path"])
        assert path.is_file()
        assert accepted(path.name), path
        if self.refuses_uploads or path.name in {upload.name for upload in self.uploads}:
            return "failure", {}
        self.uploads.append(Upload(path, python_of(self.venv)))
        number = len(self.uploads)
        return "success", {"artifact-url": f"https://example.org/artifacts/{number}"}

    def outcomes(self) -> str:
        """The steps that ran, with the outcome of those that did not succeed."""
        ran = {name: step["outcome"] for name, step in self.steps.items()}
        return " ".join(
            name if outcome == "success" else f"{name}={outcome}"
            for name, outcome in ran.items()
            if outcome != "skipped"
        )

    def only_upload(self) -> Upload:
        [upload] = self.uploads
        return upload


def accepted(name: str) -> bool:
    """Whether the uploader takes that name; one that begins with a dot it drops as hidden."""
    return bool(name) and not name.startswith(".") and not re.search(r'[":<>|*?\r\n\\/]', name)


@dataclass
class Expressions:
    """The few forms of expressions that the action uses; anything else is an error."""

    inputs: dict[str, str]
    job: Job

    def condition(self, text: str) -> bool:
        return all(self._term(term.strip()) for term in text.split("&&"))

    def text(self, value: Any) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: self._value(found[1]), str(value))

    def _term(self, term: str) -> bool:
        if term in ("always()", "success()"):
            return term == "always()" or self.job.result == "success"
        name, operator, empty = term.partition(" != ")
        assert (operator, empty) == (" != ", "''"), term
        return self._value(name) != ""

    def _value(self, name: str) -> str:
        if name == "toJSON(matrix)":
            return json.dumps(self.job.matrix, indent=2, ensure_ascii=False)
        context, *path = name.split(".")
        if context == "inputs":
            return self.inputs[".".join(path)]
        assert context == "steps" and path[1] == "outputs", name
        return str(self.job.steps[path[0]]["outputs"].get(path[2], ""))


def when_started(job: Job) -> int:
    """Wait until the test that waits has started; return its process."""
    marker = job.workspace / "started"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if marker.exists() and (text := marker.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the command did not start")


def kill_when_started(job: Job, process: subprocess.Popen[str]) -> None:
    """Kill the whole process group of the step, as a machine that goes down does."""
    child = when_started(job)
    os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def interrupt_when_started(job: Job, process: subprocess.Popen[str]) -> None:
    """The runner cancels with SIGINT to the step's own process, not to its group."""
    when_started(job)
    process.send_signal(signal.SIGINT)


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


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wheel(folder: Path) -> Path:
    """This project as a wheel without a build, that borrows the dependencies from here."""
    path = folder / "seedbundle-0.1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: seedbundle\nVersion: 0.1.0\n"
    tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"METADATA": about, "WHEEL": tags, "RECORD": ""}
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ROOT / "bundler").rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(ROOT).as_posix())
        archive.writestr("borrowed.pth", sysconfig.get_path("purelib") + "\n")
        for name, text in files.items():
            archive.writestr(f"seedbundle-0.1.0.dist-info/{name}", text)
    return path
