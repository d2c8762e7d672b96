// A reporter of node:test's that says what happens, line by line; it shows nothing.
//
// Node tells of tests in the order in which they stand in their file, and of what they hold before
// their own end. The id of a test is its file and its names from the outside in.

import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(import.meta.url);
const { Stream, guarded, place, shown, takeFromEnvironment } = require("./stream.cjs");

const stream = new Stream(takeFromEnvironment());
const { take, end } = guarded(hooks(), stream);

export default async function* report(events) {
  for await (const event of events) take(event);
  end();
}

function hooks() {
  const root = process.cwd();
  const open = new Map(); // file → the names that are open, from the outside in
  stream.write({
    e: "begin", runner: "node:test", version: process.versions.node, rootdir: root, capture: "no",
  });

  function about(data) {
    const path = data.entryFile || data.file || "";
    const file = path ? place(root, path) : "";
    const isFile = data.nesting === 0 && path !== "" && resolve(root, data.name) === resolve(root, path);
    const names = open.get(file) || [];
    open.set(file, names);
    names.length = Math.min(names.length, data.nesting + 1);
    names[data.nesting] = data.name;
    return { file, isFile, id: isFile ? file : `${file}::${names.join(" > ")}` };
  }

  function done(data, passed) {
    const { file, isFile, id } = about(data);
    const { error, duration_ms: ms } = data.details || {};
    const failures = error ? [failure(error)] : [];
    if (isFile || isSuite(data)) {
      if (!passed && !isInner(error)) stream.write({ e: "broken", id: file, failures });
      else if (isFile) stream.write({ e: "done", id, outcome: outcomeOf(data, passed, error), ms });
      return;
    }
    const reason = [data.skip, data.todo].find((one) => typeof one === "string" && one);
    const outcome = outcomeOf(data, passed, error);
    const found = outcome === "xfailed" ? [] : failures;
    const at = Date.now() - (ms || 0);
    stream.write({ e: "test", id, file, line: data.line, at: Math.floor(at) });
    stream.write({ e: "done", id, outcome, ms, reason, failures: found });
  }

  return {
    take({ type, data }) {
      if (type === "test:start") about(data); // whether it is a test or a suite, only its end says
      else if (type === "test:pass") done(data, true);
      else if (type === "test:fail") done(data, false);
    },
    end() {
      stream.write({ e: "end" });
    },
  };
}

function isSuite(data) {
  return (data.details || {}).type === "suite";
}

function isInner(error) {
  return error && (error.failureType === "subtestsFailed" || error.failureType === "cancelledByParent");
}

function outcomeOf(data, passed, error) {
  if (data.skip !== undefined && data.skip !== false) return "skipped";
  if (data.todo !== undefined && data.todo !== false) return passed ? "xpassed" : "xfailed";
  if (passed) return "passed";
  return error && error.failureType === "testTimeoutFailure" ? "timed_out" : "failed";
}

function failure(error) {
  const { cause } = error;
  if (cause && typeof cause === "object" && cause.stack) {
    return { type: shown(cause.name), message: shown(cause.message), text: shown(cause.stack) };
  }
  return { message: shown(cause === undefined ? error.message : cause) };
}
