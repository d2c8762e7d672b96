"""The state of the random generators: taken at the start of a test, kept, and set again.

Kept are `random`'s own generator and, where it is already imported, numpy's legacy one; neither is
disturbed by being looked at. A state on its way through the log and a selection file is JSON:

    {"random": {"version": 3, "state": BASE64, "gauss_next": NUMBER or null},
     "numpy": {"bit_generator": "MT19937", "state": BASE64, "has_gauss": 0 or 1, "gauss": NUMBER}}

BASE64 is zlib over 625 little-endian u32: the 624 words of the Mersenne Twister, then its position.
A number is written so that it reads as the same double.

`random.getstate()` makes 625 integers, which takes longer than all else that is done at the start
of a test. CPython has the same 625 numbers side by side in the object: they are copied as they lie
there, once it was seen that this gives what `getstate` gives, and only under a global lock. numpy
says itself where its words are; where it keeps the spare number is found out the same way.
"""

from __future__ import annotations

import binascii
import importlib
import random
import struct
import sys
import zlib

VERSION = 3
MOST_KEPT = 2000
"""How many states one process writes: it bounds the log, whatever fails."""

_WORDS = 624
_STATE = struct.Struct(f"<{_WORDS + 1}I")
_BYTES = _STATE.size
_SPARE = struct.Struct("=i4xd")  # whether there is a spare number, and which
_NUMPY = "numpy.random.mtrand"


class Memory:
    """The numbers of a generator where they lie; `memory_of` makes it only where that is proven."""

    def __init__(self, generator, view):
        self._generator = generator  # keeps it where it is
        self._view = view

    def copy(self):
        """Return the position and the words, as they lie."""
        return self._view.raw

    def write(self, raw):
        """Put back what `copy` returned."""
        self._view.raw = raw


def memory_of(generator):
    """Return the memory of a generator, or None where it is not laid out as expected."""
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not locked:
        return None
    try:
        import ctypes

        offset = object.__basicsize__
        kind = type(generator).__mro__[-2]
        if kind.__basicsize__ < offset + _BYTES:
            return None
        view = (ctypes.c_char * _BYTES).from_address(id(generator) + offset)
        memory = Memory(generator, view)
        return memory if _packed_memory(memory.copy()) == _packed(generator.getstate()[1]) else None
    except Exception:
        # No ctypes here, or not as it is known: the slower way is as exact.
        return None


class NumpyMemory:
    """The same of numpy's legacy generator: 624 words and the position, and the spare normal."""

    def __init__(self, rand, twister, spare):
        self.rand, self.bit_generator = rand, rand._bit_generator
        self._twister, self._spare = twister, spare

    def is_of(self, rand):
        """Whether this is still where that generator keeps its numbers."""
        return rand is self.rand and rand._bit_generator is self.bit_generator

    def copy(self):
        """Return the words with the position, and the spare number, as they lie."""
        return self._twister.raw, self._spare.raw

    def write(self, state):
        """Put back what `copy` returned."""
        self._twister.raw, self._spare.raw = state


def numpy_memory_of(numpy):
    """Return the memory of numpy's legacy generator, or None where it is not laid out as expected.

    `numpy` is the module `numpy.random.mtrand`.
    """
    if memory_of(random.Random(1)) is None:
        return None
    try:
        import ctypes

        rand = numpy._rand
        at = _spare_offset(numpy, ctypes)
        spare = (ctypes.c_char * _SPARE.size).from_address(id(rand) + at)
        address = rand._bit_generator.ctypes.state_address
        twister = (ctypes.c_char * _BYTES).from_address(address)
        memory = NumpyMemory(rand, twister, spare)
        same = _numpy_fields(memory.copy()) == _numpy_fields(rand.get_state(legacy=False))
        return memory if same else None
    except Exception:
        return None  # as above


def _spare_offset(numpy, ctypes):
    """Find where a generator keeps its spare number, with one that nobody uses."""
    own, mark = numpy.RandomState(1), -1.2345678901234567e-300
    _, key, position, _, _ = own.get_state()
    own.set_state(("MT19937", key, position, 1, mark))
    raw = ctypes.string_at(id(own), type(own).__basicsize__)
    at = raw.index(struct.pack("=d", mark)) - 8
    own.set_state(("MT19937", key, position, 0, mark))
    after = ctypes.string_at(id(own), type(own).__basicsize__)
    if _SPARE.unpack_from(raw, at) != (1, mark) or _SPARE.unpack_from(after, at) != (0, mark):
        raise ValueError("has_gauss does not stand before gauss")
    return at


class Generators:
    """Takes and sets the state of the generators of this process."""

    def __init__(self, generator=None, memory_of=memory_of):
        self._random = random._inst if generator is None else generator
        self._memory = memory_of(self._random)
        self._modules = sys.modules
        # By reference, for tests that patch `random`.
        self._getstate, self._setstate = self._random.getstate, self._random.setstate
        self._seed = self._random.seed
        self._seeded = None, None
        self._numpy_memory = self._numpy_seen = None
        self._kept = 0

    def take(self):
        """Return the states as they are now, in a form for `set` and `document`."""
        return self.take_random(), self.take_numpy()

    def take_random(self):
        """Return the state of `random`."""
        memory = self._memory
        return self._getstate() if memory is None else (memory.copy(), self._random.gauss_next)

    def seed_random(self, seed):
        """Do what `random.seed(seed)` does; the second time in a row by heart."""
        known, raw = self._seeded
        if known == seed:
            self.set_random((raw, None))
            return
        self._seed(seed)
        if self._memory is not None:
            self._seeded = seed, self._memory.copy()

    def take_numpy(self):
        """Return the state of numpy's legacy generator, or None where it is not imported."""
        numpy = self._modules.get(_NUMPY)
        if numpy is None:
            return None
        try:
            rand = numpy._rand
            memory = self._numpy_memory
            if memory is None or not memory.is_of(rand):
                memory = self._look_at(numpy, rand)
            return rand.get_state(legacy=False) if memory is None else memory.copy()
        except Exception:
            return None  # half imported, or something else under its name

    def _look_at(self, numpy, rand):
        """Return the memory of a generator that was not seen before, or None, looking only once."""
        seen = rand, rand._bit_generator
        if self._memory is None or self._numpy_seen == seen:
            return None
        self._numpy_seen = seen
        self._numpy_memory = numpy_memory_of(numpy)
        return self._numpy_memory

    def set(self, states):
        """Set what `take` returned, or `parsed`."""
        of_random, of_numpy = states
        if of_random is not None:
            self.set_random(of_random)
        if of_numpy is not None:
            self.set_numpy(of_numpy)

    def set_random(self, state):
        """Set the state of `random`."""
        if len(state) == 2:
            self._memory.write(state[0])
            self._random.gauss_next = state[1]
        else:
            self._setstate(state)

    def set_numpy(self, state):
        """Set the state of numpy's legacy generator. Raises ImportError where there is none."""
        if _NUMPY not in self._modules:
            importlib.import_module(_NUMPY)  # it was there when the state was taken
        if len(state) == 2:
            self._numpy_memory.write(state)
        else:
            self._modules[_NUMPY]._rand.set_state(state)

    def document(self, states):
        """Return the states as JSON text, or None where enough are kept, or there is nothing."""
        if self._kept >= MOST_KEPT:
            return None
        of_random, of_numpy = states
        parts = [_random_part(of_random)]
        part = None if of_numpy is None else _numpy_part(of_numpy)
        if part is not None:
            parts.append(part)
        self._kept += 1
        return "{" + ",".join(parts) + "}"


def parsed(document):
    """Return the states that a document holds, for `Generators.set`.

    Raises ValueError where it is not of the form that this module's docstring gives.
    """
    if not isinstance(document, dict):
        raise ValueError("generator states that are no object")
    of_random, of_numpy = document.get("random"), document.get("numpy")
    try:
        return (
            None if of_random is None else _random_state(of_random),
            None if of_numpy is None else _numpy_state(of_numpy),
        )
    except (KeyError, TypeError, AttributeError, zlib.error) as error:
        raise ValueError(f"generator states that cannot be read: {error}") from None


def _random_part(state):
    if len(state) == 2:
        words, gauss = _packed_memory(state[0]), state[1]
    else:
        words, gauss = _packed(state[1]), state[2]
    shown = "null" if gauss is None else float.__repr__(float(gauss))
    return f'"random":{{"version":{VERSION},"state":"{_text(words)}","gauss_next":{shown}}}'


def _numpy_part(state):
    fields = _numpy_fields(state)
    if fields is None:
        return None  # the user has put another kind of generator in its place
    words, has_gauss, gauss = fields
    return (
        f'"numpy":{{"bit_generator":"MT19937","state":"{_text(words)}"'
        f',"has_gauss":{has_gauss},"gauss":{float.__repr__(gauss)}}}'
    )


def _numpy_fields(state):
    """Return the packed words, has_gauss and gauss of either form, None of another generator."""
    if len(state) == 2:
        words = _STATE.pack(*struct.unpack(f"={_WORDS + 1}I", state[0]))
        return (words, *_SPARE.unpack(state[1]))
    if state["bit_generator"] != "MT19937":
        return None
    words = _STATE.pack(*state["state"]["key"].tolist(), state["state"]["pos"])
    return words, int(state["has_gauss"]), float(state["gauss"])


def _random_state(part):
    if part["version"] != VERSION:
        raise ValueError(f"a state of random of version {part['version']!r}")
    gauss = part["gauss_next"]
    return VERSION, _words(part["state"]), None if gauss is None else _number(gauss)


def _numpy_state(part):
    if part["bit_generator"] != "MT19937":
        raise ValueError(f"a state of numpy's {part['bit_generator']!r}")
    *key, position = _words(part["state"])
    # The older of the two forms that numpy takes: this one needs no numpy to be made.
    return "MT19937", key, position, int(_number(part["has_gauss"])), _number(part["gauss"])


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} where a number stands")
    return float(value)


def _packed(numbers):
    return _STATE.pack(*numbers)


def _packed_memory(raw):
    position, *words = struct.unpack(f"={_WORDS + 1}I", raw)
    return _STATE.pack(*words, position)


def _text(words):
    return binascii.b2a_base64(zlib.compress(words, 1), newline=False).decode("ascii")


def _words(text):
    inflating = zlib.decompressobj()
    raw = inflating.decompress(binascii.a2b_base64(text.encode("ascii")), _BYTES + 1)
    if len(raw) != _BYTES:
        raise ValueError(f"a state of {len(raw)} bytes, not {_BYTES}")
    numbers = _STATE.unpack(raw)
    if numbers[-1] > _WORDS:
        raise ValueError(f"a position of {numbers[-1]}")
    return numbers
