"""What the hooks of one process share: the log, the session, the seeds, and an event to a line."""

from __future__ import annotations

import os

from . import generators, text
from .log import MAX_LINE_BYTES, Log

CHUNK_BYTES = 256 * 1024


class Recorder:
    """Writes the events of one session from one process."""

    def __init__(self, settings, config):
        rootdir, self._argv = str(config.rootpath), config.invocation_params.args
        self.log = Log(settings.log, settings.t0_ns)
        self.settings = settings
        self.learn_secrets()
        self.session = settings.session or os.urandom(4).hex()
        self.worker = settings.worker
        self.seeds = text.Seeds(settings.root_seed)
        self.generators = generators.Generators()
        self.restore = {}
        self._rootdir = os.path.join(rootdir, "")
        self._seed_fields = text.seed_fields(settings.root_seed)
        self._separator = os.sep

    def learn_secrets(self):
        """Mask what is secret in the environment as it is by now; else write nothing at all."""
        try:
            if self.settings.redact:
                text.SECRETS.learn(dict(os.environ), [text.shown(one) for one in self._argv])
        except Exception as error:
            self.log.disarm(error)

    def event(self, event, category, message, data, level="INFO", test_id=None):
        """Write one event, of the run or, with a test id, about a test. Raises OSError."""
        self.log.write(self.line(event, category, message, data, level, test_id))

    def line(self, event, category, message, data, level="INFO", test_id=None):
        """Return one event as a line; `data` is a dict, or JSON that is ready."""
        about = self._seed_fields
        if test_id is not None:
            about = f',"test_id":{text.quote(test_id)}{self.seeds.fields(test_id)}'
        if not isinstance(data, str):
            data = text.encode(data)
        return (
            f'{{"v":1,"ts_us":{self.log.now_us()},"level":"{level}","category":"{category}"'
            f',"event":"{event}"{about},"thread_id":{self.log.thread_id()}'
            f',"message":{text.quote(message)},"data":{data}}}\n'
        )

    def write_first_that_fits(self, lines):
        """Write the first of ever shorter lines that is not over the limit of a line."""
        for line in lines:
            if len(line) <= MAX_LINE_BYTES:
                self.log.write(line)
                return

    def collected(self, kind, ids, **more):
        """Write TestsCollected in chunks; `kind` is `selected` or `deselected`."""
        for chunk in _chunks([text.as_json(text.test_id(one)) for one in ids]):
            rest = "".join(f',"{name}":{text.quote(value)}' for name, value in more.items())
            data = f'{{"session":"{self.session}","{kind}":[{",".join(chunk)}]{rest}}}'
            self.event("TestsCollected", "run", f"{len(chunk)} {kind}", data)

    def relative(self, path):
        """Return a path as it is recorded: relative where it is inside the root directory."""
        path = text.shown(path)
        if path.startswith(self._rootdir):
            path = path[len(self._rootdir) :]
        return path if self._separator == "/" else path.replace(self._separator, "/")


def _chunks(quoted):
    chunk, size = [], 0
    for one in quoted:
        if size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += len(one)
    if chunk:
        yield chunk
