// Runs every plain C++ test: `node native/test/run.mjs [--sanitize]`. Exits non-zero where one fails.
// --sanitize also runs the tests of router index and transfer engine under AddressSanitizer + UndefinedBehaviorSanitizer, the latter under ThreadSanitizer too.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from '../build.mjs';

const native = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const compiler = process.env.CXX ?? 'c++';
/** What the failed ones printed: shown last, where a log that is cut still has it. */
const failed = [];

function run(command, args, what) {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 400_000, maxBuffer: 64 << 20 });
  const passed = result.status === 0;
  console.log(`${passed ? 'ok  ' : 'FAIL'} ${what}`);
  if (!passed)
    failed.push(`${what} ended with ${result.signal ?? result.status}:\n${`${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`.trim()}`);
  return passed;
}

/** Compiles with `flags`, several at a time; only what is older than its source or any header. */
async function compileAll(sources, flags, folder) {
  mkdirSync(folder, { recursive: true });
  const headers = ['src/transfer', 'test/transfer'].flatMap((at) =>
    readdirSync(path.join(native, at))
      .filter((name) => name.endsWith('.h'))
      .map((name) => path.join(native, at, name)),
  );
  const newest = Math.max(...headers.map((file) => statSync(file).mtimeMs));
  const objects = sources.map((source) => path.join(folder, `${path.basename(source, '.cc')}.o`));
  const todo = sources
    .map((source, index) => [source, objects[index]])
    .filter(([source, object]) => !existsSync(object) || statSync(object).mtimeMs < Math.max(newest, statSync(source).mtimeMs));
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (let next = todo.pop(); next; next = todo.pop()) {
        const [source, object] = next;
        const wide = /_avx(2|512)\.cc$/.exec(source);
        const vector = wide ? [wide[1] === '2' ? '-mavx2' : '-mavx512f'] : [];
        const code = await new Promise((resolve) => {
          spawn(compiler, ['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', ...flags, ...vector, `-I${native}/src`, '-c', source, '-o', object], {
            stdio: 'inherit',
          }).on('exit', resolve);
        });
        if (code !== 0) throw new Error(`${source} does not compile with ${flags.join(' ')}`);
      }
    }),
  );
  return objects;
}

async function sanitized(name, flags) {
  const folder = path.join(native, 'build', name);
  const core = readdirSync(path.join(native, 'src/transfer')).filter((file) => file.endsWith('.cc') && (process.arch === 'x64' || !/_avx/.test(file)));
  const coreObjects = await compileAll(
    core.map((file) => path.join(native, 'src/transfer', file)),
    flags,
    folder,
  );
  for (const test of readdirSync(path.join(native, 'test')).filter((file) => /^transfer_.*\.cc$/.test(file))) {
    const [object] = await compileAll([path.join(native, 'test', test)], flags, folder);
    const binary = object.replace(/\.o$/, '');
    if (run(compiler, [...flags, ...coreObjects, object, '-pthread', '-ldl', '-o', binary], `${name} link of ${test}`)) run(binary, [], `${name} ${test}`);
  }
}

/** The router index is small: its test is built in one go. */
function sanitizedIndex(flags) {
  const folder = path.join(native, 'build', 'asan');
  mkdirSync(folder, { recursive: true });
  const index = path.join(native, 'src/index');
  const sources = readdirSync(index)
    .filter((file) => file.endsWith('.cc'))
    .map((file) => path.join(index, file));
  const binary = path.join(folder, 'index_test');
  const args = ['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', ...flags, `-I${native}/src`, ...sources, path.join(native, 'test/index_test.cc')];
  if (run(compiler, [...args, '-o', binary], 'asan build of index_test.cc')) run(binary, [], 'asan index_test.cc');
}

const addon = await buildNative({ tests: true });
const folder = path.dirname(addon);
for (const file of readdirSync(path.join(native, 'test')).filter((name) => name.endsWith('_test.cc')))
  run(path.join(folder, path.basename(file, '.cc')), [], file);
const addressAndUndefined = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'];
if (process.argv.includes('--sanitize')) {
  sanitizedIndex(addressAndUndefined);
  if (process.platform !== 'linux') console.log('skip sanitizers: the transfer engine is for Linux');
  else {
    await sanitized('asan', addressAndUndefined);
    await sanitized('tsan', ['-fsanitize=thread', '-Wno-tsan']);
  }
}
if (failed.length > 0) {
  console.log(`\n${failed.join('\n\n')}`);
  process.exitCode = 1;
}
