"""environment.json: where a run happened, as far as it decides how tests behave.

What is kept of the environment's variables is an exact list of names (`VARIABLES`): a recording
travels, and a list of what to leave out is never complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bundler import git, machine
from bundler.manifest import Format
from bundler.redaction import redact_words, strip_userinfo

MAX_VALUE_CHARACTERS = 4096

# PYTHONPATH and TMPDIR are paths: they decide what is imported and where files go, and the bundle
# names the working directory anyway. PATH, HOME and everything else of the user's stay out.
_VARIABLES = """
    PYTHONHASHSEED PYTHONPATH PYTHONSAFEPATH PYTHONNOUSERSITE PYTHONOPTIMIZE PYTHONDEVMODE
    PYTHONWARNINGS PYTHONASYNCIODEBUG PYTHONFAULTHANDLER PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
    PYTHONUTF8 PYTHONIOENCODING PYTHONCOERCECLOCALE PYTHONINTMAXSTRDIGITS PYTHONMALLOC
    PYTHONTRACEMALLOC PYTHONBREAKPOINT PYTHON_GIL PYTHON_JIT PYTHON_CPU_COUNT
    VIRTUAL_ENV CONDA_DEFAULT_ENV TOX_ENV_NAME NOX_CURRENT_SESSION

    PYTEST_ADDOPTS PYTEST_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD PYTEST_TIMEOUT
    PYTEST_XDIST_AUTO_NUM_WORKERS PYTEST_XDIST_TESTRUNUID PYTEST_XDIST_WORKER
    PYTEST_XDIST_WORKER_COUNT COVERAGE_CORE COVERAGE_PROCESS_START
    HYPOTHESIS_PROFILE DJANGO_SETTINGS_MODULE

    BUNDLE_SEED TEST_RANDOM_SEED PROPTEST_RNG_SEED MADSIM_TEST_SEED ASUPERSYNC_SEED
    ASUPERSYNC_TEST_NDJSON SOURCE_DATE_EPOCH

    LANG LANGUAGE LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_MONETARY LC_NUMERIC LC_TIME TZ TMPDIR
    TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE PY_COLORS

    CI GITHUB_ACTIONS GITLAB_CI BUILDKITE CIRCLECI TF_BUILD RUNNER_OS RUNNER_ARCH ImageOS
    ImageVersion

    OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS NUMEXPR_NUM_THREADS NUMBA_NUM_THREADS
    NUMBA_DISABLE_JIT CUDA_VISIBLE_DEVICES CUBLAS_WORKSPACE_CONFIG TF_DETERMINISTIC_OPS
    RUST_BACKTRACE RUST_LOG RUST_TEST_THREADS NEXTEST_PROFILE GOMAXPROCS GODEBUG NODE_ENV
"""
VARIABLES = frozenset(_VARIABLES.split())


class TestSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the probe saw of one start of a test runner; the same stands in its SessionStarted."""

    __test__ = False

    session: str
    runner: str | None = None
    runner_version: str | None = None
    python: str | None = None
    executable: str | None = None
    plugins: dict[str, str] = {}
    packages: dict[str, str] = {}
    hash_probe: str | None = None


class Environment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """environment.json of a run bundle. `sessions` are added when the run ends."""

    format: Format
    platform: machine.Platform
    recorder: machine.Recorder
    git: git.Git
    cpu: machine.Processors
    memory: machine.Memory
    limits: machine.Limits
    locale: machine.Locale
    time_zone: machine.TimeZone
    variables: dict[str, str]
    ci: dict[str, str] | None = None
    sessions: list[TestSession] = []


def collect(env: Mapping[str, str], cwd: Path) -> dict[str, Any]:
    """Return the document of environment.json for a command that runs in `cwd` under `env`.

    Git answers while the rest is looked up; it may take at most `git.TIMEOUT_S`.
    """
    asked = git.Asked(cwd, env)
    cgroup = machine.cgroup_files()
    environment = Environment(
        format=Format(),
        platform=machine.this_platform(env),
        recorder=machine.this_recorder(),
        cpu=machine.processors(cgroup),
        memory=machine.memory(cgroup),
        limits=machine.limits(),
        locale=machine.this_locale(),
        time_zone=machine.time_zone(env),
        variables=variables(env),
        ci=ci_coordinates(env),
        git=asked.answer(),  # last: by now it had the time that the others took
    )
    document: dict[str, Any] = msgspec.to_builtins(environment)
    return document


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of VARIABLES that are set, sorted, with secret-looking parts masked."""
    return {
        name: redact_words(_whole(env[name]))[:MAX_VALUE_CHARACTERS]
        for name in sorted(VARIABLES)
        if name in env
    }


def ci_coordinates(env: Mapping[str, str]) -> dict[str, str] | None:
    """Return where in continuous integration this is, or None outside of it.

    `provider` is always there; `url, run, attempt, job, matrix, shard, repository, commit, ref`
    where they are known. `attempt` counts from 1, `shard` is `2/4` and counts from 1, `url` leads
    to the attempt or job. BUNDLE_CI_MATRIX and BUNDLE_CI_SHARD say what a provider keeps to itself.
    """
    for provider, (marker, read) in _PROVIDERS.items():
        if env.get(marker, "").lower() not in ("", "0", "false"):
            found = {"provider": provider} | read(env) | _own(env)
            return {key: _written(value) for key, value in found.items() if value}
    return None


def _written(text: str) -> str:
    return strip_userinfo(_whole(text))[:MAX_VALUE_CHARACTERS]


def _whole(text: str) -> str:
    """Bytes that were not UTF-8 arrive as lone surrogates, which no JSON reader has to accept."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _own(env: Mapping[str, str]) -> dict[str, str]:
    said = {"matrix": _matrix(env.get("BUNDLE_CI_MATRIX", "")), "shard": env.get("BUNDLE_CI_SHARD")}
    return {key: value for key, value in said.items() if value}


def _matrix(text: str) -> str:
    """Return `os=ubuntu, python=3.12` for a JSON object, for anything else its words."""
    try:
        cells = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return " ".join(text.split())
    if not isinstance(cells, dict):
        return "" if cells is None else " ".join(text.split())
    return ", ".join(f"{name}={_cell(value)}" for name, value in cells.items())


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# https://docs.github.com/en/actions/reference/workflows-and-actions/variables
def _github(env: Mapping[str, str]) -> dict[str, str]:
    run, attempt = env.get("GITHUB_RUN_ID", ""), env.get("GITHUB_RUN_ATTEMPT", "")
    repository = env.get("GITHUB_REPOSITORY", "")
    server = env.get("GITHUB_SERVER_URL", "https://github.com")
    url = f"{server}/{repository}/actions/runs/{run}" if repository and run else ""
    return {
        "url": f"{url}/attempts/{attempt}" if url and attempt else url,
        "run": run,
        "attempt": attempt,
        "job": env.get("GITHUB_JOB", ""),
        "repository": repository,
        "commit": env.get("GITHUB_SHA", ""),
        "ref": env.get("GITHUB_HEAD_REF") or env.get("GITHUB_REF_NAME", ""),
    }


# https://docs.gitlab.com/ci/variables/predefined_variables
def _gitlab(env: Mapping[str, str]) -> dict[str, str]:
    # A job of `parallel: matrix` is named `test: [ruby, ubuntu]`, its group `test`. It has a
    # CI_NODE_INDEX too, but that tells the cells of the matrix apart, not shards of one suite.
    job, group = env.get("CI_JOB_NAME", ""), env.get("CI_JOB_GROUP_NAME", "")
    matrix = job.removeprefix(f"{group}: ") if group and job.endswith("]") else ""
    matrix = matrix[1:-1] if matrix.startswith("[") else ""
    shard = _shard(env, "CI_NODE_INDEX", "CI_NODE_TOTAL")
    return {
        "url": env.get("CI_JOB_URL", ""),
        "run": env.get("CI_PIPELINE_ID", ""),
        "job": group or job,
        "matrix": matrix,
        "shard": "" if matrix else shard,
        "repository": env.get("CI_PROJECT_PATH", ""),
        "commit": env.get("CI_COMMIT_SHA", ""),
        "ref": env.get("CI_COMMIT_REF_NAME", ""),
    }


# https://buildkite.com/docs/pipelines/configure/environment-variables
def _buildkite(env: Mapping[str, str]) -> dict[str, str]:
    url, job_id = env.get("BUILDKITE_BUILD_URL", ""), env.get("BUILDKITE_JOB_ID", "")
    return {
        "url": f"{url}#{job_id}" if url and job_id else url,
        "run": env.get("BUILDKITE_BUILD_NUMBER", ""),
        "attempt": _shifted(env.get("BUILDKITE_RETRY_COUNT", "")),
        "job": env.get("BUILDKITE_STEP_KEY") or env.get("BUILDKITE_LABEL", ""),
        "shard": _shard(env, "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", first=0),
        "repository": _slug(env, "BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"),
        "commit": env.get("BUILDKITE_COMMIT", ""),
        "ref": env.get("BUILDKITE_BRANCH", ""),
    }


# https://circleci.com/docs/reference/variables/
def _circleci(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "url": env.get("CIRCLE_BUILD_URL", ""),
        "run": env.get("CIRCLE_WORKFLOW_ID", ""),
        "job": env.get("CIRCLE_JOB", ""),
        "shard": _shard(env, "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", first=0),
        "repository": _slug(env, "CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME"),
        "commit": env.get("CIRCLE_SHA1", ""),
        "ref": env.get("CIRCLE_BRANCH", ""),
    }


# https://learn.microsoft.com/azure/devops/pipelines/build/variables
def _azure(env: Mapping[str, str]) -> dict[str, str]:
    server, project = env.get("SYSTEM_COLLECTIONURI", ""), env.get("SYSTEM_TEAMPROJECT", "")
    run = env.get("BUILD_BUILDID", "")
    page = f"{server.rstrip('/')}/{project.replace(' ', '%20')}/_build/results?buildId={run}"
    return {
        "url": page if server and project and run else "",
        "run": run,
        "attempt": env.get("SYSTEM_JOBATTEMPT", ""),
        "job": env.get("AGENT_JOBNAME") or env.get("SYSTEM_JOBDISPLAYNAME", ""),
        "shard": _shard(env, "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE"),
        "repository": env.get("BUILD_REPOSITORY_NAME", ""),
        "commit": env.get("BUILD_SOURCEVERSION", ""),
        "ref": env.get("BUILD_SOURCEBRANCH", ""),
    }


# https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables
def _jenkins(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "url": env.get("BUILD_URL", ""),
        "run": env.get("BUILD_NUMBER", ""),
        "job": _slug(env, "JOB_NAME", "STAGE_NAME") or env.get("JOB_NAME", ""),
        "commit": env.get("GIT_COMMIT", ""),
        "ref": env.get("BRANCH_NAME") or env.get("GIT_BRANCH", ""),
    }


def _other(_env: Mapping[str, str]) -> dict[str, str]:
    return {}


_PROVIDERS: dict[str, tuple[str, Callable[[Mapping[str, str]], dict[str, str]]]] = {
    "github": ("GITHUB_ACTIONS", _github),
    "gitlab": ("GITLAB_CI", _gitlab),
    "buildkite": ("BUILDKITE", _buildkite),
    "circleci": ("CIRCLECI", _circleci),
    "azure": ("TF_BUILD", _azure),
    "jenkins": ("JENKINS_URL", _jenkins),
    "other": ("CI", _other),
}


def _shard(env: Mapping[str, str], index: str, total: str, first: int = 1) -> str:
    """Return `2/4`; nothing where there is one shard or the numbers are none."""
    place, count = env.get(index, ""), env.get(total, "")
    if not (place.isdecimal() and count.isdecimal()) or int(count) < 2:
        return ""
    return f"{int(place) + 1 - first}/{int(count)}"


def _shifted(count: str) -> str:
    """Return the number of an attempt for how often it was retried."""
    return str(int(count) + 1) if count.isdecimal() else ""


def _slug(env: Mapping[str, str], *names: str) -> str:
    parts = [env.get(name, "") for name in names]
    return "/".join(parts) if all(parts) else ""
