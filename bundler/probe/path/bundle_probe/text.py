"""Text on its way into the log: masking, JSON, cutting, test ids, seeds.

Whatever becomes JSON is masked here (`masking/`), and what is cut is masked before, so that no part
of a secret is left at the cut. The log is ASCII JSON. A lone surrogate has no place in JSON: it
becomes a visible `\\udc80`, except in output, which goes as base64 where it is not Unicode. Nothing
here looks at a global that a test may have patched.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring_ascii

from . import masking

ID_CHARACTERS = 10_000
CUT = "\n[… {} bytes cut …]\n"


class Secrets:
    """What is masked in this process; an object, because tests patch the globals of modules."""

    def __init__(self):
        self.masker = masking.OFF
        self.ids = {}

    def learn(self, environment, argv):
        """Mask the secrets of an environment and of a command from now on, if they are new."""
        secrets = masking.secrets_of(environment, argv)
        if self.masker is masking.OFF or secrets != self.masker.secrets:
            self.masker = masking.Masker(secrets)
            self.ids = {}


SECRETS = Secrets()


def quote(text, _secrets=SECRETS):
    """Return text as JSON, masked."""
    return as_json(_secrets.masker.text(text))


def as_json(text, _quote=encode_basestring_ascii):
    """Return text that is masked by now as JSON."""
    return _quote(text if text.isascii() else unicode_only(text))


def encode(value):
    """Return a value of str, int, bool, None, list, tuple and dict as JSON, masked."""
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode(k)}:{encode(v)}" for k, v in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encode(v) for v in value]) + "]"
    raise TypeError(f"no JSON for {type(value).__name__}")


def unicode_only(text):
    """Return text with every lone surrogate made visible."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def shown(value):
    """Return any object as text, whatever its own `__str__` does."""
    try:
        return value if isinstance(value, str) else str(value)
    except (Exception, SystemExit) as error:
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def clip(text, limit, _secrets=SECRETS):
    """Return text of at most about `limit` bytes, its middle cut, saying how much is gone."""
    if len(text) * 6 <= limit:  # a lone surrogate becomes six bytes
        return text
    text = _secrets.masker.text(text)
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= limit:
        return text
    half = limit // 2
    head = raw[:half].decode("utf-8", "ignore")
    tail = raw[len(raw) - half :].decode("utf-8", "ignore")
    return head + CUT.format(len(raw) - 2 * half) + tail


def test_id(node_id, _secrets=SECRETS):
    """Return the id under which a test is recorded: pytest's own, unless JSON cannot hold it.

    A secret in it (a parameter) is masked; tests whose ids are the same by that share the id. One
    of more than 10,000 characters is cut, so that a line stays under 1 MiB; a digest keeps it apart
    from the others.
    """
    known = _secrets.ids.get(node_id)
    if known is None:
        known = _secrets.ids[node_id] = _short_id(_secrets.masker.text(node_id))
    return known


def _short_id(node_id, _sha256=hashlib.sha256):
    if not node_id.isascii():
        node_id = unicode_only(node_id)
    if len(node_id) <= ID_CHARACTERS:
        return node_id
    digest = _sha256(node_id.encode("utf-8")).hexdigest()
    return f"{node_id[:ID_CHARACTERS]}[cut:{digest}]"


class Seeds:
    """The seeds of tests: FNV-1a 64 over the root, then `scenario:` and the test id."""

    def __init__(self, root):
        self._base = _fnv1a(b"scenario:", _fnv1a(root.to_bytes(8, "little")))
        self._prefix = ""
        self._after_prefix = self._base

    def seed(self, name):
        """Return the seed of the test with this id."""
        # Tests of one file share the beginning of their ids; any split gives the same hash.
        split = name.rfind("::") + 2
        if name[:split] != self._prefix:
            self._prefix = name[:split]
            self._after_prefix = _fnv1a(self._prefix.encode("utf-8"), self._base)
        return _fnv1a(name[split:].encode("utf-8"), self._after_prefix)

    def fields(self, name):
        """Return the fields of an event that say the seed of the test with this id."""
        return seed_fields(self.seed(name))


def seed_fields(seed):
    """Return the fields of an event that say a seed: the hex is for who rounds large numbers."""
    return f',"seed":{seed},"seed_hex":"{seed:016x}"'


def _fnv1a(data, value=0xCBF29CE484222325):
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
