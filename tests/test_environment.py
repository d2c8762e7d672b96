"""environment.json: what is kept of where a run happened, and what must never be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from bundler.environment import MAX_VALUE_CHARACTERS, VARIABLES, ci_coordinates, collect, variables
from bundler.git import Asked, Git
from bundler.machine import Memory, Processors, cgroup_files, limits, memory, processors, time_zone
from bundler.manifest import FORMAT_MINOR

# What git and the system need to start at all; nothing of whoever runs the tests.
BARE = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
AUTHOR = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
ENV = BARE | AUTHOR


def git(cwd: Path, *words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit on `trunk` and one tracked file."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "tracked").write_text("one\n")
    git(tmp_path, "add", "tracked")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def asked(cwd: Path, env: Mapping[str, str] = ENV) -> Git:
    return Asked(cwd, env).answer()


# --- git ---------------------------------------------------------------------------------------


def test_the_commit_and_the_branch_are_named(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert asked(repository) == Git(commit=commit, branch="trunk", dirty=False)


def test_a_directory_inside_the_working_tree_says_the_same(repository: Path) -> None:
    (repository / "deep" / "er").mkdir(parents=True)
    assert asked(repository / "deep" / "er") == asked(repository)


def test_a_changed_tracked_file_makes_it_dirty_and_an_untracked_one_does_not(
    repository: Path,
) -> None:
    (repository / "untracked").touch()
    assert asked(repository).dirty is False
    (repository / "tracked").write_text("two\n")
    assert asked(repository).dirty is True
    git(repository, "add", "tracked")
    assert asked(repository).dirty is True


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    assert asked(repository) == Git(commit=git(repository, "rev-parse", "HEAD"), dirty=False)


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    assert asked(tmp_path) == Git(branch="trunk", dirty=False)


def test_the_remote_is_origin_without_its_user_info(repository: Path) -> None:
    git(repository, "remote", "add", "backup", "https://b:secret@b.example.org/x")
    assert asked(repository).remote == "https://b.example.org/x"
    git(repository, "remote", "add", "origin", "https://me:secret@a.example.org/x.git")
    assert asked(repository).remote == "https://a.example.org/x.git"


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_what_a_hook_sets_does_not_lead_astray(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, variable: str
) -> None:
    elsewhere = str(tmp_path_factory.mktemp("elsewhere") / "x")
    assert asked(repository, ENV | {variable: elsewhere}) == asked(repository)


def test_asking_takes_no_lock_and_writes_nothing(repository: Path) -> None:
    (repository / "tracked").write_text("one\n")  # the same content, another time
    os.utime(repository / "tracked", (1, 1))
    index = repository / ".git" / "index"
    before = index.read_bytes()
    assert asked(repository).dirty is False
    assert index.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="the monitor of this test is a shell script")
def test_no_monitor_of_the_repository_is_started(repository: Path) -> None:
    monitor = repository / ".git" / "monitor"
    monitor.write_text("#!/bin/sh\ntouch .git/started\n")
    monitor.chmod(0o755)
    git(repository, "config", "core.fsmonitor", ".git/monitor")
    assert asked(repository).dirty is False
    assert not (repository / ".git" / "started").exists()


def test_outside_of_a_repository_it_is_absent(tmp_path: Path) -> None:
    env = ENV | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    assert asked(tmp_path, env) == Git(absent="not a git repository")


def test_a_bare_repository_has_no_working_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    assert asked(tmp_path) == Git(absent="the repository has no working tree")


def test_a_repository_of_another_user_is_absent_and_says_why(repository: Path) -> None:
    assert asked(repository, ENV | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}) == Git(
        absent="git refuses a repository that another user owns (safe.directory)"
    )


def test_any_other_refusal_is_passed_on(repository: Path) -> None:
    (repository / ".git" / "config").write_text("[core\n")
    reason = asked(repository).absent or ""
    assert reason.startswith("git refused: bad config line 1")


def test_without_git_it_is_absent(tmp_path: Path) -> None:
    assert asked(tmp_path, {"PATH": str(tmp_path)}) == Git(absent="git is not installed")


def test_a_directory_that_is_gone_is_told_apart_from_a_missing_git(tmp_path: Path) -> None:
    assert (asked(tmp_path / "gone").absent or "").startswith("the directory is gone")


def test_a_git_that_takes_too_long_is_given_up(repository: Path) -> None:
    assert Asked(repository, ENV, timeout_s=0).answer() == Git(absent="git took longer than 0 s")


@pytest.mark.skipif(os.name == "nt", reason="the git of this test is a shell script")
def test_a_git_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "git").write_text('#!/bin/sh\necho $$ >> "$PIDS"\nexec sleep 60\n')
    (tmp_path / "git").chmod(0o755)
    pids = tmp_path / "pids"
    env = ENV | {"PATH": f"{tmp_path}:{ENV['PATH']}", "PIDS": str(pids)}
    began = time.monotonic()
    assert Asked(tmp_path, env, timeout_s=0.5).answer() == Git(absent="git took longer than 0.5 s")
    assert time.monotonic() - began < 10
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


# --- variables ---------------------------------------------------------------------------------


def test_only_listed_names_are_kept() -> None:
    env = {"TZ": "UTC", "LANG": "C", "HOME": "/home/me", "PATH": "/bin", "MY_TZ": "x", "TZ2": "x"}
    assert variables(env) == {"LANG": "C", "TZ": "UTC"}


@pytest.mark.parametrize("name", ["HOME", "PATH", "USER", "GITHUB_TOKEN", "CI_JOB_TOKEN", "PWD"])
def test_the_list_leaves_out_what_is_the_user_s_own(name: str) -> None:
    assert name not in VARIABLES


def test_secret_looking_options_in_a_kept_variable_are_masked() -> None:
    env = {"PYTEST_ADDOPTS": "-x --api-token abc --ds=https://u:p@h/"}
    assert variables(env) == {"PYTEST_ADDOPTS": "-x --api-token *** --ds=https://***@h/"}


def test_a_value_is_bounded_and_always_valid_text() -> None:
    env = {"PYTHONPATH": "x" * 10_000, "TERM": b"a\xffb".decode("utf-8", "surrogateescape")}
    assert len(variables(env)["PYTHONPATH"]) == MAX_VALUE_CHARACTERS
    assert variables(env)["TERM"] == "a?b"


def test_no_secret_of_the_environment_is_in_the_document(repository: Path) -> None:
    canary = "c4n4ry-c4n4ry"
    git(repository, "remote", "add", "origin", f"https://me:{canary}@example.org/x")
    secrets = ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "SSH_AUTH_SOCK", "USER")
    env = ENV | dict.fromkeys(secrets, canary)
    env |= {
        "PYTEST_ADDOPTS": f"--password={canary}",
        "JENKINS_URL": f"https://ci:{canary}@ci.example.org/",
        "BUILD_URL": f"https://ci:{canary}@ci.example.org/job/x/1/",
        "BUNDLE_CI_MATRIX": f"https://me:{canary}@example.org",
    }
    document = collect(env, repository)
    assert document["git"]["remote"] == "https://example.org/x"
    assert document["ci"]["url"] == "https://ci.example.org/job/x/1/"
    assert canary not in json.dumps(document)


# --- the machine -------------------------------------------------------------------------------


def test_the_document_says_where_this_is(repository: Path) -> None:
    document = collect(ENV, repository)
    assert document["format"] == {"major": 1, "minor": FORMAT_MINOR}
    assert document["recorder"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert document["platform"]["os"] in {"Linux", "Darwin", "Windows"}
    assert document["cpu"]["count"] == os.cpu_count()
    assert document["git"]["branch"] == "trunk"
    assert document["locale"]["filesystem_encoding"] == sys.getfilesystemencoding()
    assert -50_400 <= document["time_zone"]["utc_offset_s"] <= 50_400
    assert "ci" not in document


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_the_limit_of_open_files_is_the_one_that_a_shell_shows(tmp_path: Path) -> None:
    command = ["sh", "-c", "ulimit -Sn"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert str(limits().open_files or "unlimited") == shown


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "cgroup",
        **{
            "a/b/cpu.max": "max 100000\n",
            "a/cpu.max": "150000 100000\n",
            "cpu.max": "800000 100000\n",
            "a/b/memory.max": "2147483648\n",
            "a/memory.max": "max\n",
        },
    )
    (tmp_path / "membership").write_text("1:name=systemd:/a/b:c\n0::/a/b\n")
    found = cgroup_files(tmp_path / "membership", root)
    assert processors(found).quota == 1.5
    assert memory(found).limit == 2147483648


def test_control_groups_of_the_first_version_are_read_too(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "cgroup",
        **{
            "cpu/cpu.cfs_quota_us": "50000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/docker/memory.limit_in_bytes": "1073741824\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    (tmp_path / "membership").write_text("4:memory:/docker\n3:cpu,cpuacct:/hidden\n0::/\n")
    found = cgroup_files(tmp_path / "membership", root)
    assert processors(found).quota == 0.5
    assert memory(found).limit == 1073741824


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cpu.max": "max 100000", "memory.max": "max"},
        {"cpu.max": "1 0", "memory.max": "²"},
        {"cpu.max": "-1 -1", "memory.max": "\x00"},
        {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"},
        {"memory.limit_in_bytes": "9223372036854771712"},
    ],
    ids=repr,
)
def test_no_limit_is_no_limit(files: dict[str, str]) -> None:
    assert processors(files) == Processors(os.cpu_count(), processors({}).usable)
    assert memory(files) == Memory(total=memory({}).total)


def test_a_membership_that_is_missing_or_broken_is_no_membership(tmp_path: Path) -> None:
    assert cgroup_files(tmp_path / "none", tmp_path) == {}
    (tmp_path / "broken").write_text("0::/../..\nwhat\n::::\n")
    assert cgroup_files(tmp_path / "broken", tmp_path / "root") == {}


def test_the_time_zone_has_its_iana_name_where_something_names_it(tmp_path: Path) -> None:
    assert time_zone({"TZ": ":Europe/Berlin"}, tmp_path / "none").zone == "Europe/Berlin"
    assert time_zone({}, tmp_path / "none").zone is None


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_the_link_of_the_system_names_the_time_zone(tmp_path: Path) -> None:
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Asia/Kolkata")
    assert time_zone({}, tmp_path / "localtime").zone == "Asia/Kolkata"


# --- continuous integration --------------------------------------------------------------------

GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "octo/project",
    "GITHUB_RUN_ID": "1658821493",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_JOB": "test",
    "GITHUB_SHA": "c0ffee",
    "GITHUB_REF_NAME": "7/merge",
    "GITHUB_HEAD_REF": "fix",
}
GITLAB = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_JOB_URL": "https://gitlab.com/g/p/-/jobs/11",
    "CI_PIPELINE_ID": "10",
    "CI_JOB_NAME": "test 2/4",
    "CI_JOB_GROUP_NAME": "test",
    "CI_NODE_INDEX": "2",
    "CI_NODE_TOTAL": "4",
    "CI_PROJECT_PATH": "g/p",
    "CI_COMMIT_SHA": "c0ffee",
    "CI_COMMIT_REF_NAME": "main",
}
BUILDKITE = {
    "CI": "true",
    "BUILDKITE": "true",
    "BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/5",
    "BUILDKITE_JOB_ID": "0189",
    "BUILDKITE_BUILD_NUMBER": "5",
    "BUILDKITE_RETRY_COUNT": "0",
    "BUILDKITE_STEP_KEY": "",
    "BUILDKITE_LABEL": ":pytest: test",
    "BUILDKITE_PARALLEL_JOB": "0",
    "BUILDKITE_PARALLEL_JOB_COUNT": "3",
    "BUILDKITE_ORGANIZATION_SLUG": "o",
    "BUILDKITE_PIPELINE_SLUG": "p",
    "BUILDKITE_COMMIT": "c0ffee",
    "BUILDKITE_BRANCH": "main",
}
CIRCLECI = {
    "CI": "true",
    "CIRCLECI": "true",
    "CIRCLE_BUILD_URL": "https://circleci.com/gh/o/p/99",
    "CIRCLE_WORKFLOW_ID": "3c1a",
    "CIRCLE_JOB": "test",
    "CIRCLE_NODE_INDEX": "0",
    "CIRCLE_NODE_TOTAL": "1",
    "CIRCLE_PROJECT_USERNAME": "o",
    "CIRCLE_PROJECT_REPONAME": "p",
    "CIRCLE_SHA1": "c0ffee",
    "CIRCLE_BRANCH": "main",
}
AZURE = {
    "TF_BUILD": "True",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/",
    "SYSTEM_TEAMPROJECT": "My Project",
    "BUILD_BUILDID": "8",
    "SYSTEM_JOBATTEMPT": "1",
    "AGENT_JOBNAME": "Job linux",
    "SYSTEM_JOBPOSITIONINPHASE": "1",
    "SYSTEM_TOTALJOBSINPHASE": "2",
    "BUILD_REPOSITORY_NAME": "o/p",
    "BUILD_SOURCEVERSION": "c0ffee",
    "BUILD_SOURCEBRANCH": "refs/heads/main",
}
JENKINS = {
    "JENKINS_URL": "https://ci.example.org/",
    "BUILD_URL": "https://ci.example.org/job/p/15/",
    "BUILD_NUMBER": "15",
    "JOB_NAME": "p/main",
    "STAGE_NAME": "Test",
    "GIT_COMMIT": "c0ffee",
    "GIT_BRANCH": "origin/main",
    "BRANCH_NAME": "main",
}
MARKERS = {"CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "TF_BUILD", "JENKINS_URL"}
COORDINATES: list[tuple[dict[str, str], str]] = [
    (
        GITHUB,
        "provider=github url=https://github.com/octo/project/actions/runs/1658821493/attempts/2"
        " run=1658821493 attempt=2 job=test repository=octo/project commit=c0ffee ref=fix",
    ),
    (
        GITLAB,
        "provider=gitlab url=https://gitlab.com/g/p/-/jobs/11 run=10 job=test shard=2/4"
        " repository=g/p commit=c0ffee ref=main",
    ),
    (
        GITLAB | {"CI_JOB_NAME": "test: [ruby, linux]"},
        "provider=gitlab url=https://gitlab.com/g/p/-/jobs/11 run=10 job=test matrix=ruby,_linux"
        " repository=g/p commit=c0ffee ref=main",
    ),
    (
        BUILDKITE,
        "provider=buildkite url=https://buildkite.com/o/p/builds/5#0189 run=5 attempt=1"
        " job=:pytest:_test shard=1/3 repository=o/p commit=c0ffee ref=main",
    ),
    (
        CIRCLECI,
        "provider=circleci url=https://circleci.com/gh/o/p/99 run=3c1a job=test"
        " repository=o/p commit=c0ffee ref=main",
    ),
    (
        AZURE,
        "provider=azure url=https://dev.azure.com/o/My%20Project/_build/results?buildId=8 run=8"
        " attempt=1 job=Job_linux shard=1/2 repository=o/p commit=c0ffee ref=refs/heads/main",
    ),
    (
        JENKINS,
        "provider=jenkins url=https://ci.example.org/job/p/15/ run=15 job=p/main/Test"
        " commit=c0ffee ref=main",
    ),
    ({"CI": "1"}, "provider=other"),
]


@pytest.mark.parametrize(
    ("env", "expected"), COORDINATES, ids=[c[1].split()[0] for c in COORDINATES]
)
def test_the_coordinates_are_those_that_the_provider_documents(
    env: dict[str, str], expected: str
) -> None:
    found = ci_coordinates(env) or {}
    assert " ".join(f"{k}={v.replace(' ', '_')}" for k, v in found.items()) == expected


@pytest.mark.parametrize("env", [{}, {"CI": ""}, {"CI": "false"}, {"CI": "0"}, {"CI": "False"}])
def test_outside_of_continuous_integration_there_are_none(env: dict[str, str]) -> None:
    assert ci_coordinates(env | {"BUNDLE_CI_SHARD": "1/2"}) is None


@pytest.mark.parametrize(
    ("said", "matrix"),
    [
        ('{\n  "os": "ubuntu-latest",\n  "python": "3.12"\n}', "os=ubuntu-latest, python=3.12"),
        ('{"os": {"name": "x", "bits": 64}, "fast": true}', 'os={"name":"x","bits":64}, fast=true'),
        ("null", None),
        ("", None),
        ("  linux\n 3.12 ", "linux 3.12"),
        ("[1, 2]", "[1, 2]"),
        ("{broken", "{broken"),
    ],
)
def test_the_matrix_is_what_the_workflow_says(said: str, matrix: str | None) -> None:
    found = ci_coordinates(GITHUB | {"BUNDLE_CI_MATRIX": said}) or {}
    assert found.get("matrix") == matrix


def test_what_the_workflow_says_of_a_shard_counts_more() -> None:
    found = ci_coordinates(GITLAB | {"BUNDLE_CI_SHARD": "3/9"}) or {}
    assert found["shard"] == "3/9"


@pytest.mark.parametrize("env", [case[0] for case in COORDINATES])
def test_a_variable_that_is_missing_or_odd_breaks_nothing(env: dict[str, str]) -> None:
    marker = {name: env[name] for name in MARKERS & env.keys()}
    assert set(ci_coordinates(marker) or {}) == {"provider"}
    odd = {name: value if name in marker else "²" for name, value in env.items()}
    assert "shard" not in (ci_coordinates(odd) or {})
