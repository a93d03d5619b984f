#!/usr/bin/env node
/**
 * Notebooks from lab text: `node labs/build.mjs [--check] [lab …]` writes `lab.ipynb` beside each `lab.md`, or with
 * `--check` says which ones are not up to date (exit code 1). Without names: every lab. The format of `lab.md` is
 * described in `labs/notebook/README.md`.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { LabMarkdownError, notebookFromMarkdown, notebookText } from './notebook/labMarkdown.ts';

const { values, positionals } = parseArgs({ options: { check: { type: 'boolean', default: false } }, allowPositionals: true });
const labs = import.meta.dirname;
const names =
  positionals.length > 0
    ? positionals
    : readdirSync(labs)
        .filter((name) => existsSync(path.join(labs, name, 'lab.md')))
        .sort();

for (const name of names) {
  const source = path.join(labs, name, 'lab.md');
  const target = path.join(labs, name, 'lab.ipynb');
  try {
    const text = notebookText(notebookFromMarkdown(readFileSync(source, 'utf8'), name));
    if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
    if (values.check) fail(`labs/${name}/lab.ipynb is not what lab.md says; run \`node labs/build.mjs ${name}\``);
    else {
      writeFileSync(target, text);
      console.log(`wrote labs/${name}/lab.ipynb`);
    }
  } catch (error) {
    if (error instanceof LabMarkdownError) fail(`labs/${name}/lab.md: ${error.message}`);
    else throw error;
  }
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}
