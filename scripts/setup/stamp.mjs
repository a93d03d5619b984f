import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { projectDir, toolsDir } from './paths.mjs';

const stampDir = path.join(toolsDir, 'stamps');
/** Made by the steps themselves, never an input of one. */
const generated = new Set(['node_modules', 'build', 'dist', 'lib', 'labextension', '__pycache__', '.git']);

/**
 * A digest of files and folders (names and contents) and of plain words. A missing path counts as missing.
 * @param {string[]} inputs paths relative to the project @param {string[]} [words] @param {Set<string>} [skip]
 */
export function digest(inputs, words = [], skip = generated) {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`word ${word}\0`);
  for (const input of inputs) add(hash, path.join(projectDir, input), input, skip);
  return hash.digest('hex');
}

function add(hash, file, name, skip) {
  if (!existsSync(file)) {
    hash.update(`none ${name}\0`);
  } else if (statSync(file).isDirectory()) {
    for (const entry of readdirSync(file).sort())
      if (!skip.has(entry) && !entry.endsWith('.tsbuildinfo')) add(hash, path.join(file, entry), `${name}/${entry}`, skip);
  } else {
    hash.update(`file ${name}\0`).update(readFileSync(file));
  }
}

/** Whether a step was finished with these inputs. @param {string} step @param {string} value */
export function isStamped(step, value) {
  const file = path.join(stampDir, step);
  return existsSync(file) && readFileSync(file, 'utf8') === value;
}

/** Written only when a step is done: a step that was killed runs again. @param {string} step @param {string} value */
export function writeStamp(step, value) {
  mkdirSync(stampDir, { recursive: true });
  const file = path.join(stampDir, step);
  writeFileSync(`${file}.new`, value);
  renameSync(`${file}.new`, file);
}

/** @param {string} step */
export function removeStamp(step) {
  rmSync(path.join(stampDir, step), { force: true });
}
