"""What a suite logs already, in the bundle: `logging` and structlog, in one line each.

logging.getLogger().addHandler(bundle.logging_handler())
structlog.configure(processors=[…, bundle.structlog_processor(), …])
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from bundler.testing.ndjson import NdjsonLogger

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_WORDS = {"critical": "ERROR", "fatal": "ERROR", "exception": "ERROR", "error": "ERROR"}
_WORDS |= {"warning": "WARN", "warn": "WARN", "info": "INFO", "debug": "DEBUG"}


class BundleHandler(logging.Handler):
    """A `logging.Handler` that logs each record as an event `LogRecord`, category `log`.

    `data` has the logger's name, the file, line and function, the traceback where there is one,
    and what was given as `extra`.
    """

    def __init__(self, logger: NdjsonLogger, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; what goes wrong is `logging.raiseExceptions`' to show."""
        try:
            self.logger.log(
                "LogRecord",
                record.getMessage(),
                level=level_of(record.levelno),
                category="log",
                data=_data(record),
            )
        except Exception:  # as every handler of the standard library does it
            self.handleError(record)


def structlog_processor(
    logger: NdjsonLogger,
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a structlog processor that logs each entry, and hands it on as it is.

    The entry's `event` becomes the message, its `level` (else the method) the level, the rest
    `data`. It can stand anywhere before the renderer.
    """

    def process(
        _logger: Any, method: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        word = str(entry.get("level", method)).lower()
        rest = {name: value for name, value in entry.items() if name != "event"}
        logger.log(
            "LogRecord",
            str(entry.get("event", "")),
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
