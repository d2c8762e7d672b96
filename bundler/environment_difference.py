"""Where two executions differ, ranked by what could matter for the failures at hand.

Both sides are documents of `environment.json` (`bundler.environment`), with the `sessions` that the
probe added. A difference has a weight, the larger the likelier it is the reason; what the failures
themselves speak of (a module that is missing, an encoding, a time limit) weighs more:

| differs | weight | more where the failure speaks of |
|---|---|---|
| the failing test's file, the commit, uncommitted changes | 90 | |
| the interpreter | 85 | |
| the hash seed | 80 | |
| the order of the tests, the workers | 75 | |
| plugins that put tests in another order or reseed | 70 | |
| packages, other plugins | 55 | one of them by name, an import |
| the system, the architecture | 50 | |
| the time zone | 45 | times and zones |
| the locale, the encoding | 40 | encoding |
| processors, memory, limits | 35 | time limits, memory, open files |
| variables that were recorded | 30 | one of them by name |
| what only installs packages | 20 | one of them by name |
| the date (the time of a day is only cosmetic) | 25 | dates |
| what is only cosmetic: releases, paths, the terminal | 5 | |

What the recording's own value was given to the execution for is `applied`: it no longer differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

MOST_PACKAGES = 50
COSMETIC = 10

RANDOMISING = frozenset(
    {"pytest-randomly", "pytest-random-order", "pytest-reverse", "pytest-randomize", "randomly"}
)
INSTALLING = frozenset({"pip", "setuptools", "wheel", "uv"})
_HINTS: dict[str, str] = {
    "encoding": r"Unicode(?:Encode|Decode)Error|codec can't|charmap|surrogate|locale",
    "time": r"time ?zone|tzinfo|tzset|zoneinfo|\bUTC\b|\bGMT\b|daylight|strftime|hour",
    "date": r"expire|deadline|\bdate|\byear|weekday|\btoday\b|\bnow\b|too (?:old|late)",
    "limit": r"[Tt]ime(?:d)? ?[Oo]ut|took longer|too slow|within \d|elapsed|MemoryError|open files",
    "import": r"ModuleNotFoundError|ImportError|AttributeError: module|No module named",
}
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+){0,3}")
_LOCALE = re.compile(r"[A-Za-z]{1,10}(?:[_.@-][A-Za-z0-9-]{1,20}){0,4}")
_FLAG = re.compile(r"[01]|warn")
_HASH = re.compile(r"random|[0-9]{1,10}")

APPLICABLE: dict[str, re.Pattern[str]] = {
    "PYTHONHASHSEED": _HASH,
    "TZ": _ZONE,
    "LANG": _LOCALE,
    "LC_ALL": _LOCALE,
    "LC_CTYPE": _LOCALE,
    "LC_COLLATE": _LOCALE,
    "LC_MONETARY": _LOCALE,
    "LC_NUMERIC": _LOCALE,
    "LC_TIME": _LOCALE,
    "PYTHONUTF8": _FLAG,
    "PYTHONCOERCECLOCALE": _FLAG,
}
"""The variables that an execution takes over from a recording, with the only forms they may have:
none of them names a file or code."""

_COSMETIC_NAMES = """
    TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE PY_COLORS TMPDIR
    VIRTUAL_ENV PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONPATH RUNNER_OS RUNNER_ARCH ImageOS
    ImageVersion
"""
_COSMETIC_VARIABLES = frozenset(_COSMETIC_NAMES.split())


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: what, there and here, how much it could matter, what was done."""

    what: str
    recorded: str
    here: str
    weight: int
    applied: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        return {**asdict(self), "cosmetic": self.weight < COSMETIC}


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken over from a recording: variables to set, to remove, and what was refused."""

    sets: dict[str, str]
    removes: frozenset[str]
    refused: tuple[str, ...]

    def over(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with it."""
        kept = {name: value for name, value in env.items() if name not in self.removes}
        return {**kept, **self.sets}


def taken_over(recorded: Mapping[str, Any], env: Mapping[str, str]) -> Taken:
    """Return what an execution under `env` takes over from a recorded environment."""
    if not recorded:
        return Taken({}, frozenset(), ())
    variables = _strings(recorded.get("variables"))
    sets: dict[str, str] = {}
    refused = []
    for name, form in APPLICABLE.items():
        value = variables.get(name)
        if value is None:
            continue
        if form.fullmatch(value):
            sets[name] = value
        else:
            refused.append(f"{name}={value}")
    zone = _zone(recorded)
    if "TZ" not in sets and zone is not None:
        sets["TZ"] = zone
    removes = frozenset(name for name in APPLICABLE if name in env and name not in sets)
    others = variables.keys() - APPLICABLE.keys() - _COSMETIC_VARIABLES
    refused += [f"{n}={variables[n]}" for n in sorted(others) if env.get(n) != variables[n]]
    return Taken(sets, removes, tuple(refused))


def differences(
    recorded: Mapping[str, Any], here: Mapping[str, Any], failures: str = ""
) -> list[Difference]:
    """Return where two environments differ, the likeliest reason first.

    `failures` is the text of the failures at hand.
    """
    spoken = {hint for hint, form in _HINTS.items() if re.search(form, failures)}
    found = [
        *_source(recorded, here),
        *_interpreter(recorded, here),
        *_hashing(recorded, here),
        *_packages(recorded, here, spoken, failures),
        *_machine(recorded, here, spoken),
        *_variables(recorded, here, failures),
    ]
    return ranked(found)


def moment_difference(recorded_at: str, here_at: str, failures: str = "") -> list[Difference]:
    """Return how two moments (RFC 3339) differ: the day could matter, the rest hardly."""
    weight = 25 if recorded_at[:10] != here_at[:10] else 5
    if re.search(_HINTS["date"], failures):
        weight = 60
    return list(_one("moment", recorded_at[:19], here_at[:19], weight))


def ranked(found: Iterable[Difference]) -> list[Difference]:
    """Return differences, those that could matter most first, those that were applied last."""
    return sorted(found, key=lambda one: (one.applied, -one.weight))


def marked_applied(found: Iterable[Difference], applied: Mapping[str, str]) -> Iterator[Difference]:
    """Say of each difference whether the recorded value was given to the execution."""
    for one in found:
        yield replace(one, applied=True) if one.what in applied else one


def _source(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    mine, theirs = _object(a, "git"), _object(b, "git")
    yield from _one("commit", _commit(mine), _commit(theirs), 90)
    if mine.get("dirty") or theirs.get("dirty"):
        yield Difference("uncommitted changes", _dirty(mine), _dirty(theirs), 88)


def _commit(git: Mapping[str, Any]) -> str:
    return str(git.get("commit") or "")[:12]


def _dirty(git: Mapping[str, Any]) -> str:
    dirty = git.get("dirty")
    return "unknown" if dirty is None else "yes" if dirty else "no"


def _interpreter(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    mine, theirs = session_of(a), session_of(b)
    yield from _one("python", mine.get("python"), theirs.get("python"), 85)
    runner = [
        f"{s.get('runner', '')} {s.get('runner_version', '')}".strip() for s in (mine, theirs)
    ]
    yield from _one("runner", runner[0], runner[1], 60)
    yield from _one("executable", mine.get("executable"), theirs.get("executable"), 5)


def _hashing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    mine, theirs = session_of(a), session_of(b)
    same_python = _minor(mine) == _minor(theirs)
    if same_python:
        yield from _one("order of hashes", mine.get("hash_probe"), theirs.get("hash_probe"), 80)


def _minor(session: Mapping[str, Any]) -> str:
    return ".".join(str(session.get("python", "")).split(".")[:2])


def _packages(
    a: Mapping[str, Any], b: Mapping[str, Any], spoken: set[str], failures: str
) -> Iterator[Difference]:
    mine, theirs = session_of(a), session_of(b)
    for kind in ("plugins", "packages"):
        if mine.get(kind) is None or theirs.get(kind) is None:
            continue  # a side that is not known; an environment may well have no plugin
        there, here = _strings(mine[kind]), _strings(theirs[kind])
        known = _strings(mine.get("plugins")).keys() | _strings(theirs.get("plugins")).keys()
        names = sorted(there.keys() | here.keys())
        different = [one for one in names if there.get(one) != here.get(one)]
        for name in different[:MOST_PACKAGES]:
            if kind == "packages" and name in known:
                continue
            weight = 70 if name in RANDOMISING else 20 if name in INSTALLING else 55
            if _names(name, failures):
                weight += 25 if "import" in spoken else 15
            a_side, b_side = there.get(name, "absent"), here.get(name, "absent")
            if not (a_side and b_side):  # a source tree on the path, likely the project's own
                weight = 5
            what = f"{kind[:-1]} {name}"
            yield Difference(what, a_side or "no version", b_side or "no version", weight)


def _names(name: str, text: str) -> bool:
    words = re.escape(name).replace(r"\-", "[-_.]")
    return len(name) > 2 and re.search(rf"\b{words}\b", text, re.IGNORECASE) is not None


def _machine(a: Mapping[str, Any], b: Mapping[str, Any], spoken: set[str]) -> Iterator[Difference]:
    def both(section: str, key: str) -> tuple[Any, Any]:
        return _object(a, section).get(key), _object(b, section).get(key)

    timely, wordy, near = "time" in spoken, "encoding" in spoken, "limit" in spoken
    yield from _one("system", *both("platform", "os"), 50)
    yield from _one("architecture", *both("platform", "machine"), 50)
    yield from _one("C library", *both("platform", "libc"), 20)
    yield from _one("system release", *both("platform", "release"), 5)
    offsets = both("time_zone", "utc_offset_s")
    weight = 85 if timely else 45
    if offsets[0] != offsets[1]:
        yield from _one("time zone", _zone_words(a), _zone_words(b), weight)
    for key in ("encoding", "ctype", "filesystem_encoding", "utf8_mode"):
        yield from _one(f"locale {key}", *both("locale", key), 85 if wordy else 40)
    for key in ("usable", "quota", "count"):
        yield from _one(f"processors {key}", *both("cpu", key), 75 if near else 35)
    yield from _one("memory limit", *both("memory", "limit"), 70 if near else 20)
    yield from _one("memory", *both("memory", "total"), 5)
    yield from _one("open files", *both("limits", "open_files"), 70 if near else 20)


def _variables(a: Mapping[str, Any], b: Mapping[str, Any], failures: str) -> Iterator[Difference]:
    if "variables" not in a or "variables" not in b:
        return  # a report of another tool says nothing of them
    mine, theirs = _strings(a.get("variables")), _strings(b.get("variables"))
    for name in sorted(mine.keys() | theirs.keys()):
        weight = 5 if name in _COSMETIC_VARIABLES else 30
        if re.search(rf"\b{re.escape(name)}\b", failures):
            weight = 86
        yield from _one(name, mine.get(name), theirs.get(name), weight, absent="not set")


def session_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the probe saw of the first session, empty where it saw none."""
    sessions = document.get("sessions")
    if isinstance(sessions, Sequence) and sessions and isinstance(sessions[0], Mapping):
        return sessions[0]
    return {}


def _one(
    what: str, recorded: object, here: object, weight: int, *, absent: str = "unknown"
) -> Iterator[Difference]:
    """Yield a difference where both sides are known, or where absence itself is one."""
    if recorded == here or (absent == "unknown" and (recorded in (None, "") or here in (None, ""))):
        return
    there = absent if recorded is None else str(recorded)
    yield Difference(what, there, absent if here is None else str(here), weight)


def _zone(recorded: Mapping[str, Any]) -> str | None:
    """What to set TZ to for the recorded zone: its name, or its offset in POSIX's form."""
    about = _object(recorded, "time_zone")
    zone, offset = about.get("zone"), about.get("utc_offset_s")
    if isinstance(zone, str) and _ZONE.fullmatch(zone):
        return zone
    if type(offset) is not int or not -86400 < offset < 86400:
        return None
    # POSIX counts west of Greenwich: UTC+2 is `<+02:00>-2`. The abbreviation is made up from it.
    sign, rest = ("-" if offset >= 0 else "+"), abs(offset)
    if offset == 0:
        return "UTC0"
    return f"XXX{sign}{rest // 3600:02}:{rest % 3600 // 60:02}"


def _zone_words(document: Mapping[str, Any]) -> str:
    about = _object(document, "time_zone")
    offset = about.get("utc_offset_s")
    if type(offset) is not int:
        return ""
    shown = f"UTC{'-' if offset < 0 else '+'}{abs(offset) // 3600:02}:{abs(offset) % 3600 // 60:02}"
    return f"{about.get('zone') or about.get('abbreviation') or ''} ({shown})".strip()


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(k): v for k, v in value.items() if isinstance(v, str)}
