"""What a suite logs already, in the bundle: `logging` and structlog, in one line each.

logging.getLogger().addHandler(bundle.logging_handler())
structlog.configure(processors=[…, bundle.structlog_processor(), …])
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from .event_line import shown
from .event_log import EventLog

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_WORDS = {"critical": "ERROR", "fatal": "ERROR", "exception": "ERROR", "error": "ERROR"}
_WORDS = {**_WORDS, "warning": "WARN", "warn": "WARN", "info": "INFO", "debug": "DEBUG"}


class BundleHandler(logging.Handler):
    """A `logging.Handler` that logs each record as an event `LogRecord`, category `log`.

    `data` has the logger's name, the file, line and function, the traceback where there is one,
    and what was given as `extra`. A record that cannot be formatted is logged as it is, with its
    arguments, and `problem` says why.
    """

    def __init__(self, logger: EventLog, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record. Never raises: whoever logs is not to blame for who listens."""
        if self.logger.is_over:
            return
        message, data = _message(record)
        try:
            data.update(_data(record))
        except Exception as error:  # what is logged may be broken in any way
            data.setdefault("problem", f"{type(error).__name__}: {shown(error)}")
        self.logger.log(
            "LogRecord", message, level=level_of(record.levelno), category="log", data=data
        )

    def take_away(self) -> None:
        """Remove this handler from every logger that has it: its test is over."""
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        for one in loggers:
            if isinstance(one, logging.Logger) and self in one.handlers:
                one.removeHandler(self)
        self.close()


def structlog_processor(
    logger: EventLog,
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a structlog processor that logs each entry, and hands it on as it is.

    The entry's `event` becomes the message, its `level` (else the method) the level, the rest
    `data`. It can stand anywhere before the renderer.
    """

    def process(
        _logger: Any, method: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if logger.is_over:
            return entry
        word = _text(entry.get("level", method)).lower()
        rest = {name: value for name, value in entry.items() if name != "event"}
        logger.log(
            "LogRecord",
            _text(entry.get("event", "")),
            level=_WORDS.get(word, "INFO"),
            category="log",
            data=rest,
        )
        return entry

    return process


def level_of(number: int) -> str:
    """Return the level of an event for a level of `logging`: those in between go down."""
    for least, level in ((40, "ERROR"), (30, "WARN"), (20, "INFO"), (10, "DEBUG")):
        if number >= least:
            return level
    return "TRACE"


def _message(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    try:
        return record.getMessage(), {}
    except Exception as error:  # `%d` of a text, too few arguments, a `__str__` that raises
        problem = f"cannot be formatted: {type(error).__name__}: {_text(error)}"
        return _text(record.msg), {"problem": problem, "args": shown(record.args)}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # an object under test may be broken in any way
        return shown(value)


def _data(record: logging.LogRecord) -> Mapping[str, Any]:
    data: dict[str, Any] = {
        "logger": record.name,
        "file": record.pathname,
        "line": record.lineno,
        "function": record.funcName,
    }
    if record.exc_info and record.exc_info[0] is not None:
        data["traceback"] = "".join(traceback.format_exception(*record.exc_info))
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**data, **({"extra": extra} if extra else {})}
