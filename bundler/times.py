"""Times and durations as other tools write them, in the units that are used here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNKNOWN_TIME = "1970-01-01T00:00:00Z"
"""When a run started whose recording does not say it."""

LAST_SECOND = 253402300799  # 9999-12-31, the last that RFC 3339 can write
LONGEST_SECONDS = 100 * 366 * 86400


def microseconds(value: object) -> int | None:
    """Return a number of seconds (a number, or a text as XML has it) in microseconds.

    None where it is none, negative, not finite, or more than a hundred years.
    """
    if isinstance(value, str):
        # Maven Surefire writes the time of a long test with a separator: 1,234.5
        text = value.strip().replace(",", "") if "." in value else value.strip().replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * 1_000_000) if 0 <= value < LONGEST_SECONDS else None


def rfc3339(epoch_us: int) -> str:
    """Return a time since 1970 in UTC, as manifests have it; 1970 where it is out of range."""
    if not 0 <= epoch_us <= LAST_SECOND * 1_000_000:
        return UNKNOWN_TIME
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=epoch_us)
    return moment.isoformat().replace("+00:00", "Z")


def epoch_microseconds(text: object) -> int | None:
    """Return an ISO 8601 time in microseconds since 1970; without a zone it is taken for UTC.

    None where the text is no such time.
    """
    if not isinstance(text, str):
        return None
    # Go writes nanoseconds, and fewer digits where they are zero; Python takes three or six.
    trimmed = re.sub(
        r"\.([0-9]+)", lambda m: f".{m[1][:6]:0<6}", text.strip().replace("Z", "+00:00"), count=1
    )
    try:
        moment = datetime.fromisoformat(trimmed)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        epoch = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except OverflowError:
        return None
    return epoch if epoch >= 0 else None
