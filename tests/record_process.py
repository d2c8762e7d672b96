"""Run a command as `bundle run` does, for the tests: `record_process.py DIRECTORY COMMAND…`.

What the recorder is shown goes to a file a stream in DIRECTORY, the end to `exit.json`. The
environment variable PREPARE is Python code to execute first; `kept` is the callback it may replace.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from bundler.runners.process import exit_like, run

directory = Path(sys.argv[1])


def keep(stream: str, chunk: bytes) -> None:
    with (directory / stream).open("ab") as file:
        file.write(chunk)


settings: dict[str, object] = {"on_output": keep, "on_idle": None}
exec(os.environ.pop("PREPARE", ""))
ended = run(sys.argv[2:], env=os.environ, cwd=None, **settings)  # type: ignore[arg-type]
(directory / "exit.json").write_text(json.dumps(asdict(ended), default=repr))
exit_like(ended)
