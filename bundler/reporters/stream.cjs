"use strict";
// The stream of a reporter: a file that exists, to which whole lines of JSON are appended.
//
// BUNDLE_REPORT is JSON: `stream` (the file), `selection` (a file, or null). It is taken out of the
// environment, so that what the tests start does not find it. Whatever goes wrong here ends the
// recording and nothing else: no method throws. What is needed is taken when this is loaded, because
// tests replace parts of `fs` and the clock.

const { closeSync, openSync, readFileSync, writeSync } = require("fs");
const { relative, sep } = require("path");
const now = Date.now;
const stringify = JSON.stringify;

const LONGEST_TEXT = 1 << 18; // characters; the middle of a longer one is left out
const LONGEST_LINE = 4 << 20;

class Stream {
  constructor(told) {
    this.descriptor = null;
    this.selection = null;
    this.settings = {};
    try {
      const settings = JSON.parse(told);
      this.settings = settings;
      this.descriptor = openSync(settings.stream, "a");
      if (settings.selection) this.selection = readSelection(settings.selection);
    } catch {
      this.descriptor = null; // nothing is recorded
    }
  }

  /** Append one line; `at` is milliseconds since 1970. */
  write(line) {
    if (this.descriptor === null) return;
    try {
      const text = stringify({ ...line, at: line.at || now() }, sound);
      if (text.length < LONGEST_LINE) writeSync(this.descriptor, text + "\n");
      else this.fail(`a line of ${text.length} characters`);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Write no more, and say why if that is possible. */
  fail(error) {
    const descriptor = this.descriptor;
    this.descriptor = null;
    if (descriptor === null) return;
    try {
      writeSync(descriptor, stringify({ e: "failed", why: shown(error) }) + "\n");
    } catch {
      // the disk is full: the end is missing, and that is seen
    }
  }

  /** A test's standing in the selection: null where it is to run, else why it is left out. */
  leftOut(id) {
    const selection = this.selection;
    if (selection === null) return null;
    if (selection.only !== null) return selection.only.has(id) ? null : "deselected";
    return selection.deselect.has(id) ? "passing" : null;
  }
}

/** The methods of a reporter, none of which ever throws: what goes wrong ends its recording. */
function guarded(methods, stream) {
  const safe = {};
  for (const [name, method] of Object.entries(methods)) {
    safe[name] = (...words) => {
      try {
        method(...words);
      } catch (error) {
        stream.fail(error);
      }
    };
  }
  return safe;
}

/** A file relative to the root, with `/`, as it stands in a test's id. */
function place(root, file) {
  return relative(root, file).split(sep).join("/");
}

function readSelection(path) {
  const { deselect, only } = JSON.parse(readFileSync(path, "utf8"));
  return { deselect: new Set(deselect || []), only: only ? new Set(only) : null };
}

/** Any value as text, whatever its own `toString` does. */
function shown(value) {
  try {
    return String(value);
  } catch {
    return `<${typeof value} that cannot be shown>`;
  }
}

const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** A value on its way into a line: no JSON reader takes half of a character. */
function sound(_key, value) {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "string") return value;
  return shortened(value.replace(LONE, (one) => `\\u${one.charCodeAt(0).toString(16)}`));
}

function shortened(value) {
  if (value.length <= LONGEST_TEXT) return value;
  const half = LONGEST_TEXT / 2;
  const cut = value.length - 2 * half;
  return `${value.slice(0, half)}\n[… ${cut} characters cut …]\n${value.slice(-half)}`;
}

/** What BUNDLE_REPORT tells, taken out of the environment. */
function takeFromEnvironment() {
  const told = process.env.BUNDLE_REPORT;
  delete process.env.BUNDLE_REPORT;
  return told;
}

module.exports = { Stream, guarded, place, readSelection, shown, takeFromEnvironment };
