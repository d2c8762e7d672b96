"""A suite for each runner with a reporter of ours, and what is to be told of it.

A file `fixed` beside the suite makes the failing tests pass. The broken file is mended by writing
it anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from command_line import Place

NODE = Path(os.environ.get("BUNDLE_TEST_NODE", Path(__file__).parent / "node"))
PYTHONS = os.environ.get("BUNDLE_TEST_PYTHONS", "").split(os.pathsep)
"""More Pythons to try unittest with; else those on the path."""

REQUIRED = os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split()


@dataclass(frozen=True)
class Suite:
    """One runner's suite: its command, files, and verdicts by test id.

    `again` are the ids that a rerun of it runs, `died` what runs when its process is killed.
    """

    name: str
    command: tuple[str, ...]
    tool: str
    files: dict[str, str]
    mended: dict[str, str]
    verdicts: dict[str, str]
    broken: tuple[str, ...]
    again: frozenset[str]
    deadly: dict[str, str]
    died: str
    clock: str
    output: tuple[str, str] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_here(self) -> bool:
        """Whether the tool is installed."""
        if self.tool in ("jest", "vitest"):
            return (NODE / "node_modules" / ".bin" / self.tool).exists()
        return shutil.which(self.tool) is not None

    @property
    def is_required(self) -> bool:
        """Whether the tests are to fail where it is not."""
        return self.name in REQUIRED

    def lay_out(self, place: Place, files: dict[str, str] | None = None) -> None:
        """Write the suite into a project."""
        for name, text in (files or self.files).items():
            place.file(name, text)
        if self.tool in ("jest", "vitest") and not (place.project / "node_modules").exists():
            (place.project / "node_modules").symlink_to(NODE / "node_modules")

    def shown(self, text: str) -> list[str]:
        """The lines that are shown, without times and ours.

        Jest and Vitest run the slowest files of the time before first: they come in any order.
        """
        lines = re.sub(self.clock, "", text).splitlines()
        lines = [line for line in lines if not line.startswith("bundle: ")]
        in_any_order = self.tool in ("jest", "vitest")
        return sorted(filter(str.strip, lines)) if in_any_order else lines


FIXED = "require('fs').existsSync('fixed')"
JEST = Suite(
    "jest",
    ("node_modules/.bin/jest", "--ci"),
    "jest",
    {
        "package.json": "{}",
        "a.test.js": f"""
const fixed = {FIXED};
describe('outer', () => {{
  test('passes', () => {{}});
  test('fails (1+1)', () => {{ if (!fixed) expect({{ a: 1 }}).toEqual({{ a: 2 }}); }});
  test.skip('is skipped', () => {{}});
  test.todo('is to do');
  test.each([[1], [2]])('each [%i]', (n) => {{ if (!fixed) expect(n).toBe(1); }});
  describe('inner', () => {{
    test('slow', () => new Promise((r) => setTimeout(r, fixed ? 0 : 2000)), 500);
  }});
  test('fails (1+1) not', () => {{}});
}});
test.failing('expected', () => {{ throw new Error('as expected'); }});
""",
        "b.test.js": f"""
jest.retryTimes(2);
const fixed = {FIXED};
let times = 0;
test('flaky', () => {{ times += 1; if (times < 2) throw new Error('try ' + times); }});
test('always', () => {{ if (!fixed) throw new TypeError('always'); }});
""",
        "c.test.js": "this does not parse(",
        "d.test.js": "test('alone', () => {});",
    },
    {"c.test.js": "test('mended', () => {});"},
    {
        "a.test.js::outer passes": "passed",
        "a.test.js::outer fails (1+1)": "failed",
        "a.test.js::outer is skipped": "skipped",
        "a.test.js::outer is to do": "skipped",
        "a.test.js::outer each [1]": "passed",
        "a.test.js::outer each [2]": "failed",
        "a.test.js::outer inner slow": "timed_out",
        "a.test.js::outer fails (1+1) not": "passed",
        "a.test.js::expected": "xfailed",
        "b.test.js::flaky": "flaky",
        "b.test.js::always": "failed",
        "d.test.js::alone": "passed",
    },
    ("c.test.js",),
    frozenset(
        {
            *("a.test.js::outer fails (1+1)", "a.test.js::outer is skipped"),
            *("a.test.js::outer is to do", "a.test.js::outer each [2]"),
            *("a.test.js::outer inner slow", "b.test.js::always"),
        }
    ),
    {
        "package.json": "{}",
        "a.test.js": """
test('before', () => {});
test('dies', async () => {
  await new Promise((r) => setTimeout(r, 200));
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {});
});
""",
    },
    "a.test.js::dies",
    r" ?\([0-9.]+ m?s\)|[0-9.]+ m?s\b(, estimated [0-9.]+ s)?",
)

VITEST = Suite(
    "vitest",
    ("node_modules/.bin/vitest", "run", "--no-file-parallelism"),
    "vitest",
    {
        "package.json": '{"type": "module"}',
        "a.test.js": """
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
const fixed = existsSync('fixed');
describe('outer', () => {
  test('passes', () => { console.log('said by passes'); });
  test('fails (1+1)', () => { if (!fixed) expect({ a: 1 }).toEqual({ a: 2 }); });
  test.skip('is skipped', () => {});
  test.todo('is to do');
  test.each([[1], [2]])('each [%i]', (n) => { if (!fixed) expect(n).toBe(1); });
  describe('inner', () => {
    test('slow', () => new Promise((r) => setTimeout(r, fixed ? 0 : 2000)), 500);
  });
  test('fails (1+1) not', () => {});
});
test.fails('expected', () => { throw new Error('as expected'); });
""",
        "b.test.js": """
import { existsSync } from 'node:fs';
import { test } from 'vitest';
const fixed = existsSync('fixed');
let times = 0;
test('flaky', { retry: 2 }, () => { times += 1; if (times < 2) throw new Error('try ' + times); });
test('always', { retry: 1 }, () => { if (!fixed) throw new TypeError('always'); });
""",
        "c.test.js": "this does not parse(",
        "d.test.js": "import { test } from 'vitest'; test('alone', () => {});",
    },
    {"c.test.js": "import { test } from 'vitest'; test('mended', () => {});"},
    JEST.verdicts,
    ("c.test.js",),
    JEST.again,
    {
        "package.json": '{"type": "module"}',
        "a.test.js": """
import { test } from 'vitest';
test('before', () => {});
test('dies', async () => {
  await new Promise((r) => setTimeout(r, 3000));  // a busy worker tells late that it began
  process.kill(process.ppid, 'SIGKILL');
  await new Promise((r) => setTimeout(r, 500));
  process.kill(process.pid, 'SIGKILL');  // a worker without its parent asks for it for ever
});
""",
    },
    "a.test.js::dies",
    r" *[0-9.]+m?s\b|Duration .*|[0-9]{2}:[0-9]{2}:[0-9]{2}",
    ("a.test.js::outer passes", "said by passes\n"),
    {"NO_COLOR": "1", "CI": "1"},
)

NODE_TEST = Suite(
    "node:test",
    ("node", "--test"),
    "node",
    {
        "test/a.test.js": f"""
const {{ describe, it, test }} = require('node:test');
const fixed = {FIXED};
test('passes', () => {{}});
test('fails', () => {{ if (!fixed) require('assert').strictEqual(1, 2); }});
test('is skipped', {{ skip: 'not today' }}, () => {{}});
test('is to do', {{ todo: 'later' }}, () => {{ throw new Error('not yet'); }});
test('parent', async (t) => {{
  await t.test('sub', () => {{ if (!fixed) throw new TypeError('in it'); }});
}});
describe('suite', () => {{
  it('slow', {{ timeout: 500 }}, () => new Promise((r) => setTimeout(r, fixed ? 0 : 2000)));
  describe('deep', () => {{ it('one', () => {{}}); }});
}});
""",
        "test/c.test.js": "this does not parse(",
        "test/d.test.mjs": "import test from 'node:test'; test('alone', () => {});",
    },
    {"test/c.test.js": "require('node:test')('mended', () => {});"},
    {
        "test/a.test.js::passes": "passed",
        "test/a.test.js::fails": "failed",
        "test/a.test.js::is skipped": "skipped",
        "test/a.test.js::is to do": "xfailed",
        "test/a.test.js::parent": "failed",
        "test/a.test.js::parent > sub": "failed",
        "test/a.test.js::suite > slow": "timed_out",
        "test/a.test.js::suite > deep > one": "passed",
        "test/d.test.mjs::alone": "passed",
    },
    ("test/c.test.js",),
    frozenset(
        {
            *("test/a.test.js::passes", "test/a.test.js::fails", "test/a.test.js::is skipped"),
            *("test/a.test.js::is to do", "test/a.test.js::parent", "test/a.test.js::parent > sub"),
            *("test/a.test.js::suite > slow", "test/a.test.js::suite > deep > one"),
        }
    ),
    {
        "test/a.test.js": """
const test = require('node:test');
test('before', () => {});
test('dies', async () => {
  await new Promise((r) => setTimeout(r, 1500));
  process.kill(process.ppid, 'SIGKILL');
});
""",
    },
    "",
    r"duration_ms:? [0-9.]+|\([0-9.]+ms\)",
)

RSPEC = Suite(
    "rspec",
    ("rspec",),
    "rspec",
    {
        "spec/a_spec.rb": """
FIXED = File.exist?('fixed')
RSpec.describe 'Outer' do
  it('passes') {}
  it('fails') { expect(1).to eq(2) unless FIXED }
  xit('is skipped') {}
  it('pending') { pending 'later'; raise 'not yet' }
  it { expect(FIXED ? 2 : 1).to eq(2) }
  describe('#deep') { it('one') {} }
  context('set up') { before { raise ArgumentError, 'in it' unless FIXED }; it('two') {} }
end
""",
        "spec/b_spec.rb": "RSpec.describe('Other') { it('alone') {} }",
    },
    {},
    {
        "spec/a_spec.rb::Outer passes": "passed",
        "spec/a_spec.rb::Outer fails": "failed",
        "spec/a_spec.rb::Outer is skipped": "skipped",
        "spec/a_spec.rb::Outer pending": "xfailed",
        "spec/a_spec.rb::Outer [1:5]": "failed",
        "spec/a_spec.rb::Outer #deep one": "passed",
        "spec/a_spec.rb::Outer set up two": "failed",
        "spec/b_spec.rb::Other alone": "passed",
    },
    (),
    frozenset(
        {
            *("spec/a_spec.rb::Outer fails", "spec/a_spec.rb::Outer is skipped"),
            *("spec/a_spec.rb::Outer [1:5]", "spec/a_spec.rb::Outer set up two"),
        }
    ),
    {
        "spec/a_spec.rb": """
RSpec.describe('Outer') do
  it('before') {}
  it('dies') { Process.kill(:KILL, Process.pid); sleep }
end
"""
    },
    "spec/a_spec.rb::Outer dies",
    r"[0-9.]+ seconds",
    environment={"LANG": "C.UTF-8"},
)

UNITTEST = Suite(
    "unittest",
    (sys.executable, "-m", "unittest", "-b"),
    sys.executable,
    {
        "tests/__init__.py": "",
        "tests/test_a.py": """
import os
import unittest
FIXED = os.path.exists('fixed')

class A(unittest.TestCase):
    def test_passes(self):
        print("said by passes")
    def test_fails(self):
        self.assertEqual({"a": 1}, {"a": 1 if FIXED else 2})
    def test_raises(self):
        if not FIXED:
            raise ValueError("bad")
    @unittest.skip("not today")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self):
        self.fail("as expected")
    def test_parts(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertTrue(FIXED or n != 1)
    def test_clean_up(self):
        self.addCleanup(lambda: 1 / (1 if FIXED else 0))

class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not FIXED:
            raise OSError("no class")
    def test_b(self): pass
""",
        "tests/test_c.py": "import this_is_nowhere",
        "tests/test_d.py": """
import unittest
class D(unittest.TestCase):
    def test_alone(self): pass
""",
    },
    {"tests/test_c.py": "import unittest as u\nclass C(u.TestCase):\n    def test_c(self): pass\n"},
    {
        "tests.test_a.A.test_passes": "passed",
        "tests.test_a.A.test_fails": "failed",
        "tests.test_a.A.test_raises": "errored",
        "tests.test_a.A.test_skipped": "skipped",
        "tests.test_a.A.test_expected": "xfailed",
        "tests.test_a.A.test_parts": "failed",
        "tests.test_a.A.test_clean_up": "errored",
        "tests.test_a.B.test_b": "not_run",
        "tests.test_d.D.test_alone": "passed",
    },
    ("tests.test_a.B", "tests.test_c"),
    frozenset(
        {
            *("tests.test_a.A.test_fails", "tests.test_a.A.test_raises"),
            *("tests.test_a.A.test_skipped", "tests.test_a.A.test_parts"),
            *("tests.test_a.A.test_clean_up", "tests.test_a.B.test_b"),
        }
    ),
    {
        "test_a.py": """
import os, signal, unittest
class A(unittest.TestCase):
    def test_a_before(self): pass
    def test_dies(self): os.kill(os.getpid(), signal.SIGKILL)
"""
    },
    "test_a.A.test_dies",
    r"in [0-9.]+s",
    ("tests.test_a.A.test_passes", "said by passes\n"),
)

_ODD_JS = r"""
test('half \ud800 a character', () => { throw new Error('\ud800'); });
test('new\nline "q" \u001b[31m :: > é 🎈', () => { throw null; });
test('string', () => { throw 'just a string'; });
test('big', () => { throw new Error('x'.repeat(50000)); });
test('same', () => {});
test('same', () => { throw new AggregateError([new Error('one')], 'several'); });
test('environment', () => { if (process.env.BUNDLE_REPORT) throw new Error('it is seen'); });
"""
ODD = {
    "jest": {"package.json": "{}", "a.test.js": _ODD_JS},
    "vitest": {
        "package.json": '{"type": "module"}',
        "a.test.js": f"import {{ test }} from 'vitest';{_ODD_JS}",
    },
    "node:test": {"test/a.test.js": f"const test = require('node:test');{_ODD_JS}"},
    "rspec": {
        "spec/a_spec.rb": r"""
RSpec.describe "odd é" do
  it('bytes') { raise "\xff\xfe".b }
  it("new\nline") { raise Class.new(StandardError), 'nameless' }
  it('same') {}
  it('same') { raise NotImplementedError, "\xff" }
  it('environment') { expect(ENV['BUNDLE_REPORT']).to be_nil }
end
"""
    },
    "unittest": {
        "test_a.py": r"""
import multiprocessing, os, unittest

class Hidden(Exception):
    def __str__(self):
        raise RuntimeError("no")

class A(unittest.TestCase):
    def test_half(self): raise ValueError("\udc80")
    def test_hidden(self): raise Hidden
    def test_exit(self): raise SystemExit
    def test_several(self): self.addCleanup(self.fail); raise ValueError
    def test_environment(self):
        self.assertEqual([one for one in os.environ if "BUNDLE_REPORT" in one], [])
        self.assertNotIn("reporters", os.environ.get("PYTHONPATH", ""))
    def test_spawned(self):
        child = multiprocessing.get_context("spawn").Process(target=os.getpid)
        child.start()
        child.join()
        self.assertEqual(child.exitcode, 0)
"""
    },
}
"""Tests that are called oddly, fail oddly, and look around them; and how many there are."""


def other_pythons() -> list[str]:
    """Every Python from 3.9 on that is known, but this one."""
    on_path = [shutil.which(f"python3.{minor}") for minor in range(9, 15)]
    here = f"python3.{sys.version_info.minor}"
    found = PYTHONS if PYTHONS[0] else [one for one in on_path if one and _starts(one)]
    return [one for one in found if not one.endswith(here)]


def _starts(python: str) -> bool:
    """Whether it is a Python, and not a stand-in for one that is not here."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


SUITES = (JEST, VITEST, NODE_TEST, RSPEC, UNITTEST)
