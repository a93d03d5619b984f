import { existsSync, readFileSync } from 'node:fs';
import { logFile, projectDir } from './paths.mjs';
import { SetupError } from './setupError.mjs';

/** Turns the output of a failed program into one error. @param {string} what @param {string} how @param {string} tail */
export function explainFailure(what, how, tail) {
  if (/ENOSPC|No space left on device/i.test(tail))
    return new SetupError(`${what}: the disk is full.`, `df -h ${projectDir}   # free some space there, then run the same command again`);
  if (
    /EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|dns error|Failed to fetch|error sending request|Temporary failure in name resolution|Network is unreachable|NewConnectionError/i.test(
      tail,
    )
  ) {
    return new SetupError(
      `${what}: no network: the package registry could not be reached.\n${lastLines(tail, 4)}`,
      'Check the connection (or the proxy settings of npm and pip), then run the same command again.',
    );
  }
  if (/EACCES|EPERM|Permission denied/i.test(tail))
    return new SetupError(`${what}: a file could not be written.\n${lastLines(tail, 4)}`, `sudo chown -R "$(id -un)" ${projectDir}`);
  return new SetupError(`${what} failed (${how}).\n${lastLines(tail, 12)}`, `The whole output: ${logFile}`);
}

/** The line that installs a tool on this machine's distribution. @param {'c++' | 'pip' | 'python' | 'go'} tool */
export function installLine(tool) {
  const packages = {
    apt: { 'c++': 'g++', pip: 'python3-pip', python: 'python3', go: 'golang' },
    dnf: { 'c++': 'gcc-c++', pip: 'python3-pip', python: 'python3', go: 'golang' },
    pacman: { 'c++': 'gcc', pip: 'python-pip', python: 'python', go: 'go' },
    apk: { 'c++': 'g++ linux-headers', pip: 'py3-pip', python: 'python3', go: 'go' },
    brew: { 'c++': 'llvm', pip: 'python', python: 'python', go: 'go' },
  };
  if (process.platform === 'darwin') return tool === 'c++' ? 'xcode-select --install' : `brew install ${packages.brew[tool]}`;
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  if (/^ID(_LIKE)?=.*(fedora|rhel|centos)/m.test(release)) return `sudo dnf install ${packages.dnf[tool]}`;
  if (/^ID(_LIKE)?=.*arch/m.test(release)) return `sudo pacman -S ${packages.pacman[tool]}`;
  if (/^ID=.*alpine/m.test(release)) return `sudo apk add ${packages.apk[tool]}`;
  return `sudo apt-get install ${packages.apt[tool]}`;
}

/** @param {string} text @param {number} count */
function lastLines(text, count) {
  return text
    .trimEnd()
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .map((line) => `  ${line.slice(0, 300)}`)
    .join('\n');
}
