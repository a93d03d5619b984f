/**
 * Builds the node agent's helper `native/build/podinit` (and, on Linux, the loopback driver's preload library) with the
 * machine's C compiler. Nothing is compiled when sources, compiler and flags are those of the last build.
 *
 * `node native/podinit/build.mjs` or `import { buildPodinit } from '…/build.mjs'`. Plain JavaScript for Node >= 20, no dependencies.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const outDir = path.join(here, '..', 'build');
const warnings = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O2'];

/** Where the built files are. */
export const podinitFiles = {
  program: path.join(outDir, 'podinit'),
  preload: path.join(outDir, 'libpodloopback.so'),
};

/** No C compiler, or it refused the sources. The message says what to install. */
export class PodinitBuildError extends Error {
  code = 'PODINIT_BUILD_FAILED';
}

function findCompiler(env) {
  const candidates = [env.CC, 'cc', 'gcc', 'clang'].filter((name) => name !== undefined && name !== '');
  for (const name of candidates) {
    try {
      return { name, version: execFileSync(name, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] };
    } catch {
      // Not there: the next one may be.
    }
  }
  throw new PodinitBuildError(`no C compiler found (tried ${candidates.join(', ')}); install one, e.g. "apt install gcc" or "dnf install gcc"`);
}

function sources(folder) {
  const dir = path.join(here, folder);
  return readdirSync(dir)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => path.join(dir, name));
}

function compile(compiler, flags, files, output) {
  const args = [...warnings, ...flags, ...files.filter((file) => file.endsWith('.c'))];
  const partial = `${output}.${process.pid}`;
  try {
    execFileSync(compiler.name, [...args, '-o', partial, ...(flags.includes('-shared') ? ['-ldl'] : [])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (cause) {
    throw new PodinitBuildError(`${compiler.name} could not build ${path.basename(output)}:\n${cause.stderr ?? cause.message}`, { cause });
  }
  renameSync(partial, output);
}

/** Static where the machine has a static C library (smaller in memory), else dynamic. */
function compileProgram(compiler, files) {
  try {
    compile(compiler, ['-static'], files, podinitFiles.program);
  } catch {
    compile(compiler, [], files, podinitFiles.program);
  }
}

/** Resolves with the paths of the built files; `built` tells whether anything had to be compiled. */
export function buildPodinit(env = process.env) {
  if (process.platform !== 'linux') throw new PodinitBuildError(`pods need Linux; this is ${process.platform}`);
  mkdirSync(outDir, { recursive: true });
  const compiler = findCompiler(env);
  const program = sources('src');
  const preload = sources('preload');
  const hash = createHash('sha256').update(JSON.stringify([compiler, warnings, process.arch]));
  for (const file of [fileURLToPath(import.meta.url), ...program, ...preload]) hash.update(path.basename(file)).update(readFileSync(file));
  const digest = hash.digest('hex');
  const stamp = path.join(outDir, 'podinit.stamp');
  try {
    if (readFileSync(stamp, 'utf8') === digest && readdirSync(outDir).includes('podinit')) return { ...podinitFiles, built: false };
  } catch {
    // No stamp: never built here.
  }
  compileProgram(compiler, program);
  if (preload.length > 0) compile(compiler, ['-shared', '-fPIC', '-fvisibility=hidden'], preload, podinitFiles.preload);
  writeFileSync(`${stamp}.${process.pid}`, digest);
  renameSync(`${stamp}.${process.pid}`, stamp);
  return { ...podinitFiles, built: true };
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const result = buildPodinit();
    console.log(`${path.relative(process.cwd(), result.program)} ${result.built ? 'built' : 'is up to date'}`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
