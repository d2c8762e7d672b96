"""A secret that went through every route is nowhere in what was recorded, packed or exported.

And where masking is off it is there, in every one of those places: so this can fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from builders import a_manifest
from canary import CANARY, ODD, SECRETS, SUITE, holds, leaks, leaks_in
from command_line import BUNDLE, Place, place

from bundler import bundle, live_bundle
from bundler.redaction import masker_of
from bundler.store import Store

PLUGIN = ("-p", "no:bundle", "-p", "bundler.pytest_plugin")
PYTEST = (*BUNDLE[:1], "-m", "pytest", "-p", "no:cacheprovider")
WORDS = (f"--ignore={CANARY}", "-o", f"junit_suite_name={ODD}", "--showlocals", "--color=yes")
MORE = {**SECRETS, "PYTEST_ADDOPTS": f"--deselect={CANARY}", "BUNDLE_OUTPUT_LIMIT": "30000"}
EXPORTS = ("junit", "libtest", "ctrf", "ndjson")


def recorded(tmp_path: Path, *options: str, words: tuple[str, ...] = ()) -> Place:
    here = place(tmp_path)
    here.file("test_it.py", SUITE)
    subprocess.run(["git", "init", "-q"], cwd=here.project, check=True)
    remote = ["git", "remote", "add", "origin", f"https://me:{CANARY}@host/x.git"]
    subprocess.run(remote, cwd=here.project, check=True)
    ended = here.bundle("run", *options, "--", *PYTEST, *WORDS, *words, **MORE)
    assert ended.code == 1, ended.stderr
    assert len(here.latest().results.tests) == 19
    return here


def directory(here: Place) -> Path:
    return Store(here.store, here.project).find("latest").path


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return recorded(tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def unmasked(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return recorded(tmp_path_factory.mktemp("unmasked"), "--no-redact")


def test_the_secret_is_nowhere_in_the_bundle(masked: Place) -> None:
    assert leaks(masked.store) == []
    assert masked.bundle("verify").stderr.endswith("events\n")


def test_nor_in_what_is_packed_exported_or_shown(masked: Place) -> None:
    assert [name for name, output in outputs(masked).items() if leaks_in(output)] == []


def test_with_masking_off_it_is_in_every_one_of_those_places(unmasked: Place) -> None:
    found = "\n".join(leaks(unmasked.store))
    for name in ("manifest.json", "environment.json", "events.ndjson.zst", "summary.json"):
        assert name in found
    for name in ("text.txt", "document.json", "lines.ndjson", "binary.bin", "/tests/", "harness"):
        assert name in found
    assert [name for name, output in outputs(unmasked).items() if not leaks_in(output)] == []


def test_the_manifest_counts_what_was_masked_by_rule(masked: Place) -> None:
    redaction = masked.latest().manifest.redaction
    assert redaction is not None
    assert redaction.on
    assert redaction.masked["$API_TOKEN"] > 50
    assert redaction.masked_in_files == {"$API_TOKEN": 3, "$DB_PASSWORD": 4, "name": 2}
    assert "$API_TOKEN" in masked.bundle("show").stdout


def test_a_recording_that_is_not_masked_says_so_loudly(unmasked: Place) -> None:
    redaction = unmasked.latest().manifest.redaction
    assert redaction is not None
    assert not redaction.on
    assert "NO: recorded with --no-redact" in unmasked.bundle("show").stdout
    ended = unmasked.bundle("pack", "-o", "x.zip")
    assert "warning: it was recorded with --no-redact" in ended.stderr


def test_scan_finds_what_was_not_masked_and_never_shows_it(masked: Place, unmasked: Place) -> None:
    clean = masked.bundle("scan", **SECRETS)
    assert (clean.code, clean.stdout) == (0, "")
    found = unmasked.bundle("scan", **SECRETS)
    assert found.code == 1
    assert not holds(found.stdout.encode() + found.stderr.encode())
    for name in ("events.ndjson:", "manifest.json:", "binary.bin:", "tests/"):
        assert name in found.stdout
    as_json = unmasked.bundle("scan", "--json", **SECRETS)
    assert not holds(as_json.stdout.encode())


def test_pack_redact_masks_what_others_recorded(unmasked: Place) -> None:
    ended = unmasked.bundle("pack", "--redact", "-o", "masked.zip", **SECRETS)
    assert ended.code == 0, ended.stderr
    packed = unmasked.project / "masked.zip"
    assert leaks(packed) == []
    assert unmasked.bundle("verify", "masked.zip").code == 0
    assert unmasked.bundle("scan", "masked.zip", **SECRETS).code == 0
    before, after = unmasked.latest(), bundle.read(packed)
    assert after.results.counts == before.results.counts
    assert after.results.complete
    redaction = after.manifest.redaction
    assert redaction is not None
    assert redaction.on
    assert redaction.masked["$API_TOKEN"] > 50


def test_a_rerun_without_the_variable_says_what_to_type(masked: Place) -> None:
    lost = masked.bundle("rerun")
    assert lost.code == 2
    assert "had a secret in it that is not known here: --ignore=***$API_TOKEN***" in lost.stderr
    assert "Type it: `bundle run -R " in lost.stderr


def test_a_rerun_here_puts_the_value_back(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "import os, sys\ndef test_fails(): print(sys.argv[-1]); assert 0\n")
    here.bundle("run", "--", *PYTEST, f"--ignore={CANARY}", **SECRETS)
    again = here.bundle("rerun", **SECRETS)
    assert again.code == 1
    assert f"--ignore={CANARY}" in again.stdout
    assert here.latest().manifest.command.argv[-1] == "--ignore=***$API_TOKEN***"


def test_a_value_that_was_only_in_the_command_is_never_run_as_its_mark(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "def test_fails(): assert 0\n")
    here.bundle("run", "--", "env", "SOME_TOKEN=only-in-the-command", *PYTEST)
    again = here.bundle("rerun")
    assert again.code == 2
    assert "not known here: SOME_TOKEN=***" in again.stderr


def outputs(here: Place) -> dict[str, bytes]:
    """Everything that can be made of a bundle, each of which holds the secret if it is there."""
    here.bundle("pack", "-o", "run.zip")
    made = {"pack": (here.project / "run.zip").read_bytes()}
    for format_ in EXPORTS:
        ended = here.bundle("export", "--to", format_, "-o", "-")
        assert ended.code == 0, ended.stderr
        made[format_] = ended.stdout.encode()
    for words in ("replay --status-level all", "show", "show test_logs"):
        made[words] = here.bundle(*words.split()).stdout.encode()
    return made


@pytest.mark.slow
def test_nor_is_it_where_xdist_s_workers_recorded(tmp_path: Path) -> None:
    here = recorded(tmp_path, words=("-n", "2"))
    assert leaks(here.store) == []


@pytest.mark.slow
def test_nor_where_pytest_records_itself(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE)
    here.run([*PYTEST, *PLUGIN, "--bundle", *WORDS], **MORE)
    assert here.latest().results.tests
    assert leaks(here.store) == []


@pytest.mark.slow
def test_nor_where_the_recorder_was_killed_midway(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE + "\ndef test_waits():\n    import time; time.sleep(60)\n")
    command = [*BUNDLE, "run", "--", *PYTEST, "-s", *WORDS]
    process = subprocess.Popen(
        command,
        cwd=here.project,
        env=here.environment(**MORE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while b"test_waits" not in log_of(here) and time.monotonic() < until:
        time.sleep(0.1)
    process.kill()
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert b'"TestFinished"' in log_of(here)
    found = leaks(here.store)
    # What a test writes into the bundle by itself is masked when the run ends, which it did not.
    assert [leak for leak in found if "/artifacts" not in leak] == []
    assert here.bundle("pack", "-o", "run.zip", **SECRETS).code == 0
    assert leaks(here.project / "run.zip") == []


def log_of(here: Place) -> bytes:
    logs = list(here.store.rglob("*/test_it.py")) or list(here.store.glob("*/*/events.ndjson"))
    started = b"".join(log.read_bytes() for log in logs)
    return started if b'"TestStarted","test_id":"test_it.py::test_waits"' in started else b""


def test_what_a_module_puts_into_the_environment_is_masked_in_what_tests_print(
    tmp_path: Path,
) -> None:
    here = place(tmp_path)
    load = f"import os\nos.environ['LATE_TOKEN'] = {CANARY!r}\n"
    here.file("test_it.py", load + "def test_prints(): print(os.environ['LATE_TOKEN'])\n")
    assert here.bundle("run", "--", *PYTEST).code == 0
    assert leaks(here.store) == []


def test_what_the_wrapper_notes_is_masked(tmp_path: Path) -> None:
    live = live_bundle.begin(tmp_path, a_manifest(), started_ns=0, masker=masker_of(SECRETS))
    live.append("Warning", category="log", message=f"no {CANARY}", data={"message": ODD})
    assert leaks(tmp_path) == []
    live.close()


def test_a_packed_file_that_holds_a_secret_is_named(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE.partition("@pytest")[0] + PACKED)
    assert here.bundle("run", "--", *PYTEST, **SECRETS).code == 0
    redaction = here.latest().manifest.redaction
    assert redaction is not None
    assert redaction.left == ["artifacts/page.gz", "artifacts/trace.zip"]
    assert "left in packed files: artifacts/page.gz" in here.bundle("show").stdout
    assert [one for one in leaks(here.store) if "artifacts/" not in one] == []
    found = here.bundle("scan", **SECRETS)
    assert "artifacts/trace.zip/inner/a.txt:1: byte 0: the value of API_TOKEN" in found.stdout
    assert "artifacts/page.gz:1: byte 0: the value of API_TOKEN" in found.stdout


PACKED = """
def test_packs():
    import zipfile
    place = run_directory() / "artifacts"
    place.mkdir(exist_ok=True)
    (place / "page.gz").write_bytes(gzip.compress(CANARY.encode()))
    (place / "clean.gz").write_bytes(gzip.compress(b"clean"))
    with zipfile.ZipFile(place / "trace.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clean.txt", "clean")
        archive.writestr("inner/a.txt", CANARY)
"""


def test_a_packed_file_that_the_gate_refuses_is_named_and_changes_nothing(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE.partition("@pytest")[0] + REFUSED)
    ended = here.bundle("run", "--", *PYTEST, **SECRETS)
    assert (ended.code, ended.stderr.count("\n")) == (0, 1)
    assert here.latest().manifest.status.state == "passed"
    warned = [one.message for _, one in here.latest().events() if one.event == "Warning"]
    assert len(warned) == 1
    assert warned[0].startswith("artifacts/bomb.gz is not searched for secrets: ")
    assert "over the limit" in warned[0]


REFUSED = """
def test_packs():
    place = run_directory() / "artifacts"
    place.mkdir(exist_ok=True)
    (place / "bomb.gz").write_bytes(gzip.compress(bytes(1 << 26)))
"""


def test_a_command_that_cannot_be_started_is_masked_as_well(tmp_path: Path) -> None:
    here = place(tmp_path)
    assert here.bundle("run", "--", f"./no-{CANARY}", **SECRETS).code == 127
    assert leaks(here.store) == []


def test_the_search_sees_through_what_hides_a_secret() -> None:
    assert holds(CANARY.encode())
    assert holds(CANARY[3:13].encode())
    assert not holds(CANARY[:9].encode())
    for name, secret in SECRETS.items():
        environment = place_of_forms(secret)
        assert all(holds(form) for form in environment), name


def place_of_forms(secret: str) -> list[bytes]:
    import base64
    import json
    from urllib.parse import quote

    raw = secret.encode()
    return [
        *(base64.b64encode(b"x" * n + raw + b"y") for n in range(3)),
        quote(secret).encode(),
        json.dumps(json.dumps([secret])).encode(),
        repr(secret).encode(),
        b"\x1b[31m" + raw[:5] + b"\x1b[0m" + raw[5:],
    ]
