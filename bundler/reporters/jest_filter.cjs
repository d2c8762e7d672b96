"use strict";
// Which files Jest runs in a rerun: all but those of which every test has passed.

const { readFileSync } = require("fs");
const { place } = require("./stream.cjs");

const { choice } = JSON.parse(process.env.BUNDLE_REPORT);
const { out, only } = JSON.parse(readFileSync(choice, "utf8"));
const root = process.cwd();

module.exports = async (paths) => {
  const kept = paths.filter((path) => {
    const name = place(root, path);
    return only ? only.includes(name) : !out.includes(name);
  });
  // Jest 30 takes the paths, the versions before it the `test` of objects, by `map`.
  const filtered = [...kept];
  filtered.map = () => kept;
  return { filtered };
};
