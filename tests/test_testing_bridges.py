"""`logging` and structlog, pointed at a bundle in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.testing import NdjsonEvent, TestContext, TestHarness
from bundler.testing.bridges import level_of


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
