"""JUnit XML, whatever the text: it parses, nothing is lost, and Jenkins' own schema accepts it.

The schema, junit-10.xsd, is part of pytest's source distribution; it is fetched from there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from base64 import b64encode
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from builders import SESSION, a_log, a_recording, line
from full_size import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from test_junit import every_verdict, exported

from bundler.formats import junit
from bundler.manifest import Command, RunStatus, encode_document
from bundler.recording import Recording
from bundler.results import (
    Attempt,
    CollectionProblem,
    Failure,
    Results,
    Session,
    Status,
    Subtest,
    TestResult,
    Verdict,
)

SOURCE = "pytest==8.4.2"
SCHEMA = "testing/example_scripts/junit-10.xsd"
OUTCOMES = [one for one in Verdict if one not in ("flaky", "unfinished", "not_run")]

# Everything that a Python string can hold, and often what XML and its readers stumble over.
TRICKY = [
    "",
    "]]>",
    "<![CDATA[",
    "&amp;",
    "<a b='c\">",
    "\x1b[31m",
    "\x00",
    "\r\n",
    "\ufffe",
    "\ud800",
]
texts = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(), max_size=12))
ids = st.one_of(texts, st.builds("{}.py::{}[{}]".format, texts, texts, texts))
times = st.one_of(st.none(), st.integers(0, 1 << 63))
outputs = st.tuples(st.sampled_from(["stdout", "stderr", "log", "A title"]), st.binary(max_size=20))

failures = st.lists(
    st.builds(
        Failure,
        phase=st.sampled_from(["setup", "call", "teardown", "collect"]),
        message=texts,
        type=st.one_of(st.none(), texts),
        traceback=st.one_of(st.none(), texts),
    ),
    max_size=3,
).map(tuple)
subtests = st.lists(
    st.builds(
        Subtest,
        name=texts,
        outcome=st.sampled_from(OUTCOMES),
        duration_us=st.just(1),
        failures=failures,
    ),
    max_size=2,
)
attempts = st.builds(
    Attempt,
    number=st.just(1),
    started_us=st.integers(0, 1 << 63),
    worker=st.one_of(st.none(), texts),
    finished_us=times,
    outcome=st.one_of(st.none(), st.sampled_from(OUTCOMES)),
    setup_us=times,
    call_us=times,
    teardown_us=times,
    reason=st.one_of(st.none(), texts),
    failures=failures,
    subtests=subtests,
    properties=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    output_offsets=st.lists(st.integers(0, 3), max_size=3, unique=True),
)
tests = st.builds(
    TestResult,
    session=st.just(SESSION),
    test_id=ids,
    occurrence=st.just(1),
    seed=st.one_of(st.none(), st.integers(0, (1 << 64) - 1)),
    attempts=st.lists(attempts, max_size=3),
)
problems = st.builds(
    CollectionProblem,
    session=st.sampled_from([SESSION, "another"]),
    node_id=ids,
    outcome=st.sampled_from([Verdict.ERRORED, Verdict.SKIPPED]),
    failures=failures,
    reason=st.one_of(st.none(), texts),
    file=st.one_of(st.none(), texts),
)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """A recording with arbitrary text in every field, and arbitrary bytes as output."""
    pieces = draw(st.lists(outputs, min_size=4, max_size=4))
    lines = [
        line("TestOutput", "t", stream=stream, phase="call", base64=b64encode(content).decode())
        for stream, content in pieces
    ]
    starts = [sum(map(len, lines[:index])) for index in range(len(lines))]
    found = draw(st.lists(tests, max_size=3))
    for test in found:
        for attempt in test.attempts:
            attempt.output_offsets = [starts[index] for index in attempt.output_offsets]
    recording = a_recording(
        b"".join(lines),
        created_at=draw(texts),
        run_id=draw(texts),
        command=Command(draw(st.lists(texts, max_size=3)), "/p", draw(texts)),
        status=RunStatus(draw(st.sampled_from(Status)), reason=draw(st.one_of(st.none(), texts))),
    )
    runner = draw(st.sampled_from(["pytest", "go", "\x07"]))
    recording.__dict__["results"] = Results(
        tests=found,
        collection=draw(st.lists(problems, max_size=2)),
        sessions=[
            Session(
                SESSION,
                {"runner": runner},
                started_us=draw(st.integers(0, 1 << 63)),
                finished_us=draw(times),
            )
        ],
        run_output_offsets=draw(st.sampled_from([[], starts])),
    )
    recording.files = {"environment.json": encode_document({"hostname": draw(texts)})}
    return recording


relaxed = settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@relaxed
@given(recordings(), st.sampled_from(junit.DIALECTS))
def test_the_document_always_parses(recording: Recording, dialect: str) -> None:
    document = exported(recording, dialect)
    root = ET.fromstring(document)
    etree.fromstring(document, etree.XMLParser(huge_tree=True))
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert suite.get(attribute) == str(sum(case.find(tag) is not None for case in cases))


@relaxed
@given(recordings())
def test_a_run_that_did_not_pass_is_never_all_green(recording: Recording) -> None:
    root = ET.fromstring(exported(recording))
    is_red = root.find(".//failure") is not None or root.find(".//error") is not None
    harmless = (Status.PASSED, Status.RUNNING, Status.NO_TESTS)
    assert is_red or recording.manifest.status.state in harmless


@relaxed
@given(texts)
def test_what_xml_can_hold_comes_back_as_it_was(text: str) -> None:
    holds = "".join(c for c in text if junit.visible(c) == c and c != "\r")
    failure = {"phase": "call", "message": holds, "traceback": f"E {holds}"}
    log = a_log(
        line("SessionStarted", runner="pytest"),
        line("TestFinished", "a.py::t", outcome="failed", failures=[failure]),
    )
    (case,) = ET.fromstring(exported(a_recording(log))).iter("testcase")
    (element,) = case.iter("failure")
    assert element.text == f"E {holds}"
    assert element.get("message") == holds


@pytest.fixture(scope="session")
def schema(request: pytest.FixtureRequest) -> etree.XMLSchema:
    """Jenkins' schema; without a network this fails in CI, and is a visible skip elsewhere."""
    folder = Path(request.config.cache.mkdir("junit-schema"))
    if not list(folder.glob("*.tar.gz")):
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:"]
        ended = subprocess.run(
            [*fetch, "--no-deps", "--dest", str(folder), SOURCE],
            capture_output=True,
            text=True,
            timeout=180,
        )
        if ended.returncode:
            reason = f"the schema in the source of {SOURCE} could not be fetched: {ended.stderr}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        member = archive.extractfile(f"{source.name.removesuffix('.tar.gz')}/{SCHEMA}")
        assert member is not None
        return etree.XMLSchema(etree.parse(member))


@pytest.mark.slow
@relaxed
@given(recording=recordings())
def test_the_jenkins_dialect_always_fits_the_schema(
    schema: etree.XMLSchema, recording: Recording
) -> None:
    schema.assertValid(etree.fromstring(exported(recording, "jenkins")))


@pytest.mark.slow
def test_every_verdict_fits_the_schema_in_the_jenkins_dialect_alone(
    schema: etree.XMLSchema,
) -> None:
    schema.assertValid(etree.fromstring(exported(every_verdict(), "jenkins")))
    assert not schema.validate(etree.fromstring(exported(every_verdict(), "pytest")))
