"""`logging` and structlog, pointed at a bundle in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.probe.writer.bridges import level_of
from bundler.testing import NdjsonEvent, TestContext, TestHarness


@pytest.fixture
def bundle(tmp_path: Path) -> TestHarness:
    return TestHarness(TestContext(test_id="t", seed=7), base=tmp_path)


@pytest.fixture
def suite_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("suite under test")
    logger.setLevel(1)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def logged(bundle: TestHarness) -> list[NdjsonEvent]:
    return list(bundle.logger.events())


def test_a_record_is_an_event(bundle: TestHarness, suite_logger: logging.Logger) -> None:
    suite_logger.addHandler(bundle.logging_handler())
    suite_logger.warning("%s of %d", "some", 3, extra={"user": "me"})
    [event] = logged(bundle)
    assert (event.event, event.level, event.category) == ("LogRecord", "WARN", "log")
    assert event.message == "some of 3"
    assert event.test_id == "t"
    assert event.data["logger"] == "suite under test"
    assert event.data["file"] == __file__
    assert event.data["function"] == "test_a_record_is_an_event"
    assert event.data["extra"] == {"user": "me"}
    assert "traceback" not in event.data


def test_an_exception_brings_its_traceback(
    bundle: TestHarness, suite_logger: logging.Logger
) -> None:
    suite_logger.addHandler(bundle.logging_handler())
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        suite_logger.exception("failed")
    suite_logger.error("without", exc_info=True)
    first, second = logged(bundle)
    assert first.data["traceback"].endswith("ZeroDivisionError: by nothing\n")
    assert "traceback" not in second.data


def test_records_under_its_level_are_left_out(
    bundle: TestHarness, suite_logger: logging.Logger
) -> None:
    suite_logger.addHandler(bundle.logging_handler(level=logging.ERROR))
    suite_logger.warning("no")
    suite_logger.error("yes")
    assert [event.message for event in logged(bundle)] == ["yes"]


@pytest.mark.parametrize(
    ("number", "level"),
    [(50, "ERROR"), (40, "ERROR"), (35, "WARN"), (20, "INFO"), (10, "DEBUG"), (5, "TRACE")],
)
def test_levels_in_between_go_down(number: int, level: str) -> None:
    assert level_of(number) == level


def test_a_structlog_entry_is_an_event_and_goes_on_as_it_is(bundle: TestHarness) -> None:
    process = bundle.structlog_processor()
    entry: dict[str, Any] = {"event": "spawned", "task": 3, "level": "warning"}
    assert process(None, "info", entry) is entry
    assert entry == {"event": "spawned", "task": 3, "level": "warning"}
    process(None, "critical", {"event": "down"})
    process(None, "msg", {})
    first, second, third = logged(bundle)
    assert (first.event, first.level, first.category) == ("LogRecord", "WARN", "log")
    assert (first.message, first.data) == ("spawned", {"task": 3, "level": "warning"})
    assert (second.message, second.level) == ("down", "ERROR")
    assert (third.message, third.level) == ("", "INFO")


def test_a_record_that_cannot_be_formatted_is_logged_as_it_is(
    bundle: TestHarness, suite_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    suite_logger.handlers[:] = [bundle.logging_handler()]  # pytest's own would raise
    suite_logger.info("%d of %s", "three")
    suite_logger.info(Broken())
    suite_logger.info("%s", Broken())
    first, second, third = logged(bundle)
    assert first.message == "%d of %s"
    assert first.data["args"] == "('three',)"
    assert first.data["problem"].startswith("cannot be formatted: TypeError: ")
    assert first.data["function"] == "test_a_record_that_cannot_be_formatted_is_logged_as_it_is"
    assert "Broken" in second.message
    assert third.message == "%s"
    assert third.data["problem"] == "cannot be formatted: RuntimeError: no text"
    assert capsys.readouterr().err == ""


def test_a_handler_is_taken_away_when_its_test_is_over(
    bundle: TestHarness, suite_logger: logging.Logger
) -> None:
    handler = bundle.logging_handler()
    process = bundle.structlog_processor()
    suite_logger.addHandler(handler)
    suite_logger.info("during")
    bundle.finish()
    assert handler not in suite_logger.handlers
    handler.handle(logging.makeLogRecord({"msg": "after"}))
    process(None, "info", {"event": "after"})
    assert [event.message for event in logged(bundle)] == ["during"]


def test_structlog_itself_is_pointed_at_it_in_one_line(bundle: TestHarness) -> None:
    structlog = pytest.importorskip("structlog")
    structlog.configure(
        processors=[bundle.structlog_processor(), structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    try:
        structlog.get_logger().warning("spawned", task=3)
    finally:
        structlog.reset_defaults()
    [event] = logged(bundle)
    assert (event.message, event.level, event.data) == ("spawned", "WARN", {"task": 3})
