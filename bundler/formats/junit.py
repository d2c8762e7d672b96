"""JUnit XML: a run as the document that pytest's `--junitxml` would have written of it.

JUnit XML has no specification. The shape is that of pytest's default family (xunit2), so that what
reads pytest's file reads this one; what pytest has no word for is said as Maven Surefire says it
(https://maven.apache.org/surefire/maven-surefire-plugin/examples/rerun-failing-tests.html).

    <testsuites name="pytest tests">
      <testsuite name="pytest" errors failures skipped tests time timestamp hostname?>
        <properties>           bundle.run_id  bundle.seed  bundle.status  bundle.runner?
        <testcase classname name time>
          <properties>         bundle.attempts  bundle.seed  bundle.worker, then the test's own
          <failure | error | skipped  message type>
          <flakyFailure | flakyError | rerunFailure | rerunError  message type>
            <stackTrace> <system-out> <system-err>
          <system-out> <system-err>

| verdict | what its case holds |
|---|---|
| passed, xpassed | nothing |
| flaky | a `flakyFailure` or `flakyError` for each attempt that went wrong before |
| failed | a `failure`, also of each failed subtest; a `rerun…` for each earlier attempt |
| errored | an `error`: "failed on setup with …", "failed on teardown with …" |
| skipped | a `skipped` of type `pytest.skip` |
| xfailed | a `skipped` of type `pytest.xfail` |
| crashed, timed_out | an `error` of that type: the test was stopped, it did not judge itself |
| unfinished | an `error`: it was running when the run ended, and may be why |
| not_run | a `skipped`: nothing is known of it, and it is no fault of its own |

Where a test failed and its teardown failed too there are two cases, as pytest writes them.
A case tells of the last attempt, and a suite counts cases, not the elements in them. A file that
was not collected is a case. A run without tests is one case, named after its command; so is a run
that ended badly where no test is to blame (killed between two tests, an error of the runner):
no document is all green whose run was not.

The dialect `jenkins` fits Jenkins' junit-10.xsd to the letter. That schema knows no properties of
a case: they open its `system-out`, as lines `[[PROPERTY|name=value]]`. Characters that XML cannot
hold are shown as pytest shows them, `#x1B`. One case at a time is in memory.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

import junit_xml

from bundler.errors import DamagedRecording
from bundler.formats import Target
from bundler.formats.junit_cases import (
    Case,
    Mark,
    Suite,
    attempt_marks,
    run_duration_us,
    suites,
)
from bundler.manifest import parse_document
from bundler.recording import Output, Recording
from bundler.results import Attempt
from bundler.seeds import show_seed

DIALECTS = ("pytest", "jenkins")
TAGS = ("failure", "error", "skipped")
_NOT_XML = re.compile("[^\t\n\r -~\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(recording: Recording, target: Target, *, dialect: str = "pytest") -> None:
    """Write a run as one JUnit XML document. Raises OSError."""
    for piece in document(recording, dialect=dialect):
        target.write(piece.encode("utf-8"))


def document(recording: Recording, *, dialect: str = "pytest") -> Iterator[str]:
    """Yield the document, a case at a time."""
    yield '<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="pytest tests">\n'
    for suite in suites(recording):
        head = _serialised(_suite_element(suite, recording))
        yield head.removesuffix("</testsuite>") + "\n"
        for case in suite.cases():
            yield _serialised(_case_element(case, recording, dialect)) + "\n"
        yield "</testsuite>\n"
    yield "</testsuites>\n"


def visible(text: str) -> str:
    """Return a text with every character that XML cannot hold shown, as pytest shows it."""
    return _NOT_XML.sub(lambda found: f"#x{ord(found[0]):02X}", text)


def _serialised(element: ET.Element) -> str:
    # Once over the finished text: no field can be forgotten.
    return visible(ET.tostring(element, encoding="unicode"))


def _suite_element(suite: Suite, recording: Recording) -> ET.Element:
    """The suite without its cases: its attributes, and the properties of the run."""
    manifest, counts = recording.manifest, suite.counts()
    properties = {
        "bundle.run_id": manifest.run_id,
        "bundle.seed": show_seed(manifest.seed),
        "bundle.status": manifest.status.state,
        **({"bundle.runner": suite.runner} if suite.name else {}),
    }
    element: ET.Element = junit_xml.TestSuite(
        suite.name or suite.runner,
        hostname=_hostname(recording),
        timestamp=manifest.created_at,
        properties=properties,
    ).build_xml_doc()
    del element.attrib["disabled"]
    element.attrib |= {
        "errors": str(counts["error"]),
        "failures": str(counts["failure"]),
        "skipped": str(counts["skipped"]),
        "tests": str(counts["tests"]),
        "time": _seconds(suite.duration_us(run_duration_us(recording))),
    }
    return element


def _hostname(recording: Recording) -> str | None:
    try:
        raw = recording.files["environment.json"]
        name = parse_document(raw, "environment.json").get("hostname")
    except (KeyError, DamagedRecording):
        return None
    return name if isinstance(name, str) else None


def _case_element(case: Case, recording: Recording, dialect: str) -> ET.Element:
    out, err = _streams(recording.outputs(case.outputs), headed=case.headed)
    if dialect == "jenkins":
        out = _embedded(case.properties) + out
    marks = sorted(case.marks, key=lambda mark: TAGS.index(mark.tag))
    element = _built(case, marks, out, err)
    element.attrib = {"classname": case.classname, "name": case.name} | {
        "time": _seconds(case.duration_us)
    }
    for node, mark in zip(element, marks, strict=False):
        node.set("message", mark.message)
        node.set("type", mark.type or mark.tag)
    earlier = (_earlier_element(one, case, recording) for one in case.earlier)
    element[len(marks) : len(marks)] = list(earlier)
    if case.properties and dialect != "jenkins":
        element.insert(0, _properties_element(case.properties))
    return element


def _built(case: Case, marks: Iterable[Mark], out: str, err: str) -> ET.Element:
    """The case as junit-xml builds it, an element for each mark in the order of TAGS."""
    built = junit_xml.TestCase(
        case.name, case.classname, stdout=out, stderr=err, allow_multiple_subelements=True
    )
    add = (built.add_failure_info, built.add_error_info, built.add_skipped_info)
    for mark in marks:
        # An element without a word would be left out, and the case would seem to have passed.
        add[TAGS.index(mark.tag)](mark.message or mark.tag, mark.text)
    element: ET.Element = junit_xml.TestSuite("", [built]).build_xml_doc()[0]
    return element


def _properties_element(properties: Iterable[tuple[str, str]]) -> ET.Element:
    element = ET.Element("properties")
    for name, value in properties:
        ET.SubElement(element, "property", name=name, value=value)
    return element


def _embedded(properties: Iterable[tuple[str, str]]) -> str:
    lines = (f"[[PROPERTY|{name}={value}]]" for name, value in properties)
    return "".join(re.sub(r"[\r\n]+", " ", line) + "\n" for line in lines)


def _earlier_element(attempt: Attempt, case: Case, recording: Recording) -> ET.Element:
    """Surefire's element for an attempt that was followed by another."""
    marks = [mark for mark in attempt_marks(attempt) if mark.tag != "skipped"]
    prefix, suffix = "flaky" if case.flaky else "rerun", marks[0].tag.capitalize()
    kind = marks[0].type or marks[0].tag
    element = ET.Element(prefix + suffix, message=marks[0].message, type=kind)
    out, err = _streams(recording.outputs(attempt.output_offsets), headed=case.headed)
    trace = "\n\n".join(mark.text for mark in marks if mark.text)
    for tag, text in (("stackTrace", trace), ("system-out", out), ("system-err", err)):
        if text:
            ET.SubElement(element, tag).text = text
    return element


def _streams(outputs: Iterable[Output], *, headed: bool) -> tuple[str, str]:
    """The text for system-out and the text for system-err."""
    pieces: dict[str, list[bytes]] = {}
    for output in outputs:
        stream = pieces.setdefault(output.stream, [])
        if output.omitted_bytes:
            stream.append(b"\n[%d bytes were not recorded]\n" % output.omitted_bytes)
        stream.append(output.content)
    texts = {stream: _decoded(b"".join(some)) for stream, some in pieces.items()}
    err = texts.pop("stderr", "")
    if not headed:
        return "".join(texts.values()), err
    return _headed_output(texts), _headed("Captured Err", err) if err else ""


def _headed_output(texts: dict[str, str]) -> str:
    """As with pytest's `junit_logging=all`; sections that plugins add follow."""
    log, out = texts.pop("log", ""), texts.pop("stdout", "")
    captured = {"Captured Log": log, "Captured Out": out} if log or out else {}
    return "".join(_headed(title, text) for title, text in (captured | texts).items())


def _headed(title: str, text: str) -> str:
    return f"{f' {title} '.center(80, '-')}\n{text}\n"


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "backslashreplace")


def _seconds(duration_us: int) -> str:
    return f"{max(0, duration_us) / 1_000_000:.3f}"
