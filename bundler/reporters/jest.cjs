"use strict";
// A reporter of Jest's that says what happens, line by line. It stands beside the user's reporters.
//
// Jest tells of each attempt of a test as it starts and ends; of tests that do not run, and of files
// that do not load, only when their file has ended. The id of a test is its file and its full name.

const { Stream, guarded, place, takeFromEnvironment } = require("./stream.cjs");

class BundleReporter {
  constructor(config) {
    const stream = new Stream(takeFromEnvironment());
    Object.assign(this, guarded(hooks(stream, config || {}), stream));
  }
}

function hooks(stream, config) {
  const pattern = config.testNamePattern ? new RegExp(config.testNamePattern, "i") : null;
  const sessions = new Set();
  const files = new Map(); // project and path of a running file → what is known of its tests
  const root = process.cwd();

  function session(test) {
    const project = projectOf(test);
    if (!sessions.has(project)) {
      sessions.add(project);
      stream.write({
        e: "begin", s: project, runner: "jest", version: version(), suite: project || undefined,
        rootdir: root, seed: config.seed, shuffled: config.randomize === true,
        workers: config.maxWorkers,
      });
    }
    return project;
  }

  function of(test) {
    const key = `${projectOf(test)}\n${test.path}`; // each event has a `test` of its own
    let file = files.get(key);
    if (!file) {
      file = { key, path: test.path, s: session(test), name: place(root, test.path), open: new Set(), ended: new Set() };
      files.set(key, file);
    }
    return file;
  }

  // What Jest tells of a single test may name another project than its own: only its file counts.
  // Where that runs in two projects at once, its tests are told when it has ended.
  function running(path) {
    const found = [...files.values()].filter((file) => file.path === path);
    return found.length === 1 ? found[0] : null;
  }

  function start(file, fullName, at, attempt) {
    const id = `${file.name}::${fullName}`;
    file.open.add(fullName);
    stream.write({ e: "test", s: file.s, id, attempt, file: file.name, at });
  }

  function done(file, result) {
    const { fullName } = result;
    const attempt = result.invocations || 1;
    if (!file.open.delete(fullName)) start(file, fullName, result.startedAt, attempt);
    file.ended.add(fullName);
    const [outcome, reason] = judged(result);
    stream.write({
      e: "done", s: file.s, id: `${file.name}::${fullName}`, outcome, reason,
      attempt, ms: result.duration, line: lineOf(result),
      failures: failuresOf(result),
    });
  }

  return {
    onTestFileStart(test) {
      of(test);
    },
    onTestCaseStart(test, info) {
      const file = running(test.path);
      if (!file) return;
      // A name that was seen before is a further attempt, or another test of that name: its end tells.
      if (!file.ended.has(info.fullName)) start(file, info.fullName, info.startedAt);
    },
    onTestCaseResult(test, result) {
      const file = running(test.path);
      if (file) done(file, result);
    },
    onTestFileResult(test, result) {
      const file = of(test);
      files.delete(file.key);
      const left = { passing: [], deselected: [] };
      for (const one of result.testResults || []) {
        const pending = one.status === "pending";
        if (!pending && file.ended.has(one.fullName)) continue; // it was told as it happened
        const id = `${file.name}::${one.fullName}`;
        const why = pending ? whyNot(id, one.fullName) : null;
        if (why) left[why].push(id);
        else done(file, one);
      }
      for (const [why, ids] of Object.entries(left)) {
        if (ids.length) stream.write({ e: "collected", s: file.s, left: why, ids });
      }
      fileFailed(file, result);
    },
    onRunComplete(_contexts, results) {
      if (!sessions.size) session(null);
      const reason = results.wasInterrupted ? "interrupted" : undefined;
      for (const s of sessions) stream.write({ e: "end", s, reason });
    },
  };

  function whyNot(id, fullName) {
    if (!pattern || pattern.test(fullName)) return null;
    return stream.leftOut(id) || "deselected";
  }

  function fileFailed(file, result) {
    const text = result.failureMessage || "";
    const error = result.testExecError;
    if (!error && (!text || (result.testResults || []).length)) return;
    const words = (error && (error.stack || error.message)) || text;
    const failures = [{ text: text.includes("●") && !(result.testResults || []).length ? text : words }];
    for (const fullName of file.open) {
      const id = `${file.name}::${fullName}`;
      stream.write({ e: "done", s: file.s, id, outcome: "crashed", failures });
    }
    stream.write({ e: "broken", s: file.s, id: file.name, failures });
  }
}

function projectOf(test) {
  const name = test && test.context && test.context.config && test.context.config.displayName;
  return (name && (name.name || name)) || "";
}

function judged(result) {
  switch (result.status) {
    case "passed":
      return [result.failing ? "xfailed" : "passed"];
    case "failed":
      return [/Exceeded timeout of \d+ ms/.test(result.failureMessages[0] || "") ? "timed_out" : "failed"];
    case "todo":
      return ["skipped", "todo"];
    default:
      return ["skipped"];
  }
}

function failuresOf(result) {
  return (result.failureMessages || []).map((text) => ({ text }));
}

function lineOf(result) {
  return (result.location && result.location.line) || undefined;
}

function version() {
  try {
    const home = require.resolve("jest/package.json", { paths: [process.cwd()] });
    return require(home).version;
  } catch {
    return undefined;
  }
}

module.exports = BundleReporter;
