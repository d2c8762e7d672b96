"""What machine a run was on: system, interpreter, processors, memory, limits, locale, time zone.

Asked of the operating system directly: the `platform` module may start processes of its own.
"""

from __future__ import annotations

import locale
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from bundler import __version__

_CGROUPS = Path("/sys/fs/cgroup")
_LEGACY_FILES = (
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("memory", "memory.limit_in_bytes"),
)


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The operating system: `Linux 6.1.0 x86_64`, and the C library where it names itself."""

    os: str
    release: str
    machine: str
    libc: str | None = None


class Recorder(msgspec.Struct, frozen=True):
    """What recorded the run: the version of this program and the interpreter that runs it."""

    version: str
    implementation: str
    python: str
    executable: str


class Processors(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many processors: all of the machine's, those this process may use, and a quota of time.

    `quota` is what the control group grants, in processors: 1.5 is 150 ms in every 100 ms.
    """

    count: int | None = None
    usable: int | None = None
    quota: float | None = None


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much memory, in bytes: all of the machine's, and the control group's limit."""

    total: int | None = None
    limit: int | None = None


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many files may be open (`ulimit -n`, `ulimit -Hn`); absent where there is no limit."""

    open_files: int | None = None
    open_files_hard: int | None = None


class Locale(msgspec.Struct, frozen=True):
    """How the recorder's own process reads and writes text."""

    ctype: str
    encoding: str
    filesystem_encoding: str
    utf8_mode: bool


class TimeZone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The local time zone: its abbreviation, its offset now in seconds east of UTC, its IANA name.

    `zone` is known where TZ names it or `/etc/localtime` points at it.
    """

    abbreviation: str
    utc_offset_s: int
    zone: str | None = None


def this_platform(env: Mapping[str, str]) -> Platform:
    """Return what the operating system says of itself."""
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        release = f"{version.major}.{version.minor}.{version.build}"
        return Platform("Windows", release, env.get("PROCESSOR_ARCHITECTURE", ""))
    about = os.uname()
    return Platform(about.sysname, about.release, about.machine, _libc())


def this_recorder() -> Recorder:
    """Return what this program and its interpreter are."""
    version = ".".join(map(str, sys.version_info[:3]))
    executable = (sys.executable or "").encode("utf-8", "replace").decode("utf-8")
    return Recorder(__version__, sys.implementation.name, version, executable)


def processors(cgroup: Mapping[str, str]) -> Processors:
    """Return how many processors there are; `cgroup` is what `cgroup_files` found."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Processors(count=os.cpu_count(), usable=usable, quota=_quota(cgroup))


def memory(cgroup: Mapping[str, str]) -> Memory:
    """Return how much memory there is; `cgroup` is what `cgroup_files` found."""
    total = None
    if hasattr(os, "sysconf"):
        with suppress(OSError, ValueError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _number(cgroup.get("memory.max") or cgroup.get("memory.limit_in_bytes"))
    # The first version of control groups says "no limit" with a number near 2^63.
    return Memory(total=total, limit=limit if limit is not None and limit < 1 << 62 else None)


def limits() -> Limits:
    """Return the limits of this process that decide how tests behave."""
    if sys.platform == "win32":
        return Limits()
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(*(None if n == resource.RLIM_INFINITY else n for n in (soft, hard)))


def this_locale() -> Locale:
    """Return the locale in force; asking does not change it."""
    return Locale(
        ctype=locale.setlocale(locale.LC_CTYPE),
        encoding=locale.getencoding(),
        filesystem_encoding=sys.getfilesystemencoding(),
        utf8_mode=bool(sys.flags.utf8_mode),
    )


def time_zone(env: Mapping[str, str], localtime: Path = Path("/etc/localtime")) -> TimeZone:
    """Return the local time zone as this process has it."""
    now = time.localtime()
    zone = env.get("TZ", "").removeprefix(":") or None
    if zone is None:
        with suppress(OSError, ValueError):
            target = localtime.readlink().as_posix()
            zone = target.partition("zoneinfo/")[2] or None
    return TimeZone(now.tm_zone or "", now.tm_gmtoff or 0, zone)


def cgroup_files(
    membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS
) -> dict[str, str]:
    """Return the tightest limits of this process's control group, by the name of their file.

    Version 2 (cgroups(7)): `cpu.max` and `memory.max` of the group and all above it. Version 1:
    the files of the controllers' own trees. Nothing where there are no control groups.
    """
    groups = {
        controller: group
        for _, controllers, group in _fields(_read(membership))
        for controller in controllers.split(",")
    }
    return _legacy(root, groups) | _unified(root, groups.get("", "/"))


def _fields(membership: str) -> Iterator[list[str]]:
    """Yield `number:controllers:group` of each line."""
    rows = (line.split(":", 2) for line in membership.splitlines())
    return (row for row in rows if len(row) == 3)


def _unified(root: Path, group: str) -> dict[str, str]:
    # A group outside of this namespace is named by `..`; its own files cannot be seen from here.
    folder = root if ".." in group else root / group.lstrip("/")
    found: dict[str, str] = {}
    for place in (folder, *folder.parents):
        for name, tighter in (("cpu.max", _cores), ("memory.max", _number)):
            text = _read(place / name)
            value, known = tighter(text), tighter(found.get(name))
            if text and value is not None and (known is None or value < known):
                found[name] = text
        if place == root:
            break
    return found


def _legacy(root: Path, groups: Mapping[str, str]) -> dict[str, str]:
    """Read the group's own files, or where a container hides its path, those of the root."""
    found = {}
    for controller, name in _LEGACY_FILES:
        tree = root / controller
        for place in (tree / groups.get(controller, "/").lstrip("/"), tree):
            if text := _read(place / name):
                found[name] = text
                break
    return found


def _quota(cgroup: Mapping[str, str]) -> float | None:
    if "cpu.max" in cgroup:
        return _cores(cgroup["cpu.max"])
    quota, period = cgroup.get("cpu.cfs_quota_us", ""), cgroup.get("cpu.cfs_period_us", "")
    return _cores(f"{quota} {period}")


def _cores(text: str | None) -> float | None:
    """Return the processors that `QUOTA PERIOD` (both microseconds) grants; `max` is no limit."""
    quota, _, period = (text or "").partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return round(int(quota) / int(period), 3)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _libc() -> str | None:
    """Return `glibc 2.36` where the C library names itself (confstr(3)); musl does not."""
    with suppress(OSError, ValueError, AttributeError):
        return os.confstr("CS_GNU_LIBC_VERSION")
    return None
