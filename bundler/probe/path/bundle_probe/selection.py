"""Which tests run, and in which order, where a rerun says so.

The file is JSON: `version` (1), `deselect` (ids that are left out), `only` (the ids that are kept,
or null), `order` (ids, or null: the tests that are named come in this order, the others after
them). Two more may be absent: `restore` (for a test id the states of the generators that are set
when the test starts, as `generators.py` has them) and `random_seeds` (for a plugin the seed that it
had: `randomly`, `random_order`). Ids that nothing was collected for are of no consequence.

This is what the user asked for, so nothing here is guarded: a file that cannot be read ends pytest
with a usage error. It works whether or not there is a log to write to.
"""

from __future__ import annotations

import json

import pytest

from .generators import parsed
from .text import test_id


class Selection:
    """The plugin that leaves out tests and puts the rest in order, after every other plugin.

    `deselecting` is called with why tests are left out, before they are. `restore` is for who runs
    the tests: the states to set, by test id.
    """

    def __init__(self, path, deselecting):
        self._deselect, self._only, self._order, self.restore, self.random_seeds = _read(path)
        self._deselecting = deselecting

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config, items):
        """Leave out, then order."""
        yield
        kept = [item for item in items if self._keeps(test_id(item.nodeid))]
        if len(kept) < len(items):
            chosen = set(map(id, kept))
            # What was asked for by name leaves the rest unknown; only a passing test has passed.
            self._deselecting("passing" if self._only is None else "deselected")
            left_out = [item for item in items if id(item) not in chosen]
            config.hook.pytest_deselected(items=left_out)
            self._deselecting("deselected")
        last = len(self._order)
        items[:] = sorted(kept, key=lambda item: self._order.get(test_id(item.nodeid), last))

    def _keeps(self, known):
        return known not in self._deselect if self._only is None else known in self._only


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        if document["version"] != 1:
            raise ValueError(f"version {document['version']}")
        only, order = document.get("only"), document.get("order")
        return (
            _ids(document.get("deselect") or []),
            None if only is None else _ids(only),
            {known: index for index, known in reversed(list(enumerate(_ids(order or []))))},
            {known: parsed(one) for known, one in (document.get("restore") or {}).items()},
            _seeds(document.get("random_seeds") or {}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise pytest.UsageError(
            f"bundle: the selection of this rerun cannot be read: {path}: {error}"
        ) from None


def _seeds(value):
    if "randomly" in value:
        int(value["randomly"])
    return {name: str(seed) for name, seed in value.items()}


def _ids(value):
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("not a list of test ids")
    return dict.fromkeys(value)
