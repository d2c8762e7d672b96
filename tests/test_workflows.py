"""What the GitHub action and the workflows of this project say, as they are written down."""

from __future__ import annotations

import re
from typing import Any

import fuzz_readers
import pytest
import yaml
from action_job import ACTION, ROOT, STEPS

WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_bytes()) for path in (ROOT / ".github/workflows").iterdir()
}
WORKFLOW, NIGHTLY = WORKFLOWS["ci"], WORKFLOWS["nightly"]

AS_ROOT = 'sudo -E env "PATH=$PATH" "PYTHONPATH=$PYTHONPATH" bash .ci/run'
"""Disks that fill up and a power that goes are made by mounts."""


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


def test_actions_of_others_are_pinned_to_a_commit() -> None:
    """A tag can be moved; beside the commit stands the version that it is."""
    files = [ROOT / ".github/actions/bundle/action.yml", *(ROOT / ".github/workflows").iterdir()]
    used = [line for file in files for line in file.read_text().splitlines() if "uses: " in line]
    others = [line for line in used if "uses: ./" not in line]
    assert len(others) > 3
    for line in others:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


# --- the workflows -----------------------------------------------------------------------------


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_workflow_asks_for_no_permission_but_to_read(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_no_workflow_keeps_its_credentials(workflow: dict[str, Any]) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert {step["with"]["persist-credentials"] for step in checkouts} == {False}


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_newer_push_cancels_the_older_run(workflow: dict[str, Any]) -> None:
    assert workflow["concurrency"]["cancel-in-progress"] is True


def test_the_tests_run_on_three_systems_and_three_pythons() -> None:
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert WORKFLOW["jobs"]["test"]["strategy"]["fail-fast"] is False


def test_our_own_tests_are_recorded_by_our_own_action_with_the_readme_s_line() -> None:
    [step] = recorded("test", WORKFLOW)
    assert f"runner.os == 'Linux' && '{AS_ROOT}'" in step["with"]["command"]
    assert step["with"]["source"] == "."
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"<!-- tests -->\n+```\w*\n(.*?)```\n+<!-- end -->", readme, re.DOTALL)
    [line] = block.splitlines()
    assert "pytest" in line
    ran = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ran
    assert ("not slow" in line, "-m slow" in ran) == (True, True)


def test_every_night_the_slow_tests_try_all_that_they_can() -> None:
    [step] = recorded("full", NIGHTLY)
    assert step["with"]["command"] == AS_ROOT
    assert step["env"]["BUNDLE_TEST_FULL"]


def test_every_night_every_reader_is_given_any_bytes() -> None:
    matrix = NIGHTLY["jobs"]["fuzz"]["strategy"]["matrix"]
    assert sorted(matrix["target"]) == sorted(fuzz_readers.TARGETS)
    assert any(
        "fuzz_readers.py" in step.get("run", "") for step in NIGHTLY["jobs"]["fuzz"]["steps"]
    )


def recorded(job: str, workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a job that our own action records."""
    steps = workflow["jobs"][job]["steps"]
    return [step for step in steps if step.get("uses") == "./.github/actions/bundle"]


def workflow_steps() -> list[dict[str, Any]]:
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]
