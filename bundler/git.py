"""What git says of a directory: asked at once, without locks, prompts or waiting.

Two questions run side by side while the caller does something else: `git status` for the commit,
the branch and whether tracked files were changed, and `git config` for the remote. Whatever goes
wrong, the answer is that it is absent, and why.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from bundler.redaction import strip_userinfo

TIMEOUT_S = 2.0

# A hook or an alias sets these; the directory that is asked about decides instead.
_DROPPED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
# The monitor is a daemon that would outlive the question and hold its pipes open.
_OPTIONS = ("-c", "core.fsmonitor=false")
_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")
_QUESTIONS = (
    (*_STATUS, "--ignore-submodules=dirty", "-z"),
    ("config", "-z", "--get-regexp", r"^remote\..*\.url$"),
)


class Git(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a working tree, or in `absent` why it is not known.

    `branch` is absent on a detached head, `commit` before the first commit. `dirty` speaks of
    tracked files only, as `git describe --dirty` does. `remote` is the URL of `origin`, else of the
    first remote, without its user-info.
    """

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    remote: str | None = None
    absent: str | None = None


class Asked:
    """Git processes that are under way; `answer` waits for them, and ends them at the deadline."""

    def __init__(self, cwd: Path, env: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._processes: list[subprocess.Popen[str]] = []
        self._absent = ""
        try:
            for question in _QUESTIONS:
                self._processes.append(_start(question, cwd, env))
        except FileNotFoundError:
            self._absent = "git is not installed" if cwd.is_dir() else "the directory is gone"
        except OSError as error:
            self._absent = f"git could not be started: {error.strerror}"

    def answer(self) -> Git:
        """Return what git said. Never raises for what git does, never waits past the deadline."""
        try:
            results = [self._finish(process) for process in self._processes]
        except subprocess.TimeoutExpired:
            return Git(absent=f"git took longer than {self._timeout_s:g} s")
        finally:
            self._end()
        if self._absent:
            return Git(absent=self._absent)
        (code, status, complaint), (_, remotes, _) = results
        return _parse(status, remotes) if code == 0 else Git(absent=_reason(complaint))

    def _finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, complaint = process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
        return process.returncode, out, complaint

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()


def _start(question: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["git", *_OPTIONS, *question],
        cwd=cwd,
        env=_quiet(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


def _quiet(env: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if name not in _DROPPED}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def _parse(status: str, remotes: str) -> Git:
    """Read `git status --porcelain=v2 --branch -z` (git-status(1)) and `git config -z`."""
    lines = [line for line in status.split("\0") if line]
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return Git(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        dirty=any(not line.startswith("# ") for line in lines),
        remote=_remote(remotes),
    )


def _remote(remotes: str) -> str | None:
    urls = dict(entry.split("\n", 1) for entry in remotes.split("\0") if "\n" in entry)
    url = urls.get("remote.origin.url") or next(iter(urls.values()), None)
    return strip_userinfo(url) if url else None


def _reason(complaint: str) -> str:
    """Say what git refused, without the paths in its message."""
    if "dubious ownership" in complaint:
        return "git refuses a repository that another user owns (safe.directory)"
    if "not a git repository" in complaint:
        return "not a git repository"
    if "must be run in a work tree" in complaint:
        return "the repository has no working tree"
    return f"git refused: {complaint.partition('fatal: ')[2].strip() or complaint.strip()}"[:200]
