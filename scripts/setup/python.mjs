import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { output, run } from './command.mjs';
import { installLine } from './explain.mjs';
import { projectDir, toolsDir, venvDir } from './paths.mjs';
import { SetupError } from './setupError.mjs';

/** uv must never fetch a Python of its own, read the person's configuration, or write outside the project. */
const uvEnv = { UV_PYTHON_DOWNLOADS: 'never', UV_NO_CONFIG: '1', VIRTUAL_ENV: venvDir };
const requirements = path.join('assets', 'python', 'requirements.txt');

/** The first interpreter that is at least 3.10: `DYNAMO_LABS_PYTHON`, python3, python3.13 … python3.10. */
function findPython() {
  const named = process.env['DYNAMO_LABS_PYTHON'];
  const names = named === undefined ? ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3.10'] : [named];
  const seen = [];
  for (const name of names) {
    // The base interpreter: an activated virtual environment may vanish, and a version manager's shim is not a Python.
    const found = output([name, '-c', 'import sys; print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", sys.executable))']);
    if (found === undefined) continue;
    const [version = '', executable = ''] = found.split(' ');
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major === 3 && minor >= 10) return { executable, version };
    seen.push(`${name} is ${version}`);
  }
  const why = seen.length === 0 ? 'Python 3 was not found' : `Python is too old (${seen.join(', ')})`;
  throw new SetupError(`${why}: JupyterLab needs Python 3.10 or newer.`, `${installLine('python')}   # or: DYNAMO_LABS_PYTHON=/path/to/python3 npm start`);
}

/** Makes `.venv` with exactly the packages of the hashed requirements. Needs neither venv nor ensurepip. */
export async function makePythonEnvironment() {
  const python = findPython();
  const uv = await ensureUv(python.executable);
  const what = 'Making the Python environment';
  const current = output([path.join(venvDir, 'bin', 'python'), '-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
  if (current !== python.version) {
    rmSync(venvDir, { recursive: true, force: true });
    await run([uv, 'venv', '--python', python.executable, '--no-project', venvDir], { what, env: uvEnv });
  }
  await run([uv, 'pip', 'sync', '--require-hashes', '--no-build', requirements], { what, env: uvEnv });
  // JupyterLab's bundled yarn is a CommonJS file: without this it would be read by the rules of our own package.json.
  writeFileSync(path.join(venvDir, 'package.json'), '{ "private": true }\n');
  return `Python ${python.version}`;
}

/** uv at the pinned version, with its hash, in `.tools` (never the machine's own: another version may resolve otherwise). */
async function ensureUv(python) {
  const uv = path.join(toolsDir, 'uv', 'bin', 'uv');
  if (existsSync(uv)) return uv;
  if (output([python, '-m', 'pip', '--version']) === undefined) {
    throw new SetupError(`${python} has no pip, which set-up needs once to fetch its package installer.`, installLine('pip'));
  }
  mkdirSync(toolsDir, { recursive: true });
  const target = path.join(toolsDir, 'uv');
  rmSync(target, { recursive: true, force: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-warn-script-location', '--root-user-action=ignore'];
  await run([python, ...pip, '--require-hashes', '--only-binary', ':all:', '--target', target, '-r', path.join(projectDir, 'assets', 'python', 'uv.txt')], {
    what: 'Fetching uv',
  });
  return uv;
}
