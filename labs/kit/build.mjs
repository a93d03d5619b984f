#!/usr/bin/env node
/**
 * Compiles the kit for notebooks: CommonJS and declarations that tslab's TypeScript 5.0 reads. Does nothing when no
 * source is newer than the result. Plain JavaScript: set-up calls it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';

const folder = import.meta.dirname;
const project = path.resolve(folder, '../..');
const result = path.join(folder, 'dist', 'labs', 'kit', 'src', 'index.d.ts');

/** @returns {boolean} whether anything was compiled. */
export function buildKit() {
  const sources = [path.join(folder, 'src'), path.join(project, 'backend', 'src', 'protocol')].flatMap((dir) =>
    readdirSync(dir).map((name) => path.join(dir, name)),
  );
  const newest = Math.max(...[...sources, path.join(folder, 'tsconfig.json')].map((file) => statSync(file).mtimeMs));
  if (existsSync(result) && statSync(result).mtimeMs >= newest) return false;
  rmSync(path.join(folder, 'dist'), { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [path.join(project, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], { stdio: 'inherit' });
  if (status !== 0) throw new Error('labs/kit does not compile; see the messages above');
  return true;
}

if (process.argv[1] && path.resolve(process.argv[1]) === import.meta.filename) console.log(buildKit() ? 'built labs/kit' : 'labs/kit is up to date');
