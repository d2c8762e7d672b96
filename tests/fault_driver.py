"""A process that does one operation on copies of a store, stopped at its k-th touch of the disk.

    python fault_driver.py OPERATION KIND START PLACE

For k = 1, 2, ... PLACE/k is made a copy of the directory START; a forked child carries out the
operation there, and at its k-th call that touches a file below it is killed (KIND `kill`) or the
call raises the error (KIND `ENOSPC`, `EIO`). What the child said is in PLACE/k.log. It ends with
the first k that is never reached, and prints the exit codes of the children as a JSON list.

    python fault_driver.py OPERATION power ROOT K

The operation is carried out below ROOT itself, and at the K-th call, or when all is done, the file
system is shut down as a power cut would: nothing that was not synced reaches it any more.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundler.errors import BundleError

FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
KILLED = 137
REFUSED = 9
BY_PATH = ("open", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "chmod", "utime")
BY_DESCRIPTOR = ("write", "fsync")
PROJECT = Path("/a/project")
SUITE = "import sys; print('printed'); sys.exit(3)"


def below(root: str, where: Any) -> bool:
    """Whether a path or a descriptor is of something below the root."""
    if not isinstance(where, int):
        where = os.path.abspath(os.fsdecode(where))  # noqa: PTH100
    else:
        try:
            where = os.readlink(f"/proc/self/fd/{where}")  # noqa: PTH115
        except OSError:
            return False
    return str(where).startswith(f"{root}/")


class Shim:
    """Counts the calls that touch what is below a root, and stops at the k-th."""

    def __init__(self, root: str, kind: str, k: int) -> None:
        self.root, self.kind, self.k, self.count = root, kind, k, 0

    def touch(self) -> None:
        self.count += 1
        if self.count != self.k:
            return
        if self.kind == "power":
            cut_power(self.root)
        if self.kind in ("kill", "power"):
            os._exit(KILLED)
        number = getattr(errno, self.kind)
        raise OSError(number, os.strerror(number))

    def guard(self, module: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(module, name)

        def guarded(where: Any, *words: Any, **named: Any) -> Any:
            if named.get("dir_fd") is not None:  # relative: what it is below is counted
                if below(self.root, named["dir_fd"]):
                    self.touch()
            elif below(self.root, where):
                self.touch()
            return real(where, *words, **named)

        setattr(module, name, guarded)
        for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if real in known:
                known.add(guarded)

    def install(self) -> None:
        for name in (*BY_PATH, *BY_DESCRIPTOR):
            self.guard(os, name)
        self.guard(io, "open")
        self.guard(fcntl, "flock")


def cut_power(root: str) -> None:
    """Stop the file system (ext4, XFS) where it is: no journal, no page is written any more."""
    directory = os.open(root, os.O_RDONLY)
    fcntl.ioctl(directory, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


def operate(operation: str, root: Path) -> int:
    """Carry out one operation below a root, as the commands do; return the exit code."""
    from bundler import atomic, cli, packing, pruning, sealing
    from bundler.retention import Policy
    from bundler.store import Store, open_recording

    store = Store(root / "store", PROJECT)
    if operation == "seal":
        sealing.seal_abandoned(store.runs()[0].path)
    elif operation == "pack":
        with atomic.output(str(root / "packed.zip")) as file:
            packing.pack(store.runs()[0].path, file)
    elif operation == "add":
        store.add(open_recording(str(root / "other.zip")), {"added_from": "other.zip"})
    elif operation == "prune":
        now_us = 1_700_000_000_000_000
        pruning.carry_out(store, *pruning.planned(store, Policy(keep_runs=5), now_us), now_us)
    else:
        os.environ["BUNDLE_STORE"] = str(root / "store")
        os.chdir(root / "project")
        return cli.run(["run", "--", sys.executable, "-c", SUITE])
    return 0


def child(operation: str, kind: str, root: Path, k: int) -> int:
    """Be the child: 0 where the k-th call was never reached."""
    if kind != "power":
        log = os.open(f"{root}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
    shim = Shim(str(root), kind, k)
    shim.install()
    code = REFUSED
    try:
        code = operate(operation, root)
    except (OSError, BundleError) as error:
        os.write(2, f"refused: {error}\n".encode())
    return code if shim.count >= k else 100


def main() -> None:
    """Do it for every k."""
    operation, kind, start, place = sys.argv[1:]
    if kind == "power":
        code = child(operation, kind, Path(start), int(place))
        cut_power(start)
        os._exit(code)
    import bundler.cli
    import bundler.commands.run
    import bundler.opening
    import bundler.pruning  # noqa: F401  loaded once, before the forks

    codes: list[int] = []
    while not codes or codes[-1] != 100:
        k = len(codes) + 1
        root = Path(place) / f"{k:03}"
        shutil.copytree(start, root)
        pid = os.fork()
        if pid == 0:
            os._exit(child(operation, kind, root, k))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(json.dumps(codes[:-1]))


if __name__ == "__main__":
    main()
