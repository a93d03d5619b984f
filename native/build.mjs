// Builds native/build/dynamo_labs.node (and podinit where its sources exist): `node native/build.mjs [--clean] [--tests] [--sanitize]`.
// Incremental: with nothing to do it takes a fraction of a second. Needs a C++20 compiler and CMake; Ninja where present.
// No Node headers are downloaded: the addon uses Node-API only, whose headers come from the npm package node-api-headers.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, openSync, closeSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const native = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const lockDeadlineMs = 10 * 60_000;

/** Its `fix` is one command or action for the person. */
class BuildError extends Error {
  constructor(message, fix) {
    super(`${message}\n  Fix: ${fix}`);
    this.name = 'BuildError';
  }
}

function findTool(name) {
  const folders = [path.join(native, '..', '.venv', 'bin'), ...(process.env.PATH ?? '').split(path.delimiter).filter(Boolean)];
  for (const folder of folders) {
    const candidate = path.join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // not here
    }
  }
  return undefined;
}

function packageFolder(name) {
  try {
    return path.dirname(require.resolve(`${name}/package.json`));
  } catch {
    throw new BuildError(`the npm package ${name} is missing`, 'npm ci');
  }
}

/** One build at a time per folder; a lock left by a process that died is taken over. */
async function withLock(file, body) {
  for (const start = Date.now(); ;) {
    try {
      const handle = openSync(file, 'wx');
      writeSync(handle, String(process.pid));
      closeSync(handle);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (!ownerLives(file)) rmSync(file, { force: true });
      else if (Date.now() - start > lockDeadlineMs)
        throw new BuildError(`another build has held ${file} for ${lockDeadlineMs / 60_000} minutes`, `end it, or remove the file`);
      else await sleep(200);
    }
  }
  try {
    return await body();
  } finally {
    rmSync(file, { force: true });
  }
}

function ownerLives(file) {
  let pid;
  try {
    pid = Number(readFileSync(file, 'utf8'));
  } catch {
    return true; // gone in the meantime
  }
  if (!pid) return true; // being written
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function run(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (result.error) throw new BuildError(`cannot run ${command}: ${result.error.message}`, 'check that the tool works');
  if (result.status !== 0) {
    const output = `${result.stdout}${result.stderr}`.trim().split('\n').slice(-60).join('\n');
    const noCompiler = /No CMAKE_CXX_COMPILER|CMAKE_CXX_COMPILER not set|compiler.*(?:not found|is not able)/i.test(output);
    throw new BuildError(
      `${path.basename(command)} failed:\n${output}`,
      noCompiler
        ? 'install a C++ compiler (Debian/Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)'
        : 'see the output above',
    );
  }
  return result.stdout;
}

/**
 * Brings the build folder up to date and returns the addon's path.
 * @param {{ clean?: boolean, tests?: boolean, sanitize?: boolean }} options
 */
export async function buildNative({ clean = false, tests = false, sanitize = false } = {}) {
  const build = path.join(native, sanitize ? 'build/sanitize' : 'build');
  const addon = path.join(build, 'dynamo_labs.node');
  const cmake = findTool('cmake');
  if (!cmake) throw new BuildError('CMake is missing', 'npm start installs it into .venv; or: pip install cmake ninja, or your system\'s package "cmake"');
  const headers = path.join(packageFolder('node-api-headers'), 'include');
  const addonApi = packageFolder('node-addon-api');
  if (clean) rmSync(build, { recursive: true, force: true });
  mkdirSync(build, { recursive: true });
  await withLock(path.join(build, '.lock'), () => {
    const ninja = findTool('ninja');
    const settings = {
      NODE_API_HEADERS: headers,
      NODE_ADDON_API: addonApi,
      ...(tests && { DYNAMO_LABS_TESTS: 'ON' }), // stays on in a folder where it was asked for once
      DYNAMO_LABS_SANITIZE: sanitize ? 'ON' : 'OFF',
    };
    const cached = readCache(build);
    if (!cached) {
      rmSync(path.join(build, 'CMakeCache.txt'), { force: true });
      rmSync(path.join(build, 'CMakeFiles'), { recursive: true, force: true });
    }
    if (!cached || Object.entries(settings).some(([key, wanted]) => cached(key) !== wanted)) {
      const generator = !cached && ninja ? ['-G', 'Ninja', `-DCMAKE_MAKE_PROGRAM=${ninja}`] : [];
      run(cmake, ['-S', native, '-B', build, ...generator, ...Object.entries(settings).map(([key, value]) => `-D${key}=${value}`)]);
    }
    run(cmake, ['--build', build, '--parallel']);
  });
  if (!existsSync(addon)) throw new BuildError(`the build ended without ${addon}`, 'node native/build.mjs --clean');
  return addon;
}

/** Reads a setting of the build folder; `undefined` when it was not configured here, or by tools that are gone. */
function readCache(build) {
  let cache;
  try {
    cache = readFileSync(path.join(build, 'CMakeCache.txt'), 'utf8');
  } catch {
    return undefined;
  }
  const value = (key) => new RegExp(`^${key}:[A-Z]+=(.*)$`, 'm').exec(cache)?.[1];
  const usable =
    existsSync(value('CMAKE_COMMAND') ?? '') &&
    existsSync(value('CMAKE_MAKE_PROGRAM') ?? '') &&
    path.resolve(value('CMAKE_HOME_DIRECTORY') ?? '') === native &&
    (existsSync(path.join(build, 'build.ninja')) || existsSync(path.join(build, 'Makefile')));
  return usable ? value : undefined;
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const flags = new Set(process.argv.slice(2));
  const unknown = [...flags].find((flag) => !['--clean', '--tests', '--sanitize'].includes(flag));
  try {
    if (unknown) throw new BuildError(`unknown flag ${unknown}`, 'node native/build.mjs [--clean] [--tests] [--sanitize]');
    const addon = await buildNative({ clean: flags.has('--clean'), tests: flags.has('--tests'), sanitize: flags.has('--sanitize') });
    console.log(addon);
    if (flags.has('--tests')) console.log(run(findTool('ctest') ?? 'ctest', ['--test-dir', path.dirname(addon), '--output-on-failure']));
  } catch (error) {
    console.error(error instanceof BuildError ? `native build: ${error.message}` : error);
    process.exitCode = 1;
  }
}
