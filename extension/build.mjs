#!/usr/bin/env node
/**
 * Builds the browser part and puts the extension into a Python environment, without network and only where something
 * changed: `node build.mjs [--prefix .venv] [--force]`. Plain JavaScript: set-up calls it.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const folder = import.meta.dirname;
const project = path.resolve(folder, '..');
const built = path.join(folder, 'dynamo_labs', 'labextension');

/** @param {{ force?: boolean }} [options] @returns {boolean} whether anything was built. */
export function buildExtension(options = {}) {
  const stamp = path.join(built, '.sources');
  const digest = digestOf([
    ...['src', 'style', 'schema', 'tsconfig.json', 'package.json', 'build.mjs'].map((name) => path.join(folder, name)),
    path.join(project, 'backend', 'src', 'protocol', 'lab.ts'),
    path.join(project, 'backend', 'src', 'protocol', 'decision.ts'),
    path.join(project, 'package-lock.json'),
  ]);
  if (!options.force && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return false;
  rmSync(path.join(folder, 'lib'), { recursive: true, force: true });
  run([path.join(project, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder]);
  run([
    path.join(project, 'node_modules', '@jupyter', 'builder', 'lib', 'build-labextension.js'),
    '--core-package-file',
    path.join(project, 'node_modules', '@jupyterlab', 'core-meta', 'core.package.json'),
    folder,
  ]);
  writeFileSync(stamp, digest);
  return true;
}

/**
 * Copies the built extension and the server's configuration into a Python environment and makes the package importable
 * there by a .pth file. @param {{ prefix?: string }} [options] @returns {boolean} whether anything was written.
 */
export function installExtension(options = {}) {
  const prefix = path.resolve(options.prefix ?? path.join(project, '.venv'));
  const target = path.join(prefix, 'share', 'jupyter', 'labextensions', '@dynamo-labs', 'extension');
  const digest = readFileSync(path.join(built, '.sources'), 'utf8');
  const config = path.join(prefix, 'etc', 'jupyter', 'jupyter_server_config.d', 'dynamo_labs.json');
  const settings = path.join(prefix, 'share', 'jupyter', 'lab', 'settings', 'overrides.json');
  let changed = writeIfDifferent(config, readFileSync(path.join(folder, 'jupyter-config', 'server-config', 'dynamo_labs.json'), 'utf8'));
  changed = writeIfDifferent(settings, readFileSync(path.join(folder, 'jupyter-config', 'overrides.json'), 'utf8')) || changed;
  changed = writeIfDifferent(path.join(sitePackages(prefix), 'dynamo_labs.pth'), `${folder}\n`) || changed;
  const installed = path.join(target, '.sources');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === digest) return changed;
  rmSync(target, { recursive: true, force: true });
  cpSync(built, target, { recursive: true });
  cpSync(path.join(folder, 'install.json'), path.join(target, 'install.json'));
  return true;
}

function sitePackages(prefix) {
  const lib = path.join(prefix, 'lib');
  const python = readdirSync(lib).find((name) => name.startsWith('python3') && existsSync(path.join(lib, name, 'site-packages')));
  if (!python) throw new Error(`${prefix} is not a Python environment: lib/python3*/site-packages is missing`);
  return path.join(lib, python, 'site-packages');
}

function writeIfDifferent(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return false;
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  return true;
}

function digestOf(entries) {
  const hash = createHash('sha256');
  const add = (file) => {
    if (statSync(file).isDirectory()) for (const name of readdirSync(file).sort()) add(path.join(file, name));
    else hash.update(path.relative(project, file)).update('\0').update(readFileSync(file)).update('\0');
  };
  entries.forEach(add);
  return hash.digest('hex');
}

function run(args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the extension does not build:\n${stdout}${stderr}`);
}

if (process.argv[1] && path.resolve(process.argv[1]) === import.meta.filename) {
  const { values } = parseArgs({ options: { prefix: { type: 'string' }, force: { type: 'boolean' } } });
  console.log(buildExtension({ force: values.force === true }) ? 'built the extension' : 'the extension is up to date');
  const prefix = values.prefix ?? path.join(project, '.venv');
  if (existsSync(prefix)) console.log(installExtension({ prefix }) ? `installed into ${prefix}` : `${prefix} is up to date`);
}
