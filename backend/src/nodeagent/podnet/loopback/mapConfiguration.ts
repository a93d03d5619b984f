import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BindMount } from '../podNet.ts';
import { rewritePaths } from './rewritePaths.ts';

/** Larger files are data, not configuration. */
const largestBytes = 1024 * 1024;

/**
 * A statically linked program takes the paths in its configuration as the machine's own: where `word` of its (already
 * rewritten) command line is or ends with `=` and a text file of a volume that speaks of mount targets, it becomes the name
 * of a copy below `dir` with the host paths in their place.
 */
export function mapConfiguration(word: string, mounts: readonly BindMount[], dir: string): string {
  const file = word.slice(word.indexOf('=') + 1);
  const inVolume = mounts.some(({ source, target }) => source !== target && (file === source || file.startsWith(`${source}/`)));
  if (!inVolume) return word;
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat?.isFile() !== true || stat.size > largestBytes) return word;
  const text = readFileSync(file, 'utf8');
  const mapped = rewritePaths(text, mounts);
  if (text.includes('\0') || mapped === text) return word;
  const folder = path.join(dir, 'configuration', createHash('sha256').update(file).digest('hex').slice(0, 16));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const copy = path.join(folder, path.basename(file));
  writeFileSync(copy, mapped, { mode: 0o600 });
  return word.slice(0, word.length - file.length) + copy;
}
