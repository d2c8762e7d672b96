"use strict";
// Which files Jest runs in a rerun: all but those of which every test has passed.

const { readSelection } = require("./stream.cjs");

module.exports = async (paths) => {
  const { files } = JSON.parse(process.env.BUNDLE_REPORT);
  const { relative, sep } = require("path");
  const out = new Set(files.out);
  const only = files.only ? new Set(files.only) : null;
  const keeps = (name) => (only ? only.has(name) : !out.has(name));
  const kept = paths.filter((path) => keeps(relative(files.root, path).split(sep).join("/")));
  // Jest 30 takes the paths, the ones before it the `test` of objects, by `map`.
  const filtered = [...kept];
  filtered.map = () => kept;
  return { filtered };
};
