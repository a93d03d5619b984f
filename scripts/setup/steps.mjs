import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { endAbandoned, output, run } from './command.mjs';
import { installLine } from './explain.mjs';
import { installPackages, packagesMatchLock } from './packages.mjs';
import { logFile, projectDir, runtimeNode, toolsDir, venvDir } from './paths.mjs';
import { Progress } from './progress.mjs';
import { makePythonEnvironment } from './python.mjs';
import { acquireSetupLock } from './setupLock.mjs';
import { SetupError } from './setupError.mjs';
import { digest, isStamped, removeStamp, writeStamp } from './stamp.mjs';

/**
 * Every step is done when its stamp equals the digest of its inputs and its result exists; it may be killed at any point.
 * @typedef {{ name: string, title: string, waitsFor: string, inputs: string[], words?: () => string[], made: string[],
 *   already?: () => boolean, run: () => Promise<string | undefined | void> }} Step
 * @type {Step[]}
 */
const steps = [
  {
    name: 'packages',
    title: 'JavaScript packages',
    waitsFor: 'the npm registry',
    inputs: ['package-lock.json'],
    words: () => [process.platform, process.arch],
    made: ['node_modules/.package-lock.json'],
    already: packagesMatchLock,
    run: installPackages,
  },
  {
    name: 'python',
    title: 'Python environment',
    waitsFor: 'the Python package index',
    inputs: ['assets/python/requirements.txt', 'assets/python/uv.txt'],
    words: () => [process.env['DYNAMO_LABS_PYTHON'] ?? ''],
    made: ['.venv/bin/python', '.venv/bin/jupyter', '.tools/uv/bin/uv'],
    run: makePythonEnvironment,
  },
  {
    name: 'native',
    title: 'native engine',
    waitsFor: 'the C++ compiler',
    inputs: ['native', 'package-lock.json'],
    words: () => [process.platform, process.arch],
    made: [],
    run: buildNative,
  },
  {
    name: 'kit',
    title: 'lab kit',
    waitsFor: 'the TypeScript compiler',
    inputs: ['labs/kit', 'backend/src/protocol', 'package-lock.json'],
    made: ['labs/kit/dist'],
    run: () => script('labs/kit/build.mjs', 'Compiling the lab kit'),
  },
  {
    name: 'extension',
    title: 'JupyterLab extension',
    waitsFor: 'the TypeScript compiler and the bundler',
    // `uv pip sync` removes what the requirements do not name: a new environment needs the extension again.
    inputs: ['extension', 'backend/src/protocol', 'assets/python/requirements.txt', 'package-lock.json'],
    words: () => [environmentAge()],
    made: [],
    run: () => script('extension/build.mjs', 'Building the JupyterLab extension'),
  },
  {
    name: 'kernel',
    title: 'TypeScript kernel',
    waitsFor: 'the disk',
    inputs: ['labs/kernel/install.mjs'],
    words: () => [projectDir, environmentAge()],
    made: ['.venv/share/jupyter/kernels/tslab/kernel.json'],
    run: async () => {
      const { installKernel } = await import(pathToFileURL(path.join(projectDir, 'labs', 'kernel', 'install.mjs')).href);
      installKernel({ prefix: venvDir, node: runtimeNode() });
    },
  },
];

/** Runs the steps whose inputs changed. Prints nothing when there is nothing to do. */
export async function setUp() {
  mkdirSync(toolsDir, { recursive: true });
  const pending = () => steps.filter((step) => !isDone(step));
  if (pending().length === 0) return;
  const progress = new Progress();
  const release = await acquireSetupLock((pid) => progress.line(`  Another set-up runs in this folder (process ${pid}): waiting for it.`));
  // Ctrl-C ends this process at once; the running program is ended with it (command.mjs), its step has no stamp yet.
  const interrupted = (signal) => process.exit(signal === 'SIGINT' ? 130 : 143);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  process.once('exit', release);
  try {
    await endAbandoned();
    rmSync(logFile, { force: true });
    progress.line('Setting up Dynamo Labs in this folder (only what is missing; nothing is installed globally):');
    for (const step of steps) {
      if (isDone(step)) continue;
      progress.begin(step.title, step.waitsFor);
      removeStamp(step.name);
      try {
        const result = step.already?.() === true ? 'already there' : await step.run();
        writeStamp(step.name, valueOf(step));
        progress.end(step.title, typeof result === 'string' ? result : undefined);
      } catch (error) {
        progress.fail(step.title);
        throw error;
      }
    }
  } finally {
    progress.stop();
    release();
    process.off('exit', release);
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** Changes when the Python environment is made anew. */
function environmentAge() {
  return String(statSync(path.join(venvDir, 'pyvenv.cfg')).mtimeMs);
}

/** @param {Step} step */
function isDone(step) {
  return step.made.every((file) => existsSync(path.join(projectDir, file))) && isStamped(step.name, valueOf(step));
}

/** @param {Step} step */
function valueOf(step) {
  try {
    return digest(step.inputs, step.words?.() ?? []);
  } catch (error) {
    // E.g. the environment that a later step depends on does not exist yet.
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}

async function buildNative() {
  if (
    output([process.env['CXX'] ?? 'c++', '--version']) === undefined &&
    output(['g++', '--version']) === undefined &&
    output(['clang++', '--version']) === undefined
  ) {
    throw new SetupError('No C++ compiler was found (c++, g++, clang++): the model engine is compiled for this machine.', installLine('c++'));
  }
  await script('native/build.mjs', 'Compiling the native engine');
  if (process.platform === 'linux') await script('native/podinit/build.mjs', 'Compiling the pod starter');
}

/** One of the project's own build scripts, on the pinned Node. @param {string} file @param {string} what */
async function script(file, what) {
  await run([runtimeNode(), path.join(projectDir, ...file.split('/'))], { what, env: buildEnv() });
}

/** cmake, ninja, jupyter-builder and uv come from our own environment, node is the pinned one. */
function buildEnv() {
  const dirs = [path.join(venvDir, 'bin'), path.dirname(runtimeNode()), path.join(toolsDir, 'uv', 'bin'), process.env['PATH'] ?? ''];
  return { PATH: dirs.join(path.delimiter), VIRTUAL_ENV: venvDir, UV_PYTHON_DOWNLOADS: 'never', UV_NO_CONFIG: '1' };
}
