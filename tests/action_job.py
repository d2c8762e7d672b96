"""A job that uses the GitHub action, as the runner runs it: its blocks in order, and its uploads.

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
import sysconfig
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bundler.schema import validator

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / ".github/actions/bundle/action.yml").read_bytes())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
BASH = shutil.which("bash") or "bash"


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
