"""What is installed, cheaply: from names of directories, without reading any metadata."""

from __future__ import annotations

import os
import re

_ENDINGS = (".dist-info", ".egg-info")
_SEPARATORS = re.compile(r"[-_.]+")
_MOST = 3000


def installed(search_path):
    """Return `{name: version}` of the distributions on a search path; the first one counts."""
    found = {}
    for folder in search_path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in sorted(names):
            pair = parse(name)
            if pair is not None and len(found) < _MOST:
                found.setdefault(*pair)
    return found


def plugins(manager):
    """Return `{name: version}` of the distributions whose plugins are loaded."""
    found = {}
    for _, dist in manager._plugin_distinfo:
        # The folder's name says it; asking the distribution parses all of its metadata.
        dist = getattr(dist, "_dist", dist)
        path = getattr(dist, "_path", None)
        pair = parse(os.path.basename(str(path))) if path is not None else None
        if pair is None:
            pair = _normal(str(dist.metadata["name"])), str(dist.version)
        found[pair[0]] = pair[1]
    return found


def parse(name):
    """Return name and version in the name of a `.dist-info` or `.egg-info`, or None."""
    stem, ending = os.path.splitext(name)
    if ending not in _ENDINGS or len(name) > 300:
        return None
    words = stem.split("-")
    return (_normal(words[0]), words[1]) if len(words) > 1 else (_normal(stem), "")


def _normal(name):
    return _SEPARATORS.sub("-", name).lower()
