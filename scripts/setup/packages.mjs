import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { run } from './command.mjs';
import { projectDir } from './paths.mjs';

/** Installs the JavaScript packages of package-lock.json. No package needs its install script: what is native comes prebuilt. */
export async function installPackages() {
  const args = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  // Set where npm started us: the same npm, on the same Node.
  const npm = process.env['npm_execpath'];
  const argv = npm !== undefined && npm.endsWith('.js') && existsSync(npm) ? [process.execPath, npm, ...args] : ['npm', ...args];
  await run(argv, { what: 'Installing the JavaScript packages', env: { NODE_ENV: 'development' } });
}

/** Whether node_modules holds exactly what the lock file names (somebody ran npm themselves): then it is left alone. */
export function packagesMatchLock() {
  const installedFile = path.join(projectDir, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(path.join(projectDir, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(([name, entry]) => {
    if (!name.startsWith('node_modules/') && !name.includes('/node_modules/')) return true;
    const found = installed[name];
    if (found === undefined) return entry.optional === true || entry.peer === true || entry.link === true;
    return entry.link === true || found.version === entry.version;
  });
}
