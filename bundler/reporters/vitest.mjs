// A reporter of Vitest's that says what happens, line by line. It stands beside the user's reporters.
//
// Vitest 3 and later tell of a test as it becomes ready and when it has its result; Vitest 1 and 2
// tell of changes of tasks. Attempts that were repeated are told at the end: how many there were, and
// the errors of all of them. The id of a test is its file and its full name.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
const { Stream, guarded, place, shown, takeFromEnvironment } = require("./stream.cjs");

export default class BundleReporter {
  constructor() {
    const told = takeFromEnvironment();
    const stream = new Stream(told);
    const { choice, configured, seed } = stream.settings;
    const { onInit, ...others } = guarded(hooks(stream), stream);
    Object.assign(this, others);
    this.onInit = async (vitest) => {
      onInit(vitest);
      if (choice) choose(vitest, JSON.parse(readFileSync(choice, "utf8")), seed);
      if (configured) await addConfigured(vitest, this);
    };
  }
}

/** Leave out, in every project, the files and names that are not to run. */
function choose(vitest, { out, only, pattern }, seed) {
  const projects = vitest.projects || [];
  for (const { config } of new Set([vitest, ...projects])) {
    config.exclude = [...config.exclude, ...out.map(escaped)];
    if (only) config.include = only.map(escaped);
    if (pattern) {
      const own = config.testNamePattern;
      config.testNamePattern = new RegExp(own ? `(?=[\\s\\S]*(?:${own.source}))${pattern}` : pattern);
    }
    if (seed) config.sequence.seed = seed;
  }
}

function escaped(file) {
  return file.replace(/[\\*?[\]{}()!+@|]/g, "\\$&");
}

function hooks(stream) {
  const sessions = new Set();
  const started = new Map(); // Vitest's own id of a test that has started → ours
  const finished = new Set(); // Vitest's own ids, of tests that have
  let vitest = null;
  const root = process.cwd();

  function session(project) {
    const s = project || "";
    if (!sessions.has(s)) {
      sessions.add(s);
      const { sequence } = vitest.config;
      stream.write({
        e: "begin", s, runner: "vitest", version: version(vitest), suite: s || undefined,
        rootdir: root, seed: sequence && sequence.seed, shuffled: shuffles(sequence),
      });
    }
    return s;
  }

  // Vitest 1 and 2 have tasks, later ones wrap them: both are seen as tasks here.

  function about(task) {
    const file = place(root, task.file.filepath);
    const names = [];
    for (let one = task; one && one !== task.file; one = one.suite) if (one.name) names.unshift(one.name);
    return { s: session(task.file.projectName), id: `${file}::${names.join(" ")}`, file };
  }

  function start(task) {
    if (started.has(task.id)) return;
    const { s, id, file } = about(task);
    started.set(task.id, { s, id });
    const { startTime } = task.result || {};
    const line = task.location && task.location.line;
    stream.write({ e: "test", s, id, file, line, at: startTime && Math.floor(startTime) });
  }

  function done(task) {
    if (finished.has(task.id)) return;
    finished.add(task.id);
    const result = task.result || {};
    if (task.mode === "skip" || result.state === "skip" || task.mode === "todo" || !task.result) {
      skipped(task);
      return;
    }
    start(task);
    const { s, id } = started.get(task.id);
    const errors = (result.errors || []).map(failure);
    const retried = result.retryCount || 0;
    const passed = result.state === "pass";
    // One error an attempt is the rule; where there are more, they belong to the last.
    const before = retried ? errors.splice(0, Math.min(retried, passed ? errors.length : errors.length - 1)) : [];
    before.forEach((one, index) => {
      const attempt = index + 1;
      if (attempt > 1) stream.write({ e: "test", s, id, attempt });
      stream.write({ e: "done", s, id, attempt, outcome: outcomeOf([one]), failures: [one], retry: true, ms: 0 });
    });
    const attempt = before.length + 1;
    if (attempt > 1) stream.write({ e: "test", s, id, attempt });
    const expected = task.fails === true || (task.options && task.options.fails === true);
    const outcome = passed ? (expected ? "xfailed" : "passed") : outcomeOf(errors);
    stream.write({
      e: "done", s, id, attempt, outcome, ms: result.duration, reason: result.note,
      failures: passed ? [] : errors,
    });
  }

  function skipped(task) {
    const { s, id } = about(task);
    const pattern = vitest.config.testNamePattern;
    const name = task.fullTestName || id.slice(id.indexOf("::") + 2); // Vitest 5's own, with ` > `
    if (pattern && !started.has(task.id) && !name.match(pattern)) {
      stream.write({ e: "collected", s, left: stream.leftOut(id) || "deselected", ids: [id] });
      return;
    }
    start(task);
    const note = task.result && task.result.note;
    const reason = note || (task.mode === "todo" ? "todo" : undefined);
    stream.write({ e: "done", s, id, outcome: "skipped", reason });
  }

  function broken(file, errors) {
    if (!errors.length) return;
    const id = place(root, file.filepath);
    stream.write({ e: "broken", s: session(file.projectName), id, failures: errors.map(failure) });
  }

  function end(errors, reason) {
    if (!sessions.size) session("");
    for (const error of errors || []) {
      const path = error && error.VITEST_TEST_PATH;
      const id = path ? place(root, path) : "";
      const s = sessions.values().next().value;
      stream.write({ e: "broken", s, id, failures: [failure(error)] });
    }
    for (const s of sessions) stream.write({ e: "end", s, reason });
  }

  function output(log) {
    const task = vitest.state.idMap.get(log.taskId);
    if (!task || task.tasks) return; // printed outside of any test
    start(task);
    stream.write({ e: "out", ...started.get(task.id), stream: log.type, text: log.content });
  }

  function walk(tasks) {
    for (const task of tasks) {
      if (task.tasks) {
        if (task.type === "suite" && task.result && task.result.errors) broken(task.file, task.result.errors);
        walk(task.tasks);
      } else done(task);
    }
  }

  const common = {
    onInit(ctx) {
      vitest = ctx;
    },
    onUserConsoleLog: output,
  };
  const of3 = {
    onTestCaseReady(test) {
      if (isModern() && test.task.mode === "run") start(test.task);
    },
    onTestCaseResult(test) {
      if (isModern()) done(test.task);
    },
    onTestSuiteResult(suite) {
      if (isModern()) broken(suite.task.file, (suite.task.result && suite.task.result.errors) || []);
    },
    onTestRunEnd(modules, errors, reason) {
      if (!isModern()) return;
      // At the end: Vitest 3 does not tell of the end of a file that does not load.
      for (const { task } of modules) broken(task, (task.result && task.result.errors) || []);
      end(errors, reason === "interrupted" ? reason : undefined);
    },
  };
  const of1 = {
    onTaskUpdate(packs) {
      if (isModern()) return;
      for (const [id] of packs) {
        const task = vitest.state.idMap.get(id);
        if (!task || task.tasks || !task.result) continue;
        if (task.result.state === "run") start(task);
        else if (task.result.state === "pass" || task.result.state === "fail") done(task);
      }
    },
    onFinished(files, errors) {
      if (isModern()) return;
      for (const file of files || []) {
        broken(file, (file.result && file.result.errors) || []);
        walk(file.tasks);
      }
      end(errors);
    },
  };
  return { ...common, ...of3, ...of1 };

  function isModern() {
    return Number.parseInt(vitest.version, 10) >= 3;
  }
}

function version(vitest) {
  return vitest.version || JSON.parse(readFileSync(packageOf(vitest), "utf8")).version;
}

function packageOf(vitest) {
  return createRequire(`${vitest.config.root}/package.json`).resolve("vitest/package.json");
}

function shuffles(sequence) {
  const { shuffle } = sequence || {};
  return shuffle === true || Boolean(shuffle && (shuffle.files || shuffle.tests));
}

function failure(error) {
  const { name, message, stack, diff } = error || {};
  const type = typeof name === "string" && name ? name : undefined;
  const words = shown(message === undefined ? error : message);
  const text = [stack || words, diff].filter((one) => one && typeof one === "string").join("\n\n");
  return { type, message: words, text };
}

function outcomeOf(errors) {
  return errors.some((one) => /^(Test|Hook) timed out in \d+ms/.test(one.message)) ? "timed_out" : "failed";
}

/** Give Vitest the reporters that its configuration names: a reporter on its command line replaces them. */
async function addConfigured(vitest, self) {
  const { ReportersMap } = await reportersOf(vitest);
  // By its file: what `require` resolves is Vite's old CommonJS build, which prints a warning.
  const vite = dirname(createRequire(packageOf(vitest)).resolve("vite/package.json"));
  const { loadConfigFromFile } = await import(pathToFileURL(`${vite}/dist/node/index.js`).href);
  const path = vitest.server ? vitest.server.config.configFile : vitest.vite.config.configFile;
  const env = { command: "serve", mode: vitest.mode || "test" };
  const loaded = await loadConfigFromFile(env, path || undefined, vitest.config.root);
  const wanted = [((loaded && loaded.config.test) || {}).reporters || "default"].flat();
  const made = [];
  for (const one of wanted) {
    const [named, options] = Array.isArray(one) ? one : [one, {}];
    if (typeof named !== "string") made.push(named);
    else if (named in ReportersMap) made.push(new ReportersMap[named](options || {}));
    else made.push(new (await custom(vitest, named))(options || {}));
  }
  vitest.reporters.splice(vitest.reporters.indexOf(self), 0, ...made);
  for (const one of made) await (one.onInit && one.onInit(vitest));
}

async function reportersOf(vitest) {
  const node = await from(vitest, "vitest/node");
  return node.ReportersMap ? node : from(vitest, "vitest/reporters");
}

async function custom(vitest, name) {
  const resolve = createRequire(`${vitest.config.root}/package.json`).resolve;
  const module = await import(pathToFileURL(resolve(name)).href);
  return module.default;
}

function from(vitest, name) {
  return import(pathToFileURL(createRequire(packageOf(vitest)).resolve(name)).href);
}
